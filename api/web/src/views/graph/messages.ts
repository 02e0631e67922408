// What the page and its worker say to each other.
import type { Input, Layout } from "./layout.ts";
import type { Scene, Transform } from "./paint.ts";

/** How the whole graph is saved. */
export type Form = "png" | "svg";

export type ToWorker =
  | ({ kind: "graph"; turn: number; faces: Scene["faces"] } & Input)
  | ({ kind: "look" } & Pick<Scene, "states" | "marks" | "lit" | "ink" | "groups">)
  | { kind: "paint"; what: "view" | "overview"; transform: Transform; width: number; height: number; dots: number }
  | { kind: "export"; form: Form };

export type FromWorker =
  | { kind: "layout"; turn: number; layout: Layout; milliseconds: number }
  | { kind: "painted"; what: "view" | "overview"; bitmap: ImageBitmap; transform: Transform; milliseconds: number }
  | { kind: "exported"; blob: Blob };
