import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { ApiError } from "../api/client.ts";
import { api, data, type Schema } from "./api.ts";

const isStranger = (error: unknown) => error instanceof ApiError && error.code === "unauthenticated";
// While somebody logs in nothing is asked again: what they are typing stays.
const asked = (query: { state: { error: unknown } }) => !isStranger(query.state.error);
const calm = { refetchInterval: (query: { state: { error: unknown } }) => asked(query) && 30_000, refetchOnWindowFocus: asked, refetchOnReconnect: asked } as const;

/** Who one is here, and what one may do; an `unauthenticated` error asks for a login. */
export function useMe() {
  return useQuery({ queryKey: ["me"], queryFn: () => data(api.GET("/v1/me")), staleTime: 60_000, ...calm });
}

/** Whether one may do an operation of the contract, such as `stopBackfill`. */
export function useMay(): (operation: string) => boolean {
  const me: Schema<"Me"> | undefined = useMe().data;
  return (operation) => me?.operations.includes(operation) ?? false;
}

/** Whether one has to log in. Whatever is refused so, the page asks at once who one is. */
export function useStranger(): boolean {
  const queries = useQueryClient();
  const stranger = isStranger(useMe().error);
  useEffect(() => {
    const ask = (error: unknown, key?: readonly unknown[]) => {
      if (isStranger(error) && key?.[0] !== "me" && queries.getQueryData(["me"])) void queries.invalidateQueries({ queryKey: ["me"] });
    };
    const reads = queries.getQueryCache().subscribe((event) => {
      if (event.type === "updated" && event.action.type === "error") ask(event.action.error, event.query.queryKey);
    });
    const writes = queries.getMutationCache().subscribe((event) => {
      if (event.type === "updated" && event.action.type === "error") ask(event.action.error);
    });
    return () => { reads(); writes(); };
  }, [queries]);
  return stranger;
}
