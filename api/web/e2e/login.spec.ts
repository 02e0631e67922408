// A coordinator of its own that asks who one is: logging in and out, a session that ends
// while one works, what a viewer may not.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, statSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test, type Page } from "@playwright/test";

import { createClient, data, newKey } from "../src/api/client.ts";
import { accessible } from "./accessible.ts";
import { servers } from "./cluster.ts";
import { clientId, provider } from "./provider.ts";

const secret = "the-admin-of-these-tests";
let coordinator: ChildProcess | undefined;
let people: Server | undefined;
let home = "";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test.beforeAll(async () => {
  const dir = mkdtempSync(join(tmpdir(), "login-"));
  writeFileSync(join(dir, "tokens"), `root:${secret} role=admin\n`, { mode: 0o600 });
  const { issuer, server } = await provider({ olga: ["night-crew"], gustav: ["guests"] });
  people = server;
  const [http, rpc, raft] = [await freePort(), await freePort(), await freePort()];
  home = `http://127.0.0.1:${http}`;
  coordinator = spawn(process.env["BACKFLEET"] ?? "", ["coordinator", "--id", "login", "--data", join(dir, "data"), "--bootstrap", "--cluster-name", "night-shift", "--token-file", join(dir, "tokens"), "--oidc-issuer", issuer, "--oidc-client-id", clientId, "--oidc-roles", "night-crew=operator", "--http", `127.0.0.1:${http}`, "--rpc", `127.0.0.1:${rpc}`, "--raft", `127.0.0.1:${raft}`], { stdio: "ignore" });
  await expect.poll(async () => (await fetch(`${home}/readyz`).catch(() => undefined))?.status).toBe(200);
});

test.afterAll(() => {
  coordinator?.kill("SIGTERM");
  people?.close();
});

const admin = () => createClient({ baseUrl: home, token: secret });
const header = () => ({ "Idempotency-Key": newKey() });

async function token(user: string): Promise<{ id: string; token: string }> {
  const made = await data(admin().POST("/v1/tokens", { params: { header: header() }, body: { user } }));
  return { id: made.details.id, token: made.token };
}

/** The page that is tested may stand before the other coordinators (integration/page -page). */
async function samePage(page: Page): Promise<void> {
  await page.route((url) => url.origin === home && !/^\/(v1|login)\//.test(url.pathname), async (route) => {
    const url = new URL(route.request().url());
    const response = await route.fetch({ url: `${servers[0]}${url.pathname}${url.search}` });
    // Behind a redirect the coordinator shows its own page, whose parts only it has.
    await (response.status() === 404 ? route.continue() : route.fulfill({ response }));
  });
}

async function login(page: Page, shown: string): Promise<void> {
  await page.getByLabel("API token").fill(shown);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
}

