// The nodes chosen for a backfill, across list and graph, until it is submitted.
import { Stored, useStored } from "./preferences.ts";

export interface Chosen {
  id: string;
  name?: string;
}

const stored = new Stored<Chosen[]>("backfleet.basket", [], (value) =>
  Array.isArray(value) ? value.filter((v): v is Chosen => typeof v === "object" && v !== null && typeof (v as Chosen).id === "string") : undefined,
);

export interface Basket {
  nodes: Chosen[];
  has: (id: string) => boolean;
  add: (nodes: Chosen[]) => void;
  remove: (ids: string[]) => void;
  clear: () => void;
}

let last: { of: Chosen[]; ids: Set<string> } | undefined;

/** Every row asks; there may be ten thousand in it. */
function idsOf(nodes: Chosen[]): Set<string> {
  if (last?.of !== nodes) last = { of: nodes, ids: new Set(nodes.map((n) => n.id)) };
  return last.ids;
}

export function useBasket(): Basket {
  const [nodes] = useStored(stored);
  return {
    nodes,
    has: (id) => idsOf(nodes).has(id),
    add: (more) => {
      const all = new Map(stored.get().map((n) => [n.id, n]));
      for (const { id, name } of more) if (!all.has(id)) all.set(id, { id, name });
      stored.set([...all.values()]);
    },
    remove: (ids) => {
      const gone = new Set(ids);
      stored.set(stored.get().filter((n) => !gone.has(n.id)));
    },
    clear: () => stored.set([]),
  };
}

/** How an address asks the graph for these; for very many it is the whole graph, in which they are ticked. */
export const inGraph = (nodes: Chosen[]): { node?: string } => (nodes.length <= 100 ? { node: nodes.map((n) => encodeURIComponent(n.id)).join(",") } : {});
