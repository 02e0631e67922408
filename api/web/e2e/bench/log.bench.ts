// A log of a million lines: how soon its end is there, how smoothly it moves, how much it holds.
import { expect, test } from "@playwright/test";

import { apply, submit, until } from "../cluster.ts";
import { frames } from "./frames.ts";

const lines = 1_000_000;

test("log of a million lines", async ({ page }) => {
  await apply({ id: "bench_log", code: `awk 'BEGIN { for (i = 1; i <= ${lines}; i++) print "row " i " of the load, as a program says it" }'\n` });
  const backfill = await submit({ name: "bench log", mode: "current", root: "bench_log", dates: ["2025-01-01"] });
  await until(backfill, "succeeded");
  const start = Date.now();
  await page.goto(`/backfills/${backfill}?instance=${backfill}.0&instanceTab=log`);
  const log = page.getByRole("log");
  await expect(log.getByText(`row ${lines} of`)).toBeVisible();
  console.log(`log: ${Date.now() - start} ms from the address to its last line`);
  const memory = async (what: string) => {
    const session = await page.context().newCDPSession(page);
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    await session.detach();
    console.log(`log, ${what}: ${(usedSize / 1e6).toFixed(1)} MB of script's memory, ${await log.locator(".log-line").count()} lines drawn; ${await page.locator("[data-phase]").innerText()}`);
  };
  await memory("at its end");
  await log.hover();
  await frames(page, "log, scrolling back", () => page.mouse.wheel(0, -600));
  await memory("after scrolling back");
  const jump = Date.now();
  await page.getByRole("button", { name: "To the start" }).click();
  await expect(log.getByText("row 1 of the load", { exact: false }).first()).toBeVisible();
  console.log(`log: ${Date.now() - jump} ms from its end to its start`);
  await frames(page, "log, scrolling on", () => page.mouse.wheel(0, 600));
  await memory("after scrolling on");
  const search = Date.now();
  await page.getByRole("searchbox", { name: "Search the whole log" }).fill("row 500000 of");
  await page.keyboard.press("Enter");
  await page.getByRole("list", { name: "Lines found" }).getByRole("button").first().click();
  await expect(log.locator(".log-at")).toContainText("row 500000 of");
  console.log(`log: ${Date.now() - search} ms from the search to a line in the middle`);
  await memory("at the found line");
});
