// The drawer of an instance: why it stands, its attempts, its log as it grows, what can be done to it.
import { readFile } from "node:fs/promises";

import { expect, test, type Locator, type Page } from "@playwright/test";

import { accessible } from "./accessible.ts";
import { api, apply, leader, member, open, servers, submit, until, waitsFor } from "./cluster.ts";

const drawerOf = (page: Page, id: string): Locator => page.getByRole("dialog", { name: `Instance ${id}` });

/** The instance of a node in a backfill, by its date. */
async function instanceOf(backfill: string, node: string): Promise<string> {
  const { data } = await api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill }, query: { node: [node] } } });
  const id = data?.items[0]?.id;
  if (!id) throw new Error(`${backfill} has no instance of ${node}`);
  return id;
}

async function inState(id: string, state: string): Promise<void> {
  await expect.poll(async () => (await api.GET("/v1/instances/{instance}", { params: { path: { instance: id } } })).data?.instance.state).toBe(state);
}

const unique = Date.now().toString(36);
const named = (name: string) => `inst_${name}_${unique}`;
const current = (root: string, date = "2025-03-01") => submit({ name: `instance test ${root}`, mode: "current", root, dates: [date] });

test("a log is watched while it is written, searched, and downloaded", async ({ page }) => {
  const node = named("log");
  // As it stands where a coordinator has cut a log.
  const cut = "backfleet: 4194304 bytes cleared here: the logs of finished attempts are cut to 3145728 bytes";
  await apply({
    id: node, schedule: { kind: "daily" }, params: [{ name: "dt", value: "${yyyymmdd}" }], environment: [{ name: "REGION", value: "eu" }],
    code: `for i in $(seq 1 20000); do echo "row $i of $dt"; done\necho "ERROR: the first of two"; echo "ERROR: the second"\necho "spilled to disk" >&2\necho "${cut}" >&2\nprintf '\\033[31mred\\033[0m and \\033]0;title\\007plain\\n'\n${waitsFor(`${node}-1`, "echo first gate")}${waitsFor(`${node}-2`, "echo the end; echo rows=20000 >> \"$BACKFLEET_METRICS\"")}`,
  });
  const id = await instanceOf(await current(node), node);
  await page.goto(`/settings?instance=${id}&instanceTab=log`);
  const drawer = drawerOf(page, id);
  const log = drawer.getByRole("log");
  await expect(log.getByText("red and plain")).toBeVisible();
  await expect(drawer.locator("[data-phase=following]")).toBeVisible();
  await expect(log.locator(".log-err", { hasText: "spilled to disk" })).toBeVisible();
  await expect(log.locator(".log-gap")).toHaveText(/were cleared here: logs of finished attempts are cut to 3 MB/);
  open(`${node}-1`);
  await expect(log.getByText("first gate")).toBeVisible();

  // Scrolled up it stands still though the log grows; earlier lines come as one comes near them.
  await log.hover();
  await page.mouse.wheel(0, -400);
  await expect(drawer.getByRole("switch", { name: "Follow" })).not.toBeChecked();
  await drawer.getByRole("button", { name: "To the start" }).click();
  await expect(log.getByText("row 1 of 20250301", { exact: true })).toBeVisible();
  open(`${node}-2`);
  await expect(drawer.locator("header [data-state=succeeded]")).toBeVisible();
  await expect(log.getByText("row 1 of 20250301", { exact: true })).toBeVisible();
  await drawer.getByRole("button", { name: "To the first error" }).click();
  await expect(log.locator(".log-at")).toHaveText("ERROR: the first of two");
  await drawer.getByRole("button", { name: "To the end" }).click();
  await expect(log.getByText("the end", { exact: true })).toBeVisible();
  await expect(drawer.locator("[data-phase=complete]")).toBeVisible();

  await drawer.getByRole("searchbox", { name: "Search the whole log" }).fill("row 77 of");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/find=row\+77\+of/);
  await expect(drawer.getByText("1 line matches", { exact: true })).toBeVisible();
  await drawer.getByRole("list", { name: "Lines found" }).getByRole("button").click();
  await expect(log.locator(".log-at")).toHaveText("row 77 of 20250301");
  await expect(log.locator(".log-at")).toBeInViewport();
  await drawer.getByRole("checkbox", { name: "Times" }).check();
  await expect(log.locator(".log-at time")).toBeVisible();
  await accessible(page);

  const [download] = await Promise.all([page.waitForEvent("download"), drawer.getByRole("link", { name: "Download" }).click()]);
  const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\n");
  expect(lines.filter((l) => l.includes("row ")).length).toBe(20000);
  expect(lines.at(-1)).toContain("the end");

  await drawer.getByRole("tab", { name: "Code and values" }).click();
  await expect(drawer.getByRole("row", { name: "dt 20250301 ${yyyymmdd}" })).toBeVisible();
  await expect(drawer.getByText("REGION", { exact: true })).toBeVisible();
  await drawer.getByRole("tab", { name: "Metrics" }).click();
  await expect(drawer.getByRole("row", { name: /^rows 20,?000/ })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(drawer).toBeHidden();
  await expect(page).toHaveURL(/\/settings$/);
});

