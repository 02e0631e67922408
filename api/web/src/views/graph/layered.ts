// A layered drawing, upstreams at the left: who waits for nobody first, everybody else one column
// after the last of those they wait for; in each layer near those they are tied to. Nothing here
// knows of nodes or screens, and its time is bounded. Places are in range as they are made here,
// so that reading them is not checked again.

export interface Sizes {
  width: (item: number) => number;
  height: (item: number) => number;
  gapX: number;
  gapY: number;
}

export interface Drawing {
  /** Left and top of each item. */
  x: Float32Array;
  y: Float32Array;
  width: number;
  height: number;
}

/** Neighbours of each item, one after the other. */
export interface Ties {
  start: Int32Array;
  item: Int32Array;
}

/** Who is tied to whom: edge i goes from `edges[2i]` to `edges[2i+1]`, or with `back` the other way. */
export function ties(count: number, edges: ArrayLike<number>, back = false): Ties {
  const start = new Int32Array(count + 1);
  const item = new Int32Array(edges.length / 2);
  const key = back ? 1 : 0;
  for (let i = key; i < edges.length; i += 2) start[edges[i]! + 1]! += 1;
  for (let i = 0; i < count; i++) start[i + 1]! += start[i]!;
  const next = start.slice();
  for (let i = 0; i < edges.length; i += 2) item[next[edges[i + key]!]!++] = edges[i + 1 - key]!;
  return { start, item };
}

/** Draws items whose edges all go from a lower to a higher number. */
export function layered(count: number, edges: ArrayLike<number>, sizes: Sizes, milliseconds: number): Drawing {
  const ups = ties(count, edges, true);
  const downs = ties(count, edges);
  const layers = layersOf(count, ups, downs);
  const alone = layers.pop() ?? [];
  order(layers, ups, downs, performance.now() + milliseconds);
  const columns = layers.map((layer) => wrapped(layer, tallest(count, sizes)));
  const drawing: Drawing = { x: new Float32Array(count), y: new Float32Array(count), width: 0, height: 0 };
  let x = 0;
  for (const rows of columns) x = acrossOf(rows, sizes, drawing, x) + sizes.gapX;
  down(columns, ups, downs, sizes, drawing);
  drawing.width = Math.max(0, x - sizes.gapX);
  aside(alone, sizes, drawing);
  return drawing;
}

/** Items by layer, by the longest way; last those that are tied to nobody. */
function layersOf(count: number, ups: Ties, downs: Ties): number[][] {
  const layer = new Int32Array(count);
  for (let v = 0; v < count; v++) for (let i = ups.start[v]!; i < ups.start[v + 1]!; i++) layer[v] = Math.max(layer[v]!, layer[ups.item[i]!]! + 1);
  const layers: number[][] = [];
  const alone: number[] = [];
  for (let v = 0; v < count; v++) {
    const isFirst = ups.start[v] === ups.start[v + 1];
    if (isFirst && downs.start[v] === downs.start[v + 1]) {
      alone.push(v);
      continue;
    }
    // Who has no upstream stands beside those that wait for it, not at the far end.
    if (isFirst) layer[v] = least(downs, v, layer) - 1;
    (layers[layer[v]!] ??= []).push(v);
  }
  return [...Array.from(layers, (l) => l ?? []).filter((l) => l.length), alone];
}

function least(of: Ties, v: number, values: Int32Array): number {
  let min = Infinity;
  for (let i = of.start[v]!; i < of.start[v + 1]!; i++) min = Math.min(min, values[of.item[i]!]!);
  return min;
}

/** Sorts each layer by where its neighbours are, to and fro, as long as there is time. */
function order(layers: number[][], ups: Ties, downs: Ties, until: number): void {
  const count = ups.start.length - 1;
  const place = new Float64Array(count);
  const wish = new Float64Array(count);
  const settle = (layer: number[]) => layer.forEach((v, i) => (place[v] = (i + 0.5) / layer.length));
  layers.forEach(settle);
  for (let sweep = 0; sweep < 12 && (sweep < 2 || performance.now() < until); sweep++) {
    const forth = sweep % 2 === 0;
    for (let i = 0; i < layers.length; i++) {
      const layer = layers[forth ? i : layers.length - 1 - i]!;
      for (const v of layer) wish[v] = middle(forth ? ups : downs, v, place) ?? place[v]!;
      layer.sort((a, b) => wish[a]! - wish[b]! || place[a]! - place[b]!);
      settle(layer);
    }
  }
}

function middle(of: Ties, v: number, place: Float64Array | Float32Array): number | undefined {
  const from = of.start[v]!;
  const to = of.start[v + 1]!;
  if (from === to) return undefined;
  let sum = 0;
  for (let i = from; i < to; i++) sum += place[of.item[i]!]!;
  return sum / (to - from);
}

