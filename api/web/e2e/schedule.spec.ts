// Auto instances: the schedule's days, and one of them steered as a backfill is.
import { expect, test } from "@playwright/test";

import { accessible } from "./accessible.ts";
import { api, apply } from "./cluster.ts";
import { data } from "../src/api/client.ts";

test("today's instances are found, frozen and let go, and the day is a plan", async ({ page }) => {
  // In its zone the day is eleven hours behind: what is due at 23:00 there is never past here.
  const late = { kind: "daily" as const, at: "23:00:00", zone: "Pacific/Pago_Pago", auto: true };
  await apply(
    { id: "sch_late", owner: "sch_ann", schedule: late, code: "echo late\n" },
    { id: "sch_after", owner: "sch_bo", upstreams: [{ node: "sch_late" }], schedule: late, code: "echo after\n" },
  );
  const { today } = await data(api.GET("/v1/cluster"));
  const yesterday = new Date(Date.parse(today) - 86_400_000).toISOString().slice(0, 10);
  const made = async () => (await api.GET("/v1/schedule/{date}", { params: { path: { date: yesterday } } }).catch(() => undefined))?.data?.plan;
  await expect.poll(async () => (await made())?.counts.total ?? 0).toBeGreaterThanOrEqual(2);

  await page.goto("/schedule");
  await expect(page.getByText("Instances are generated through data timestamp")).toBeVisible();
  const day = page.getByRole("region", { name: yesterday, exact: true });
  await expect(day.getByRole("heading", { name: yesterday })).toBeVisible();
  await expect(page.getByRole("button", { name: `Show ${yesterday}` })).toHaveAttribute("aria-current", "date");
  await page.getByRole("textbox", { name: "Node name or id contains" }).fill("sch_");
  await expect(page).toHaveURL(/node=sch_/);
  await expect(day.getByRole("row", { name: "sch_late" })).toContainText("Waiting for its time");
  await accessible(page);

  // The same tools as in a backfill, and what they do is seen without a reload.
  const id = (await day.getByRole("row", { name: "sch_late" }).getByRole("button").first().textContent()) ?? "";
  const tick = day.getByRole("checkbox", { name: id });
  for (const [name, then] of [["Freeze", "Frozen"], ["Unfreeze", "Waiting for its time"]] as const) {
    await tick.check();
    await page.getByRole("toolbar").getByRole("button", { name, exact: true }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: /^Why/ }).fill("looked at on Monday");
    await dialog.getByRole("button", { name: new RegExp(`${name}$`) }).click();
    await expect(dialog).toBeHidden();
    await expect(day.getByRole("row", { name: "sch_late" })).toContainText(then);
  }

  // Filters are in the address; one that lets nothing through says so.
  await page.goto(`/schedule?date=${yesterday}&node=sch_&owner=sch_bo`);
  await expect(day.getByRole("row", { name: "sch_after" })).toBeVisible();
  await expect(day.getByRole("row", { name: "sch_late" })).toHaveCount(0);
  await page.goto(`/schedule?date=${yesterday}&node=sch_&type=sql`);
  await expect(page.getByText("This day holds no instance that the filters let through")).toBeVisible();
  await page.goto("/schedule?date=2001-01-01");
  await expect(page.getByText("There are no instances for 2001-01-01")).toBeVisible();

  // The day is a plan like a backfill's.
  await page.getByRole("button", { name: `Show ${yesterday}` }).click();
  await day.getByRole("link", { name: "Plan of the day" }).click();
  await expect(page).toHaveURL(new RegExp(`/backfills/${(await made())?.id}$`));
  await expect(page.getByRole("heading", { level: 1 })).toContainText(`schedule_${yesterday.replaceAll("-", "")}`);
});
