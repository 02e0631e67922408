import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The page is built into dist/, which is committed and embedded: Go alone builds
// the product. Names have a hash of their contents, so browsers keep them for good.
export default defineConfig({
  plugins: [react()],
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
