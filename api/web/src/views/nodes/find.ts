// Which nodes the list shows: the filters of the address, and the pages of what they find.
import { api, data, type Node, type Schema } from "../../app/api.ts";
import { choice, flag, list, text, useUrl } from "../../app/url.ts";
import { usePages } from "../../ui/pages.ts";

export const sorts: readonly Schema<"NodeSort">[] = ["id", "-id", "name", "-name", "owner", "-owner", "workspace", "-workspace", "priority", "-priority"];
export const kinds: readonly Schema<"ScheduleKind">[] = ["daily", "hourly", "minutely", "weekly", "monthly", "yearly"];
export const modes: readonly Schema<"NodeMode">[] = ["normal", "dryRun", "paused"];

const fields = {
  q: text(), id: list(), type: list(), owner: list(), workspace: list(), group: list(), baseline: list(),
  kind: list<Schema<"ScheduleKind">>(), mode: list<Schema<"NodeMode">>(), auto: choice(["", "on", "off"] as const, ""), mine: flag(), sort: choice(sorts, "id"),
};

export const useNodeFilters = () => useUrl(fields);
export type NodeFilters = ReturnType<typeof useNodeFilters>[0];
export type Change = ReturnType<typeof useNodeFilters>[1];

const known = <T extends string>(words: readonly T[], all: readonly T[]) => words.filter((w) => all.includes(w));

function query(at: NodeFilters) {
  return {
    contains: at.q || undefined, id: at.id, type: at.type, owner: at.owner, workspace: at.workspace, resourceGroup: at.group, baseline: at.baseline,
    scheduleKind: known(at.kind, kinds), mode: known(at.mode, modes), auto: at.auto ? (at.auto === "on" ? ("true" as const) : ("false" as const)) : undefined,
    mine: at.mine || undefined, sort: at.sort,
  };
}

export function filtered(at: NodeFilters): boolean {
  return Object.entries(at).some(([key, value]) => key !== "sort" && (Array.isArray(value) ? value.length > 0 : Boolean(value)));
}

export function useNodes(at: NodeFilters) {
  return usePages<Node>(["nodes", "list", query(at)], (cursor) => data(api.GET("/v1/nodes", { params: { query: { ...query(at), cursor, limit: 200 } } })));
}

/** So many are chosen at most by one click. */
export const bound = 10_000;

/** All nodes that the filters let through, up to the bound; and whether there were more. */
export async function allThatMatch(at: NodeFilters): Promise<{ nodes: Node[]; more: boolean }> {
  const nodes: Node[] = [];
  for (let cursor = ""; ; ) {
    const page = await data(api.GET("/v1/nodes", { params: { query: { ...query(at), cursor: cursor || undefined, limit: 1000 } } }));
    nodes.push(...page.items);
    cursor = page.next ?? "";
    if (!cursor || nodes.length >= bound) return { nodes: nodes.slice(0, bound), more: Boolean(cursor) || nodes.length > bound };
  }
}