/** How many rows make a drawing of so many items about twice as wide as high. */
function tallest(count: number, sizes: Sizes): number {
  const [w, h] = [sizes.width(0) + sizes.gapX / 2, sizes.height(0) + sizes.gapY];
  return Math.max(16, Math.ceil(Math.sqrt((count * w) / (2 * h))));
}

/** A layer in rows; one that is too high has several items in each. */
function wrapped(layer: number[], most: number): number[][] {
  const across = Math.ceil(layer.length / most);
  const rows: number[][] = [];
  for (let i = 0; i < layer.length; i += across) rows.push(layer.slice(i, i + across));
  return rows;
}

function acrossOf(rows: number[][], sizes: Sizes, drawing: Drawing, x: number): number {
  const widths: number[] = [];
  for (const row of rows) row.forEach((v, i) => (widths[i] = Math.max(widths[i] ?? 0, sizes.width(v))));
  let end = x;
  const starts = widths.map((w) => {
    const start = end;
    end += w + sizes.gapX / 3;
    return start;
  });
  for (const row of rows) row.forEach((v, i) => (drawing.x[v] = starts[i]!));
  return end - sizes.gapX / 3;
}

/** Puts rows as near to their neighbours as their order and the gaps allow. */
function down(columns: number[][][], ups: Ties, downs: Ties, sizes: Sizes, drawing: Drawing): void {
  const centre = new Float32Array(drawing.y.length);
  const high = (row: number[]) => Math.max(...row.map(sizes.height));
  for (const rows of columns) {
    let y = -rows.reduce((sum, row) => sum + high(row) + sizes.gapY, 0) / 2;
    for (const row of rows) {
      for (const v of row) centre[v] = y + high(row) / 2;
      y += high(row) + sizes.gapY;
    }
  }
  for (let sweep = 0; sweep < 6; sweep++) {
    const forth = sweep % 2 === 0;
    for (let i = 0; i < columns.length; i++) {
      const rows = columns[forth ? i : columns.length - 1 - i]!;
      const wishes = rows.map((row) => row.reduce((sum, v) => sum + (middle(forth ? ups : downs, v, centre) ?? centre[v]!), 0) / row.length);
      const places = spread(wishes, rows.map(high), sizes.gapY);
      rows.forEach((row, r) => row.forEach((v) => (centre[v] = places[r]!)));
    }
  }
  let top = Infinity;
  let bottom = -Infinity;
  for (const v of columns.flat(2)) {
    drawing.y[v] = centre[v]! - sizes.height(v) / 2;
    top = Math.min(top, drawing.y[v]!);
    bottom = Math.max(bottom, drawing.y[v]! + sizes.height(v));
  }
  if (top > bottom) return;
  for (const v of columns.flat(2)) drawing.y[v]! -= top;
  drawing.height = bottom - top;
}

/**
 * Places in the given order, each so high and a gap apart, whose squared distance from what is
 * wished is least: neighbours that want to pass each other move as one block.
 */
function spread(wishes: number[], heights: number[], gap: number): number[] {
  const offsets: number[] = [];
  const blocks: { sum: number; count: number }[] = [];
  wishes.forEach((wish, i) => {
    offsets[i] = i === 0 ? 0 : offsets[i - 1]! + (heights[i - 1]! + heights[i]!) / 2 + gap;
    let block = { sum: wish - offsets[i]!, count: 1 };
    for (let last = blocks.at(-1); last && last.sum / last.count > block.sum / block.count; last = blocks.at(-1)) {
      block = { sum: last.sum + block.sum, count: last.count + block.count };
      blocks.pop();
    }
    blocks.push(block);
  });
  let i = 0;
  return blocks.flatMap(({ sum, count }) => Array.from({ length: count }, () => sum / count + offsets[i++]!));
}

/** Those that are tied to nobody, as a block below. */
function aside(alone: number[], sizes: Sizes, drawing: Drawing): void {
  if (!alone.length) return;
  const top = drawing.height ? drawing.height + sizes.gapY * 4 : 0;
  const area = alone.reduce((sum, v) => sum + (sizes.width(v) + sizes.gapY) * (sizes.height(v) + sizes.gapY), 0);
  const room = Math.max(drawing.width, Math.sqrt(area * 2));
  let [x, y, high] = [0, top, 0];
  for (const v of alone) {
    if (x > 0 && x + sizes.width(v) > room) {
      [x, y, high] = [0, y + high + sizes.gapY, 0];
    }
    drawing.x[v] = x;
    drawing.y[v] = y;
    drawing.width = Math.max(drawing.width, x + sizes.width(v));
    x += sizes.width(v) + sizes.gapY;
    high = Math.max(high, sizes.height(v));
  }
  drawing.height = y + high;
}
