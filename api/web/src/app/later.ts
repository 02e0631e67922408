import { type ComponentType, lazy } from "react";

/** Milliseconds between two tries. */
const pause = 1000;

const answers = () =>
  fetch("/healthz", { cache: "no-store" }).then(
    () => true,
    () => false,
  );

/**
 * Loads a part of the page, and waits while nobody answers: a coordinator that dies before all of
 * the page has come must not break what is there. What a coordinator that answers does not have, as
 * it has another version of the page, is an error.
 */
export async function patiently<T>(load: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await load();
    } catch (failure) {
      if (await answers()) return load();
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/** A component that is loaded when it is first drawn, see patiently. */
export const later = <P,>(load: () => Promise<{ default: ComponentType<P> }>) => lazy(() => patiently(load));
