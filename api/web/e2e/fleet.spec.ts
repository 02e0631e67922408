import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "@playwright/test";

import { data, newKey } from "../src/api/client.ts";
import { accessible } from "./accessible.ts";
import { api, apply, open, servers, submit, until, waitsFor } from "./cluster.ts";

const home = servers[0] ?? "";
let agent: ChildProcess | undefined;

/** Starts an agent of our own, so that no other test misses one. */
async function startAgent(id: string, token: string): Promise<ChildProcess> {
  const dir = mkdtempSync(join(tmpdir(), "fleet-"));
  writeFileSync(join(dir, "token"), token, { mode: 0o600 });
  const { servers: members } = await data(api.GET("/v1/cluster"));
  const addresses = members.map((m) => m.rpcAddress).join(",");
  return spawn(process.env["BACKFLEET"] ?? "", ["agent", "--id", id, "--data", join(dir, "data"), "--coordinators", addresses, "--group", "fleet-pool=2", "--label", "rack=fleet-4", "--token-file", join(dir, "token")], { stdio: "ignore" });
}

test.afterAll(() => {
  agent?.kill("SIGTERM");
});

test("an agent is let in by a token, shows what it runs, is drained, resumed, forgotten", async ({ page }) => {
  await apply({ id: "fleet_slow", workspace: "fleet", resourceGroup: "fleet-pool", schedule: { kind: "daily" }, code: waitsFor("fleet-slow") });
  const backfill = await submit({ name: "fleet drain", mode: "current", root: "fleet_slow", dates: ["2025-03-01..2025-03-01"], groups: 1 });

  // Nobody serves the group: the page says so.
  await page.goto(`${home}/fleet`);
  await expect(page.getByText("fleet-pool: No agent of this group takes work")).toBeVisible();

  await page.getByRole("tab", { name: "Join tokens" }).click();
  await expect(page).toHaveURL(/tab=tokens/);
  await page.getByRole("button", { name: "New join token" }).click();
  const form = page.getByRole("dialog", { name: "New join token" });
  await form.getByLabel("Description").fill("fleet test");
  await form.getByRole("combobox", { name: "Resource groups" }).fill("fleet-pool");
  await page.keyboard.press("Enter");
  await form.getByLabel("Description").click();
  await form.getByRole("button", { name: "New join token" }).click();
  const once = page.getByRole("dialog", { name: "This is shown only now" });
  await expect(once.getByLabel("Command line to start an agent")).toContainText("--group fleet-pool=$(nproc) --token-file token");
  const token = (await once.getByLabel("Token", { exact: true }).textContent()) ?? "";
  expect(token).toMatch(/^bfj_/);
  await once.getByRole("button", { name: "I have copied it" }).click();
  await expect(page.getByText(token)).toHaveCount(0);
  const id = token.split("_")[1] ?? "";
  await expect(page.getByRole("row", { name: new RegExp(id) })).toContainText("fleet test");

  agent = await startAgent("fleet-a1", token);
  await page.getByRole("tab", { name: "Agents" }).click();
  const row = page.getByRole("row", { name: /fleet-a1/ });
  await expect(row).toContainText("fleet-pool 1/2");
  await page.getByLabel("Label (name=value)").fill("rack=fleet-4");
  await expect(page).toHaveURL(/label=rack/);
  await expect(page.locator("tr[data-row]")).toHaveCount(1);
  await accessible(page);

  await row.getByRole("button", { name: "fleet-a1" }).click();
  const drawer = page.getByRole("dialog", { name: "Agent fleet-a1" });
  await expect(drawer.getByText(id)).toBeVisible();
  await drawer.getByRole("button", { name: `${backfill}.0` }).click();
  await expect(page).toHaveURL(new RegExp(`instance=${backfill}\\.0`));
  await page.goBack();
  await drawer.getByRole("button", { name: "Drain" }).click();
  const ask = page.getByRole("dialog", { name: "Drain" });
  await ask.getByLabel("Why?").fill("new disks in fleet rack");
  await ask.getByLabel("After how many minutes").fill("30");
  await ask.getByRole("button", { name: "Drain" }).click();
  await expect(drawer.locator("[data-agent-state=draining]")).toBeVisible();
  await expect(drawer).toContainText("new disks in fleet rack");
  await expect(drawer).toContainText("stops what runs at");
  open("fleet-slow");
  await expect(drawer.locator("[data-agent-state=drained]")).toBeVisible();
  await until(backfill, "succeeded");
  await drawer.getByRole("button", { name: "Close" }).click();

  await page.getByLabel("Choose fleet-a1").check();
  const bar = page.getByRole("toolbar", { name: "What to do with the chosen agents" });
  await expect(bar.getByRole("button", { name: "Drain" })).toBeDisabled();
  await expect(bar.getByRole("button", { name: "Forget" })).toBeDisabled();
  await bar.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("dialog", { name: "Resume" }).getByRole("button", { name: "Resume" }).click();
  await expect(row.locator("[data-agent-state=ready]")).toBeVisible();

  // It ends and says so; then it can be forgotten.
  agent.kill("SIGTERM");
  agent = undefined;
  await expect(row.locator("[data-agent-state=gone], [data-agent-state=lost]")).toBeVisible();
  await page.getByLabel("Choose fleet-a1").check();
  await bar.getByRole("button", { name: "Forget" }).click();
  await page.getByRole("dialog", { name: "Forget" }).getByRole("button", { name: "Forget" }).click();
  await expect(page.getByText("No agent is like this")).toBeVisible();

  await page.getByRole("tab", { name: "Join tokens" }).click();
  await page.getByRole("button", { name: `Revoke join token ${id}` }).click();
  await page.getByRole("dialog", { name: "Revoke" }).getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByText(id)).toHaveCount(0);
});

