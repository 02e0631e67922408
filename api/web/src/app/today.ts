import { useQuery } from "@tanstack/react-query";
import dayjs from "dayjs";

import { api, data } from "./api.ts";

/** The date now and the newest data timestamp that is due, both the cluster's; its zone. */
export function useToday(): { today: string; yesterday: string; zone: string } | undefined {
  const cluster = useQuery({ queryKey: ["today"], queryFn: () => data(api.GET("/v1/cluster")), select: ({ today, zone }) => ({ today, yesterday: shift(today, -1), zone }), staleTime: 60_000 });
  return cluster.data;
}

/** A date so many days later. */
export function shift(date: string, days: number): string {
  return dayjs(date).add(days, "day").format("YYYY-MM-DD");
}
