// What a person has chosen for this browser.
import { useSyncExternalStore } from "react";

export type Language = "en" | "zh";
export type Look = "light" | "dark" | "system";

/** A value in the browser's storage that every part of the page sees change. */
export class Stored<T> {
  private value: T;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly key: string,
    initial: T,
    parse: (text: unknown) => T | undefined,
  ) {
    this.value = initial;
    try {
      this.value = parse(JSON.parse(localStorage.getItem(key) ?? "null")) ?? initial;
    } catch {
      // A storage that is shut or holds something else: what was chosen lasts until the page is left.
    }
    addEventListener("storage", (event) => {
      if (event.key !== key) return;
      try {
        this.publish(parse(JSON.parse(event.newValue ?? "null")) ?? initial);
      } catch {
        this.publish(initial);
      }
    });
  }

  get = (): T => this.value;

  set = (value: T): void => {
    try {
      localStorage.setItem(this.key, JSON.stringify(value));
    } catch {
      // As above.
    }
    this.publish(value);
  };

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private publish(value: T): void {
    this.value = value;
    for (const listener of this.listeners) listener();
  }
}

export function useStored<T>(stored: Stored<T>): [T, (value: T) => void] {
  return [useSyncExternalStore(stored.subscribe, stored.get), stored.set];
}

const oneOf = <T extends string>(...words: T[]) => (value: unknown) => words.find((word) => word === value);

export const language = new Stored<Language>("backfleet.language", navigator.language.startsWith("zh") ? "zh" : "en", oneOf("en", "zh"));
export const look = new Stored<Look>("backfleet.look", "system", oneOf("light", "dark", "system"));
export const narrow = new Stored<boolean>("backfleet.narrow", false, (value) => (typeof value === "boolean" ? value : undefined));

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Whether the page is dark now. */
export function useDark(): boolean {
  const [chosen] = useStored(look);
  const system = useSyncExternalStore(
    (listener) => {
      dark.addEventListener("change", listener);
      return () => dark.removeEventListener("change", listener);
    },
    () => dark.matches,
  );
  return chosen === "system" ? system : chosen === "dark";
}
