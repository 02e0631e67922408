// What is asked of the API about one backfill, with the tag of what was answered.
import { useQuery } from "@tanstack/react-query";

import { api, data, type Schema } from "../../app/api.ts";

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

/** How many nodes and dates it has. It changes only with an edit, and is asked for only when seen. */
export function useSize(id: string) {
  return useQuery({
    queryKey: ["backfill sizes", id],
    queryFn: async () => {
      const map = (dateFrom: number) => data(api.GET("/v1/backfills/{backfill}/map", { params: { path: { backfill: id }, query: { rows: 1, columns: 1, nodeCount: 1, dateFrom, dateCount: 1 } } }));
      const head = await map(0);
      const tail = head.dates > 1 ? await map(head.dates - 1) : head;
      // Dates are in the order in which they run, and that may be from the last to the first.
      const [first = "", last = first] = [head.columnDates[0] ?? "", tail.columnDates[0] ?? ""].sort();
      return { nodes: head.nodes, dates: head.dates, first, last };
    },
    staleTime: 60_000,
    refetchInterval: false,
    placeholderData: undefined,
  });
}

/** Time left of one that runs, for a line of the list: not as often as what is looked at alone. */
export function useTimeLeft(id: string, runs: boolean) {
  return useQuery({
    queryKey: ["backfill rates", id],
    queryFn: async () => (await readBackfill(id)).backfill.rate.secondsLeft ?? null,
    enabled: runs,
    refetchInterval: 5000,
    placeholderData: undefined,
  });
}
