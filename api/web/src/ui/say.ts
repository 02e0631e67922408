// A few words on what has become of something, over whatever is shown. What draws them is loaded
// after the first view; what was said before waits for it.
import { explain, titleOf } from "./Failure.tsx";

export interface Saying {
  kind: "success" | "info" | "warning" | "error";
  text: string;
  /** With it the words stay until they are read: something went wrong and this is how. */
  detail?: string;
  stays?: boolean;
}

const waiting: Saying[] = [];
let speaker: ((saying: Saying) => void) | undefined;

export function say(kind: Saying["kind"], text: string, more?: Pick<Saying, "detail" | "stays">): void {
  const saying = { kind, text, ...more };
  if (speaker) speaker(saying);
  else waiting.push(saying);
}

/** Says that something went wrong, until it is read. */
export const sayFailure = (error: unknown) => say("error", titleOf(error), { detail: explain(error), stays: true });

/** Who says them, until what is given back is called. */
export function speaks(how: (saying: Saying) => void): () => void {
  speaker = how;
  for (const saying of waiting.splice(0)) how(saying);
  return () => void (speaker = undefined);
}
