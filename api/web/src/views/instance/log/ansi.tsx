// Text with escape sequences of terminals: colours are shown as our own, all others are left out.
import type { ReactNode } from "react";

// Control sequences, operating system commands, other escapes, and controls that are no text.
const escapes = /\x1b\[([0-9;:]*)([@-~])|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[@-Z\\^_]?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r$/g;

/** The text alone. */
export const plain = (text: string): string => text.replace(escapes, "");

function styled(before: string, codes: string): string {
  let now = before;
  for (const code of (codes || "0").split(";").map(Number)) {
    if (code === 0) now = "";
    else if (code === 1) now = `${now.replace("ansi-bold", "")} ansi-bold`;
    else if (code === 22) now = now.replace("ansi-bold", "");
    else if (code === 39 || (code >= 30 && code <= 37) || (code >= 90 && code <= 97)) now = now.replace(/ansi-\d/, "") + (code === 39 ? "" : ` ansi-${code % 10}`);
    else if (code === 38 || code === 48) return now; // colours of larger palettes: not ours
  }
  return now.trim();
}

/** A line, with its colours, and with what was searched for marked. */
export function Ansi({ text, find }: { text: string; find?: RegExp }): ReactNode {
  if (!text.includes("\x1b") && !find) return plain(text);
  const out: ReactNode[] = [];
  let style = "";
  let from = 0;
  const add = (part: string) => {
    if (part) out.push(<span key={out.length} className={style || undefined}>{find ? marked(part, find) : part}</span>);
  };
  for (const escape of text.matchAll(escapes)) {
    add(text.slice(from, escape.index));
    from = escape.index + escape[0].length;
    if (escape[2] === "m") style = styled(style, escape[1] ?? "");
  }
  add(text.slice(from));
  return out;
}

function marked(text: string, find: RegExp): ReactNode {
  const out: ReactNode[] = [];
  let from = 0;
  for (const hit of text.matchAll(find)) {
    if (!hit[0]) break; // an expression that matches nothing marks nothing
    out.push(text.slice(from, hit.index), <mark key={hit.index}>{hit[0]}</mark>);
    from = hit.index + hit[0].length;
  }
  out.push(text.slice(from));
  return out;
}
