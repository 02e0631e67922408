// A window on a log that may have millions of lines: a bounded part of them is held, in chunks;
// what is before and behind it is read when one comes near. At the log's growing end the window
// follows it, and goes on where it broke when a coordinator dies.
import { followLog } from "../../../api/streams.ts";
import type { Schema } from "../../../app/api.ts";
import { readLog } from "../read.ts";

export type Line = Schema<"LogLine">;
type Page = Schema<"LogPage">;

const mostLines = 100_000;
const mostChars = 48 << 20;
const tailLines = 3000;
const step = 512 << 10; // bytes of the stored stream that are read at once
const chunk = 2048; // lines

/** What is gone of a log is told by a line in its place. */
const gone = /^backfleet: (\d+) (bytes cleared here: the logs of finished attempts are cut to|lines dropped: )/;

export interface Gap {
  what: "cleared" | "dropped";
  count: number;
}

export function gapOf(line: Line): Gap | undefined {
  const found = line.stream === "stderr" ? gone.exec(line.text) : null;
  return found ? { what: found[2]?.startsWith("bytes") ? "cleared" : "dropped", count: Number(found[1]) } : undefined;
}

/** `part`: the log goes on behind the window; `following`: the window grows with it. */
export type Phase = "loading" | "part" | "following" | "broken" | "complete";

export class Feed {
  phase: Phase = "loading";
  error: unknown;
  /** Lines held. */
  count = 0;
  /** Lines put in front, less those taken away there: by how much all others have moved. */
  shift = 0;
  /** Bytes that are stored, as far as known. */
  size = 0;
  /** Whether the first line held is the log's first. */
  fromStart = false;
  /** Grows with each change. */
  version = 0;

