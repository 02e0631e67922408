// What people do with backfills once they are submitted: watch, understand, steer, account.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test, type Locator, type Page } from "@playwright/test";

import { apply, leader, member, open, servers, submit, until, waitsFor } from "./cluster.ts";

/** Code that fails until a gate is opened. */
const failsUntil = (gate: string, status: number) => `if [ ! -e '${join(process.env["GATES"] ?? "", gate)}' ]; then echo "no table yet" >&2; exit ${status}; fi\n`;
const daily = { kind: "daily" as const };

const button = (where: Page | Locator, name: string) => where.getByRole("button", { name: new RegExp(`${name}$`) });

/** Chooses an operation, says why, and confirms. */
async function steer(page: Page, operation: Locator, name: string, why: string): Promise<void> {
  await operation.click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: /^Why/ }).fill(why);
  await button(dialog, name).click();
  await expect(dialog).toBeHidden();
}

const tab = (page: Page, name: string) => page.getByRole("tab", { name: new RegExp(`^${name}`) }).click();

test("watch a backfill fail, see what the failures have in common, mend it, rerun what failed, and account for all", async ({ page }) => {
  await apply(
    { id: "bk_load", schedule: daily, code: waitsFor("bk_go") },
    { id: "bk_merge", schedule: daily, upstreams: [{ node: "bk_load" }], code: failsUntil("bk_mended", 7) },
    { id: "bk_report", schedule: daily, upstreams: [{ node: "bk_merge" }], code: "echo done\n" },
  );
  const name = "bk: four days again";
  const id = await submit({ name, mode: "descendants", root: "bk_load", dates: ["2025-03-01..2025-03-04"], groups: 2, onFailure: "continue" });

  // The filters are in the address; from the list to the backfill.
  await page.goto("/backfills");
  await page.getByRole("textbox", { name: "Backfill name or id" }).fill("bk: four");
  await expect(page).toHaveURL(/q=bk/);
  await expect(page.getByRole("row", { name })).toContainText("2025-03-01 – 03-04");
  await page.getByRole("link", { name, exact: true }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(name);
  await expect(page.getByRole("group", { name: "Group 2" })).toContainText("of 2 dates");
  await expect(page.locator("main [data-state=running]").first()).toBeVisible();

  // It fails while one watches.
  open("bk_go");
  await expect(page.locator("[data-flag=failed]")).toBeVisible();
  await page.getByRole("button", { name: "Look at the failures" }).click();
  const group = page.getByRole("region", { name: "exit code 7" });
  await expect(group).toContainText("4 instances");
  await expect(group).toContainText("one node");
  await expect(group).toContainText("2025-03-01 – 2025-03-04");
  await group.getByRole("button", { name: `${id}.` }).first().click();
  await expect(page).toHaveURL(/instance=b\d+\.\d+/);
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page).not.toHaveURL(/instance=/);

  // Exactly those of the group are listed; whoever is sent the address sees them, too.
  await group.getByRole("link", { name: "Show in the list" }).click();
  await expect(page).toHaveURL(/failure=[0-9a-f]{16}/);
  const other = await page.context().newPage();
  await other.goto(page.url());
  await expect(other.getByRole("tab", { name: /^Instances/ })).toHaveAttribute("aria-selected", "true");
  await expect(other.getByRole("row", { name: /bk_merge/ })).toHaveCount(4);
  await expect(other.getByRole("row", { name: /bk_load|bk_report/ })).toHaveCount(0);
  await other.getByRole("button", { name: "Whatever it failed of" }).click();
  await expect(other).not.toHaveURL(/failure=/);
  await expect(other.getByRole("row", { name: /bk_load/ })).toHaveCount(4);
  await other.close();

  // Dates open to their nodes.
  await tab(page, "Dates");
  await page.getByRole("button", { name: "Show what is in 2025-03-02" }).click();
  await expect(page.getByRole("row", { name: /bk_merge/ })).toContainText("exit code 7");
  await expect(page).toHaveURL(/open=2025-03-02/);

  // Mended: exactly what failed runs again, and what waited for it follows.
  open("bk_mended");
  await tab(page, "Failures");
  await steer(page, button(group, "Rerun these"), "Rerun", "the table is there now");
  await tab(page, "Dates");
  await expect(page.locator("h1 + *").locator("[data-state=succeeded]")).toBeVisible();
  await expect(page.locator("[data-flag]")).toHaveCount(0);
  await expect(page.getByRole("row", { name: /bk_merge/ })).toContainText("Succeeded");
  await tab(page, "Failures");
  await expect(page.getByText("Nothing has failed")).toBeVisible();

  // The account adds up, on the page and in the file.
  await tab(page, "Receipt");
  const total = async (what: string) => Number((await page.locator(`[data-total="${what}"] dd`).innerText()).replaceAll(",", ""));
  await expect(page.locator('[data-total="Generated"] dd')).toHaveText("12");
  let sum = 0;
  for (const part of ["Succeeded", "Set to success", "Dry runs", "Failed", "Stopped", "Frozen", "Running", "Waiting"]) sum += await total(part);
  expect(sum).toBe(12);
  await page.getByText("Node and date", { exact: true }).click();
  await expect(page.getByRole("row", { name: /bk_report/ })).toHaveCount(4);
  const [download] = await Promise.all([page.waitForEvent("download"), button(page, "Export as CSV").click()]);
  const lines = readFileSync(await download.path(), "utf8").trim().split("\r\n");
  expect(lines).toHaveLength(13);
  expect(lines.slice(1).reduce((n, line) => n + Number(line.split(",")[3]), 0)).toBe(12);
  await expect(page.getByText(`backfleet backfill receipt ${id} --by nodeAndDate --limit 0`)).toBeVisible();

  await tab(page, "Operations");
  await expect(page.getByRole("row", { name: /Rerun 4/ })).toContainText("the table is there now");
  await tab(page, "Request");
  await expect(page.getByLabel("Request", { exact: true }).getByText("bk_load")).toBeVisible();
});

