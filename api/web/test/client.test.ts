import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";

import { ApiError, createClient, data, sleep as nap } from "../src/api/client.ts";
import { events, followLog } from "../src/api/streams.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, n: number) => void;

const closing: (() => void)[] = [];
afterEach(() => {
  closing.splice(0).forEach((close) => close());
  vi.unstubAllGlobals();
});

/** A coordinator that answers the nth request as it is told. */
async function coordinator(handler: Handler): Promise<string> {
  let n = 0;
  const server = createServer((request, response) => handler(request, response, n++));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, { "Content-Type": status < 400 ? "application/json" : "application/problem+json", ...headers });
  response.end(JSON.stringify(body));
}

const sleep = async (_: number, signal: AbortSignal) => signal.throwIfAborted();

test("a refusal is an error with its code, field and request id", async () => {
  const baseUrl = await coordinator((_, response) => json(response, 400, {
    type: "about:blank", title: "Bad Request", status: 400, code: "invalid", detail: "no such day", field: "dates[0]", requestId: "r1",
  }));
  const api = createClient({ baseUrl });
  const error = await data(api.GET("/v1/nodes")).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ code: "invalid", field: "dates[0]", requestId: "r1", status: 400, temporary: false, message: "no such day" });
});

test("what is no coordinator's answer is an error too", async () => {
  const baseUrl = await coordinator((_, response) => response.writeHead(502).end("<html>"));
  await expect(createClient({ baseUrl, tries: 1 }).GET("/v1/nodes")).rejects.toMatchObject({ code: "unavailable", status: 502 });
});

test("a write is repeated with the same key and body, and the next read sees it", async () => {
  const keys: unknown[] = [], bodies: string[] = [], waits: number[] = [];
  let asked = "";
  const baseUrl = await coordinator((request, response, n) => {
    if (request.method === "GET") {
      asked = request.url ?? "";
      return json(response, 200, { items: [] }, { "Backfleet-Index": "9007199254740993" });
    }
    let body = "";
    request.on("data", (chunk) => (body += chunk)).on("end", () => {
      keys.push(request.headers["idempotency-key"]);
      bodies.push(body);
      if (n === 0) return json(response, 503, { code: "unavailable", detail: "no leader", status: 503, type: "", title: "", requestId: "r" }, { "Retry-After": "2" });
      if (n === 1) return request.socket.destroy(); // the answer is lost
      json(response, 200, { counts: { added: 1 } }, { "Backfleet-Index": "9007199254740993" });
    });
  });
  const api = createClient({ baseUrl, token: "t", sleep: async (ms) => { waits.push(ms); } });
  await data(api.PUT("/v1/nodes", { body: { nodes: [{ id: "a", code: "x" }] } }));
  expect(keys).toHaveLength(3);
  expect(new Set(keys).size).toBe(1);
  expect(new Set(bodies).size).toBe(1);
  expect(waits[0]).toBeGreaterThanOrEqual(2000);
  await api.GET("/v1/nodes", { params: { query: { limit: 2 } } });
  expect(asked).toContain("min_index=9007199254740993"); // beyond what a number holds
  expect(asked).toContain("limit=2");
});

test("a log is followed over a break, from the last event, to its end", async () => {
  const resumed: unknown[] = [];
  const event = (id: string, name: string, body: object) => `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(body)}\n\n`;
  const baseUrl = await coordinator((request, response, n) => {
    resumed.push([request.headers["last-event-id"], request.url]);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    if (n === 0) {
      response.write(": alive\n\n" + event("5", "lines", { attempt: 2, lines: ["ä"] }).slice(0, -3));
      setImmediate(() => { response.write(event("5", "lines", {}).slice(-3) + event("9", "error", { code: "unavailable", status: 503, detail: "stopping" })); response.end(); });
      return;
    }
    response.end(event("12", "lines", { attempt: 2, lines: ["b"] }) + event("12", "end", { attempt: 2 }));
  });
  const seen: unknown[] = [];
  for await (const lines of followLog("b1.1", { baseUrl, sleep })) seen.push(lines.lines);
  expect(seen).toEqual([["ä"], ["b"]]);
  expect(resumed).toEqual([[undefined, "/v1/instances/b1.1/logs/follow"], ["5", "/v1/instances/b1.1/logs/follow?attempt=2"]]);
});

test("a stream that may not be read ends with its error; one that is left, at once", async () => {
  const baseUrl = await coordinator((_, response, n) => {
    if (n > 0) return json(response, 401, { code: "unauthenticated", status: 401, detail: "log in", type: "", title: "", requestId: "r" });
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(`id: e1\nevent: reset\ndata: {"id":"e1","type":"reset"}\n\n`);
  });
  const left = new AbortController();
  const loop = async () => { for await (const e of events({ baseUrl, sleep, signal: left.signal })) { expect(e.type).toBe("reset"); left.abort(); } };
  await expect(loop()).rejects.toMatchObject({ name: "AbortError" });
  const refused = async () => { for await (const _ of events({ baseUrl, sleep })) { /* none comes */ } };
  await expect(refused()).rejects.toMatchObject({ code: "unauthenticated" });
});

test("a browser that loses its line gives an open stream up, and tries at once when it is back", async () => {
  const browser = new EventTarget();
  for (const name of ["addEventListener", "removeEventListener"] as const) vi.stubGlobal(name, browser[name].bind(browser));
  const from: unknown[] = [];
  const baseUrl = await coordinator((request, response, n) => {
    from.push(request.headers["last-event-id"]);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(`id: e${n}\ndata: {"id":"e${n}","type":"node"}\n\n`); // and is silent from then on
  });
  const seen: string[] = [];
  for await (const { id } of events({ baseUrl, sleep })) {
    seen.push(id);
    if (seen.length === 2) break;
    browser.dispatchEvent(new Event("offline"));
  }
  expect(seen).toEqual(["e0", "e1"]);
  expect(from).toEqual([undefined, "e0"]);
  const waits = nap(3_600_000);
  browser.dispatchEvent(new Event("online"));
  await waits;
});
