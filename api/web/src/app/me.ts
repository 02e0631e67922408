import { useQuery } from "@tanstack/react-query";

import { api, data, type Schema } from "./api.ts";

/** Who one is here, and what one may do; an `unauthenticated` error asks for a login. */
export function useMe() {
  return useQuery({ queryKey: ["me"], queryFn: () => data(api.GET("/v1/me")), staleTime: 60_000 });
}

/** Whether one may do an operation of the contract, such as `stopBackfill`. */
export function useMay(): (operation: string) => boolean {
  const me: Schema<"Me"> | undefined = useMe().data;
  return (operation) => me?.operations.includes(operation) ?? false;
}
