// Cycle tasks: nodes are found, kept in the basket, looked at from all sides, and backfilled where they lack dates.
import { expect, test } from "@playwright/test";

import { accessible } from "./accessible.ts";
import { apply, submit, until } from "./cluster.ts";

const many = Array.from({ length: 260 }, (_, i) => ({ id: `cyc_many_${String(i).padStart(3, "0")}`, owner: i % 3 ? "cyc_ann" : "cyc_bo", workspace: "cyc_shop", schedule: { kind: "daily" as const, at: "05:30:00" }, code: "echo one of many\n" }));

test("find nodes, keep those that match in the basket, and go from there", async ({ page }) => {
  await apply(...many, { id: "cyc_week", name: "Weekly review", workspace: "cyc_desk", schedule: { kind: "weekly", at: "02:30:00", weekdays: ["mon", "thu"] }, mode: "paused", code: "echo week\n" });

  await page.goto("/nodes");
  await page.getByRole("textbox", { name: "Name or id contains" }).fill("CYC_");
  await expect(page).toHaveURL(/q=CYC_/);
  await expect(page.getByText("200 and more")).toBeVisible();
  await page.getByRole("button", { name: "Node", exact: true }).click();
  await expect(page).toHaveURL(/sort=-id/);
  await expect(page.getByRole("row").nth(1)).toContainText("cyc_week");
  await expect(page.getByRole("row", { name: "cyc_week" })).toContainText("Every Monday and Thursday at 02:30");
  await expect(page.getByRole("row", { name: "cyc_week" })).toContainText("Paused");

  // The address is all there is to it: it says the same to whoever opens it.
  await page.goto("/nodes?q=cyc&workspace=cyc_shop&owner=cyc_bo&mode=normal&auto=off");
  await expect(page.getByText("87 nodes")).toBeVisible();
  await expect(page.getByRole("button", { name: "More filters (2)" })).toHaveAttribute("aria-expanded", "true");
  await expect(page.getByRole("row", { name: "cyc_many_001" })).toHaveCount(0);

  // Rows come as one scrolls, and only those in sight are there.
  await page.goto("/nodes?q=cyc_many");
  await expect(page.getByRole("row", { name: "cyc_many_000" })).toBeVisible();
  const list = page.getByRole("region", { name: "Nodes" });
  await expect(async () => {
    await list.evaluate((e) => e.scrollTo(0, e.scrollHeight));
    await expect(page.getByRole("row", { name: "cyc_many_259" })).toBeVisible({ timeout: 500 });
  }).toPass();
  await expect(page.getByText("260 nodes")).toBeVisible();
  expect(await page.getByRole("row").count()).toBeLessThan(80);

  // One by one, a range with Shift, all that match; what is chosen stays while one goes elsewhere.
  await list.evaluate((e) => e.scrollTo(0, 0));
  await page.getByRole("checkbox", { name: "Choose cyc_many_002" }).check();
  await page.getByRole("checkbox", { name: "Choose cyc_many_005" }).click({ modifiers: ["Shift"] });
  await expect(page.getByText("4 in the basket")).toBeVisible();
  await page.getByRole("button", { name: "Choose all that match" }).click();
  await expect(page.getByText("260 in the basket")).toBeVisible();
  await page.getByRole("checkbox", { name: "Choose cyc_many_003" }).uncheck();
  await page.goto("/nodes?q=cyc_week");
  await page.getByRole("checkbox", { name: "Choose cyc_week" }).check();
  await page.getByRole("button", { name: "Basket" }).click();
  const basket = page.getByRole("dialog");
  await expect(basket).toContainText("260 nodes chosen");
  await basket.getByRole("textbox", { name: "Find in the basket" }).fill("many_00");
  await basket.getByRole("button", { name: "Take cyc_many_004 out of the basket" }).click();
  await expect(basket).toContainText("259 nodes chosen");
  await basket.getByRole("button", { name: "Empty the basket" }).click();
  await basket.getByRole("button", { name: "Close" }).click();
  await expect(basket).toBeHidden();

  // A node's menu leads into the wizard.
  await page.getByRole("button", { name: "Actions on cyc_week" }).click();
  await page.getByRole("menuitem", { name: "This node and what depends on it" }).click();
  await expect(page).toHaveURL(/\/backfills\/new\?.*root=cyc_week/);
  await expect(page).toHaveURL(/mode=descendants/);
});

