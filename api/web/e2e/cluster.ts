// The real cluster that integration/page has started around the tests.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "@playwright/test";

import { createClient, data, newKey, type components } from "../src/api/client.ts";

type Schema<K extends keyof components["schemas"]> = components["schemas"][K];

const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the tests with \`make check-page\``);
  return value;
};

export const servers = need("BACKFLEET_SERVERS").split(",");
const gates = need("GATES");
const control = need("BACKFLEET_CONTROL");

/** A client of one coordinator; as all have the same state, the first will do. */
export const api = createClient({ baseUrl: servers[0] });

const key = () => ({ "Idempotency-Key": newKey() });

/** Lets nodes go on whose code waits for this gate. */
export function open(gate: string): void {
  mkdirSync(gates, { recursive: true });
  writeFileSync(join(gates, gate), "");
}

/** Code of a node that waits for a gate, prints, and ends with a status. */
export function waitsFor(gate: string, then = "echo done"): string {
  return `until [ -e '${join(gates, gate)}' ]; do sleep 0.05; done\n${then}\n`;
}

export async function apply(...nodes: Schema<"Node">[]): Promise<void> {
  await data(api.PUT("/v1/nodes", { params: { header: key() }, body: { nodes } }));
}

export async function submit(request: Schema<"BackfillRequest">): Promise<string> {
  return (await data(api.POST("/v1/backfills", { params: { header: key() }, body: request }))).id;
}

/** Waits until a backfill is in a state, such as "succeeded" or "failed". */
export async function until(backfill: string, state: Schema<"State">): Promise<void> {
  await expect.poll(async () => (await data(api.GET("/v1/backfills/{backfill}", { params: { path: { backfill } } }))).summary.state).toBe(state);
}

/** The leader's name and URL, asked of the leader itself. */
export async function leader(): Promise<{ name: string; server: string }> {
  return (await (await fetch(`${control}/leader`)).json()) as { name: string; server: string };
}

/** Kills a member with SIGKILL, starts it again, or lets a new coordinator join. */
export async function member(what: "kill" | "start" | "join", name: string): Promise<void> {
  const answer = await fetch(`${control}/${what}/${name}`, { method: "POST" });
  if (!answer.ok) throw new Error(await answer.text());
}
