import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { api, data, type Schema } from "../../app/api.ts";
import { Picture } from "./picture.ts";
import type { Asked } from "./view.ts";

type Answer = Schema<"BackfillMap">;

const read = (backfill: string, query: Partial<Asked>, signal: AbortSignal) => data(api.GET("/v1/backfills/{backfill}/map", { params: { path: { backfill }, query }, signal }));

// What was there of another backfill is no picture of this one.
const ofSame = (backfill: string) => (before: Answer | undefined) => (before?.backfill === backfill ? before : undefined);

/** How large a plan is, and its names at the ends: a map of one cell. */
export function useExtent(backfill: string) {
  return useQuery<Answer>({ queryKey: ["backfills", backfill, "extent"], queryFn: ({ signal }) => read(backfill, { rows: 1, columns: 1 }, signal), placeholderData: ofSame(backfill) });
}

/** What is on the screen, live: events make it stale. */
export function useDetail(backfill: string, asked: Asked | undefined) {
  const query = useQuery<Answer>({
    queryKey: ["backfills", backfill, "map", asked],
    queryFn: ({ signal }) => read(backfill, asked ?? {}, signal),
    enabled: Boolean(asked),
    placeholderData: ofSame(backfill),
    // Pictures that were left behind are large and soon old.
    gcTime: 10_000,
  });
  return { ...query, picture: usePicture(query.data) };
}

/** The whole plan, coarse, for the minimap and for where nothing finer has arrived. */
export function useOverview(backfill: string) {
  const query = useQuery<Answer>({ queryKey: ["overview", backfill], queryFn: ({ signal }) => read(backfill, { rows: 256, columns: 384 }, signal), refetchInterval: 10_000, staleTime: 10_000, placeholderData: ofSame(backfill) });
  return usePicture(query.data);
}

function usePicture(map: Answer | undefined): Picture | undefined {
  return useMemo(() => (map ? new Picture(map) : undefined), [map]);
}

/** Ids of all nodes in the order of the rows, asked for when somebody searches. */
export function useNodeIds(backfill: string, nodes: number, on: boolean) {
  return useQuery({
    queryKey: ["overview", backfill, "ids", nodes],
    enabled: on && nodes > 0,
    staleTime: Infinity,
    refetchInterval: false,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const ids: string[] = [];
      while (ids.length < nodes) {
        const part = await read(backfill, { nodeFrom: ids.length, nodeCount: Math.min(4096, nodes - ids.length), rows: 4096, dateCount: 1, columns: 1 }, signal);
        ids.push(...part.rowNodes);
      }
      return ids;
    },
  });
}

/** The instance of a cell; of several cycles, one of the most urgent. */
export async function instanceAt(backfill: string, node: string, date: string): Promise<string | undefined> {
  const page = await data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill }, query: { node: [node], date_from: date, date_to: date, limit: 200 } } }));
  const urgency: Schema<"State">[] = ["failed", "running", "frozen", "waitingTime", "notRunning", "succeeded"];
  return [...page.items].sort((a, b) => urgency.indexOf(a.state) - urgency.indexOf(b.state))[0]?.id;
}
