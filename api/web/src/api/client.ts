// The client of the API: what the contract says, typed, with errors that can be
// told apart, keys that make writes repeatable, and reads that see one's own writes.
import createFetchClient, { type Client, type Middleware } from "openapi-fetch";

import type { components, paths } from "./schema.d.ts";

export type { components, paths };
export type Problem = components["schemas"]["Problem"];
export type ErrorCode = Problem["code"];

/** What a coordinator refused, or failed at. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly problem: Problem,
    /** How many seconds to wait before it is worth asking again. */
    readonly retryAfter?: number,
  ) {
    super(problem.detail);
  }

  /** The stable code, the same from the command line to the log. */
  get code(): ErrorCode {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }

  /** Path of the field at fault, if it is one. */
  get field(): string | undefined {
    return this.problem.field;
  }

  /** What to quote when asking an operator. */
  get requestId(): string {
    return this.problem.requestId;
  }

  /** Whether the same request, with the same key, may succeed later. */
  get temporary(): boolean {
    return this.code === "unavailable" || this.code === "unknown_outcome" || this.code === "overloaded";
  }
}

/** How a client asks. */
export interface Options {
  /** The coordinator, or whatever is in front of it. Default: where the page came from. */
  baseUrl?: string;
  /** Sent as a bearer token. A page that has a session cookie needs none. */
  token?: string;
  /** How often a request is sent that coordinators cannot take now. Default 5. */
  tries?: number;
  /** Default: the browser's. */
  fetch?: (request: Request) => Promise<Response>;
  /** Waits, in milliseconds; for tests. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** The operations of the contract by path and method; each answers or throws ApiError. */
export type Api = Client<paths>;

/** A client whose reads see its earlier writes, whichever coordinator answers. */
export function createClient(options: Options = {}): Api {
  const session = new Session(options);
  const client = createFetchClient<paths>({ baseUrl: options.baseUrl ?? "", fetch: (request) => session.send(request) });
  client.use(onlyGoodAnswers);
  return client;
}

/** Gives the data of an answer: `const page = await data(api.GET("/v1/nodes"))`. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T; // a bad answer was thrown
}

/** A key for one write. The same key repeats it without doing it twice. */
export function newKey(): string {
  return crypto.randomUUID();
}

/** Reads a refusal; one that is not in the API's form comes from something in between. */
export async function errorOf(response: Response): Promise<ApiError> {
  const after = Number(response.headers.get("Retry-After") ?? NaN);
  const problem = await response.json().catch(() => undefined);
  if (problem?.code) {
    return new ApiError(problem as Problem, Number.isFinite(after) ? after : undefined);
  }
  const code: ErrorCode = response.status === 429 ? "overloaded" : response.status >= 502 && response.status <= 504 ? "unavailable" : "internal";
  return new ApiError({
    type: "about:blank", title: response.statusText, status: response.status, code,
    detail: `answered ${response.status}, not as a coordinator does`, requestId: response.headers.get("X-Request-Id") ?? "",
  });
}

const onlyGoodAnswers: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) {
      throw await errorOf(response);
    }
  },
};

/** What every request of one client has in common. */
export class Session {
  private index = 0n;
  private readonly fetch: (request: Request) => Promise<Response>;

  constructor(private readonly options: Options) {
    this.fetch = options.fetch ?? ((request) => globalThis.fetch(request));
  }

  /** Sends a request, again with the same key while it may succeed later. */
  async send(request: Request): Promise<Response> {
    const prepared = await this.prepare(request);
    const tries = this.options.tries ?? 5;
    for (let n = 1; ; n++) {
      let response: Response | undefined;
      try {
        response = await this.fetch(n < tries ? prepared.clone() : prepared);
      } catch (error) {
        if (prepared.signal.aborted || n >= tries) {
          throw error;
        }
      }
      if (response) {
        this.see(response);
        if ((response.status !== 503 && response.status !== 429) || n >= tries) {
          return response;
        }
      }
      const asked = Number(response?.headers.get("Retry-After") ?? 0) * 1000;
      // By chance a little more, so that not all who were refused come back together.
      const pause = Math.max(asked, 100 * 2 ** n) * (1 + Math.random() / 2);
      await (this.options.sleep ?? sleep)(pause, prepared.signal);
    }
  }

  private async prepare(request: Request): Promise<Request> {
    const url = new URL(request.url);
    const reads = request.method === "GET" || url.pathname.endsWith("/preview");
    if (reads && this.index > 0n && url.searchParams.get("consistency") !== "stale" && !url.searchParams.has("min_index")) {
      url.searchParams.set("min_index", String(this.index));
    }
    // Bytes, not the request itself: browsers send a body that is a stream over HTTP/2 only.
    const body = request.body ? await request.arrayBuffer() : undefined;
    const prepared = new Request(url, { method: request.method, headers: request.headers, signal: request.signal, credentials: request.credentials, body });
    if (this.options.token) {
      prepared.headers.set("Authorization", `Bearer ${this.options.token}`);
    }
    if (request.method !== "GET" && !prepared.headers.has("Idempotency-Key")) {
      prepared.headers.set("Idempotency-Key", newKey());
    }
    return prepared;
  }

  /** Keeps the newest index that was met. */
  private see(response: Response): void {
    const text = response.headers.get("Backfleet-Index");
    if (text && /^\d+$/.test(text) && BigInt(text) > this.index) {
      this.index = BigInt(text);
    }
  }
}

/** Waits, and throws when the signal says so. What is waited for is tried at once when a browser is back on its line. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, ms);
    function settle() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      globalThis.removeEventListener?.("online", done);
    }
    function done() {
      settle();
      resolve();
    }
    function stop() {
      settle();
      reject(signal?.reason);
    }
    signal?.addEventListener("abort", stop, { once: true });
    globalThis.addEventListener?.("online", done);
  });
}
