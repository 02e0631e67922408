// A backfill of every mode from the form to what the cluster has of it.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";

import { expect, test, type Locator, type Page } from "@playwright/test";

import { data } from "../src/api/client.ts";
import { api, apply, servers, submit } from "./cluster.ts";

const past = "2030-01-01T00:00:00Z"; // nothing is to run: what was asked for is looked at

test.beforeAll(async () => {
  const daily = (id: string, workspace: string, ...upstreams: string[]) => ({
    id, name: `Wizard ${id}`, workspace, owner: "wizard", priority: 5, baseline: "wz", params: [{ name: "dt", value: "${yyyymmdd}" }, { name: "source", value: "live" }],
    schedule: { kind: "daily" as const, at: "01:00:00" }, upstreams: upstreams.map((node) => ({ node })), code: `echo "$dt of $source"\n`,
  });
  await apply(daily("wz_a", "wz_one"), daily("wz_b", "wz_one", "wz_a"), daily("wz_c", "wz_two", "wz_b"), daily("wz_d", "wz_one", "wz_c"), daily("wz_e", "wz_one", "wz_a"));
});

const preview = (page: Page) => page.getByRole("region", { name: "Preview" });
const figure = (page: Page, name: string) => preview(page).locator("dl > div").filter({ hasText: name }).locator("dd");
const field = (page: Page, name: string) => page.locator(`[data-field="${name}"]`);

/** Types what is sought into a field that searches, and takes the option. */
async function search(page: Page, label: string, id: string): Promise<void> {
  const box = page.getByRole("combobox", { name: label, exact: true });
  await box.fill(id);
  await page.locator(".ant-select-dropdown:visible .ant-select-item-option").filter({ hasText: id }).first().click();
  await page.keyboard.press("Escape");
}

async function submitted(page: Page) {
  const button = page.getByRole("button", { name: /^Submit [\d,]+ instance/ });
  await expect(button).toBeEnabled();
  await button.click();
  const sure = page.getByRole("dialog").getByRole("button", { name: "Submit", exact: true });
  await expect.poll(async () => {
    // It may be closing already: then it is gone before the click, and that is as good.
    if (await sure.isVisible()) await sure.click({ timeout: 2000 }).catch(() => undefined);
    return new URL(page.url()).pathname;
  }).toMatch(/^\/backfills\/b\d+$/);
  const id = new URL(page.url()).pathname.split("/")[2] ?? "";
  return { id, request: (await data(api.GET("/v1/backfills/{backfill}", { params: { path: { backfill: id } } }))).request };
}

test("current: several ranges, options and overrides arrive as they were meant; the file says the same", async ({ page }, info) => {
  await page.goto("/backfills/new?mode=current");
  await expect(preview(page).getByText("Choose a node")).toBeVisible();
  await expect(page.getByRole("button", { name: "Submit", exact: true })).toBeDisabled();
  await search(page, "Node", "wz_a");
  await expect(figure(page, "Instances")).toHaveText("1");
  await page.getByRole("button", { name: /^Take .* out$/ }).or(page.getByRole("img", { name: /^Take .* out$/ })).first().click();
  await expect(preview(page).getByText("Choose dates")).toBeVisible();
  const dates = field(page, "dates").getByRole("textbox");
  await dates.fill("2024-01-01..2024-01-10, 2024-02-29");
  await dates.press("Enter");
  await expect(figure(page, "Instances")).toHaveText("11");
  await page.getByRole("spinbutton", { name: "Parallel groups" }).fill("3");
  await expect(preview(page).locator("[data-lane]")).toHaveCount(3);
  await expect(preview(page).getByText("Priority 2")).toBeVisible(); // 5 of an old date (RULES R7.2)
  await field(page, "order").getByText("Newest first", { exact: true }).click();
  await page.getByRole("button", { name: /Failures and conflicts/ }).click();
  await page.getByRole("spinbutton", { name: "Stop after failures" }).fill("4");
  await field(page, "onConflict").getByText("Schedule waits", { exact: true }).click();
  await page.getByRole("button", { name: /When, where/ }).click();
  await page.getByLabel("Not before").fill("2030-01-01T00:00");
  await page.getByRole("button", { name: /Parameters, fields/ }).click();
  await page.getByRole("button", { name: "Override a parameter" }).click();
  await search(page, "Node of the parameter", "wz_a");
  await page.getByRole("combobox", { name: "Parameter", exact: true }).fill("source");
  await page.getByRole("textbox", { name: "Value" }).fill("archive: #1");
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("Wizard, by hand");

  await preview(page).getByRole("tab", { name: "Code" }).click();
  await expect(preview(page).getByLabel("Parameter values")).toContainText("archive: #1");
  await expect(preview(page).getByLabel("Code of wz_a")).toContainText("echo");
  await preview(page).getByRole("tab", { name: "File and command" }).click();
  const file = (await preview(page).getByLabel("request.yaml").last().textContent()) ?? "";
  const { id, request } = await submitted(page);
  expect(request).toMatchObject({
    name: "Wizard, by hand", mode: "current", root: "wz_a", dates: ["2024-01-01..2024-01-10", "2024-02-29"], groups: 3, order: "descending", stopAfter: 4, onConflict: "wait", notBefore: past,
    params: [{ node: "wz_a", name: "source", value: "archive: #1" }],
  });
  // The command line reads the file as the same request.
  const path = info.outputPath("request.yaml");
  writeFileSync(path, file);
  execFileSync(process.env["BACKFLEET"] ?? "backfleet", ["backfill", "diff", id, "-f", path], { stdio: "pipe", env: { ...process.env, BACKFLEET_SERVER: servers[0] } });
});

