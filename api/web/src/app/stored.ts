// What a person has chosen for this browser; known before anything is drawn.
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

const oneOf = <T extends string>(...words: T[]) => (value: unknown) => words.find((word) => word === value);

export const language = new Stored<Language>("backfleet.language", navigator.language.startsWith("zh") ? "zh" : "en", oneOf("en", "zh"));
export const look = new Stored<Look>("backfleet.look", "system", oneOf("light", "dark", "system"));
export const narrow = new Stored<boolean>("backfleet.narrow", innerWidth < 1200, (value) => (typeof value === "boolean" ? value : undefined));

export const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
