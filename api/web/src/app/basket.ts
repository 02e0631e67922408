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

export function useBasket(): Basket {
  const [nodes] = useStored(stored);
  const ids = new Set(nodes.map((n) => n.id));
  return {
    nodes,
    has: (id) => ids.has(id),
    add: (more) => stored.set([...stored.get(), ...more.filter((n) => !stored.get().some((have) => have.id === n.id)).map(({ id, name }) => ({ id, name }))]),
    remove: (gone) => stored.set(stored.get().filter((n) => !gone.includes(n.id))),
    clear: () => stored.set([]),
  };
}
