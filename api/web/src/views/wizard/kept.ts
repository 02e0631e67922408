// Where the form is kept: nodes and dates in the address, so that it can be sent; all of it in
// the tab's storage beside that address, so that a reload loses nothing.
import { list, text } from "../../app/url.ts";
import { newKey } from "../../api/client.ts";
import { modes, requestOf, type Draft, type Mode, type Request } from "./draft.ts";

export const address = { mode: text(), root: text(), end: text(), nodes: list(), dates: list(), from: text() };
export interface Address {
  mode: string;
  root: string;
  end: string;
  nodes: string[];
  dates: string[];
  from: string;
}

/** More nodes than these would make an address that nobody can send. */
const mostNodes = 40;

export const addressOf = (draft: Draft, from: string): Address => {
  const said = requestOf(draft);
  const nodes = said.nodes ?? [];
  return { mode: draft.mode, root: said.root ?? "", end: said.end ?? "", nodes: nodes.length > mostNodes ? [] : nodes, dates: draft.dates, from };
};

/** An address as one word, to compare. */
export const word = (a: Address): string => JSON.stringify([a.mode, a.root, a.end, a.nodes, a.dates, a.from]);

export interface Kept {
  draft: Draft;
  from: string;
  /** The nodes came from the basket, which a submission empties. */
  basket: boolean;
  /** A person has changed something. */
  touched: boolean;
}

const place = "backfleet.wizard";

export function keep(kept: Kept): void {
  try {
    sessionStorage.setItem(place, JSON.stringify({ ...kept, address: word(addressOf(kept.draft, kept.from)) }));
  } catch {
    // A storage that is shut or full: the address still has the most of it.
  }
}

export function forget(): void {
  try {
    sessionStorage.removeItem(place);
  } catch {
    // As above.
  }
}

/** What was kept beside an address. */
export function recall(at: Address): Kept | undefined {
  try {
    const kept = JSON.parse(sessionStorage.getItem(place) ?? "null") as (Kept & { address: string }) | null;
    return kept?.address === word(at) ? kept : undefined;
  } catch {
    return undefined;
  }
}

/** A form to begin with: of an address, of the request that is asked for again, of the basket. */
export function begin(at: Address, again: Request | undefined, basket: readonly string[], yesterday: string): Kept {
  const bare = !at.mode && !at.root && !at.end && !at.nodes.length && !at.from;
  const draft: Draft = { ...again, mode: again?.mode ?? "current", dates: again?.dates ?? [yesterday] };
  const fromBasket = bare && basket.length > 0;
  const nodes = fromBasket ? [...basket] : at.nodes;
  if (at.root) draft.root = at.root;
  if (at.end) draft.end = at.end;
  if (at.dates.length) draft.dates = at.dates;
  if (nodes.length) draft.nodes = nodes;
  const asked = modes.find((m) => m === at.mode);
  if (asked || !again) draft.mode = asked ?? fitting(at, nodes);
  return { draft, from: at.from, basket: fromBasket, touched: false };
}

/** The mode that what is given means, as on the command line. */
function fitting(at: Address, nodes: readonly string[]): Mode {
  if (at.end) return "chain";
  if (!nodes.length) return "current";
  return at.root ? "descendants" : "advanced";
}

const keyPlace = "backfleet.wizard.key";

/** The key of a request's submission: the same for the same request until its outcome is known. */
export function keyOf(request: Request): string {
  const asked = JSON.stringify(request);
  try {
    const before = JSON.parse(sessionStorage.getItem(keyPlace) ?? "null") as { asked: string; key: string } | null;
    if (before?.asked === asked) return before.key;
    const key = newKey();
    sessionStorage.setItem(keyPlace, JSON.stringify({ asked, key }));
    return key;
  } catch {
    return newKey();
  }
}

/** Its outcome is known: the same request would be another backfill. */
export function settled(): void {
  try {
    sessionStorage.removeItem(keyPlace);
  } catch {
    // As above.
  }
}

/** The address that a place to go to has. */
export function addressIn(search: unknown): Address {
  const raw = search as Record<string, string | undefined>;
  const words = (key: "nodes" | "dates") => address[key].parse(raw[key] ?? "") ?? [];
  return { mode: raw["mode"] ?? "", root: raw["root"] ?? "", end: raw["end"] ?? "", nodes: words("nodes"), dates: words("dates"), from: raw["from"] ?? "" };
}
