// Draws a part of the graph at a scale. From far away nodes are dots in the colour of their state
// and lines that run alike are one; from near they have names, signs, owners. Runs in a worker.
import { mapStates, signs, type Colours } from "../map/picture.ts";
import { box, type GroupBox, type Layout } from "./layout.ts";

export interface Ink extends Colours {
  surface: string;
  ground: string;
  line: string;
  text: string;
  muted: string;
  accent: string;
}

export interface Transform {
  x: number;
  y: number;
  k: number;
}

export interface Face {
  id: string;
  name: string;
  type: string;
  owner: string;
}

export interface Scene {
  faces: Face[];
  edges: Int32Array;
  layout: Layout;
  /** Names of the groups and how many nodes each has. */
  groups: { name: string; count: number; picked: "all" | "some" | "none" }[];
  /** Of each node a place in mapStates, or 255. */
  states: Uint8Array;
  /** Of each node whether it is chosen (1), in the basket (2). */
  marks: Uint8Array;
  /** What is lit: 0 for nodes that stand back. None: all alike. */
  lit: Uint8Array | undefined;
  ink: Ink;
}

export type Pen = OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D;

/** What of the drawing is seen, in its own units. */
interface Sight {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** From these scales on nodes are boxes, and have words. */
const boxesFrom = 0.14;
const wordsFrom = 0.45;

export function paint(pen: Pen, scene: Scene, { x, y, k }: Transform, width: number, height: number): void {
  const sight = { left: -x / k, top: -y / k, right: (width - x) / k, bottom: (height - y) / k };
  pen.fillStyle = scene.ink.ground;
  pen.fillRect(0, 0, width, height);
  pen.save();
  pen.translate(x, y);
  pen.scale(k, k);
  for (const b of scene.layout.boxes) frameOf(pen, scene, b, k);
  if (k < boxesFrom) bundles(pen, scene, sight, k);
  else curves(pen, scene, sight, k);
  const seen = visible(scene.layout, sight);
  if (k < boxesFrom) dots(pen, scene, seen, k);
  else boxes(pen, scene, seen, k);
  pen.restore();
  for (const b of scene.layout.boxes) headOf(pen, scene, b, { x, y, k });
}

function visible({ x, y }: Layout, sight: Sight): number[] {
  const seen: number[] = [];
  for (let v = 0; v < x.length; v++) {
    const [left, top] = [x[v] ?? 0, y[v] ?? 0];
    if (left < sight.right && left + box.width > sight.left && top < sight.bottom && top + box.height > sight.top) seen.push(v);
  }
  return seen;
}

/** Lines a few pixels apart at both ends are drawn once, the stronger the more they are. */
function bundles(pen: Pen, { edges, layout, lit, ink }: Scene, sight: Sight, k: number): void {
  const grain = 6 / k;
  const wide = 1 << 13;
  const many = new Map<number, number>();
  const add = (i: number) => {
    const [a, b] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    const [x1, y1, x2, y2] = [(layout.x[a] ?? 0) + box.width, (layout.y[a] ?? 0) + box.height / 2, layout.x[b] ?? 0, (layout.y[b] ?? 0) + box.height / 2];
    if (Math.max(x1, x2) < sight.left || Math.min(x1, x2) > sight.right || Math.max(y1, y2) < sight.top || Math.min(y1, y2) > sight.bottom) return;
    const [ga, gb, gc, gd] = [Math.round(x1 / grain), Math.round(y1 / grain), Math.round(x2 / grain), Math.round(y2 / grain)];
    const key = ((ga * wide + gb) * wide + gc) * wide + gd;
    many.set(key, (many.get(key) ?? 0) + 1);
  };
  for (let i = 0; i < edges.length; i += 2) if (!lit || (lit[edges[i] ?? 0] && lit[edges[i + 1] ?? 0])) add(i);
  // So many that one could not tell them apart would only make a grey ground: the strongest stay.
  const shown = [...many].sort((a, b) => b[1] - a[1]).slice(0, 12_000);
  pen.strokeStyle = lit ? ink.accent : ink.muted;
  for (const [least, most, alpha] of [[4, Infinity, 0.7], [2, 4, 0.4], [0, 2, shown.length > 4000 ? 0.16 : 0.35]] as const) {
    pen.globalAlpha = alpha;
    pen.lineWidth = (least >= 4 ? 1.4 : 0.8) / k;
    strokes(pen, shown.filter(([, n]) => n > least && n <= most), (key) => {
      const [high, gd] = [Math.floor(key / wide), key % wide];
      const [top, gc] = [Math.floor(high / wide), high % wide];
      pen.moveTo(Math.floor(top / wide) * grain, (top % wide) * grain);
      pen.lineTo(gc * grain, gd * grain);
    });
  }
  pen.globalAlpha = 1;
}

/** Short paths: one of ten thousand lines takes much longer than they do one by one. */
function strokes(pen: Pen, lines: [number, number][], trace: (key: number) => void): void {
  for (let from = 0; from < lines.length; from += 64) {
    pen.beginPath();
    for (const [key] of lines.slice(from, from + 64)) trace(key);
    pen.stroke();
  }
}

function curves(pen: Pen, { edges, layout, lit, ink, marks }: Scene, sight: Sight, k: number): void {
  const plain: [number, number][] = [];
  const strong: [number, number][] = [];
  for (let i = 0; i < edges.length; i += 2) {
    const [a, b] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    const [x1, y1, x2, y2] = [layout.x[a] ?? 0, layout.y[a] ?? 0, layout.x[b] ?? 0, layout.y[b] ?? 0];
    if (Math.max(x1, x2) + box.width < sight.left || Math.min(x1, x2) > sight.right || Math.max(y1, y2) + box.height < sight.top || Math.min(y1, y2) > sight.bottom) continue;
    const bright = lit ? Boolean(lit[a] && lit[b]) : Boolean((marks[a] ?? 0) & 1 || (marks[b] ?? 0) & 1);
    (bright ? strong : plain).push([i, 0]);
  }
  const trace = (i: number) => {
    const [a, b] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    const [x1, y1, x2, y2] = [(layout.x[a] ?? 0) + box.width, (layout.y[a] ?? 0) + box.height / 2, layout.x[b] ?? 0, (layout.y[b] ?? 0) + box.height / 2];
    const bend = Math.max(30, Math.abs(x2 - x1) / 2);
    pen.moveTo(x1, y1);
    pen.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
    if (k >= wordsFrom) {
      pen.moveTo(x2 - 6, y2 - 4);
      pen.lineTo(x2, y2);
      pen.lineTo(x2 - 6, y2 + 4);
    }
  };
  // Where very many run through the picture, each is drawn more faintly.
  pen.globalAlpha = lit ? 0.15 : plain.length > 3000 ? 0.25 : 0.6;
  pen.strokeStyle = ink.muted;
  pen.lineWidth = Math.max(1, 0.7 / k);
  strokes(pen, plain, trace);
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.accent;
  pen.lineWidth = Math.max(1.6, 1 / k);
  strokes(pen, strong, trace);
}

const colourOf = ({ states, ink }: Scene, v: number): string => {
  const state = mapStates[states[v] ?? 255];
  return state ? ink[state] : ink.muted;
};

function dots(pen: Pen, scene: Scene, seen: number[], k: number): void {
  const { layout, lit, marks, ink } = scene;
  const least = 2.5 / k;
  const [w, h] = [Math.max(box.width, least), Math.max(box.height, least)];
  for (const v of seen) {
    const chosen = (marks[v] ?? 0) & 3;
    pen.globalAlpha = !lit || lit[v] || chosen ? 1 : 0.2;
    pen.fillStyle = chosen ? ink.accent : colourOf(scene, v);
    const grow = chosen ? 2 / k : 0;
    pen.fillRect((layout.x[v] ?? 0) - grow, (layout.y[v] ?? 0) - grow, w + 2 * grow, h + 2 * grow);
  }
  pen.globalAlpha = 1;
}

function boxes(pen: Pen, scene: Scene, seen: number[], k: number): void {
  const { layout, lit, marks, ink, states } = scene;
  for (const v of seen) {
    const [x, y] = [layout.x[v] ?? 0, layout.y[v] ?? 0];
    const mark = marks[v] ?? 0;
    pen.globalAlpha = !lit || lit[v] || mark & 1 ? 1 : 0.3;
    pen.fillStyle = ink.surface;
    pen.beginPath();
    pen.roundRect(x, y, box.width, box.height, 6);
    pen.fill();
    pen.strokeStyle = mark & 1 ? ink.accent : ink.line;
    pen.lineWidth = mark & 1 ? 3 : 1.2;
    pen.stroke();
    pen.fillStyle = colourOf(scene, v);
    pen.beginPath();
    pen.roundRect(x, y, k < wordsFrom ? 40 : 22, box.height, [6, 0, 0, 6]);
    pen.fill();
    if (mark & 2) ticked(pen, ink, x + box.width - 16, y + 4);
    if (k >= wordsFrom) words(pen, scene, v, x, y, mapStates[states[v] ?? 255]);
  }
  pen.globalAlpha = 1;
}

/** The sign of what is in the basket. */
function ticked(pen: Pen, ink: Ink, x: number, y: number): void {
  pen.fillStyle = ink.accent;
  pen.fillRect(x, y, 12, 12);
  pen.strokeStyle = ink.surface;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(x + 2.5, y + 6);
  pen.lineTo(x + 5, y + 9);
  pen.lineTo(x + 9.5, y + 3);
  pen.stroke();
}

function words(pen: Pen, { faces, ink }: Scene, v: number, x: number, y: number, state: keyof Colours | undefined): void {
  const face = faces[v];
  if (!face) return;
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  if (state) {
    pen.fillStyle = state === "waiting" || state === "dryRun" ? ink.text : ink.surface;
    pen.font = "bold 13px system-ui, sans-serif";
    pen.fillText(signs[state], x + 11, y + box.height / 2);
  }
  pen.textAlign = "left";
  pen.font = "600 12.5px system-ui, sans-serif";
  pen.fillStyle = ink.text;
  pen.fillText(shortened(pen, face.id, box.width - 48), x + 30, y + 15);
  pen.font = "11.5px system-ui, sans-serif";
  pen.fillStyle = ink.muted;
  pen.fillText(shortened(pen, [face.type, face.owner, face.name === face.id ? "" : face.name].filter(Boolean).join(" · "), box.width - 38), x + 30, y + 33);
}

const lengths = new Map<string, string>();

/** A text that fits, measured in the pen's font. */
export function shortened(pen: Pen, text: string, room: number): string {
  const key = `${pen.font}|${room}|${text}`;
  let short = lengths.get(key);
  if (short === undefined) {
    short = text;
    while (short.length > 1 && pen.measureText(short).width > room) short = `${short.slice(0, short.endsWith("…") ? -2 : -1)}…`;
    if (lengths.size > 20_000) lengths.clear();
    lengths.set(key, short);
  }
  return short;
}

function frameOf(pen: Pen, { ink }: Scene, b: GroupBox, k: number): void {
  pen.fillStyle = ink.surface;
  pen.globalAlpha = 0.55;
  pen.beginPath();
  pen.roundRect(b.x, b.y, b.width, b.height, 10);
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.line;
  pen.lineWidth = Math.max(1, 1 / k);
  pen.stroke();
}

/** Where on the screen a group's check box is: of one size at every scale. */
export function checkBoxOf(b: GroupBox, { x, y, k }: Transform): { x: number; y: number; side: number } {
  return { x: b.x * k + x + 6, y: b.y * k + y + 5, side: 16 };
}

function headOf(pen: Pen, { ink, groups }: Scene, b: GroupBox, transform: Transform): void {
  const group = groups[b.group];
  if (!group || b.width * transform.k < 30) return;
  const { x, y, side } = checkBoxOf(b, transform);
  pen.font = "600 13px system-ui, sans-serif";
  const text = b.width * transform.k > 90 ? shortened(pen, `${group.name} (${group.count.toLocaleString()})`, b.width * transform.k - 40) : "";
  pen.fillStyle = ink.surface;
  pen.globalAlpha = 0.85;
  pen.fillRect(x - 3, y - 3, side + 6 + (text ? pen.measureText(text).width + 8 : 0), side + 6);
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.muted;
  pen.lineWidth = 1.2;
  pen.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
  if (group.picked !== "none") {
    pen.fillStyle = ink.accent;
    pen.fillRect(x + (group.picked === "all" ? 1 : 4), y + (group.picked === "all" ? 1 : 4), side - (group.picked === "all" ? 2 : 8), side - (group.picked === "all" ? 2 : 8));
  }
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  pen.fillStyle = ink.text;
  if (text) pen.fillText(text, x + side + 6, y + side / 2 + 0.5);
}
