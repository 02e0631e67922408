import { pathToFileURL } from "node:url";

import { expect, test, type Page } from "@playwright/test";

import { api, apply, open, submit, waitsFor } from "./cluster.ts";
import { data } from "../src/api/client.ts";

const canvas = (page: Page) => page.getByRole("application", { name: /Dependency graph/ });
const option = (page: Page, node: string) => page.locator(".ant-select-item-option", { hasText: `${node} · graph ${node}` });
const panel = (page: Page) => page.getByRole("complementary", { name: "List" });

// cg_src → cg_left, cg_right → cg_end; cg_left fails on one date, cg_right waits for a gate.
test.beforeAll(async () => {
  const node = (id: string, workspace: string, owner: string, upstreams: string[], code = "true\n") => ({ id, name: `graph ${id}`, workspace, owner, upstreams: upstreams.map((n) => ({ node: n })), code });
  await apply(
    node("cg_src", "cgin", "cgann", []),
    node("cg_left", "cgout", "cgbo", ["cg_src"], "exit 3\n"),
    node("cg_right", "cgout", "cgbo", ["cg_src"], waitsFor("cg")),
    node("cg_end", "cgout", "cgann", ["cg_left", "cg_right"]),
  );
});

test("the graph is searched, walked and expanded, and leads to a backfill", async ({ page }) => {
  await page.goto("/graph?node=cg_left&up=0&down=0");
  await expect(page.getByText("1 nodes, 0 edges")).toBeVisible();
  await page.getByRole("button", { name: "Upstream levels +1", exact: true }).click();
  await page.getByRole("button", { name: "Downstream levels All" }).click();
  await expect(page.getByText("3 nodes, 2 edges")).toBeVisible();
  await expect(page).toHaveURL(/down=all/);

  // By keys: the search chooses a node, arrows follow edges, the list says the same in words.
  await page.getByLabel("Find a node and jump to it").fill("cg_src");
  await option(page, "cg_src").click();
  await expect(panel(page).getByRole("heading", { name: "cg_src" })).toBeVisible();
  await expect(panel(page).getByRole("heading", { name: "Downstream (2)" })).toBeVisible();
  await canvas(page).press("ArrowRight");
  await expect(panel(page).getByRole("heading", { name: "cg_left" })).toBeVisible();
  await expect(page).toHaveURL(/chosen=cg_left/);
  await canvas(page).press("m");
  await page.getByRole("menuitem", { name: "Choose all downstreams" }).click();
  await expect(panel(page).getByRole("heading", { name: "2 nodes chosen" }).first()).toBeVisible();
  await canvas(page).press("m");
  await page.getByRole("menuitem", { name: "Put into the basket" }).click();
  await page.getByRole("button", { name: "Whole graph" }).click();
  await expect(page).not.toHaveURL(/node=/);

  // By mouse: the node that was jumped to is in the middle.
  await page.getByLabel("Find a node and jump to it").fill("cg_right");
  await option(page, "cg_right").click();
  await expect(panel(page).getByRole("heading", { name: "cg_right" })).toBeVisible();
  // Others add nodes meanwhile: what is in the middle stays there.
  const laid = async () => Number(await page.locator("[data-laid]").getAttribute("data-laid"));
  const before = await laid();
  await apply({ id: "ca_new1", code: "true\n" }, ...["ca_new2", "ca_new3"].map((id) => ({ id, code: "true\n", upstreams: [{ node: "ca_new1" }] })));
  await expect.poll(laid).toBeGreaterThanOrEqual(before + 3);
  await canvas(page).click({ button: "right" });
  await page.getByRole("menuitem", { name: "Chain from here to …" }).click();
  await expect(page.getByText("Chain from cg_right")).toBeVisible();
  await panel(page).getByRole("button", { name: /cg_end/ }).first().click();
  await canvas(page).click();
  await expect(page).toHaveURL(/backfills\/new\?.*mode=chain/);
  await expect(page).toHaveURL(/root=cg_right&end=cg_end/);
});

test("states are live, groups fill the basket, the picture is saved", async ({ page }) => {
  const backfill = await submit({ name: "cg states", mode: "descendants", root: "cg_src", dates: ["2024-05-01..2024-05-02"], groups: 2, onFailure: "continue" });
  await page.goto(`/graph?workspace=cgin,cgout&plan=${backfill}`);
  await expect(page.getByText("4 nodes, 4 edges")).toBeVisible();
  const legend = (words: string) => page.getByText(new RegExp(`${words}$`));
  await expect(legend("Running 1")).toBeVisible();
  await page.getByRole("combobox", { name: "Of the date" }).click();
  await page.getByTitle("2024-05-02", { exact: true }).click();
  await expect(page).toHaveURL(/date=2024-05-02/);
  open("cg");
  await expect(legend("Running 1")).toHaveCount(0);
  await expect(legend("Failed 1")).toBeVisible();

  await page.getByRole("combobox", { name: "Group by" }).click();
  await page.getByTitle("By owner").click();
  await page.getByRole("checkbox", { name: "cgbo, 2 nodes" }).check();
  await expect(page.getByRole("button", { name: /Basket/ })).toBeVisible();
  await expect.poll(() => page.evaluate(() => localStorage.getItem("backfleet.basket"))).toContain("cg_left");
  const save = async (as: string) => {
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByRole("menuitem", { name: as }).click();
    return saved;
  };
  expect((await save("PNG")).suggestedFilename()).toBe("graph.png");
  const drawing = await save("SVG");
  expect(drawing.suggestedFilename()).toBe("graph.svg");
  const file = test.info().outputPath("graph.svg");
  await drawing.saveAs(file);
  const opened = await page.context().newPage();
  await opened.goto(pathToFileURL(file).href);
  await expect(opened.getByText("cg_left", { exact: true })).toBeVisible();
  await expect(opened.locator("g[data-state=failed]")).toHaveCount(1);
  await expect(opened.locator("path.edge")).toHaveCount(1);
  await opened.close();
  expect((await data(api.GET("/v1/graph", { params: { query: { workspace: ["cgin", "cgout"] } } }))).edges).toHaveLength(8);
});
