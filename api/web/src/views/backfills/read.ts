// What is asked of the API about one backfill, with the tag of what was answered.
import { useQuery } from "@tanstack/react-query";

import { api, type Schema } from "../../app/api.ts";

export interface Read {
  backfill: Schema<"Backfill">;
  /** Changes with what people do to it, not with its progress. */
  tag: string;
}

export async function readBackfill(id: string): Promise<Read> {
  const { data: backfill, response } = await api.GET("/v1/backfills/{backfill}", { params: { path: { backfill: id } } });
  if (!backfill) throw new Error(response.statusText);
  return { backfill, tag: response.headers.get("ETag") ?? "*" };
}

export function useBackfill(id: string) {
  return useQuery({ queryKey: ["backfills", id], queryFn: () => readBackfill(id) });
}
