import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

import { compressed } from "./bundle.ts";

// The page is built into dist/, which is committed and embedded: Go alone builds
// the product. Names have a hash of their contents, so browsers keep them for good.
export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // The first view is one part with all that it stands on, rather than thirty small ones; the
        // others are split by what they use. What begins to load all that waits for none of it.
        codeSplitting: {
          groups: [
            { name: "boot", test: /app[\\/]stored\.ts$|vite[\\/]preload-helper/, priority: 2 },
            { name: "kit", test: /src[\\/](ui[\\/](say|pages|links|Page|Time|State|VirtualTable|Failure)|app[\\/](api|basket|live|me|preferences|today|url))\.tsx?$/, priority: 1 },
            { name: "signs", test: /@ant-design[\\/]icons(-svg)?[\\/]/ },
          ],
        },
      },
    },
    license: { fileName: "licenses.json" }, // ops/notices holds them against its list
  },
  // `npm run dev` beside a coordinator: `BACKFLEET_SERVER=http://127.0.0.1:8080 npm run dev`.
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/login", "/docs", "/openapi.json", "/openapi.yaml", "/healthz", "/readyz"].map((path) => [path, process.env["BACKFLEET_SERVER"] ?? "http://127.0.0.1:8080"]),
    ),
  },
  test: { include: ["test/**/*.test.ts"] },
});
