// How soon the page is there, for the first time and again, on a fast machine and as on a slow laptop.
import { expect, test } from "@playwright/test";

import { apply, servers } from "../cluster.ts";

const slow = { cpu: 4, bytesPerSecond: (10 * 1024 * 1024) / 8, latency: 40 };

test.beforeAll(() => apply({ id: "load_a", code: "true\n" }, { id: "load_b", code: "true\n", upstreams: [{ node: "load_a" }] }));

for (const view of ["nodes", "backfills", "backfills/new?root=load_a"]) {
  for (const how of ["as it is", "4 times slower, 10 Mbit/s, 40 ms"]) {
    test(`${view}, ${how}`, async ({ browser }) => {
      const context = await browser.newContext();
      const times: Record<string, number> = {};
      let bytes = 0;
      let painted = NaN;
      for (const visit of ["first", "again"]) {
        const page = await context.newPage();
        const session = await context.newCDPSession(page);
        await session.send("Network.enable");
        session.on("Network.loadingFinished", (event) => void (bytes += visit === "first" ? event.encodedDataLength : 0));
        if (how !== "as it is") {
          await session.send("Emulation.setCPUThrottlingRate", { rate: slow.cpu });
          await session.send("Network.emulateNetworkConditions", { offline: false, latency: slow.latency, downloadThroughput: slow.bytesPerSecond, uploadThroughput: slow.bytesPerSecond });
        }
        const start = Date.now();
        await page.goto(`${servers[0]}/${view}`, { waitUntil: "commit" });
        await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
        times[visit] = Date.now() - start;
        if (visit === "first") painted = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN);
        await page.close();
      }
      console.log(`${view}, ${how}: something to see after ${Math.round(painted)} ms, first view after ${times["first"]} ms (${Math.round(bytes / 1000)} kB), again ${times["again"]} ms`);
      await context.close();
    });
  }
}
