// The client against a real coordinator: the program named by BACKFLEET (make check-web builds it).
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { createClient, data, newKey, sleep } from "../src/api/client.ts";
import { events } from "../src/api/streams.ts";

const folder = mkdtempSync(join(tmpdir(), "backfleet-web-"));
let server: ChildProcess, baseUrl = "";

async function freePort(): Promise<number> {
  const s = createServer();
  await new Promise<void>((resolve) => s.listen(0, "127.0.0.1", resolve));
  const { port } = s.address() as AddressInfo;
  await new Promise((resolve) => s.close(resolve));
  return port;
}

beforeAll(async () => {
  const address = async () => `127.0.0.1:${await freePort()}`;
  const http = await address();
  baseUrl = `http://${http}`;
  server = spawn(process.env.BACKFLEET ?? "../../bin/backfleet", ["coordinator", "--id", "c1", "--bootstrap", "--data", join(folder, "c1"),
    "--http", http, "--rpc", await address(), "--raft", await address(), "--log-level", "warn"], { stdio: "inherit" });
  for (let n = 0; ; n++) {
    const ready = await fetch(`${baseUrl}/readyz`).then((r) => r.ok, () => false);
    if (ready) return;
    if (n > 300 || server.exitCode !== null) throw new Error("the coordinator did not get ready: is BACKFLEET the program?");
    await sleep(100);
  }
}, 60_000);

afterAll(async () => {
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill();
  await ended;
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

test("a node is applied, a backfill submitted once however often, and an event told", async () => {
  const api = createClient({ baseUrl });
  await data(api.PUT("/v1/nodes", { body: { nodes: [{ id: "orders", code: "echo x" }] } }));
  const nodes = await data(api.GET("/v1/nodes"));
  expect(nodes.items.map((n) => n.id)).toEqual(["orders"]);
  const left = new AbortController();
  const told = (async () => {
    for await (const event of events({ baseUrl, signal: left.signal, types: ["backfill"] })) return event.type;
  })();
  const header = { "Idempotency-Key": newKey() };
  const body = { mode: "current" as const, root: "orders", dates: ["2012-01-01..2012-01-03"] };
  const first = await data(api.POST("/v1/backfills", { body, params: { header } }));
  const again = await data(api.POST("/v1/backfills", { body, params: { header } }));
  expect(again.id).toBe(first.id);
  await api.POST("/v1/backfills/{backfill}/pause", { params: { path: { backfill: first.id } }, body: {} });
  expect(await told).toBe("backfill");
  left.abort();
  await expect(api.GET("/v1/backfills/{backfill}", { params: { path: { backfill: "b99" } } })).rejects.toMatchObject({ code: "not_found" });
}, 60_000);
