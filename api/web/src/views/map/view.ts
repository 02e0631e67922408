// What of a map is on the screen: nodes downwards, dates to the right, in fractions of a cell.

export interface Axis {
  from: number;
  count: number;
}

export interface View {
  nodes: Axis;
  dates: Axis;
}

export interface Size {
  width: number;
  height: number;
}

export const whole = (nodes: number, dates: number): View => ({ nodes: { from: 0, count: nodes }, dates: { from: 0, count: dates } });

/** Closer than this many cells across, there is nothing more to see. */
const closest = 4;

export function clamp(axis: Axis, all: number): Axis {
  const count = Math.min(all, Math.max(Math.min(closest, all), axis.count));
  return { from: Math.min(all - count, Math.max(0, axis.from)), count };
}

/** Zooms so that what is at a share of the axis stays there; a factor below 1 comes closer. */
export function zoom(axis: Axis, all: number, factor: number, share = 0.5): Axis {
  const count = Math.min(all, Math.max(Math.min(closest, all), axis.count * factor));
  return clamp({ from: axis.from + (axis.count - count) * share, count }, all);
}

export const pan = (axis: Axis, all: number, by: number): Axis => clamp({ from: axis.from + by, count: axis.count }, all);

/** Moves just so far that a cell is on the screen. */
export function reveal(axis: Axis, all: number, place: number): Axis {
  if (place < axis.from) return clamp({ ...axis, from: place }, all);
  if (place + 1 > axis.from + axis.count) return clamp({ ...axis, from: place + 1 - axis.count }, all);
  return axis;
}

/** What is asked of a coordinator. */
export interface Asked {
  nodeFrom: number;
  nodeCount: number;
  dateFrom: number;
  dateCount: number;
  rows: number;
  columns: number;
}

/** Pixels of the smallest cell that is worth being told apart. */
const least = 2;

function part(axis: Axis, all: number, pixels: number): { from: number; count: number; cells: number } {
  // A quarter more on each side, and in steps, so that a small move asks for nothing.
  const step = Math.max(1, 2 ** Math.floor(Math.log2(Math.max(1, axis.count / 4))));
  const from = Math.max(0, Math.floor((axis.from - axis.count / 4) / step) * step);
  const to = Math.min(all, Math.ceil((axis.from + axis.count * 1.25) / step) * step);
  const most = Math.max(1, Math.ceil((((to - from) / axis.count) * pixels) / least));
  return { from, count: to - from, cells: Math.min(to - from, most, 2000) };
}

/** The request for what is on the screen, in no more cells than can be seen. */
export function asked(view: View, all: { nodes: number; dates: number }, size: Size): Asked {
  const nodes = part(view.nodes, all.nodes, size.height);
  const dates = part(view.dates, all.dates, size.width);
  return { nodeFrom: nodes.from, nodeCount: nodes.count, dateFrom: dates.from, dateCount: dates.count, rows: nodes.cells, columns: dates.cells };
}

/** An axis as it stands in an address: `120-180`, from the first to after the last. */
export const format = (axis: Axis, all: number): string => (axis.count >= all ? "" : `${round(axis.from)}-${round(axis.from + axis.count)}`);

const round = (n: number) => Math.round(n * 10) / 10;

export function parse(text: string, all: number): Axis {
  const [from, to] = text.split("-").map(Number);
  if (from === undefined || to === undefined || !(from < to)) return { from: 0, count: all };
  return clamp({ from, count: to - from }, all);
}
