import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";

import { createClient } from "../src/api/client.ts";
import { whole } from "../src/views/backfills/whole.ts";

test("a group too large for one operation takes several, of which each is repeated under its own key", async () => {
  const asked: [key: unknown, body: string][] = [];
  // So many at a time, and once, in the middle, nobody leads.
  const answers = [{ instances: 10_000, more: true }, undefined, { instances: 10_000, more: true }, { instances: 7 }];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk)).on("end", () => {
      asked.push([request.headers["idempotency-key"], body]);
      const answer = answers.shift();
      response.writeHead(answer ? 200 : 503, { "Content-Type": "application/json" });
      response.end(JSON.stringify(answer ? { ...answer, backfills: [], index: 1 } : { code: "unavailable", detail: "no leader", status: 503, type: "", title: "", requestId: "r" }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const api = createClient({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sleep: async () => undefined });
    const body = { operation: "rerun" as const, failure: { backfill: "b1", failure: "f1" }, why: "mended" };
    expect(await whole(api, body, { "Idempotency-Key": "k" })).toBe(20_007);
    expect(asked.map(([key]) => key)).toEqual(["k", "k-1", "k-1", "k-2"]);
    for (const [, sent] of asked) expect(JSON.parse(sent)).toEqual(body);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
