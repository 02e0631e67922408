// Lays the graph out and draws it, so that the page moves smoothly whatever its size.
import { layout, type Layout } from "./layout.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { paint, type Scene, type Transform } from "./paint.ts";
import { svg } from "./svg.ts";

// The types of a worker and those of a page cannot be had at once.
const say = (message: FromWorker, transfer: Transferable[] = []) => (postMessage as (message: FromWorker, transfer: Transferable[]) => void)(message, transfer);

const empty: Layout = { x: new Float32Array(), y: new Float32Array(), width: 0, height: 0, boxes: [] };
let scene: Omit<Scene, "ink"> & { ink?: Scene["ink"] } = { faces: [], edges: new Int32Array(), layout: empty, groups: [], states: new Uint8Array(), marks: new Uint8Array(), lit: undefined };

function drawn(transform: Transform, width: number, height: number, dots: number): OffscreenCanvas {
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * dots)), Math.max(1, Math.round(height * dots)));
  const pen = canvas.getContext("2d", { alpha: false });
  const { ink } = scene;
  if (pen && ink) {
    pen.scale(dots, dots);
    paint(pen, { ...scene, ink }, transform, width, height);
  }
  return canvas;
}

/** The whole graph, as large as a picture may well be. */
function whole(): OffscreenCanvas {
  const [width, height] = [scene.layout.width + 80, scene.layout.height + 80];
  const k = Math.min(1, 12_000 / Math.max(width, height), Math.sqrt(50_000_000 / (width * height)));
  return drawn({ x: 40 * k, y: 40 * k, k }, width * k, height * k, 1);
}

async function drawing(): Promise<Blob> {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  const { ink } = scene;
  return pen && ink ? svg({ ...scene, ink }, pen) : new Blob();
}

onmessage = ({ data: message }: MessageEvent<ToWorker>) => {
  const start = performance.now();
  switch (message.kind) {
    case "graph": {
      const { faces, edges, turn } = message;
      const result = layout(message);
      scene = { ...scene, faces, edges, layout: result, states: new Uint8Array(), marks: new Uint8Array(), lit: undefined };
      say({ kind: "layout", turn, layout: result, milliseconds: performance.now() - start });
      break;
    }
    case "look":
      scene = { ...scene, ...message };
      break;
    case "paint": {
      const { what, transform, width, height, dots } = message;
      const bitmap = drawn(transform, width, height, dots).transferToImageBitmap();
      say({ kind: "painted", what, bitmap, transform, milliseconds: performance.now() - start }, [bitmap]);
      break;
    }
    case "export":
      void (message.form === "svg" ? drawing() : whole().convertToBlob({ type: "image/png" })).then((blob) => say({ kind: "exported", blob }));
  }
};
