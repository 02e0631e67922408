// Every view, at two widths, in both looks and languages, and on a phone, for people to look at; at
// the larger width also held against the rules of accessibility, with AXE=1 in every look. VIEWS=fleet,nodes takes only these, LOOKS=1440-light-en
// only this. They lie in .bin/page/pictures.
import { expect, test } from "@playwright/test";

import { accessible } from "./accessible.ts";
import { seed } from "./seed.ts";

type Seeded = Awaited<ReturnType<typeof seed>>;
const views: Record<string, (s: Seeded) => string> = {
  nodes: () => "/nodes",
  node: () => "/nodes/dws_daily_sales",
  nodeCode: () => "/nodes/dws_daily_sales?tab=code&date=2025-01-31",
  nodeDurations: () => "/nodes/dws_customer_value?tab=durations",
  nodeCoverage: () => "/nodes/dws_customer_value?tab=coverage&year=2025",
  nodeInstances: () => "/nodes/dws_customer_value?tab=instances",
  nodeDefinition: () => "/nodes/dws_daily_sales?tab=definition",
  graph: () => "/graph",
  wizard: () => "/backfills/new?root=ods_orders",
  wizardMassive: () => "/backfills/new?mode=massive&root=ods_customers&dates=2025-01-01..2025-01-20,2025-02-03..2025-03-31",
  backfills: () => "/backfills",
  backfill: (s) => `/backfills/${s.failed}`,
  "backfill-instances": (s) => `/backfills/${s.failed}?tab=instances`,
  "backfill-dates": (s) => `/backfills/${s.failed}?tab=dates&open=2025-02-03`,
  "backfill-failures": (s) => `/backfills/${s.failed}?tab=failures`,
  "backfill-receipt": (s) => `/backfills/${s.failed}?tab=receipt`,
  "backfill-map": (s) => `/backfills/${s.failed}?tab=map`,
  "backfill-operations": (s) => `/backfills/${s.paused}?tab=operations`,
  "backfill-request": (s) => `/backfills/${s.running}?tab=request`,
  instance: (s) => `/backfills/${s.failed}?instance=${s.failed}.16`,
  "instance-log": (s) => `/backfills/${s.failed}?instance=${s.failed}.16&instanceTab=log`,
  "instance-dependencies": (s) => `/backfills/${s.failed}?instance=${s.failed}.16&instanceTab=dependencies`,
  schedule: () => "/schedule",
  fleet: () => "/fleet",
  cluster: () => "/cluster",
  audit: () => "/audit",
  settings: () => "/settings",
};
const only = process.env["VIEWS"]?.split(",");
const looks = process.env["LOOKS"]?.split(",");

let seeded: Seeded;
test.beforeAll(async () => {
  seeded = await seed();
});

for (const [view, path] of Object.entries(views)) {
  if (only && !only.includes(view)) continue;
  test(`pictures of ${view}`, async ({ browser }) => {
    for (const width of [1440, 1024, 390]) {
      for (const colorScheme of ["light", "dark"] as const) {
        for (const locale of ["en-GB", "zh-CN"]) {
          if (width === 390 && (colorScheme === "dark" || locale === "zh-CN")) continue; // a phone: that it can be read
          const name = `${width}-${colorScheme}-${locale.slice(0, 2)}`;
          if (looks && !looks.includes(name)) continue;
          const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, locale, reducedMotion: "reduce" });
          const page = await context.newPage();
          const broken: string[] = [];
          page.on("pageerror", (error) => broken.push(error.message));
          await page.goto(path(seeded));
          await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
          await expect(page.getByRole("button", { name: /^(Account|账号)/ })).toBeVisible(); // comes after the view
          await expect(page.locator(".ant-spin-spinning, .ant-skeleton-active")).toHaveCount(0);
          await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
          await page.screenshot({ path: `../../.bin/page/pictures/${view}-${name}.png` });
          if ((width === 1440 && locale === "en-GB") || process.env["AXE"]) await accessible(page);
          expect(broken).toEqual([]);
          await context.close();
        }
      }
    }
  });
}
