// What the drawer reads of an instance, each with a key that events make stale.
import { useQuery, type QueryClient } from "@tanstack/react-query";
import dayjs from "dayjs";

import type { operations } from "../../api/schema.d.ts";
import { api, data, type Instance, type Schema } from "../../app/api.ts";

export type Detail = Schema<"InstanceDetail">;

export const detailOf = (id: string) => ({
  queryKey: ["instances", id],
  queryFn: () => data(api.GET("/v1/instances/{instance}", { params: { path: { instance: id } } })),
});

export const useDetail = (id: string, enabled = true) => useQuery({ ...detailOf(id), enabled });

export const upstreamsOf = (id: string) => ({
  queryKey: ["instances", id, "upstreams"],
  queryFn: () => data(api.GET("/v1/instances/{instance}/upstreams", { params: { path: { instance: id }, query: { limit: 500 } } })),
});

export const downstreamsOf = (id: string) => ({
  queryKey: ["instances", id, "downstreams"],
  queryFn: () => data(api.GET("/v1/instances/{instance}/downstreams", { params: { path: { instance: id }, query: { limit: 500 } } })),
});

export const nodeOf = (node: string) => ({
  queryKey: ["nodes", node, "detail"],
  queryFn: () => data(api.GET("/v1/nodes/{node}", { params: { path: { node } } })),
});

/** The newest attempt that there is; undefined before the first. */
export const newest = (detail: Detail): Schema<"Attempt"> | undefined => detail.attempts.at(-1);

/** Instances of the same node in a range of dates: of its backfill, or of all days of the schedule. */
async function around(i: Instance, from: string, to: string): Promise<Instance[]> {
  const query = { node: [i.node], date_from: from, date_to: to, limit: 1000 };
  const page = i.kind === "auto"
    ? await data(api.GET("/v1/instances", { params: { query: { ...query, kind: "auto" } } }))
    : await data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill: i.backfill }, query: { ...query, sort: "date" } } }));
  return page.items.filter((other) => other.id !== i.id).sort((a, b) => dayjs(a.scheduledTime).diff(b.scheduledTime));
}

export interface Neighbours {
  before?: Instance;
  after?: Instance;
}

/** The runs of the same node before and after an instance, by their scheduled time. */
export function useNeighbours(i: Instance) {
  return useQuery({
    queryKey: ["instances", i.id, "neighbours"],
    queryFn: async (): Promise<Neighbours> => {
      const day = (n: number) => dayjs(i.date).add(n, "day").format("YYYY-MM-DD");
      const early = (all: Instance[]) => all.filter((other) => dayjs(other.scheduledTime).isBefore(i.scheduledTime)).at(-1);
      const late = (all: Instance[]) => all.find((other) => dayjs(other.scheduledTime).isAfter(i.scheduledTime));
      // The days beside it have the neighbours of nearly all nodes; of the others they are further away, and few.
      const near = await around(i, day(-1), day(1));
      return { before: early(near) ?? early(await around(i, day(-400), day(-2))), after: late(near) ?? late(await around(i, day(2), day(400))) };
    },
  });
}

/** What stands below a cause: the instances that it waits for, the most urgent first, or who has the slots. */
export interface Because {
  instances: Instance[];
  more: number;
  /** More is a lower bound. */
  least?: boolean;
  slots?: { group: Schema<"ResourceGroup">; held: Schema<"AgentAttempt">[] };
  /** The end of what a failed one wrote to stderr. */
  stderr?: string[];
}

const urgency = ["failed", "frozen", "running", "waitingTime", "notRunning"] as const;
const unfinished = [...urgency];
const breadth = 5;

export const becauseOf = (detail: Detail) => ({
  queryKey: ["instances", detail.instance.id, "because", detail.instance.state, detail.reason?.code ?? ""],
  queryFn: () => because(detail),
});

function some(instances: Instance[], least = false): Because {
  const rank = (i: Instance) => urgency.findIndex((state) => state === i.state);
  const sorted = instances.filter((i) => i.state !== "succeeded").sort((a, b) => rank(a) - rank(b));
  // Where some have failed, are frozen or run, those that wait are taken to wait for them.
  const first = sorted.slice(0, breadth);
  return { instances: first, more: sorted.length - first.length, least };
}