test("a failure: its exact cause, a rerun, both attempts side by side", async ({ page }) => {
  const node = named("fail");
  const code = (then: string) => `echo checking\n${then}\n`;
  await apply({ id: node, schedule: { kind: "daily" }, code: code('echo rows=1 >> "$BACKFLEET_METRICS"; echo "no space left for $USER" >&2; exit 7') });
  const backfill = await current(node);
  const id = await instanceOf(backfill, node);
  await until(backfill, "failed");
  await page.goto(`/settings?instance=${id}`);
  const drawer = drawerOf(page, id);
  await expect(drawer.getByRole("alert")).toContainText(/has failed: .*7/);
  await expect(drawer.getByLabel("The end of stderr")).toContainText("no space left");

  // What it is not fit for says why, also to the keyboard.
  const freeze = drawer.getByRole("button", { name: "Freeze", exact: true });
  await expect(freeze).toBeDisabled();
  await freeze.focus();
  await expect(page.getByRole("tooltip", { name: /^Not now: / })).toBeVisible();

  await apply({ id: node, schedule: { kind: "daily" }, code: code('echo rows=2 >> "$BACKFLEET_METRICS"') });
  await drawer.getByRole("button", { name: "Rerun", exact: true }).click();
  const ask = page.getByRole("dialog", { name: `Rerun: ${node} of 2025-03-01` });
  await ask.getByLabel("Why? It is kept in the audit log.").fill("the disk is larger now");
  await ask.getByRole("button", { name: "Rerun" }).click();
  await expect(page.getByText("Rerun: done, 1 instance touched")).toBeVisible();
  await expect(drawer.locator("header [data-state=succeeded]")).toBeVisible();
  await expect(drawer.getByText("“the disk is larger now”")).toBeVisible();

  await drawer.getByRole("tab", { name: "Attempts (2)" }).click();
  const compared = drawer.getByRole("region", { name: "Side by side" });
  await expect(compared.getByRole("row", { name: /^Outcome .*Failed .*Succeeded/ })).toBeVisible();
  await expect(compared.getByRole("row", { name: /^Exit code 7 0/ })).toBeVisible();
  await expect(compared.getByRole("row", { name: /^Metric rows 1 2/ })).toBeVisible();
  await expect(compared.getByText("the code was changed between them")).toBeVisible();
  await accessible(page);
  await drawer.getByRole("button", { name: "Log of attempt 1" }).click();
  await expect(page).toHaveURL(/attempt=1/);
  await expect(drawer.getByRole("log").getByText("no space left")).toBeVisible();
});

test("what an instance waits for leads to what failed; it is set to success and all goes on", async ({ page }) => {
  const [bad, middle, last] = [named("bad"), named("middle"), named("last")];
  await apply(
    { id: bad, schedule: { kind: "daily" }, code: 'echo "table is locked" >&2; exit 3\n' },
    { id: middle, schedule: { kind: "daily" }, upstreams: [{ node: bad }], code: "echo middle\n" },
    { id: last, schedule: { kind: "daily" }, upstreams: [{ node: middle }], code: "echo last\n" },
  );
  const backfill = await submit({ name: "instance test chain", mode: "descendants", root: bad, dates: ["2025-03-01..2025-03-02"], groups: 2 });
  await until(backfill, "failed");
  const [id, root] = [await instanceOf(backfill, last), await instanceOf(backfill, bad)];
  await page.goto(`/settings?instance=${id}`);
  const drawer = drawerOf(page, id);
  await expect(drawer.getByText(`In the end because ${root} (${bad} of 2025-03-01) has failed`)).toBeVisible();
  const tree = drawer.getByRole("navigation", { name: "What it waits for" });
  await expect(tree.getByLabel("The end of stderr")).toContainText("table is locked");
  await tree.getByRole("button", { name: `Fold ${middle} 2025-03-01`, exact: true }).click();
  await expect(tree.getByText("table is locked")).toBeHidden();
  await tree.getByRole("button", { name: `Unfold ${middle} 2025-03-01`, exact: true }).click();
  await accessible(page);
  await tree.getByRole("button", { name: `${bad} 2025-03-01`, exact: true }).click();

  const failed = drawerOf(page, root);
  await failed.getByRole("tab", { name: "Dependencies" }).click();
  await expect(failed.getByRole("group", { name: "Downstream" }).getByRole("button", { name: `${middle} 2025-03-01, Not running` })).toBeVisible();
  await failed.getByRole("button", { name: "Run after" }).click();
  await expect(page.getByRole("dialog")).toContainText("2025-03-02");
  await page.getByRole("button", { name: "Run before" }).click();
  await failed.getByRole("button", { name: "Set to success" }).click();
  const ask = page.getByRole("dialog", { name: /^Set to success: / });
  await ask.getByRole("button", { name: "Set to success" }).click();
  await expect(ask.getByText("Say why: whoever looks later will want to know.")).toBeVisible();
  await ask.getByLabel("Why? It is kept in the audit log.").fill("the table is right");
  await ask.getByRole("button", { name: "Set to success" }).click();
  await expect(failed.locator("header").getByText("Set to success")).toBeVisible();
  await failed.getByRole("group", { name: "Downstream" }).getByRole("button", { name: `${middle} 2025-03-01` }).press("Enter");
  await page.getByText("List", { exact: true }).click();
  await expect(page.getByRole("dialog").getByRole("region", { name: "Downstream" }).getByRole("row", { name: `${last} 2025-03-01 Succeeded` })).toBeVisible();
});

