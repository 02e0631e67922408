// A coordinator of its own that asks who one is: logging in and out, a session that ends
// while one works, what a viewer may not.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test, type Page } from "@playwright/test";

import { createClient, data, newKey } from "../src/api/client.ts";
import { accessible } from "./accessible.ts";
import { servers } from "./cluster.ts";

const secret = "the-admin-of-these-tests";
let coordinator: ChildProcess | undefined;
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
  const [http, rpc, raft] = [await freePort(), await freePort(), await freePort()];
  home = `http://127.0.0.1:${http}`;
  coordinator = spawn(process.env["BACKFLEET"] ?? "", ["coordinator", "--id", "login", "--data", join(dir, "data"), "--bootstrap", "--cluster-name", "night-shift", "--token-file", join(dir, "tokens"), "--http", `127.0.0.1:${http}`, "--rpc", `127.0.0.1:${rpc}`, "--raft", `127.0.0.1:${raft}`], { stdio: "ignore" });
  await expect.poll(async () => (await fetch(`${home}/readyz`).catch(() => undefined))?.status).toBe(200);
});

test.afterAll(() => {
  coordinator?.kill("SIGTERM");
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
    await route.fulfill({ response: await route.fetch({ url: `${servers[0]}${url.pathname}${url.search}` }) });
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
