// What is on the screen of the graph: the newest drawing, moved and scaled to where one is now
// until the worker has a sharper one; and what lies under the pointer.
import { select } from "d3-selection";
import { zoom, zoomIdentity, type D3ZoomEvent, type ZoomBehavior } from "d3-zoom";
import Flatbush from "flatbush";

import type { Size } from "../map/view.ts";
import { box, type Layout } from "./layout.ts";
import type { Groups, Model } from "./model.ts";
import { checkBoxOf, type Scene, type Transform } from "./paint.ts";
import { Painter } from "./painter.ts";

export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

const nearest = 2;
export const small = { width: 190, height: 120 };

export class Board {
  layout: Layout | undefined;
  transform: Transform = { x: 0, y: 0, k: 1 };
  /** A rectangle that is being drawn to choose nodes. */
  rectangle: Rectangle | undefined;
  readonly painter = new Painter((layout) => this.laid(layout), () => this.show());
  private readonly pen: CanvasRenderingContext2D | null;
  private readonly zoom: ZoomBehavior<HTMLCanvasElement, unknown>;
  private index: Flatbush | undefined;
  private size: Size = { width: 1, height: 1 };
  private isSized = false; // a small graph is laid before the page knows how large the canvas is
  private frame = 0;
  private rest: ReturnType<typeof setTimeout> | undefined;
  private ink: Scene["ink"] | undefined;
  private model: Model | undefined;
  private grouping: Groups["by"] | undefined;
  /** Whose layout this is: an older one's until the newest is laid. */
  private drawn: Model | undefined;
  private isAwaited = false;
  /** Who is to be in the middle once the newest is laid; or who stays where it is. */
  private target: string | undefined;
  private kept: { id: string; x: number; y: number } | undefined;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly minimap: HTMLCanvasElement,
    private readonly ready: (layout: Layout) => void,
  ) {
    this.pen = canvas.getContext("2d", { alpha: false });
    canvas.ariaBusy = "true"; // until there is a picture
    this.zoom = zoom<HTMLCanvasElement, unknown>()
      .filter((event: MouseEvent) => !event.button && !event.shiftKey && (!event.ctrlKey || event.type === "wheel"))
      .scaleExtent([0.002, nearest])
      .on("zoom", ({ transform: { x, y, k } }: D3ZoomEvent<HTMLCanvasElement, unknown>) => this.moved({ x, y, k }));
    select(canvas).call(this.zoom).on("dblclick.zoom", null);
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
    select(this.canvas).on(".zoom", null);
    this.painter.close();
  }

  /** Another graph, or the same in other groups; or as it is now: then what is in the middle stays there. */
  set(model: Model, groups: Groups | undefined): void {
    const isSame = this.model?.question === model.question && this.grouping === groups?.by;
    if (!isSame) this.kept = undefined;
    else if (!this.isAwaited) this.kept = this.middle();
    this.model = model;
    this.grouping = groups?.by;
    this.isAwaited = true;
    this.painter.graph(model, groups);
  }

  look(look: Pick<Scene, "states" | "marks" | "lit" | "ink" | "groups">): void {
    this.ink = look.ink;
    this.painter.look(look);
    this.repaint();
    if (this.layout) this.painter.wantOverview(this.layout, small.width, small.height);
  }

  resize(size: Size): void {
    const [width, height] = [Math.round(size.width * devicePixelRatio), Math.round(size.height * devicePixelRatio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.size = size;
    if (!this.isSized) {
      this.isSized = true;
      this.fit();
      const target = this.target === undefined ? undefined : this.model?.index.get(this.target);
      if (target !== undefined) this.jump(target);
    }
    this.repaint();
  }

  /** Shows everything, but small graphs no larger than they are. */
  fit(): void {
    if (!this.layout || !this.isSized) return;
    const { width, height } = this.layout;
    const k = Math.min(1, (this.size.width - 32) / Math.max(1, width), (this.size.height - 32) / Math.max(1, height));
    this.go({ k, x: (this.size.width - width * k) / 2, y: (this.size.height - height * k) / 2 });
  }

  /** Brings a node to the middle, near enough to read it; once the drawing is there. */
  jump(node: number): void {
    this.target = this.model?.nodes[node]?.id;
    if (this.isAwaited || !this.isSized || !this.layout) return;
    this.target = undefined;
    const k = Math.max(this.transform.k, 0.8);
    this.go({ k, x: this.size.width / 2 - ((this.layout.x[node] ?? 0) + box.width / 2) * k, y: this.size.height / 2 - ((this.layout.y[node] ?? 0) + box.height / 2) * k });
  }

  /** Whether the drawing is of the newest graph. */
  get isSettled(): boolean {
    return this.model === this.drawn;
  }

  /** Moves no further than is needed to see a node. */
  reveal(node: number): void {
    if (!this.layout) return;
    const at = this.placeOf(node);
    if (at.x < 0 || at.y < 0 || at.x + box.width * this.transform.k > this.size.width || at.y + box.height * this.transform.k > this.size.height) this.jump(node);
  }

  by(factor: number): void {
    this.zoom.scaleBy(select(this.canvas), factor);
  }

  /** Where a node's left top corner is on the screen. */
  placeOf(node: number): { x: number; y: number } {
    const { x, y, k } = this.transform;
    return { x: (this.layout?.x[node] ?? 0) * k + x, y: (this.layout?.y[node] ?? 0) * k + y };
  }

  nodeAt(x: number, y: number): number | undefined {
    const near = Math.max(0, 4 / this.transform.k - box.height / 2);
    const [wx, wy] = this.world(x, y);
    return this.newest(this.index?.search(wx - near, wy - near, wx + near, wy + near) ?? [])[0];
  }

  nodesIn({ x, y, width, height }: Rectangle): number[] {
    const [left, top] = this.world(x, y);
    const [right, bottom] = this.world(x + width, y + height);
    return this.newest(this.index?.search(left, top, right, bottom) ?? []);
  }

  /** What has been drawn, as the newest graph counts it. */
  private newest(drawn: number[]): number[] {
    if (this.isSettled) return drawn;
    return drawn.flatMap((v) => this.model?.index.get(this.drawn?.nodes[v]?.id ?? "") ?? []);
  }

  /** The node nearest to the middle of the screen, and where it is. */
  private middle(): typeof this.kept {
    const [node] = this.index?.neighbors(...this.world(this.size.width / 2, this.size.height / 2), 1) ?? [];
    const id = node === undefined ? undefined : this.drawn?.nodes[node]?.id;
    return node === undefined || id === undefined ? undefined : { id, ...this.placeOf(node) };
  }

  /** The group whose check box is there. */
  checkBoxAt(x: number, y: number): number | undefined {
    return this.layout?.boxes.find((b) => {
      const place = checkBoxOf(b, this.transform);
      return b.width * this.transform.k >= 30 && x >= place.x - 3 && x <= place.x + place.side + 3 && y >= place.y - 3 && y <= place.y + place.side + 3;
    })?.group;
  }

  /** Brings what is at a point of the minimap to the middle. */
  lookAt(x: number, y: number): void {
    if (!this.layout) return;
    const { k, left, top } = this.small(this.layout);
    const here = this.transform.k;
    this.go({ k: here, x: this.size.width / 2 - ((x - left) / k) * here, y: this.size.height / 2 - ((y - top) / k) * here });
  }

  show(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private laid(layout: Layout): void {
    const isFirst = !this.layout;
    const { model, target, kept } = this;
    this.drawn = model;
    this.isAwaited = false;
    this.target = this.kept = undefined;
    this.layout = layout;
    this.index = undefined;
    if (layout.x.length) {
      this.index = new Flatbush(layout.x.length, 16, Float32Array);
      layout.x.forEach((x, v) => this.index?.add(x, layout.y[v] ?? 0, x + box.width, (layout.y[v] ?? 0) + box.height));
      this.index.finish();
    }
    this.ready(layout);
    const [jumped, stays] = [target, kept?.id].map((id) => (id === undefined ? undefined : model?.index.get(id)));
    if (jumped !== undefined) {
      if (isFirst) this.fit();
      this.jump(jumped);
    } else if (kept && stays !== undefined) {
      const { x, y } = this.placeOf(stays);
      this.go({ k: this.transform.k, x: this.transform.x + kept.x - x, y: this.transform.y + kept.y - y });
    } else this.fit();
    this.repaint();
  }

  private go({ x, y, k }: Transform): void {
    this.zoom.transform(select(this.canvas), zoomIdentity.translate(x, y).scale(k));
  }

  private moved(transform: Transform): void {
    this.transform = transform;
    this.canvas.dataset["scale"] = String(transform.k);
    this.show();
    clearTimeout(this.rest);
    // What lies around the screen is drawn as well: there is time until one rests or comes near its end.
    if (this.covered()) this.rest = setTimeout(() => this.repaint(), 120);
    else this.repaint();
  }

  private covered(): boolean {
    const { sheet } = this.painter;
    if (!sheet || sheet.transform.k !== this.transform.k) return false;
    const { x, y } = { x: this.transform.x - sheet.transform.x, y: this.transform.y - sheet.transform.y };
    return Math.abs(x + sheet.margin.x) < sheet.margin.x * 0.6 && Math.abs(y + sheet.margin.y) < sheet.margin.y * 0.6;
  }

  private repaint(): void {
    if (this.layout && this.ink) this.painter.want(this.transform, this.size.width, this.size.height);
  }

  private world(x: number, y: number): [number, number] {
    return [(x - this.transform.x) / this.transform.k, (y - this.transform.y) / this.transform.k];
  }

  private small(layout: Layout): { k: number; left: number; top: number } {
    const k = Math.min(small.width / Math.max(1, layout.width), small.height / Math.max(1, layout.height));
    return { k, left: (small.width - layout.width * k) / 2, top: (small.height - layout.height * k) / 2 };
  }

  private draw(): void {
    const { pen, ink, layout } = this;
    if (!pen || !ink || !layout) return;
    const dots = devicePixelRatio;
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.fillStyle = ink.ground;
    pen.fillRect(0, 0, this.size.width, this.size.height);
    const { sheet, overview } = this.painter;
    if (overview && !(sheet && this.covered())) {
      const { k, left, top } = this.small(layout);
      this.place(pen, overview, { x: left, y: top, k });
    }
    if (sheet) this.place(pen, sheet.bitmap, sheet.transform);
    if (sheet) this.canvas.ariaBusy = "false";
    if (this.rectangle) {
      pen.strokeStyle = ink.accent;
      pen.lineWidth = 1.5;
      pen.strokeRect(this.rectangle.x, this.rectangle.y, this.rectangle.width, this.rectangle.height);
    }
    this.drawMinimap(ink, layout);
  }

  private place(pen: CanvasRenderingContext2D, bitmap: ImageBitmap, of: Transform): void {
    const { x, y, k } = this.transform;
    const ratio = k / of.k;
    pen.drawImage(bitmap, x - of.x * ratio, y - of.y * ratio, (bitmap.width / devicePixelRatio) * ratio, (bitmap.height / devicePixelRatio) * ratio);
  }

  private drawMinimap(ink: Scene["ink"], layout: Layout): void {
    const pen = this.minimap.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, small.width, small.height);
    if (this.painter.overview) pen.drawImage(this.painter.overview, 0, 0, small.width, small.height);
    const { k, left, top } = this.small(layout);
    const [x1, y1] = this.world(0, 0);
    const [x2, y2] = this.world(this.size.width, this.size.height);
    pen.strokeStyle = ink.accent;
    pen.lineWidth = 2;
    const [l, t] = [Math.max(1, left + x1 * k), Math.max(1, top + y1 * k)];
    pen.strokeRect(l, t, Math.max(4, Math.min(small.width - 1, left + x2 * k) - l), Math.max(4, Math.min(small.height - 1, top + y2 * k) - t));
  }
}