test("one logs in, works as a viewer, is asked again when the session ends, and logs out", async ({ page }) => {
  await data(admin().PUT("/v1/users/{user}", { params: { path: { user: "vera" }, header: header() }, body: { role: "viewer" } }));
  const first = await token("vera");
  await samePage(page);
  await page.goto(`${home}/fleet?tab=groups`);
  await expect(page.getByRole("heading", { name: "Log in to night-shift" })).toBeVisible();
  await accessible(page);
  await login(page, "wrong");
  await expect(page.getByRole("alert")).toBeVisible();
  await login(page, first.token);

  // Where one wanted to go, with what one may not greyed out and explained.
  await expect(page.getByRole("heading", { level: 1, name: "Fleet" })).toBeVisible();
  const create = page.getByRole("button", { name: "New group" });
  await expect(create).toBeDisabled();
  await create.hover({ force: true });
  await expect(page.getByText("Your role here, viewer, may not do this")).toBeVisible();
  await page.getByRole("tab", { name: "Join tokens" }).click();
  await expect(page.getByText("Join tokens are for operators")).toBeVisible();
  await page.getByRole("link", { name: "Audit" }).click();
  await expect(page.getByText("The audit is for operators")).toBeVisible();

  // A token of one's own: made, shown once, revoked.
  await page.goto(`${home}/settings?tab=tokens`);
  await page.getByRole("button", { name: "New token" }).click();
  const form = page.getByRole("dialog", { name: "New token" });
  await form.getByLabel("Description").fill("for the nightly check");
  await form.getByRole("button", { name: "New token" }).click();
  const shown = page.getByRole("dialog", { name: "This is shown only now" });
  const made = (await shown.getByLabel("Token", { exact: true }).textContent()) ?? "";
  await shown.getByRole("button", { name: "I have copied it" }).click();
  const mine = createClient({ baseUrl: home, token: made });
  expect((await data(mine.GET("/v1/me"))).name).toBe("vera");
  const row = page.getByRole("row", { name: /for the nightly check/ });
  await row.getByRole("button", { name: /^Revoke/ }).click();
  await page.getByRole("dialog", { name: "Revoke" }).getByRole("button", { name: "Revoke" }).click();
  await expect(row).toHaveCount(0);
  await expect(mine.GET("/v1/me")).rejects.toMatchObject({ code: "unauthenticated" });

  // The session ends while one works: the login is over the page, and one is back where one was.
  await page.goto(`${home}/fleet?tab=agents&q=rack-4`);
  await expect(page.getByText("No agent is like this")).toBeVisible();
  const second = await token("vera");
  await data(admin().DELETE("/v1/tokens/{token}", { params: { path: { token: first.id }, header: header() } }));
  await expect(page.getByRole("heading", { name: "Log in to night-shift" })).toBeVisible();
  await login(page, second.token);
  await expect(page.getByRole("heading", { name: "Log in to night-shift" })).toHaveCount(0);
  await expect(page).toHaveURL(`${home}/fleet?tab=agents&q=rack-4`);
  await expect(page.getByLabel("Search by id or host")).toHaveValue("rack-4");

  await page.getByRole("button", { name: "Account" }).click();
  await expect(page.getByText("vera · viewer")).toBeVisible();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in to night-shift" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: "Log in to night-shift" })).toBeVisible();

  // The admin sees what vera did.
  await login(page, secret);
  await page.goto(`${home}/audit?actor=vera`);
  await expect(page.getByRole("row", { name: /revokeToken/ }).first()).toBeVisible();
});

test("one logs in at the provider, comes back to where one was going, and whom it gives no role stays outside", async ({ page }) => {
  await samePage(page);
  await page.goto(`${home}/fleet?tab=tokens`);
  await page.getByRole("link", { name: "Log in with your company's account" }).click();
  await expect(page.getByRole("heading", { name: "Who are you?" })).toBeVisible();
  await page.getByRole("link", { name: "olga" }).click();
  await expect(page).toHaveURL(`${home}/fleet?tab=tokens`);
  // What an operator may.
  await expect(page.getByRole("button", { name: "New join token" })).toBeEnabled();
  await page.getByRole("button", { name: "Account" }).click();
  await expect(page.getByText("olga · operator")).toBeVisible();
  // An admin ends what she is logged in by: the page asks again, and she goes on where she was.
  const { items } = await data(admin().GET("/v1/tokens", { params: { query: { user: "olga" } } }));
  expect(items).toHaveLength(1);
  await data(admin().DELETE("/v1/tokens/{token}", { params: { path: { token: items[0]?.id ?? "" }, header: header() } }));
  await expect(page.getByRole("heading", { name: "Log in to night-shift" })).toBeVisible();
  await page.getByRole("link", { name: "Log in with your company's account" }).click();
  await page.getByRole("link", { name: "olga" }).click();
  await expect(page).toHaveURL(`${home}/fleet?tab=tokens`);
  await expect(page.getByRole("button", { name: "New join token" })).toBeEnabled();
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in to night-shift" })).toBeVisible();

  await page.getByRole("link", { name: "Log in with your company's account" }).click();
  await page.getByRole("link", { name: "gustav" }).click();
  await expect(page.getByText(/gives no role here/)).toBeVisible();
  expect((await page.request.get(`${home}/v1/me`)).status()).toBe(401);
});