test("a node from all sides, and its missing dates backfilled", async ({ page }) => {
  await apply(
    { id: "cyc_source", code: "echo source\n", schedule: { kind: "daily" } },
    {
      id: "cyc_node", name: "Orders by the hour", owner: "cyc_ann", upstreams: [{ node: "cyc_source", window: { from: -1, to: 0 } }], params: [{ name: "dt", value: "${yyyymmdd}" }],
      schedule: { kind: "daily", at: "03:15:00" }, code: 'echo "orders of ${dt}"\n[ "$dt" != 20250306 ]\n',
    },
    { id: "cyc_below", upstreams: [{ node: "cyc_node" }], schedule: { kind: "hourly", from: "08:00:00", to: "10:00:00", everyMinutes: 60 }, params: [{ name: "hour", value: "$[yyyymmddhh24]" }], code: "echo $hour\n" },
    { id: "cyc_deep", upstreams: [{ node: "cyc_below" }], schedule: { kind: "daily" }, code: "echo deep\n" },
  );
  const id = await submit({ name: "cyc: early March", mode: "current", root: "cyc_node", dates: ["2025-03-03..2025-03-07"], groups: 5, onFailure: "continue" });
  await until(id, "failed");

  await page.goto("/nodes/cyc_node");
  await expect(page.getByText("Every day at 03:15")).toBeVisible();
  await expect(page.getByRole("table", { name: "Next runs" }).getByRole("row")).toHaveCount(9);
  await expect(page.getByRole("region", { name: "Upstreams" })).toContainText("cyc_source (dates -1 … 0)");
  const below = page.getByRole("region", { name: "Downstreams" });
  await expect(below).toContainText("Level 2 · 1 node");
  await below.getByRole("link", { name: "cyc_below" }).click();

  // Code and values of any date, in any of its cycles.
  await page.getByRole("tab", { name: "Code" }).click();
  await page.getByLabel("Data timestamp").fill("2025-03-05");
  await page.getByLabel("Data timestamp").press("Enter");
  await expect(page.getByRole("cell", { name: "2025030608" })).toBeVisible();
  await page.getByRole("combobox", { name: "Cycle" }).click();
  await page.getByTitle("2025-03-06 10:00").click();
  await expect(page.getByRole("cell", { name: "2025030610" })).toBeVisible();
  await expect(page).toHaveURL(/date=2025-03-05/);
  await page.goto("/nodes/cyc_node?tab=code&date=2025-03-05");
  await expect(page.getByLabel("Code of cyc_node")).toContainText("orders of 20250305");
  await page.getByText("As written").click();
  await expect(page.getByLabel("Code of cyc_node")).toContainText("orders of ${dt}");

  // How long it took: in the chart, and in words.
  await page.getByRole("tab", { name: "Durations" }).click();
  await expect(page.getByRole("img", { name: "How long runs took, by data timestamp" })).toBeVisible();
  await expect(page.getByRole("row", { name: "2025-03-06" })).toContainText("Failed");
  await expect(page.getByText("80 %")).toBeVisible();
  await page.getByRole("row", { name: "2025-03-06" }).getByRole("button").click();
  await expect(page).toHaveURL(/instance=b\d+\.\d+/);
  await expect(page.getByRole("dialog")).toContainText("2025-03-06");
  await page.keyboard.press("Escape");
  await expect(page).not.toHaveURL(/instance=/);

  // The calendar, with the keyboard alone: dates are chosen, what is missing is taken to the wizard.
  await page.goto("/nodes/cyc_node?tab=coverage&year=2025");
  await expect(page.getByText("4 of 365 dates up to yesterday have succeeded")).toBeVisible();
  await expect(page.getByRole("button", { name: "2025-03-06: Failed, in 1 plan" })).toBeVisible();
  await accessible(page);
  await page.getByRole("button", { name: "2025-03-02: Missing" }).focus();
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  const chosen = page.getByRole("region", { name: "Data timestamps" });
  await expect(chosen).toContainText("2025-03-02 to 2025-03-16");
  await expect(chosen).toContainText("10 missing, 1 failed, 4 succeeded");
  await chosen.getByRole("button", { name: "Backfill 11 dates that have not succeeded" }).click();
  await expect(page).toHaveURL(/dates=2025-03-02%2C2025-03-06%2C2025-03-08\.\.2025-03-16/);
  await expect(page).toHaveURL(/root=cyc_node/);

  // Its instances wherever they are, and what it is made of.
  await page.goto("/nodes/cyc_node?tab=instances&state=failed");
  await expect(page.getByRole("row", { name: "2025-03-06" })).toBeVisible();
  await expect(page.getByRole("row", { name: "2025-03-05" })).toHaveCount(0);
  await page.getByRole("tab", { name: "Definition" }).click();
  await expect(page.getByLabel("Definition of cyc_node")).toContainText("at: 03:15");
});
