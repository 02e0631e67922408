import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// Compressed once, as well as it goes, rather than by each coordinator for each browser.
function compressed(): Plugin {
  let dist = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => void (dist = resolve(config.root, config.build.outDir)),
    closeBundle() {
      const assets = join(dist, "assets");
      for (const name of readdirSync(assets)) {
        const plain = readFileSync(join(assets, name));
        writeFileSync(join(assets, `${name}.br`), brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } }));
      }
    },
  };
}

// The page is built into dist/, which is committed and embedded: Go alone builds
// the product. Names have a hash of their contents, so browsers keep them for good.
export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.json" }, // ops/notices holds them against its list
    chunkSizeWarningLimit: 1500,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "library", test: /node_modules[\\/](antd|@ant-design|@rc-component|rc-[a-z-]+|react|react-dom|scheduler|@tanstack|i18next|react-i18next|dayjs)[\\/]/ },
          ],
        },
      },
    },
  },
  // `npm run dev` beside a coordinator: `BACKFLEET_SERVER=http://127.0.0.1:8080 npm run dev`.
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/login", "/docs", "/openapi.json", "/openapi.yaml", "/healthz", "/readyz"].map((path) => [path, process.env["BACKFLEET_SERVER"] ?? "http://127.0.0.1:8080"]),
    ),
  },
  test: { include: ["test/**/*.test.ts"] },
});