async function because(detail: Detail): Promise<Because> {
  const i = detail.instance;
  const r = detail.reason;
  const none: Because = { instances: [], more: 0 };
  if (i.state === "failed") return { ...none, stderr: await stderr(detail) };
  switch (r?.code) {
    case "upstream": {
      const page = await upstreamsOf(i.id).queryFn();
      const found = some(page.items.filter((u) => !u.removed && u.relation === "upstream").map((u) => u.instance), Boolean(page.next));
      // One of another plan is named by the reason alone.
      return !r.instance || found.instances.some((u) => u.id === r.instance) ? found : { ...found, instances: [(await detailOf(r.instance).queryFn()).instance, ...found.instances] };
    }
    case "gate": return gate(detail);
    case "maxRunning": return inBackfill(i.backfill, { state: ["running"] });
    case "halted": return inBackfill(i.backfill, { state: ["failed"] });
    case "slot": case "queuedAtAgent": return { ...none, slots: r.resourceGroup ? await slots(r.resourceGroup) : undefined };
    default: return r?.instance ? { ...none, instances: [(await detailOf(r.instance).queryFn()).instance] } : none;
  }
}

async function inBackfill(backfill: string, query: { state: Schema<"State">[]; node?: string[]; date_from?: string; date_to?: string }): Promise<Because> {
  const page = await data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill }, query: { ...query, limit: 1000 } } }));
  return some(page.items, Boolean(page.next));
}

/** What has not succeeded of the date before or, where that waits for a date before it in its turn, of the first date of the group. */
async function gate(detail: Detail): Promise<Because> {
  const i = detail.instance;
  const b = await data(api.GET("/v1/backfills/{backfill}", { params: { path: { backfill: i.backfill } } }));
  const node = b.request.gate === "node" ? [i.node] : undefined;
  const first = !node && b.request.onFailure === "hold" ? b.groups.find((g) => g.group === i.group)?.current : undefined;
  const date = first ?? detail.reason?.date;
  return inBackfill(i.backfill, { state: unfinished, node, date_from: date, date_to: date });
}

async function slots(resourceGroup: string): Promise<NonNullable<Because["slots"]>> {
  const [group, agents] = await Promise.all([
    data(api.GET("/v1/resource-groups/{resourceGroup}", { params: { path: { resourceGroup } } })),
    data(api.GET("/v1/agents", { params: { query: { group: resourceGroup, limit: 20 } } })),
  ]);
  const details = await Promise.all(agents.items.filter((a) => a.attempts > 0).map((a) => data(api.GET("/v1/agents/{agent}", { params: { path: { agent: a.id } } }))));
  const held = details.flatMap((d) => d.attempts).filter((a) => a.resourceGroup === resourceGroup && a.state === "running").sort((a, b) => dayjs(a.since).diff(b.since));
  return { group, held };
}

/** A part of a log. */
export async function readLog(instance: string, query: NonNullable<operations["readLog"]["parameters"]["query"]>, signal?: AbortSignal): Promise<Schema<"LogPage">> {
  const page = await data(api.GET("/v1/instances/{instance}/logs", { params: { path: { instance }, query }, signal }));
  // The contract knows the log as plain text, too, which was not asked for.
  if (typeof page === "string") throw new TypeError("the log came as text");
  return { ...page, lines: page.lines ?? [] };
}

async function stderr(detail: Detail): Promise<string[]> {
  const last = newest(detail);
  if (!last) return [];
  try {
    return (await readLog(detail.instance.id, { attempt: last.number, tail: 10, stream: "stderr" })).lines.map((l) => l.text);
  } catch {
    return []; // of a log that is gone: none
  }
}

/** Where the chain of causes that begins at an instance ends: what is to be looked at. */
export async function endOf(queries: QueryClient, detail: Detail): Promise<Detail> {
  const seen = new Set([detail.instance.id]);
  for (let at = detail; ; ) {
    if (!at.reason) return at;
    const next = (await queries.fetchQuery({ ...becauseOf(at), staleTime: 1000 })).instances[0];
    if (!next || seen.has(next.id) || seen.size > 8) return at;
    seen.add(next.id);
    at = await queries.fetchQuery({ ...detailOf(next.id), staleTime: 1000 });
  }
}
