// Dates, what is open in them, and what is open in that, as the lines of one list.
import type { Instance, Schema, State } from "../../app/api.ts";
import { states } from "../../ui/State.tsx";

export type DateRow =
  | { kind: "date"; key: string; of: Schema<"DateProgress"> }
  | { kind: "node"; key: string; node: string; counts: Schema<"StateCounts">; state: State }
  | { kind: "instance"; key: string; of: Instance; alone: boolean }
  | { kind: "cut"; key: string; date: string; shown: number };

export function rowsOf(dates: Schema<"DateProgress">[], open: ReadonlySet<string>, inside: ReadonlyMap<string, Schema<"InstancePage"> | undefined>): DateRow[] {
  const rows: DateRow[] = [];
  for (const of of dates) {
    rows.push({ kind: "date", key: of.date, of });
    const page = open.has(of.date) ? inside.get(of.date) : undefined;
    if (!page) continue;
    for (const [node, instances] of byNode(page.items)) rows.push(...nodeRows(of.date, node, instances, open));
    if (page.next) rows.push({ kind: "cut", key: `${of.date}/…`, date: of.date, shown: page.items.length });
  }
  return rows;
}

/** A node with one cycle is its instance; one with several opens to them. */
function nodeRows(date: string, node: string, instances: Instance[], open: ReadonlySet<string>): DateRow[] {
  const [first] = instances;
  if (first && instances.length === 1) return [{ kind: "instance", key: first.id, of: first, alone: true }];
  const key = `${date}/${node}`;
  const counts = countsOf(instances);
  const head: DateRow = { kind: "node", key, node, counts, state: states.find((s) => counts[s] > 0) ?? "notRunning" };
  return open.has(key) ? [head, ...instances.map((of): DateRow => ({ kind: "instance", key: of.id, of, alone: false }))] : [head];
}

function byNode(instances: Instance[]): Map<string, Instance[]> {
  const nodes = new Map<string, Instance[]>();
  for (const instance of instances) {
    const list = nodes.get(instance.node);
    if (list) list.push(instance);
    else nodes.set(instance.node, [instance]);
  }
  return nodes;
}

function countsOf(instances: Instance[]): Schema<"StateCounts"> {
  const counts = { total: instances.length, notRunning: 0, waitingTime: 0, running: 0, succeeded: 0, failed: 0, frozen: 0 };
  for (const { state } of instances) counts[state]++;
  return counts;
}
