// The state of a view is its address: whoever is sent it sees the same.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";

/** How a value stands in the address. */
export interface Codec<T> {
  parse: (text: string) => T | undefined;
  format: (value: T) => string;
  initial: T;
}

export const text = (initial = ""): Codec<string> => ({ parse: (t) => t, format: (v) => v, initial });
export const list = <T extends string = string>(initial: T[] = []): Codec<T[]> => ({
  parse: (t) => (t ? (t.split(",").map(decodeURIComponent) as T[]) : []),
  format: (v) => v.map(encodeURIComponent).join(","),
  initial,
});
export const number = (initial: number): Codec<number> => ({ parse: (t) => (Number.isFinite(Number(t)) ? Number(t) : undefined), format: String, initial });
export const flag = (initial = false): Codec<boolean> => ({ parse: (t) => t === "yes", format: (v) => (v ? "yes" : "no"), initial });
export const choice = <T extends string>(words: readonly T[], initial: T): Codec<T> => ({ parse: (t) => words.find((w) => w === t), format: (v) => v, initial });

type Values<C> = { [K in keyof C]: C[K] extends Codec<infer T> ? T : never };
type Raw = Record<string, string | undefined>;
// A table of values of different kinds: only useUrl gives each its own.
type Codecs = Record<string, Codec<any>>;

/**
 * The part of the address that a view knows, and a way to change some of it. What it does not
 * know stays as it is, what has its initial value is not written. Give it a constant.
 *
 *     const fields = { q: text(), state: list<State>() };
 *     const [at, go] = useUrl(fields);
 */
export function useUrl<C extends Codecs>(codecs: C): [Values<C>, (change: Partial<Values<C>>, push?: boolean) => void] {
  const search: Raw = useSearch({ strict: false });
  const navigate = useNavigate();
  const values = useMemo(() => {
    const out: Record<string, unknown> = {};
    for (const [key, codec] of Object.entries(codecs)) {
      const raw = search[key];
      out[key] = (raw === undefined ? undefined : codec.parse(raw)) ?? codec.initial;
    }
    return out as Values<C>;
  }, [codecs, search]);
  const go = useCallback(
    (change: Partial<Values<C>>, push = false) => {
      void navigate({
        to: ".",
        replace: !push,
        resetScroll: false,
        search: ((before: Raw) => {
          const after: Raw = { ...before };
          for (const [key, value] of Object.entries(change)) {
            const codec: Codec<unknown> | undefined = codecs[key];
            if (!codec) continue;
            const formatted = value === undefined ? undefined : codec.format(value);
            after[key] = formatted === undefined || formatted === codec.format(codec.initial) ? undefined : formatted;
          }
          return after;
        }) as never,
      });
    },
    [codecs, navigate],
  );
  return [values, go];
}

const drawer = { instance: text() };

/** Opens and closes the instance drawer, which is over every view. */
export function useInstanceDrawer(): [string, (instance: string) => void] {
  const [at, go] = useUrl(drawer);
  return [at.instance, useCallback((instance: string) => go({ instance }, true), [go])];
}