test("an admin adds a user and a data source, gives another role, saves a backup; the user is let do what the role may", async ({ page, browser }) => {
  await samePage(page);
  await page.goto(`${home}/settings?tab=users`);
  await login(page, secret);
  await page.getByRole("button", { name: "New user" }).click();
  const form = page.getByRole("dialog", { name: "New user" });
  await form.getByLabel("Name", { exact: true }).fill("nora");
  await form.getByRole("button", { name: "Save" }).click();
  const row = page.getByRole("row", { name: /^nora/ });
  await expect(row).toContainText("Viewer");

  // She sees how the cluster stands; what she may not do there is greyed out.
  const context = await browser.newContext();
  const hers = await context.newPage();
  await samePage(hers);
  await hers.goto(`${home}/cluster`);
  await login(hers, (await token("nora")).token);
  const save = hers.getByRole("button", { name: "Save a backup" });
  await expect(save).toBeDisabled();
  await save.hover({ force: true });
  await expect(hers.getByText("Your role here, viewer, may not do this")).toBeVisible();
  await expect(hers.getByRole("button", { name: "Remove login from the cluster?" })).toBeDisabled();
  await expect(hers.getByRole("button", { name: "Make login the leader?" })).toBeDisabled();

  await page.getByRole("button", { name: "Edit nora" }).click();
  const edit = page.getByRole("dialog", { name: "Edit nora" });
  await edit.getByLabel("Role").click();
  await page.getByTitle("Operator", { exact: true }).click();
  await edit.getByLabel("Why?").fill("she takes the night shift");
  await edit.getByRole("button", { name: "Save" }).click();
  await expect(row).toContainText("Operator");
  await hers.goto(`${home}/audit?target=nora`);
  await expect(hers.getByRole("row", { name: /she takes the night shift/ })).toBeVisible();

  await page.getByRole("tab", { name: "Data sources" }).click();
  await page.getByRole("button", { name: "New data source" }).click();
  const source = page.getByRole("dialog", { name: "New data source" });
  await source.getByLabel("Name", { exact: true }).fill("shop-replica");
  await source.getByLabel("Host").fill("db.example");
  await source.getByLabel("Database").fill("shop");
  await source.getByRole("button", { name: "Save" }).click();
  await expect(source.getByText("Please enter User")).toBeVisible();
  await source.getByRole("textbox", { name: "User" }).fill("reader");
  await source.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("row", { name: /^shop-replica/ })).toContainText("db.example");
  await page.getByRole("button", { name: "Remove shop-replica" }).click();
  await page.getByRole("dialog", { name: "Remove" }).getByRole("button", { name: "Remove" }).click();
  await expect(page.getByRole("row", { name: /^shop-replica/ })).toHaveCount(0);

  await page.getByRole("link", { name: "Cluster" }).click();
  await page.getByRole("button", { name: "Save a backup" }).click();
  const dialog = page.getByRole("dialog", { name: "Save a backup of the cluster" });
  await accessible(page);
  const [saved] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("link", { name: "Download" }).click()]);
  expect(saved.suggestedFilename()).toMatch(/\.snapshot$/);
  expect(statSync(await saved.path()).size).toBeGreaterThan(0);
  await expect(page.getByRole("button", { name: "Remove login from the cluster?" })).toBeDisabled(); // the only one that votes

  // Removed, she is asked who she is.
  await page.goto(`${home}/settings?tab=users`);
  await page.getByRole("button", { name: "Remove nora" }).click();
  await page.getByRole("dialog", { name: "Remove" }).getByRole("button", { name: "Remove" }).click();
  await expect(row).toHaveCount(0);
  await hers.reload();
  await expect(hers.getByRole("heading", { name: "Log in to night-shift" })).toBeVisible();
  await context.close();
});