test("descendants, massive, advanced and chain ask for what their fields say", async ({ page }) => {
  await page.goto("/backfills/new?root=wz_a&dates=2024-03-01..2024-03-02");
  await page.getByRole("radio", { name: "Descendants" }).check();
  await expect(figure(page, "Instances")).toHaveText("10");
  await page.getByRole("spinbutton", { name: "Levels" }).fill("2");
  await expect(figure(page, "Instances")).toHaveText("8");
  await page.getByRole("switch", { name: "Leave the root itself out" }).click();
  await expect(figure(page, "Asked for")).toHaveText("6");
  await preview(page).getByRole("tab", { name: /Nodes/ }).click();
  await expect(preview(page).getByRole("row", { name: /wz_c/ })).toContainText("Chosen");
  expect((await submitted(page)).request).toMatchObject({ mode: "descendants", root: "wz_a", withoutRoot: true, maxLevel: 2, dates: ["2024-03-01..2024-03-02"] });

  await page.goto("/backfills/new?mode=massive&root=wz_a&dates=2024-03-03");
  await expect(figure(page, "Asked for")).toHaveText("4");
  await search(page, "Whitelist", "wz_c");
  await expect(figure(page, "Asked for")).toHaveText("5");
  await search(page, "Blacklist", "wz_e");
  await expect(figure(page, "Dry runs")).toHaveText("1");
  await search(page, "Workspaces", "wz_one");
  expect((await submitted(page)).request).toMatchObject({ mode: "massive", root: "wz_a", workspaces: ["wz_one"], whitelist: ["wz_c"], blacklist: ["wz_e"] });

  await page.goto("/backfills/new?mode=advanced&nodes=wz_b&dates=2024-03-04");
  await search(page, "Chosen nodes", "wz_d");
  await expect(figure(page, "Bridges")).toHaveText("1");
  await page.getByRole("button", { name: "Add a filter" }).click();
  await page.getByRole("textbox", { name: "Owner" }).fill("wizard");
  await page.getByRole("textbox", { name: "Id contains" }).fill("wz_e");
  await expect(figure(page, "Asked for")).toHaveText("3");
  expect((await submitted(page)).request).toMatchObject({ mode: "advanced", nodes: ["wz_b", "wz_d"], filters: [{ owner: "wizard", id: "wz_e" }] });

  await page.goto("/backfills/new?mode=chain&root=wz_a&dates=2024-03-05");
  await expect(preview(page).getByText("Choose an end node")).toBeVisible();
  await search(page, "End node", "wz_d");
  await expect(figure(page, "Instances")).toHaveText("4");
  expect((await submitted(page)).request).toMatchObject({ mode: "chain", root: "wz_a", end: "wz_d" });
});

