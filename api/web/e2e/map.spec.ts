import { expect, test } from "@playwright/test";

import { apply, submit, until } from "./cluster.ts";

// cm_a → cm_b; cm_b fails on one date.
test.beforeAll(async () => {
  await apply({ id: "cm_a", code: "true\n" }, { id: "cm_b", upstreams: [{ node: "cm_a" }], params: [{ name: "dt", value: "${yyyymmdd}" }], code: 'test "$dt" != 20240603\n' });
});

test("a heat map shows each instance, is walked by keys, zooms, hides states and opens what it shows", async ({ page }) => {
  const backfill = await submit({ name: "cm map", mode: "descendants", root: "cm_a", dates: ["2024-06-01..2024-06-10"], groups: 10, onFailure: "continue" });
  await until(backfill, "failed");
  await page.goto(`/backfills/${backfill}?tab=map`);
  const map = page.getByRole("application", { name: /Heat map/ });
  await expect(map).toBeVisible();
  const failed = page.getByRole("button", { name: "Failed 1", exact: true });
  await expect(failed).toBeVisible();
  await expect(page.getByRole("button", { name: "Succeeded 19", exact: true })).toBeVisible();
  await failed.click();
  await expect(failed).toHaveAttribute("aria-pressed", "false");
  await failed.click();

  // The failed cell by keys: from the middle to its row and column, and into it.
  await map.focus();
  for (const key of ["PageDown", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight", "ArrowRight"]) await map.press(key);
  await expect(page.getByText("cm_b, 2024-06-03: Failed")).toBeAttached();
  await map.press("+");
  await expect(page).toHaveURL(/mapDates=/);
  await expect(page.getByText("of 10 dates")).toContainText("5 of 10 dates");
  await page.reload();
  await expect(page.getByText("of 10 dates")).toContainText("5 of 10 dates");
  await page.getByRole("button", { name: "Show the whole" }).click();
  await expect(page.getByText("of 10 dates")).toContainText("10 of 10 dates");
  await map.hover();
  await expect(page.getByRole("tooltip").filter({ hasText: "cm_" })).toBeVisible();
  await map.click();
  await expect(page).toHaveURL(new RegExp(`instance=${backfill}\\.`));
});
