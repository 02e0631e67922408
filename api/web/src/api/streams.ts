// What goes on: events and growing logs, as loops that resume where they broke off.
import { ApiError, errorOf, Session, sleep, type components, type Options, type Problem } from "./client.ts";

export type Event = components["schemas"]["Event"];
export type LogLines = components["schemas"]["LogLines"];

/** One server-sent event. */
interface Message {
  id: string;
  name: string;
  data: string;
}

/** How a stream is read. */
export interface StreamOptions extends Options {
  signal?: AbortSignal;
  /** Milliseconds without a sign of life after which it is opened anew. Default 45 s. */
  idle?: number;
}

/**
 * What happens. After an event of type `reset` some were missed: read the state again.
 *
 *     for await (const event of events({ signal })) { … }
 */
export async function* events(options: StreamOptions & { backfill?: string; types?: Event["type"][] } = {}): AsyncGenerator<Event> {
  const query = new URLSearchParams();
  if (options.backfill) query.set("backfill", options.backfill);
  if (options.types?.length) query.set("types", options.types.join(","));
  for await (const message of resume("/v1/events", query, options)) {
    yield JSON.parse(message.data) as Event;
  }
}

/** The lines of an attempt's log as it grows, until its end, without a gap or a repetition. */
export async function* followLog(instance: string, options: StreamOptions & { attempt?: number; offset?: number } = {}): AsyncGenerator<LogLines> {
  const query = new URLSearchParams();
  if (options.attempt) query.set("attempt", String(options.attempt));
  if (options.offset) query.set("offset", String(options.offset));
  for await (const message of resume(`/v1/instances/${encodeURIComponent(instance)}/logs/follow`, query, options)) {
    const lines = JSON.parse(message.data) as LogLines;
    query.set("attempt", String(lines.attempt)); // a retry meanwhile must not mix two logs
    if (message.name === "end") return;
    yield lines;
  }
}

/** Reads a stream and opens it again, from the last event, where it breaks. */
async function* resume(path: string, query: URLSearchParams, options: StreamOptions): AsyncGenerator<Message> {
  const session = new Session(options);
  const signal = options.signal ?? new AbortController().signal;
  let last = "";
  for (let failures = 0; ; failures++) {
    const open = new AbortController();
    const stop = () => open.abort(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener("abort", stop, { once: true });
    // A browser that has lost its line leaves an open stream be, which is then only silent.
    globalThis.addEventListener?.("offline", stop);
    try {
      const base = options.baseUrl || globalThis.location?.origin;
      const url = new URL((base ?? "").replace(/\/$/, "") + path + (query.size ? `?${query}` : ""));
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      const response = await session.send(new Request(url, { headers, signal: open.signal }));
      if (!response.ok || !response.body) throw await errorOf(response);
      for await (const message of parse(response.body, options.idle ?? 45_000, open)) {
        if (message.name === "error") throw new ApiError(JSON.parse(message.data) as Problem);
        failures = 0;
        if (message.id) last = message.id;
        yield message;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ApiError && !error.temporary) throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      globalThis.removeEventListener?.("offline", stop);
      open.abort();
    }
    await (options.sleep ?? sleep)(Math.min(100 * 2 ** failures, 5_000), signal);
  }
}

/** Takes server-sent events out of a body; a silent one is given up. */
async function* parse(body: ReadableStream<Uint8Array>, idle: number, open: AbortController): AsyncGenerator<Message> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let message: Message = { id: "", name: "message", data: "" };
  for (;;) {
    const timer = setTimeout(() => open.abort(new Error("the stream shows no sign of life")), idle);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (message.data) yield message;
        message = { id: "", name: "message", data: "" };
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const text = line.slice(colon + 1).replace(/^ /, "");
      if (name === "id") message.id = text;
      if (name === "event") message.name = text;
      if (name === "data") message.data += message.data ? `\n${text}` : text;
    }
  }
}
