// What operators do where it is not a whole backfill: one instance, the cluster.
import { expect, test } from "@playwright/test";

import { data } from "../src/api/client.ts";
import { api, apply, leader, member, open, submit, until, waitsFor } from "./cluster.ts";

const daily = { kind: "daily" as const };

test("one that waits gets another priority and one upstream less; what it is not fit for is said in one's language", async ({ page, browser }) => {
  await apply({ id: "opr_up", schedule: daily, code: waitsFor("opr_go") }, { id: "opr_down", schedule: daily, upstreams: [{ node: "opr_up" }], code: "echo done\n" });
  const backfill = await submit({ name: "opr: one upstream less", mode: "descendants", root: "opr_up", dates: ["2025-03-01..2025-03-01"], groups: 1 });
  const { items } = await data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill }, query: { node: ["opr_down"] } } }));
  const id = items[0]?.id ?? "";
  await page.goto(`/backfills/${backfill}?tab=instances&node=opr_down&instance=${id}`);
  const drawer = page.getByRole("dialog", { name: new RegExp(id.replace(".", "\\.")) });
  await drawer.getByRole("button", { name: "Set priority" }).click();
  const priority = page.getByRole("dialog", { name: "Set priority: opr_down of 2025-03-01" });
  await priority.getByLabel("Priority").click();
  await page.getByTitle("8, the highest").click();
  await priority.getByRole("button", { name: "Set priority" }).click();
  await expect(priority).toBeHidden();
  await expect(drawer.getByText("by hand")).toBeVisible();

  await drawer.getByRole("button", { name: "Remove upstream" }).click();
  const remove = page.getByRole("dialog", { name: "Remove upstream: opr_down of 2025-03-01" });
  await remove.getByLabel("Node that it no longer waits for").click();
  await page.getByTitle("opr_up", { exact: true }).click();
  // Why has to be said.
  await remove.getByRole("button", { name: "Remove upstream" }).click();
  await expect(remove.getByText("Say why: whoever looks later will want to know.")).toBeVisible();
  await remove.getByLabel("Why? It is kept in the audit log.").fill("the file came by hand");
  await remove.getByRole("button", { name: "Remove upstream" }).click();
  await expect(drawer.locator("header [data-state=succeeded]")).toBeVisible();
  await expect(drawer.getByText("Does not wait for opr_up")).toBeVisible();

  // Whoever is sent the address sees the same: tab, filter, drawer. In Chinese, the reasons too.
  const theirs = await browser.newContext({ locale: "zh-CN" });
  const other = await theirs.newPage();
  await other.goto(page.url());
  const same = other.getByRole("dialog", { name: new RegExp(id.replace(".", "\\.")) });
  await same.getByRole("button", { name: "冻结", exact: true }).focus();
  await expect(other.getByRole("tooltip", { name: "当前不可用：实例已成功，请先重跑。" })).toBeVisible();
  await theirs.close();
  open("opr_go");
  await until(backfill, "succeeded");
});

test("leadership is handed over, and what removing a coordinator leaves is said first", async ({ page }) => {
  const before = await leader();
  const next = (await data(api.GET("/v1/cluster"))).servers.find((s) => s.role === "voter")?.id ?? "";
  await page.goto("/cluster");
  await page.getByRole("button", { name: `Remove ${next} from the cluster?` }).click();
  const remove = page.getByRole("dialog", { name: `Remove ${next} from the cluster?` });
  await expect(remove).toContainText("2 are left that vote. None of them may be lost.");
  await remove.getByRole("button", { name: "Cancel" }).click();

  await page.getByRole("button", { name: `Make ${next} the leader?` }).click();
  const ask = page.getByRole("dialog", { name: `Make ${next} the leader?` });
  await ask.getByRole("button", { name: "Make leader" }).click();
  await expect(ask).toBeHidden();
  await expect.poll(async () => (await leader()).name).not.toBe(before.name);
});

test("a coordinator that joined is removed through the page, and is gone", async ({ page }) => {
  await member("join", "c9");
  await page.goto("/cluster");
  const row = page.getByRole("table", { name: "Coordinators" }).getByRole("row", { name: /^c9/ });
  await expect(row).toContainText(/Follower|Leader/);
  await page.getByRole("button", { name: "Remove c9 from the cluster?" }).click();
  const remove = page.getByRole("dialog", { name: "Remove c9 from the cluster?" });
  await expect(remove).toContainText("3 are left that vote. One of them may be lost.");
  await remove.getByLabel("Why? It is kept in the audit log.").fill("it was only a guest");
  await remove.getByRole("button", { name: "Remove c9" }).click();
  await expect(remove).toBeHidden();
  await expect(row).toHaveCount(0);
  const left = (await data(api.GET("/v1/cluster"))).servers.map((s) => s.id);
  expect(left.sort()).toEqual(["c1", "c2", "c3"]);
  const log = await data(api.GET("/v1/audit", { params: { query: { operation: "removeServer" } } }));
  expect(typeof log === "string" ? log : log.items[0]).toMatchObject({ target: "server/c9", why: "it was only a guest" });
});
