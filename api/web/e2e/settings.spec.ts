import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

import { expect, test } from "@playwright/test";

import { data } from "../src/api/client.ts";
import { accessible } from "./accessible.ts";
import { api, servers } from "./cluster.ts";

const home = servers[0] ?? "";

test("a channel is made and tested; places are set; the audit has it", async ({ page }) => {
  // Whoever listens.
  const heard: string[] = [];
  const receiver = createServer((request: IncomingMessage, response) => {
    heard.push(request.url ?? "");
    request.resume();
    response.writeHead(200).end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/settings-hook`;
  try {
    await page.goto(`${home}/settings?tab=channels`);
    await page.getByRole("button", { name: "New channel" }).click();
    const form = page.getByRole("dialog", { name: "New channel" });
    await form.getByLabel("Name", { exact: true }).fill("settings-hook");
    await form.getByLabel("URL").fill(url);
    await form.getByLabel("Why?").fill("somebody should know");
    await accessible(page);
    await form.getByRole("button", { name: "Save" }).click();
    await expect(page.getByRole("row", { name: /settings-hook/ })).toContainText(url);

    await page.getByRole("button", { name: "Test settings-hook" }).click();
    const result = page.getByRole("dialog", { name: "Test of settings-hook" });
    await result.getByRole("button", { name: "Test" }).click();
    await expect(result.getByText("The test was delivered to settings-hook")).toBeVisible();
    expect(heard).toContain("/settings-hook");
    await result.getByRole("button", { name: "Cancel" }).click();

    await page.getByRole("tab", { name: "Notifications" }).click();
    await expect(page.getByRole("row", { name: /settings-hook/ }).first()).toContainText("Delivered");
  } finally {
    receiver.close();
  }

  await page.getByRole("tab", { name: "Regions" }).click();
  await page.getByRole("button", { name: "New region" }).click();
  const region = page.getByRole("dialog", { name: "New region" });
  await region.getByLabel("Name", { exact: true }).fill("settings-north");
  await region.getByRole("switch", { name: "Advanced mode" }).click();
  await region.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("row", { name: /settings-north/ })).toContainText("Off");
  await page.getByRole("tab", { name: "Workspaces" }).click();
  await page.getByRole("button", { name: "New workspace" }).click();
  const place = page.getByRole("dialog", { name: "New workspace" });
  await place.getByLabel("Name", { exact: true }).fill("settings-lab");
  await place.getByRole("textbox", { name: "Region" }).fill("settings-north");
  await place.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("row", { name: /settings-lab/ })).toContainText("settings-northAs its regionOff");
  expect((await data(api.GET("/v1/workspaces/{workspace}", { params: { path: { workspace: "settings-lab" } } }))).advancedModeInForce).toBe(false);

  await page.goto(`${home}/audit?target=settings-hook&operation=putChannel`);
  const record = page.getByRole("row", { name: /putChannel/ });
  await expect(record).toContainText("somebody should know");
  await record.getByRole("button", { name: /^Record/ }).click();
  await expect(page.getByRole("dialog", { name: /^Record/ }).getByRole("row", { name: /url/ })).toContainText(url);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Export" }).click();
  const dialog = page.getByRole("dialog", { name: "Export" });
  await expect(dialog.getByLabel("The same from the command line")).toHaveText("backfleet audit export --operation putChannel --target settings-hook > audit.jsonl");
  const [saved] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("button", { name: "Download" }).click()]);
  expect(saved.suggestedFilename()).toBe("audit.jsonl");
});

test("the cluster says how it stands", async ({ page }) => {
  await page.goto(`${home}/cluster`);
  const { servers: members, leader } = await data(api.GET("/v1/cluster"));
  await expect(page.getByRole("status").first()).toContainText(members.length === 1 ? "One coordinator" : `${members.length} of ${members.length} vote`);
  const row = page.getByRole("table", { name: "Coordinators" }).getByRole("row", { name: new RegExp(`^${leader}`) });
  await expect(row).toContainText("Leader");
  await expect(row).toContainText("0 entries");
  await expect(row.getByRole("button", { name: /Make/ })).toBeDisabled();
  await accessible(page);
});
