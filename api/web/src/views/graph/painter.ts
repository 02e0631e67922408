// The page's side of the worker: one drawing at a time is asked for, the newest.
import type { Layout } from "./layout.ts";
import type { Form, FromWorker, ToWorker } from "./messages.ts";
import type { Scene, Transform } from "./paint.ts";
import type { Groups, Model } from "./model.ts";

export interface Sheet {
  bitmap: ImageBitmap;
  transform: Transform;
  /** How much it shows beyond the screen, in pixels on each side. */
  margin: { x: number; y: number };
}

type Look = Pick<Scene, "states" | "marks" | "lit" | "ink" | "groups">;

export class Painter {
  sheet: Sheet | undefined;
  overview: ImageBitmap | undefined;
  /** Milliseconds that the newest layout and drawing took, for who measures. */
  readonly took = { layout: 0, paint: 0 };
  private readonly worker = new Worker(new URL("./graph.worker.ts", import.meta.url), { type: "module" });
  private turn = 0;
  private busy = false;
  private wanted: { transform: Transform; width: number; height: number } | undefined;
  private asked: Sheet["margin"] = { x: 0, y: 0 };
  private exporting: ((blob: Blob) => void)[] = [];

  constructor(
    private readonly laid: (layout: Layout) => void,
    private readonly drawn: () => void,
  ) {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.hear(data);
  }

  close(): void {
    this.worker.terminate();
    this.sheet?.bitmap.close();
    this.overview?.close();
  }

  graph({ nodes, edges }: Model, groups: Groups | undefined): void {
    const faces = nodes.map(({ id, name, type, owner }) => ({ id, name, type, owner: owner ?? "" }));
    this.say({ kind: "graph", turn: ++this.turn, faces, count: nodes.length, edges, groups: groups?.of });
  }

  look(look: Look): void {
    this.say({ kind: "look", ...look });
  }

  /** Asks for a drawing; of what is asked meanwhile, only the last is drawn. */
  want(transform: Transform, width: number, height: number): void {
    this.wanted = { transform, width, height };
    this.next();
  }

  wantOverview(layout: Layout, width: number, height: number): void {
    const k = Math.min(width / Math.max(1, layout.width), height / Math.max(1, layout.height));
    this.say({ kind: "paint", what: "overview", transform: { x: (width - layout.width * k) / 2, y: (height - layout.height * k) / 2, k }, width, height, dots: devicePixelRatio });
  }

  export(form: Form): Promise<Blob> {
    this.say({ kind: "export", form });
    return new Promise((done) => this.exporting.push(done));
  }

  private next(): void {
    if (this.busy || !this.wanted) return;
    const { transform, width, height } = this.wanted;
    this.wanted = undefined;
    this.busy = true;
    // More than the screen shows, so that a move uncovers what is there already.
    const margin = { x: Math.round(width * 0.35), y: Math.round(height * 0.35) };
    this.asked = margin;
    const moved = { x: transform.x + margin.x, y: transform.y + margin.y, k: transform.k };
    this.say({ kind: "paint", what: "view", transform: moved, width: width + 2 * margin.x, height: height + 2 * margin.y, dots: devicePixelRatio });
  }

  private hear(message: FromWorker): void {
    switch (message.kind) {
      case "layout":
        if (message.turn !== this.turn) return;
        this.took.layout = message.milliseconds;
        this.laid(message.layout);
        break;
      case "painted":
        if (message.what === "overview") {
          this.overview?.close();
          this.overview = message.bitmap;
        } else {
          this.busy = false;
          this.took.paint = message.milliseconds;
          this.sheet?.bitmap.close();
          this.sheet = { bitmap: message.bitmap, transform: message.transform, margin: this.asked };
          this.next();
        }
        this.drawn();
        break;
      case "exported":
        this.exporting.shift()?.(message.blob);
    }
  }

  private say(message: ToWorker): void {
    this.worker.postMessage(message);
  }
}
