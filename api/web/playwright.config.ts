import { defineConfig } from "@playwright/test";

import { servers } from "./e2e/cluster.ts";

// Against a real cluster, which integration/page starts; with the system's Chromium.
export default defineConfig({
  testDir: "e2e",
  testMatch: "**/*.spec.ts",
  outputDir: "../../.bin/page/results",
  fullyParallel: false,
  workers: 2,
  retries: 0,
  // What is waited for comes within a second, but not on a machine that has other work.
  timeout: 300_000,
  expect: { timeout: 60_000 },
  reporter: [["list"]],
  use: {
    baseURL: servers[0],
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "UTC",
    colorScheme: "light",
    trace: "retain-on-failure",
    screenshot: "only-on-failure",
    launchOptions: { executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] },
  },
});
