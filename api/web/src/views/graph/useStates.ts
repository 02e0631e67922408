// What state each node is in: on the schedule's latest day, or in a backfill, on one date or all.
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { api, data } from "../../app/api.ts";
import { mapStates, Picture, type MapState } from "../map/picture.ts";
import type { Model } from "./model.ts";

/** Plans to choose from: the schedule's latest day, and the newest backfills. */
export function usePlans() {
  const auto = useQuery({ queryKey: ["schedule", "latest"], queryFn: async () => (await data(api.GET("/v1/schedule", { params: { query: { limit: 1 } } }))).items[0] ?? null });
  const backfills = useQuery({ queryKey: ["backfills", "newest"], queryFn: async () => (await data(api.GET("/v1/backfills", { params: { query: { limit: 50 } } }))).items });
  return { auto, backfills };
}

/** The dates of a plan, in the order of its map. */
export function usePlanDates(plan: string | undefined) {
  return useQuery({
    queryKey: ["backfills", plan, "dates in order"],
    enabled: Boolean(plan),
    staleTime: 60_000,
    placeholderData: undefined,
    queryFn: async () => (await data(api.GET("/v1/backfills/{backfill}/map", { params: { path: { backfill: plan ?? "" }, query: { nodeCount: 1, rows: 1, columns: 4096 } } }))).columnDates,
  });
}

async function statesOf(backfill: string, date: number | undefined, signal: AbortSignal): Promise<Map<string, MapState>> {
  const states = new Map<string, MapState>();
  for (let from = 0, all = 1; from < all; from += 4096) {
    const query = { nodeFrom: from, nodeCount: 4096, rows: 4096, columns: 1, ...(date === undefined ? {} : { dateFrom: date, dateCount: 1 }) };
    const map = await data(api.GET("/v1/backfills/{backfill}/map", { params: { path: { backfill }, query }, signal }));
    const picture = new Picture(map);
    map.rowNodes.forEach((id, row) => {
      const state = picture.state(row, 0);
      if (state) states.set(id, state);
    });
    all = map.nodes;
  }
  return states;
}

/** The state of each node of a graph, live: a place in mapStates, or 255. */
export function useStates(model: Model | undefined, plan: string | undefined, date: string) {
  const dates = usePlanDates(plan);
  const place = date ? dates.data?.indexOf(date) : undefined;
  const query = useQuery({
    queryKey: ["backfills", plan, "states", place],
    enabled: Boolean(plan) && (!date || (place !== undefined && place >= 0)),
    placeholderData: undefined,
    queryFn: ({ signal }) => statesOf(plan ?? "", place, signal),
    structuralSharing: false,
  });
  const states = useMemo(() => {
    const out = new Uint8Array(model?.nodes.length ?? 0).fill(255);
    model?.nodes.forEach((node, i) => {
      const state = query.data?.get(node.id);
      if (state) out[i] = mapStates.indexOf(state);
    });
    return out;
  }, [model, query.data]);
  return { states, error: query.error ?? dates.error, refetch: query.refetch };
}
