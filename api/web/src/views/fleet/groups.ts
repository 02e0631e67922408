import { useQuery } from "@tanstack/react-query";

import { api, data, type Schema } from "../../app/api.ts";

export type Group = Schema<"ResourceGroup">;

/** All resource groups, as the leader sees them: there are tens of them. */
export function useGroups() {
  return useQuery({
    queryKey: ["groups", "all"],
    queryFn: async () => {
      const all: Group[] = [];
      for (let cursor: string | undefined; ; ) {
        const page = await data(api.GET("/v1/resource-groups", { params: { query: { limit: 1000, cursor } } }));
        all.push(...page.items);
        if (!page.next) return all;
        cursor = page.next;
      }
    },
    // Slots and queues move without an event of their own.
    refetchInterval: 5_000,
  });
}