test("pause and resume, change it while it runs, freeze instances in batch, set failures to success", async ({ page }) => {
  await apply(
    { id: "bs_load", schedule: daily, code: waitsFor("bs_go") },
    { id: "bs_check", schedule: daily, upstreams: [{ node: "bs_load" }], code: "exit 9\n" },
    { id: "bs_report", schedule: daily, upstreams: [{ node: "bs_check" }], code: "echo done\n" },
  );
  const id = await submit({ name: "bs: six days", mode: "descendants", root: "bs_load", dates: ["2025-04-01..2025-04-06"], groups: 1, onFailure: "continue" });
  await page.goto(`/backfills/${id}`);
  await steer(page, button(page, "Pause"), "Pause", "the night first");
  await expect(page.locator("[data-flag=paused]")).toBeVisible();
  await steer(page, button(page, "Resume"), "Resume", "");
  await expect(page.locator("[data-flag=paused]")).toBeHidden();

  // First the difference, then the change.
  await page.getByRole("button", { name: "Actions of bs: six days" }).click();
  await page.getByRole("menuitem", { name: "Change", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("spinbutton", { name: "Parallel groups" }).fill("3");
  await dialog.getByRole("combobox", { name: "Drop dates" }).fill("2025-04-06");
  await page.keyboard.press("Enter");
  await button(dialog, "Show what changes").click();
  await expect(dialog.getByRole("row", { name: /groups/ })).toContainText("3");
  await expect(dialog.getByText("3 instances are dropped")).toBeVisible();
  await button(dialog, "Apply").click();
  await expect(dialog).toBeHidden();
  await expect(page.getByRole("group", { name: "Group 3" })).toBeVisible();

  // Freeze and unfreeze what waits, several at once.
  await page.goto(`/backfills/${id}?tab=instances&nodeText=bs_report&to=2025-04-05`);
  const rows = page.getByRole("row", { name: /bs_report/ });
  await expect(rows).toHaveCount(5);
  await page.getByRole("checkbox", { name: "Choose all that are loaded" }).check();
  const bar = page.getByRole("toolbar", { name: "What to do with the chosen instances" });
  await expect(bar).toContainText("5 chosen");
  await expect(button(bar, "Set to success")).toBeDisabled();
  await steer(page, button(bar, "Freeze"), "Freeze", "to be looked at");
  await expect(rows.filter({ hasText: "Frozen" })).toHaveCount(5);
  await page.getByRole("checkbox", { name: /^Choose b\d+/ }).first().check();
  await page.getByRole("checkbox", { name: /^Choose b\d+/ }).last().click({ modifiers: ["Shift"] });
  await expect(bar).toContainText("5 chosen");
  await steer(page, button(bar, "Unfreeze"), "Unfreeze", "looked at");
  await expect(rows.filter({ hasText: "Not running" })).toHaveCount(5);

  // What failed is set to success, and what is below goes on.
  open("bs_go");
  await expect(page.locator("[data-flag=failed]")).toBeVisible();
  await tab(page, "Failures");
  const group = page.getByRole("region", { name: "exit code 9" });
  await expect(group).toContainText("5 instances");
  await button(group, "Set to success").click();
  await expect(page.getByRole("dialog")).toContainText("Instances: 5");
  await button(page.getByRole("dialog"), "Set to success").click();
  await expect(page.locator("h1 + *").locator("[data-state=succeeded]")).toBeVisible();
  await tab(page, "Receipt");
  await expect(page.locator('[data-total="Set to success"] dd')).toHaveText("5");
  await expect(page.locator('[data-total="Dry runs"] dd')).toHaveText("3");
});

test("several at once from the list, and a leader that dies while one watches", async ({ page }) => {
  await apply({ id: "bl_wait", schedule: daily, code: waitsFor("bl_go") });
  const request = { mode: "current" as const, root: "bl_wait", groups: 1 };
  const first = await submit({ ...request, name: "bl: first", dates: ["2025-05-01..2025-05-02"] });
  await submit({ ...request, name: "bl: second", dates: ["2025-05-11..2025-05-12"] });
  await page.goto("/backfills?q=bl%3A&nodeText=bl_wait");
  const rows = page.getByRole("row", { name: /bl: (first|second)/ });
  await expect(rows).toHaveCount(2);
  await page.getByRole("checkbox", { name: "Choose all that are loaded" }).check();
  const bar = page.getByRole("toolbar", { name: "What to do with the chosen backfills" });
  await steer(page, button(bar, "Pause"), "Pause", "both wait");
  await expect(rows.filter({ hasText: "Paused" })).toHaveCount(2);
  await page.getByRole("checkbox", { name: "Choose all that are loaded" }).check();
  await steer(page, button(bar, "Resume"), "Resume", "");
  await expect(rows.filter({ hasText: "Paused" })).toHaveCount(0);
  await page.getByText("Instances", { exact: true }).click();
  await expect(page.getByRole("row", { name: /bl_wait/ })).toHaveCount(4);

  const { name, server } = await leader();
  const follower = servers.find((s) => s !== server);
  expect(follower, "there are several coordinators").toBeDefined();
  await page.goto(`${follower}/backfills/${first}`);
  await expect(page.locator("[data-line=live]")).toBeVisible();
  await member("kill", name);
  try {
    open("bl_go");
    await expect(page.locator("h1 + *").locator("[data-state=succeeded]")).toBeVisible();
    await expect(page.locator("[data-line=live]")).toBeVisible();
  } finally {
    await member("start", name);
  }
  await until(first, "succeeded");
});
