// Writes: each has one key, with which it is repeated until its outcome is known.
import { useMutation, useQueryClient, type UseMutationResult } from "@tanstack/react-query";

import { newKey } from "../api/client.ts";
import { say, sayFailure } from "./say.ts";

/**
 * A write that says how it went and makes what is shown fresh. `run` is given the header with
 * its key: `api.POST(path, { params: { header: key }, body })`. A quiet one leaves it to the caller
 * to show what went wrong.
 */
export function useWrite<V, R>(run: (value: V, key: { "Idempotency-Key": string }) => Promise<R>, done?: (result: R, value: V) => string | void, { quiet = false } = {}): UseMutationResult<R, Error, V> {
  const queries = useQueryClient();
  return useMutation<R, Error, V>({
    mutationFn: (value) => run(value, { "Idempotency-Key": newKey() }),
    onSuccess: (result, value) => {
      const said = done?.(result, value);
      if (said) say("success", said);
      void queries.invalidateQueries();
    },
    onError: (error) => quiet || sayFailure(error),
  });
}