  private chunks: Line[][] = [];
  private chars = 0;
  private to = 0;
  private busy: AbortSignal | undefined;
  private stop = new AbortController();
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly instance: string,
    readonly attempt: number,
  ) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = (): number => this.version;

  close(): void {
    this.stop.abort();
  }

  at(index: number): Line | undefined {
    let rest = index;
    for (const lines of this.chunks) {
      if (rest < lines.length) return lines[rest];
      rest -= lines.length;
    }
    return undefined;
  }

  /** The index of the first line at or behind an offset; -1 if it is not held. */
  indexOf(offset: number): number {
    const first = this.at(0);
    if (!first || offset < first.offset || offset >= this.to) return -1;
    let before = 0;
    for (const lines of this.chunks) {
      if ((lines.at(-1)?.offset ?? 0) >= offset) return before + lines.findIndex((l) => l.offset >= offset);
      before += lines.length;
    }
    return -1;
  }

  /** All text that is held. */
  text(): string {
    return this.chunks.map((lines) => lines.map((l) => (l.partial ? l.text : `${l.text}\n`)).join("")).join("");
  }

  /** Shows the end, and follows it while the log grows. */
  end = (): Promise<void> =>
    this.anew(async (signal) => {
      const page = await this.page({ tail: tailLines }, signal);
      this.fill(page);
      this.fromStart = (page.lines[0]?.offset ?? page.next) === 0;
      if (!page.complete) void this.follow(signal);
    });

  start = (): Promise<void> => this.from(0);

  /** Shows the log around a line. */
  around = (offset: number): Promise<void> => this.from(Math.max(0, offset - step / 4));

  private from(offset: number): Promise<void> {
    return this.anew(async (signal) => {
      this.fill(await this.page({ offset, limit: step }, signal));
      this.fromStart = offset === 0;
      if (this.phase === "part" && this.to >= this.size) void this.follow(signal);
    });
  }

  /** Reads what is before the window. */
  async earlier(): Promise<void> {
    const first = this.at(0);
    if (!first || this.fromStart) return;
    await this.once(async (signal) => {
      // Before the line that tells of a cut there is nothing for as long as it says.
      const gap = gapOf(first);
      const end = first.offset;
      const from = Math.max(0, end - step - (gap?.what === "cleared" ? gap.count : 0));
      const page = await this.page({ offset: from, limit: Math.min(end - from, step) }, signal);
      const lines = page.lines.filter((l) => l.offset < end);
      this.fromStart = from === 0;
      this.chunks.unshift(...cut(lines));
      this.count += lines.length;
      this.shift += lines.length;
      this.chars += lengthOf(lines);
      while (this.full()) this.dropLast();
    });
  }

  /** Reads what is behind the window. */
  async later(): Promise<void> {
    if (this.phase !== "part") return;
    await this.once(async (signal) => {
      const page = await this.page({ offset: this.to, limit: step }, signal);
      this.append(page.lines, page.next);
      while (this.full()) this.dropFirst();
      this.size = page.size;
      if (page.complete) this.phase = "complete";
      else if (this.to >= page.size || !page.lines.length) void this.follow(signal);
    });
  }

  /** Whether whoever looks stands at the end: then what is far behind is let go, else the end waits. */
  pinned = true;

  private async follow(signal: AbortSignal): Promise<void> {
    this.phase = "following";
    try {
      const lines = followLog(this.instance, { attempt: this.attempt, offset: this.to, signal, fetch: (request) => this.open(request) });
      for await (const more of lines) {
        this.append(more.lines ?? [], more.next);
        this.size = Math.max(this.size, more.next);
        if (this.full() && !this.pinned) {
          this.phase = "part";
          break;
        }
        while (this.full()) this.dropFirst();
        this.say();
      }
      if (this.phase === "following") this.phase = "complete";
    } catch (error) {
      if (signal.aborted) return;
      this.error = error;
    }
    this.say();
  }

  /** Opens a stream, and tells whether there is one. */
  private async open(request: Request): Promise<Response> {
    const signal = this.stop.signal;
    const say = (phase: "following" | "broken") => {
      if (signal.aborted || this.phase === phase) return;
      this.phase = phase;
      this.say();
    };
    try {
      const response = await fetch(request);
      say(response.ok ? "following" : "broken");
      return response;
    } catch (error) {
      say("broken");
      throw error;
    }
  }

  private page(query: { offset?: number; limit?: number; tail?: number }, signal: AbortSignal): Promise<Page> {
    return readLog(this.instance, { ...query, attempt: this.attempt }, signal);
  }

  private fill(page: Page): void {
    this.chunks = cut(page.lines);
    this.count = page.lines.length;
    this.chars = lengthOf(page.lines);
    this.shift = 0;
    this.to = page.next;
    this.size = page.size;
    this.phase = page.complete ? "complete" : "part";
  }

  /** Adds lines at the end, each once. */
  private append(lines: Line[], next: number): void {
    const fresh = lines.filter((l) => l.offset >= this.to);
    const last = this.chunks.at(-1);
    if (last && last.length + fresh.length <= chunk) last.push(...fresh);
    else this.chunks.push(...cut(fresh));
    this.count += fresh.length;
    this.chars += lengthOf(fresh);
    this.to = Math.max(this.to, next);
  }

  private full(): boolean {
    return this.chunks.length > 1 && (this.count > mostLines || this.chars > mostChars);
  }

  private dropFirst(): void {
    const lines = this.chunks.shift() ?? [];
    this.count -= lines.length;
    this.shift -= lines.length;
    this.chars -= lengthOf(lines);
    this.fromStart = false;
  }

  private dropLast(): void {
    const lines = this.chunks.pop() ?? [];
    this.count -= lines.length;
    this.chars -= lengthOf(lines);
    this.to = lines[0]?.offset ?? this.to;
    if (this.phase === "following" || this.phase === "broken") {
      this.stop.abort();
      this.stop = new AbortController();
    }
    this.phase = "part";
  }

  /** Leaves what is shown for another part of the log. */
  private async anew(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.stop.abort();
    this.stop = new AbortController();
    await this.once(work);
  }

  /** One piece of work at a time on what is shown. */
  private async once(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const signal = this.stop.signal;
    if (this.busy === signal) return;
    this.busy = signal;
    try {
      await work(signal);
      this.error = undefined;
    } catch (error) {
      if (signal.aborted) return;
      this.error = error;
    } finally {
      if (this.busy === signal) this.busy = undefined;
    }
    this.say();
  }

  private say(): void {
    this.version++;
    for (const listener of this.listeners) listener();
  }
}

function cut(lines: Line[]): Line[][] {
  const out: Line[][] = [];
  for (let i = 0; i < lines.length; i += chunk) out.push(lines.slice(i, i + chunk));
  return out;
}

const lengthOf = (lines: Line[]): number => lines.reduce((n, l) => n + l.text.length, 0);
