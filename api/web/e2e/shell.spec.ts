import { expect, test } from "@playwright/test";

import { leader, member, servers } from "./cluster.ts";

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