test("freeze, unfreeze, priority, force run, stop", async ({ page }) => {
  const [first, second] = [named("gate"), named("held")];
  await apply({ id: first, schedule: { kind: "daily" }, code: waitsFor(first) }, { id: second, schedule: { kind: "daily" }, upstreams: [{ node: first }], code: waitsFor(second) });
  const backfill = await submit({ name: "instance test deeds", mode: "descendants", root: first, dates: ["2025-03-01"] });
  const [runs, waits] = [await instanceOf(backfill, first), await instanceOf(backfill, second)];
  await inState(runs, "running");
  await page.goto(`/settings?instance=${waits}`);
  const drawer = drawerOf(page, waits);
  const state = drawer.locator("header [data-state]").first();
  const act = async (name: string, fill?: () => Promise<void>) => {
    await drawer.getByRole("button", { name, exact: true }).click();
    const ask = page.getByRole("dialog", { name: new RegExp(`^${name}: `) });
    await fill?.();
    await ask.getByRole("button", { name, exact: true }).click();
    await expect(ask).toBeHidden();
  };
  await act("Freeze");
  await expect(state).toHaveText("Frozen");
  await expect(drawer.getByTestId("sentence")).toContainText("is held: ");
  await act("Unfreeze");
  await expect(state).toHaveText("Not running");
  await act("Force run", async () => page.getByRole("dialog", { name: /^Force run: / }).getByLabel("Why?").fill("its data is there"));
  await expect(state).toHaveText("Running");
  await expect(drawer.getByText("Forced to run", { exact: true })).toBeVisible();
  await act("Stop");
  await expect(state).toHaveText("Failed");
  await expect(drawer.getByText(/^forced to run by /)).toBeVisible();
  open(first);
  await until(backfill, "failed");
});

test("the coordinator that shows a log dies: no line is lost, none comes twice", async ({ page }) => {
  test.skip(servers.length < 2, "one coordinator alone cannot lose another");
  const node = named("kill");
  await apply({ id: node, schedule: { kind: "daily" }, code: `n=0\nuntil [ -e '${process.env["GATES"]}/${node}' ]; do n=$((n+1)); echo "tick $n"; sleep 0.02; done\necho "ticked $n"\n` });
  const id = await instanceOf(await current(node), node);
  await page.goto(`${servers[1]}/settings?instance=${id}&instanceTab=log`);
  const drawer = drawerOf(page, id);
  await expect(drawer.getByRole("log").getByText(/^tick \d{2,}$/).first()).toBeVisible();
  await member("kill", "c2");
  try {
    await expect(drawer.locator("[data-phase=broken]")).toBeVisible();
    await leader();
  } finally {
    await member("start", "c2");
  }
  await expect(drawer.locator("[data-phase=following]")).toBeVisible();
  open(node);
  await expect(drawer.locator("[data-phase=complete]")).toBeVisible();
  const total = Number((await drawer.getByRole("log").getByText(/^ticked \d+$/).innerText()).split(" ")[1]);
  await expect(drawer.locator("[data-phase=complete]")).toContainText(`${(total + 1).toLocaleString("en-GB")} lines loaded`);
  // What is held, line by line.
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: servers[1] });
  await drawer.getByRole("button", { name: "Copy the lines" }).click();
  await expect(page.getByText(`${total + 1} lines copied`)).toBeVisible();
  const text = await page.evaluate(() => navigator.clipboard.readText());
  expect(text.trimEnd().split("\n")).toEqual([...Array.from({ length: total }, (_, k) => `tick ${k + 1}`), `ticked ${total}`]);
});
