// What a person has chosen for this browser, as the parts of the page see it.
import { useSyncExternalStore } from "react";

import { look, systemIsDark, type Stored } from "./stored.ts";

export * from "./stored.ts";

export function useStored<T>(stored: Stored<T>): [T, (value: T) => void] {
  return [useSyncExternalStore(stored.subscribe, stored.get), stored.set];
}

/** Whether the page is dark now. */
export function useDark(): boolean {
  const [chosen] = useStored(look);
  const system = useSyncExternalStore(
    (listener) => {
      systemIsDark.addEventListener("change", listener);
      return () => systemIsDark.removeEventListener("change", listener);
    },
    () => systemIsDark.matches,
  );
  return chosen === "system" ? system : chosen === "dark";
}
