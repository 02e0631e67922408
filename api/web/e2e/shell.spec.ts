import { expect, test } from "@playwright/test";

import { apply, leader, member, servers } from "./cluster.ts";

test("the page is there, finds its views by their addresses, and is live", async ({ page }) => {
  await page.goto("/");
  await expect(page).toHaveURL(/\/nodes$/);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Cycle tasks");
  await expect(page.locator("[data-line=live]")).toBeVisible();
  await page.goto("/nowhere");
  await expect(page.getByText("There is no such page")).toBeVisible();
  expect((await page.request.get("/v1/nowhere")).status()).toBe(404);
  expect((await page.request.get("/assets/old.js")).status()).toBe(404);
});

test("language and look are kept", async ({ page }) => {
  await page.goto("/nodes");
  await page.getByRole("button", { name: "Language" }).click();
  await page.getByRole("menuitem", { name: "中文" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("周期任务");
  await page.getByRole("button", { name: "外观" }).click();
  await page.getByRole("menuitem", { name: "深色" }).click();
  await expect(page.locator("html")).toHaveAttribute("data-look", "dark");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("lang", "zh-CN");
  await expect(page.locator("html")).toHaveAttribute("data-look", "dark");
});

test("a coordinator that dies under the page is said, and healed", async ({ page }) => {
  const { name, server } = await leader();
  await page.goto(`${server}/nodes`);
  await expect(page.locator("[data-line=live]")).toBeVisible();
  await member("kill", name);
  try {
    await expect(page.getByText("Not live")).toBeVisible();
    const other = await leader();
    expect(other.name).not.toBe(name);
    expect(servers).toContain(other.server);
  } finally {
    await member("start", name);
  }
  await expect(page.locator("[data-line=live]")).toBeVisible();
});

test("a browser without its line says so and keeps what it shows; back on it, all is as it is now and where it was", async ({ page, context }) => {
  const node = (n: number, name: string) => ({ id: `off_${String(n).padStart(3, "0")}`, name, schedule: { kind: "daily" as const }, code: "echo done\n" });
  await apply(...Array.from({ length: 90 }, (_, n) => node(n, "before")));
  await page.goto("/nodes?q=off_");
  await expect(page.locator("[data-line=live]")).toBeVisible();
  await page.getByRole("region", { name: "Nodes" }).evaluate((frame) => frame.scrollTo(0, 1500));
  const row = page.getByRole("row", { name: /off_045/ });
  await expect(row).toContainText("before");

  await context.setOffline(true);
  await expect(page.locator("[data-line=broken]")).toContainText("Not live", { timeout: 5000 });
  await apply(node(45, "meanwhile"));
  await expect(row).toContainText("before");
  await expect(page.getByRole("alert")).toHaveCount(0);

  await context.setOffline(false);
  await expect(page.locator("[data-line=live]")).toBeVisible({ timeout: 5000 });
  await expect(row).toContainText("meanwhile");
  expect(await page.getByRole("region", { name: "Nodes" }).evaluate((frame) => frame.scrollTop)).toBe(1500);
});