test("what is wrong is said at its field; a reload keeps all; leaving is asked about", async ({ page }) => {
  await page.goto("/backfills/new?mode=current&root=wz_nobody&dates=2024-04-01");
  await expect(field(page, "root").getByRole("alert")).toContainText('there is no node "wz_nobody"');
  await expect(preview(page).getByText("Not possible like this yet")).toBeVisible();
  await search(page, "Node", "wz_a");
  await expect(field(page, "root").getByRole("alert")).toHaveCount(0);
  await expect(figure(page, "Instances")).toHaveText("1");
  // A field of a folded section: the section opens.
  await page.getByRole("button", { name: /When, where/ }).click();
  await field(page, "period").getByRole("combobox").click();
  await page.locator(".ant-select-dropdown:visible").getByText("Every day").click();
  await field(page, "zone").getByRole("textbox").fill("Nowhere/City");
  await expect(field(page, "zone").getByRole("alert")).toContainText("Nowhere/City");
  await field(page, "zone").getByRole("textbox").fill("Europe/Berlin");
  await expect(field(page, "zone").getByRole("alert")).toHaveCount(0);

  // On the calendar: from the 3rd to the 5th, then the 4th out again.
  await page.getByRole("button", { name: "2024-04-03", exact: true }).click();
  await page.getByRole("button", { name: "2024-04-05", exact: true }).click();
  await expect(figure(page, "Instances")).toHaveText("4");
  await page.getByRole("button", { name: "2024-04-04", exact: true }).click();
  await page.getByRole("button", { name: "2024-04-04", exact: true }).click();
  await expect(figure(page, "Instances")).toHaveText("3");
  await expect(page).toHaveURL(/dates=2024-04-01%2C2024-04-03%2C2024-04-05/);
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("kept over a reload");
  await page.reload();
  await expect(page.getByRole("textbox", { name: "Name", exact: true })).toHaveValue("kept over a reload");
  await expect(page.locator("[data-set=period]")).toBeVisible();
  await expect(figure(page, "Instances")).toHaveText("3");

  await page.getByRole("link", { name: "Fleet", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Stay" }).click();
  await expect(page).toHaveURL(/backfills\/new/);
  await page.getByRole("link", { name: "Fleet", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
  await expect(page).toHaveURL(/fleet/);
});

test("again with changes; the basket is where it begins and is empty after; a lost connection submits once", async ({ page }) => {
  const before = await submit({ name: "wizard: first time", mode: "descendants", root: "wz_b", dates: ["2024-05-01..2024-05-03"], groups: 2, notBefore: past });
  await page.goto(`/backfills/new?from=${before}`);
  await expect(page.getByRole("textbox", { name: "Name", exact: true })).toHaveValue("wizard: first time");
  await expect(page.getByRole("spinbutton", { name: "Parallel groups" })).toHaveValue("2");
  await expect(figure(page, "Instances")).toHaveText("9");
  await page.evaluate(() => localStorage.setItem("backfleet.basket", JSON.stringify([{ id: "wz_d" }, { id: "wz_e" }])));

  await page.goto("/backfills/new");
  await expect(page.getByRole("radio", { name: "Advanced" })).toBeChecked();
  await expect(field(page, "nodes")).toContainText("wz_e");
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("wizard: once");
  await expect(figure(page, "Instances")).toHaveText("2");
  // The coordinator takes it, but its answers are lost: until the page gives up, and after a reload.
  const keys: string[] = [];
  await page.route("**/v1/backfills", async (route) => {
    if (route.request().method() !== "POST") return route.continue();
    keys.push(route.request().headers()["idempotency-key"] ?? "");
    if (keys.length > 5) return route.continue();
    await route.fetch();
    await route.abort("connectionreset");
  });
  await page.getByRole("button", { name: "Submit 2 instances" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Submit", exact: true }).click(); // upstreams that never ran are warned of
  await expect(page.locator(".wz-submit").getByRole("alert")).toBeVisible();
  await page.reload();
  const { request } = await submitted(page);
  expect(request).toMatchObject({ mode: "advanced", nodes: ["wz_d", "wz_e"] });
  expect(new Set(keys).size).toBe(1);
  const there = await data(api.GET("/v1/backfills", { params: { query: { contains: "wizard: once" } } }));
  expect(there.items).toHaveLength(1);
  await page.goto("/backfills/new");
  await expect(page.getByRole("radio", { name: "Current node" })).toBeChecked();
});

/** Goes on with Tab, or back, until something is focused, and it shows. */
async function tabTo(page: Page, what: Locator, key: "Tab" | "Shift+Tab" = "Tab"): Promise<void> {
  const there = () => what.evaluate((e) => e === document.activeElement).catch(() => false);
  for (let n = 0; n < 150 && !(await there()); n++) await page.keyboard.press(key);
  await expect(what).toBeFocused();
  const shown = await what.evaluate((e) => {
    const of = [e, e.parentElement, e.parentElement?.parentElement, e.nextElementSibling].filter((x) => x instanceof HTMLElement);
    return e.matches(":focus-visible") && of.some((x) => { const s = getComputedStyle(x); return (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none"; });
  });
  expect(shown, "one sees what is focused").toBe(true);
}

test("from the list to a running backfill without a mouse", async ({ page }) => {
  await page.goto("/nodes?q=wz_");
  const tick = (id: string) => page.getByRole("row", { name: new RegExp(id) }).getByRole("checkbox");
  await expect(tick("wz_d")).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("#content")).toBeFocused();
  for (const id of ["wz_d", "wz_e"]) {
    await tabTo(page, tick(id));
    await page.keyboard.press("Space");
    await expect(tick(id)).toBeChecked();
  }

  // The basket has them; closed, it gives the focus back.
  const basket = page.getByRole("button", { name: /Basket/ });
  await tabTo(page, basket, "Shift+Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog").getByRole("button", { name: /wz_e/ })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toBeHidden();
  await expect(basket).toBeFocused();

  await tabTo(page, page.getByRole("main").getByRole("button", { name: "Backfill", exact: true }));
  await page.keyboard.press("Enter");
  await expect(page.getByRole("radio", { name: "Advanced" })).toBeChecked();
  await expect(field(page, "nodes")).toContainText("wz_e");
  await expect(page.locator("#content")).toBeFocused();
  await tabTo(page, page.getByRole("textbox", { name: "Name", exact: true }));
  await page.keyboard.type("wizard: by keyboard");
  await tabTo(page, field(page, "dates").getByRole("textbox"));
  await page.keyboard.type("2024-06-01..2024-06-02");
  await page.keyboard.press("Enter");
  await expect(figure(page, "Instances")).toHaveText("6"); // yesterday was there
  await tabTo(page, field(page, "dates").getByRole("button", { name: /^Take \d\S+ out$/ }).last(), "Shift+Tab");
  await page.keyboard.press("Enter");
  await expect(figure(page, "Instances")).toHaveText("4");
  const button = page.getByRole("button", { name: "Submit 4 instances" });
  await expect(button).toBeEnabled();
  await tabTo(page, button);
  await page.keyboard.press("Enter");
  const sure = page.getByRole("dialog").getByRole("button", { name: "Submit", exact: true });
  await expect(sure).toBeFocused(); // as upstreams have never run
  await page.keyboard.press("Escape");
  await expect(sure).toBeHidden();
  await expect(button).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(sure).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/backfills\/b\d+/);
  await expect(page.getByRole("heading", { level: 1 })).toContainText("wizard: by keyboard");
  await expect(page.locator("#content")).toBeFocused();
});

test("in Chinese, problems and warnings are too; what the coordinator says itself stands by", async ({ browser }) => {
  await submit({ name: "wizard: in the way", mode: "current", root: "wz_b", dates: ["2024-07-01"], groups: 1, notBefore: past });
  const context = await browser.newContext({ locale: "zh-CN" });
  const page = await context.newPage();
  await page.goto("/backfills/new?mode=current&root=wz_b&dates=2024-07-01");
  const shown = page.getByRole("region", { name: "预览" });
  await expect(shown.getByText("补数据之外的上游 wz_a（2024-07-01）从未产出，不会等待")).toBeVisible();
  await expect(shown.getByText(/尚未完成节点 wz_b 2024-07-01 的实例 b\d+\.0：后提交的补数据逐周期等待/)).toBeVisible();
  await expect(shown.getByText("never written")).toHaveCount(0);
  await page.goto("/backfills/new?mode=current&root=wz_nobody&dates=2024-07-01");
  await expect(shown.getByText("对象不存在")).toBeVisible();
  await expect(field(page, "root").getByRole("alert")).toContainText('此项有误：there is no node "wz_nobody"');
  await page.goto("/backfills/b987654");
  await expect(page.getByRole("alert")).toContainText("对象不存在");
  await expect(page.getByRole("alert")).toContainText("there is no backfill b987654");
  await context.close();
});