test("a group's settings are saved only over what was read", async ({ page }) => {
  await page.goto(`${home}/fleet`);
  await page.getByRole("button", { name: "New group" }).click();
  const create = page.getByRole("dialog", { name: "New group" });
  await create.getByLabel("Resource group").fill("fleet-night");
  await create.getByLabel("Slots only for the schedule").fill("2");
  await create.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("row", { name: /fleet-night/ })).toContainText("2 reserved for the schedule");

  await page.getByRole("button", { name: "Edit fleet-night" }).click();
  const edit = page.getByRole("dialog", { name: "Edit fleet-night" });
  await expect(edit.getByLabel("Slots only for the schedule")).toHaveValue("2");
  // Somebody else is faster.
  const path = { resourceGroup: "fleet-night" };
  await data(api.PUT("/v1/resource-groups/{resourceGroup}", { params: { path, header: { "Idempotency-Key": newKey() } }, body: { reserveForAuto: 2, backfillMaxShare: 40 } }));
  await edit.getByLabel("Slots only for the schedule").fill("3");
  await edit.getByLabel("Why?").fill("month's end");
  await edit.getByRole("button", { name: "Save" }).click();
  const conflict = edit.getByRole("alert");
  await expect(conflict).toContainText("Somebody else has changed this meanwhile");
  await expect(conflict.getByRole("row", { name: /Backfills get at most/ })).toContainText("0400");
  await accessible(page);
  await conflict.getByRole("button", { name: "Take what it is now" }).click();
  await expect(edit.getByLabel("Backfills get at most (%)")).toHaveValue("40");
  await edit.getByLabel("Slots only for the schedule").fill("3");
  await edit.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("row", { name: /fleet-night/ })).toContainText("3 reserved for the schedulebackfills ≤ 40 %");
  const after = await data(api.GET("/v1/resource-groups/{resourceGroup}", { params: { path } }));
  expect([after.reserveForAuto, after.backfillMaxShare]).toEqual([3, 40]);

  // The audit has who did it, the refused one too.
  await page.goto(`${home}/audit?target=resourceGroup/fleet-night`);
  await expect(page.getByRole("row", { name: /putResourceGroup/ })).toHaveCount(4);
  await expect(page.getByRole("row", { name: /precondition/ })).toHaveCount(1);
});
