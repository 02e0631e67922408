import type { Schema } from "../../app/api.ts";

export type MapState = Schema<"MapState">;
export type Colours = Record<MapState, string>;

/** All states of a map, the most urgent first. */
export const mapStates: readonly MapState[] = ["failed", "running", "retrying", "frozen", "waiting", "succeeded", "dryRun"];

/** The sign of a state, for whoever does not tell colours apart. */
export const signs: Record<MapState, string> = { failed: "✕", running: "▶", retrying: "↻", frozen: "‖", waiting: "…", succeeded: "✓", dryRun: "○" };

/** The colours of the look that is on now. */
export function mapColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    failed: of("--state-failed"), running: of("--state-running"), retrying: of("--state-waitingTime"), frozen: of("--state-frozen"),
    waiting: mixed(of("--state-notRunning"), of("--surface"), 0.45), succeeded: of("--state-succeeded"), dryRun: mixed(of("--state-succeeded"), of("--surface"), 0.4),
  };
}

/** The parts of `#rrggbb`, or of its short form, which style sheets are shrunk to. */
export function rgb(hex: string): [number, number, number] {
  const digits = hex.length === 4 ? hex.replace(/[^#]/g, "$&$&") : hex;
  const part = (i: number) => parseInt(digits.slice(i, i + 2), 16);
  return [part(1), part(3), part(5)];
}

/** So much of a colour on a ground. */
export function mixed(hex: string, ground: string, share: number): string {
  const under = rgb(ground);
  return `#${rgb(hex).map((v, i) => Math.round(v * share + (under[i] ?? 0) * (1 - share)).toString(16).padStart(2, "0")).join("")}`;
}

/** What a coordinator answered, ready to be drawn. */
export class Picture {
  private readonly cells: Uint8Array;
  private canvas: HTMLCanvasElement | undefined;
  private painted = "";

  constructor(readonly map: Schema<"BackfillMap">) {
    const bytes = atob(map.cells);
    this.cells = new Uint8Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) this.cells[i] = bytes.charCodeAt(i);
  }

  /** Each cell is one node on one date. */
  get exact(): boolean {
    return this.map.rows === this.map.nodeCount && this.map.columns === this.map.dateCount;
  }

  rowOf(node: number): number {
    return Math.floor(((node - this.map.nodeFrom) * this.map.rows) / this.map.nodeCount);
  }

  columnOf(date: number): number {
    return Math.floor(((date - this.map.dateFrom) * this.map.columns) / this.map.dateCount);
  }

  has(node: number, date: number): boolean {
    const { nodeFrom, nodeCount, dateFrom, dateCount } = this.map;
    return node >= nodeFrom && node < nodeFrom + nodeCount && date >= dateFrom && date < dateFrom + dateCount;
  }

  state(row: number, column: number): MapState | undefined {
    return this.map.legend[this.cells[row * this.map.columns + column] ?? 255];
  }

  /** How many cells are in each state. */
  counts(): Partial<Record<MapState, number>> {
    const of = new Array<number>(256).fill(0);
    for (const cell of this.cells) of[cell] = (of[cell] ?? 0) + 1;
    return Object.fromEntries(this.map.legend.map((state, i) => [state, of[i] ?? 0]));
  }

  /** The cells as an image, a pixel each. */
  image(colours: Colours, hidden: ReadonlySet<MapState>): HTMLCanvasElement {
    const look = mapStates.map((s) => (hidden.has(s) ? "-" : colours[s])).join();
    if (this.canvas && this.painted === look) return this.canvas;
    const { rows, columns, legend } = this.map;
    const canvas = this.canvas ?? Object.assign(document.createElement("canvas"), { width: columns, height: rows });
    const pen = canvas.getContext("2d");
    if (!pen) return canvas;
    const inks = new Uint32Array(256);
    for (const [i, state] of legend.entries()) {
      const [r, g, b] = rgb(colours[state]);
      // Little endian, as everything that runs a browser.
      inks[i] = hidden.has(state) ? 0 : (255 << 24) | (b << 16) | (g << 8) | r;
    }
    const image = pen.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = inks[this.cells[i] ?? 255] ?? 0;
    pen.putImageData(image, 0, 0);
    this.canvas = canvas;
    this.painted = look;
    return canvas;
  }
}
