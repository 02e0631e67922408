import { mixed, signs, type Colours, type MapState, type Picture } from "./picture.ts";
import type { Axis, Size, View } from "./view.ts";

/** Room for the names of nodes at the left and for dates above. */
export const margin = { left: 190, top: 40 };

export interface Cell {
  node: number;
  date: number;
}

export interface Scene {
  view: View;
  /** Drawn one over the other: the whole plan, then what is on the screen. */
  pictures: Picture[];
  hidden: ReadonlySet<MapState>;
  cursor?: Cell;
}

export interface Ink extends Colours {
  surface: string;
  ground: string;
  line: string;
  text: string;
  muted: string;
  accent: string;
}

const place = (axis: Axis, pixels: number, n: number) => ((n - axis.from) / axis.count) * pixels;

export function draw(pen: CanvasRenderingContext2D, size: Size, scene: Scene, ink: Ink): void {
  const inner = { width: size.width - margin.left, height: size.height - margin.top };
  pen.fillStyle = ink.surface;
  pen.fillRect(0, 0, size.width, size.height);
  pen.save();
  pen.translate(margin.left, margin.top);
  pen.beginPath();
  pen.rect(0, 0, inner.width, inner.height);
  pen.clip();
  pen.fillStyle = ink.ground;
  pen.fillRect(0, 0, inner.width, inner.height);
  pen.imageSmoothingEnabled = false;
  for (const picture of scene.pictures) image(pen, inner, scene, picture, ink);
  const sharp = scene.pictures.at(-1);
  if (sharp?.exact) {
    grid(pen, inner, scene.view, ink);
    glyphs(pen, inner, scene, sharp, ink);
  }
  if (scene.cursor) frame(pen, inner, scene.view, scene.cursor, ink);
  pen.restore();
  if (sharp) labels(pen, size, scene, sharp, ink);
}

function image(pen: CanvasRenderingContext2D, inner: Size, { view, hidden }: Scene, picture: Picture, ink: Ink): void {
  const { nodeFrom, nodeCount, dateFrom, dateCount } = picture.map;
  const x = place(view.dates, inner.width, dateFrom);
  const y = place(view.nodes, inner.height, nodeFrom);
  const width = (dateCount / view.dates.count) * inner.width;
  const height = (nodeCount / view.nodes.count) * inner.height;
  pen.fillStyle = ink.ground; // what is older must not shine through
  pen.fillRect(x, y, width, height);
  pen.drawImage(picture.image(ink, hidden), x, y, width, height);
}

/** Lines between cells, once these are large enough to bear them. */
function grid(pen: CanvasRenderingContext2D, inner: Size, view: View, ink: Ink): void {
  pen.fillStyle = ink.surface;
  const across = inner.width / view.dates.count;
  const down = inner.height / view.nodes.count;
  if (across >= 5) for (let d = Math.ceil(view.dates.from); d < view.dates.from + view.dates.count; d++) pen.fillRect(Math.round(place(view.dates, inner.width, d)), 0, 1, inner.height);
  if (down >= 5) for (let n = Math.ceil(view.nodes.from); n < view.nodes.from + view.nodes.count; n++) pen.fillRect(0, Math.round(place(view.nodes, inner.height, n)), inner.width, 1);
}

function glyphs(pen: CanvasRenderingContext2D, inner: Size, { view, hidden }: Scene, picture: Picture, ink: Ink): void {
  const across = inner.width / view.dates.count;
  const down = inner.height / view.nodes.count;
  if (Math.min(across, down) < 14) return;
  pen.fillStyle = ink.surface;
  pen.font = "bold 11px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (let n = Math.floor(view.nodes.from); n < view.nodes.from + view.nodes.count; n++) {
    for (let d = Math.floor(view.dates.from); d < view.dates.from + view.dates.count; d++) {
      if (!picture.has(n, d)) continue;
      const state = picture.state(picture.rowOf(n), picture.columnOf(d));
      if (!state || hidden.has(state)) continue;
      pen.fillStyle = state === "waiting" || state === "dryRun" ? ink.text : ink.surface;
      pen.fillText(signs[state], place(view.dates, inner.width, d + 0.5), place(view.nodes, inner.height, n + 0.5));
    }
  }
}

function frame(pen: CanvasRenderingContext2D, inner: Size, view: View, { node, date }: Cell, ink: Ink): void {
  const x = place(view.dates, inner.width, date);
  const y = place(view.nodes, inner.height, node);
  const width = Math.max(3, inner.width / view.dates.count);
  const height = Math.max(3, inner.height / view.nodes.count);
  pen.fillStyle = mixed(ink.accent, ink.surface, 0.8);
  pen.globalAlpha = 0.18;
  pen.fillRect(0, y, inner.width, height);
  pen.fillRect(x, 0, width, inner.height);
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.text;
  pen.lineWidth = 2;
  pen.strokeRect(x + 1, y + 1, width - 1, height - 1);
}

/** Names of nodes and dates, as many as there is room for. */
function labels(pen: CanvasRenderingContext2D, size: Size, { view, cursor }: Scene, picture: Picture, ink: Ink): void {
  const { map } = picture;
  const inner = { width: size.width - margin.left, height: size.height - margin.top };
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  let free = margin.top;
  for (let row = 0; row < map.rows; row++) {
    const node = map.nodeFrom + Math.floor((row * map.nodeCount) / map.rows);
    const next = map.nodeFrom + Math.floor(((row + 1) * map.nodeCount) / map.rows);
    const middle = margin.top + (place(view.nodes, inner.height, node) + place(view.nodes, inner.height, next)) / 2;
    if (middle < free || middle > size.height - 4) continue;
    free = middle + 16;
    pen.fillStyle = cursor && cursor.node >= node && cursor.node < next ? ink.accent : ink.text;
    pen.fillText(shortened(pen, map.rowNodes[row] ?? "", margin.left - 16), margin.left - 8, middle);
  }
  pen.textAlign = "center";
  let open = margin.left;
  let group = -1;
  for (let column = 0; column < map.columns; column++) {
    const date = map.dateFrom + Math.floor((column * map.dateCount) / map.columns);
    const next = map.dateFrom + Math.floor(((column + 1) * map.dateCount) / map.columns);
    const middle = margin.left + (place(view.dates, inner.width, date) + place(view.dates, inner.width, next)) / 2;
    const its = map.columnGroups?.[column] ?? 0;
    if (middle < open + 38 || middle > size.width - 38) continue;
    open = middle + 40;
    pen.fillStyle = cursor && cursor.date >= date && cursor.date < next ? ink.accent : ink.text;
    pen.fillText(map.columnDates[column] ?? "", middle, margin.top - 12);
    if (its !== group && its > 0) {
      pen.fillStyle = ink.muted;
      pen.fillText(`#${its}`, middle, margin.top - 28);
      group = its;
    }
  }
}

function shortened(pen: CanvasRenderingContext2D, text: string, room: number): string {
  if (pen.measureText(text).width <= room) return text;
  let [least, most] = [0, text.length];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (pen.measureText(`${text.slice(0, middle)}…`).width <= room) least = middle;
    else most = middle - 1;
  }
  return `${text.slice(0, least)}…`;
}

/** Which cell is under a point, or which axis. */
export function under(view: View, size: Size, x: number, y: number): { node?: number; date?: number } {
  const node = view.nodes.from + ((y - margin.top) / (size.height - margin.top)) * view.nodes.count;
  const date = view.dates.from + ((x - margin.left) / (size.width - margin.left)) * view.dates.count;
  return { node: y >= margin.top ? Math.floor(node) : undefined, date: x >= margin.left ? Math.floor(date) : undefined };
}
