// How smoothly the graph and the heat map move, and how soon they are there.
import { expect, test, type Locator, type Page } from "@playwright/test";

import { apply, submit } from "../cluster.ts";
import { frames } from "./frames.ts";

const layers = 25;
const across = 400;

async function panAndZoom(page: Page, canvas: Locator, what: string): Promise<void> {
  const box = await canvas.boundingBox();
  if (!box) throw new Error("there is no canvas");
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  let n = 0;
  await page.mouse.move(x, y);
  await page.mouse.down();
  await frames(page, `${what}, panning`, async () => page.mouse.move(x + Math.sin(++n / 12) * 300, y + Math.cos(n / 17) * 200));
  await page.mouse.up();
  await frames(page, `${what}, zooming`, async () => page.mouse.wheel(0, Math.sin(++n / 10) * 120));
}

let backfill = "";
test.beforeAll(async () => {
  const nodes: Parameters<typeof apply> = [{ id: "bench_root", code: "true\n" }];
  for (let layer = 0; layer < layers; layer++) {
    for (let i = 0; i < across; i++) {
      const upstreams = layer === 0 ? ["bench_root"] : [0, 1, 7].map((step) => `bench_${layer - 1}_${(i + step) % across}`);
      nodes.push({ id: `bench_${layer}_${i}`, workspace: `space${i % 10}`, owner: `owner${i % 7}`, code: "true\n", upstreams: upstreams.map((node) => ({ node })) });
    }
  }
  await apply(...nodes);
  backfill = await submit({ name: "bench", mode: "descendants", root: "bench_root", dates: ["2020-01-01..2022-09-26"], groups: 10 });
});

test("graph", async ({ page }) => {
  const start = Date.now();
  await page.goto(`/graph?plan=${backfill}`);
  await expect(page.locator("[data-laid='10001']")).toBeVisible();
  console.log(`graph: ${Date.now() - start} ms from the address to the layout, of which the layout itself ${await page.locator("[data-layout-ms]").getAttribute("data-layout-ms")} ms`);
  const canvas = page.getByRole("application");
  await expect(canvas).toHaveAttribute("data-scale", /./);
  await page.screenshot({ path: "../../.bin/page/bench-graph.png" });
  await panAndZoom(page, canvas, "graph, all of it");
  await page.getByLabel("Find a node and jump to it").fill("bench_12_200");
  await page.locator(".ant-select-item-option", { hasText: "bench_12_200" }).click();
  await panAndZoom(page, canvas, "graph, near");
  await page.screenshot({ path: "../../.bin/page/bench-near.png" });
  await page.goto(`/graph?plan=${backfill}&group=workspace`);
  await expect(page.locator("[data-laid='10001']")).toBeVisible();
  await page.screenshot({ path: "../../.bin/page/bench-groups.png" });
  console.log(`graph in groups: layout ${await page.locator("[data-layout-ms]").getAttribute("data-layout-ms")} ms`);
});

test("graph of 100,000 edges", async ({ page }) => {
  // The same ten thousand nodes, each with ten upstreams.
  const dense: Parameters<typeof apply> = [];
  for (let layer = 1; layer < layers; layer++) {
    for (let i = 0; i < across; i++) {
      const upstreams = [0, 1, 7, 31, 57, 101, 149, 211, 263, 331].map((step) => `bench_${layer - 1}_${(i + step) % across}`);
      dense.push({ id: `bench_${layer}_${i}`, workspace: `space${i % 10}`, owner: `owner${i % 7}`, code: "true\n", upstreams: upstreams.map((node) => ({ node })) });
    }
  }
  await apply(...dense);
  const start = Date.now();
  await page.goto("/graph");
  await expect(page.locator("[data-laid='10001']")).toBeVisible();
  console.log(`graph of 96,400 edges: ${Date.now() - start} ms from the address to the layout, of which the layout itself ${await page.locator("[data-layout-ms]").getAttribute("data-layout-ms")} ms`);
  const canvas = page.getByRole("application");
  await expect(canvas).toHaveAttribute("data-scale", /./);
  await panAndZoom(page, canvas, "graph of 96,400 edges, all of it");
  const saved = page.waitForEvent("download");
  const pressed = Date.now();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("menuitem", { name: "SVG" }).click();
  await (await saved).path();
  console.log(`graph of 96,400 edges: ${Date.now() - pressed} ms until it is saved as SVG`);
});

test("heat map", async ({ page }) => {
  let bytes = 0;
  let longest = 0;
  page.on("requestfinished", (request) => {
    if (!request.url().includes("/map")) return;
    longest = Math.max(longest, request.timing().responseEnd);
    void request.sizes().then((s) => (bytes += s.responseBodySize));
  });
  const start = Date.now();
  await page.goto(`/backfills/${backfill}?tab=map`);
  await expect(page.locator("[data-settled=yes]")).toBeVisible();
  const first = Date.now() - start;
  console.log(`heat map of 10,001 × 1,000: ${first} ms from the address to the first picture, ${bytes.toLocaleString()} bytes so far, slowest answer ${longest.toFixed(0)} ms`);
  await page.screenshot({ path: "../../.bin/page/bench-map.png" });
  await panAndZoom(page, page.getByRole("application"), "heat map");
  console.log(`heat map: ${bytes.toLocaleString()} bytes after 6 s of moving`);
});
