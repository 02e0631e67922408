// One stream of events for the whole page. Views read again what an event is about; nothing
// is patched in place, so what is shown is always something that a coordinator has said.
import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

import { ApiError } from "../api/client.ts";
import { events, type Event } from "../api/streams.ts";

export type Line = "connecting" | "live" | "broken";

/** What each kind of event makes stale, by the first words of query keys. */
const stale: Record<Event["type"], string[][]> = {
  backfill: [["backfills"], ["schedule"]],
  date: [["backfills"]],
  instance: [["instances"], ["backfills"]],
  node: [["nodes"], ["graph"]],
  agent: [["agents"], ["groups"]],
  cluster: [["cluster"]],
  operation: [["backfills"], ["instances"], ["audit"]],
  conflict: [["instances"]],
  notification: [["notifications"]],
  reset: [[]],
};

/** Events come by the thousand; views are read again at most this often, in milliseconds. */
const pace = 1500;

class Live {
  line: Line = "connecting";
  private readonly listeners = new Set<() => void>();
  private readonly ears = new Set<(event: Event) => void>();
  private pending = new Map<string, string[]>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  hear = (ear: (event: Event) => void) => {
    this.ears.add(ear);
    return () => this.ears.delete(ear);
  };

  async run(queries: QueryClient, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        for await (const event of events({ signal, fetch: (request) => this.open(request, signal) })) {
          for (const ear of this.ears) ear(event);
          for (const key of stale[event.type] ?? []) this.pending.set(key.join(" "), key);
          this.timer ??= setTimeout(() => this.refresh(queries), pace);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.say("broken");
        if (error instanceof ApiError && error.code === "unauthenticated") return; // the page asks for a login
        await new Promise((done) => setTimeout(done, 3000));
      }
    }
  }

  private async open(request: Request, signal: AbortSignal): Promise<Response> {
    try {
      const response = await fetch(request);
      this.say(response.ok ? "live" : "broken");
      return response;
    } catch (error) {
      if (!signal.aborted) this.say("broken");
      throw error;
    }
  }

  private say(line: Line): void {
    if (line === this.line) return;
    this.line = line;
    for (const listener of this.listeners) listener();
  }

  private refresh(queries: QueryClient): void {
    this.timer = undefined;
    const keys = [...this.pending.values()];
    this.pending = new Map();
    // A page that nobody looks at asks for nothing; it catches up when it is looked at.
    for (const queryKey of keys) void queries.invalidateQueries({ queryKey, refetchType: document.hidden ? "none" : "active" });
  }
}

const live = new Live();

/** Keeps the stream open while the page is there. */
export function useLiveStream(on: boolean): void {
  const queries = useQueryClient();
  useEffect(() => {
    if (!on) return;
    const stop = new AbortController();
    void live.run(queries, stop.signal);
    return () => stop.abort();
  }, [queries, on]);
}

/** Whether what is shown is as of now. */
export function useLine(): Line {
  return useSyncExternalStore(live.subscribe, () => live.line);
}

/** Calls for every event. Give it a function that stays the same. */
export function useEvents(ear: (event: Event) => void): void {
  useEffect(() => {
    const stop = live.hear(ear);
    return () => void stop();
  }, [ear]);
}
