import base from "../../playwright.config.ts";

// Measurements, not tests: run by hand on a quiet machine, with a cluster of one coordinator and no agents:
//     go run ./integration/page -coordinators 1 -agents 0 -- sh -c 'cd api/web && npx playwright test -c e2e/bench load canvas'
// and the log, which somebody has to write, with one agent: -agents 1 … npx playwright test -c e2e/bench log
export default { ...base, testDir: ".", testMatch: "**/*.bench.ts", outputDir: "../../../../.bin/page/bench", workers: 1, timeout: 300_000, expect: { timeout: 120_000 } };
