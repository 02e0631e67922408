// A small warehouse with backfills in every state, for pictures and for looking around:
//     go run ./integration/page -- sh -c 'cd api/web && node e2e/seed.ts && echo $BACKFLEET_SERVERS && cat'
import { newKey } from "../src/api/client.ts";
import { api, apply, submit, until, waitsFor } from "./cluster.ts";

const layers: [string, string[]][] = [
  ["ods", ["orders", "customers", "products", "payments", "shipments", "clicks", "stores", "refunds"]],
  ["dwd", ["orders", "customers", "products", "payments", "shipments", "sessions", "refunds"]],
  ["dws", ["daily_sales", "customer_value", "store_sales", "funnel", "returns"]],
  ["ads", ["sales_report", "finance_report", "marketing_report", "executive_board"]],
];
const names: Record<string, string> = { orders: "订单明细", customers: "客户信息", daily_sales: "每日销售汇总", sales_report: "Sales report", executive_board: "Executive board" };
/** Of layers that have one, with its priority. */
const baselines: Record<string, { baseline: string; priority: number } | undefined> = { ads: { baseline: "morning-reports", priority: 7 }, dws: { baseline: "summaries", priority: 5 } };
const owners = ["ann", "bo", "chen", "dana"];

/** Applies the nodes and submits the backfills; gives the ids of these. */
export async function seed(): Promise<Record<"done" | "failed" | "running" | "frozen" | "paused", string>> {
  const nodes: Parameters<typeof apply> = [];
  let before: string[] = [];
  let n = 0;
  for (const [layer, tables] of layers) {
    const ids = tables.map((table) => `${layer}_${table}`);
    for (const [i, id] of ids.entries()) {
      const table = tables[i] ?? "";
      const same = before.find((b) => b.endsWith(`_${table}`));
      const upstreams = layer === "ods" ? [] : same ? [same] : [before[i % before.length] ?? "", before[(i * 3 + 1) % before.length] ?? ""].filter((v, j, all) => all.indexOf(v) === j);
      nodes.push({
        id, name: names[table] ?? table.replaceAll("_", " "), workspace: layer === "ods" ? "ingest" : layer === "ads" ? "reports" : "warehouse", owner: owners[n++ % owners.length],
        description: `One partition of ${layer}.${table} a day.`, ...baselines[layer],
        upstreams: upstreams.map((node) => ({ node })), params: [{ name: "dt", value: "${yyyymmdd}" }],
        schedule: { kind: "daily", at: `0${1 + Math.floor(n / 8)}:${String((n * 7) % 60).padStart(2, "0")}:00`, auto: layer !== "ads" },
        code: codeOf(id, layer, table),
      });
    }
    before = ids;
  }
  await apply(...nodes);
  const year = { from: "2025-01-01", to: "2025-01-31" };
  const done = await submit({ name: "January again: new tax rule", mode: "descendants", root: "ods_orders", dates: [`${year.from}..${year.to}`], groups: 8 });
  const failed = await submit({ name: "Customers after the merge", mode: "descendants", root: "ods_customers", dates: ["2025-02-01..2025-02-14"], groups: 7, onFailure: "continue" });
  await until(done, "succeeded");
  await until(failed, "failed");
  const running = await submit({ name: "Payments 2024", mode: "descendants", root: "ods_payments", dates: ["2024-01-01..2024-06-30"], groups: 4 });
  const frozen = await submit({ name: "Products, kept for review", mode: "current", root: "ods_products", dates: ["2024-03-01..2024-03-10"], groups: 1, notBefore: "2030-01-01T00:00:00Z" });
  const paused = await submit({ name: "Clicks, when there is room", mode: "descendants", root: "ods_clicks", dates: ["2024-05-01..2024-05-20"], groups: 2 });
  await api.POST("/v1/backfills/{backfill}/pause", { params: { path: { backfill: paused }, header: { "Idempotency-Key": newKey() } }, body: { why: "the night's runs first" } });
  await api.POST("/v1/backfills/{backfill}/freeze", { params: { path: { backfill: frozen }, header: { "Idempotency-Key": newKey() } }, body: { why: "reviewed on Monday" } });
  return { done, failed, running, frozen, paused };
}

function codeOf(id: string, layer: string, table: string): string {
  const lines = [`# ${layer}.${table}, partition \${yyyymmdd}`, `echo "writing ${layer}.${table} dt=$dt"`];
  if (id === "dws_customer_value") lines.push('case "$dt" in 2025020[36]) echo "duplicate key customer_id=4711" >&2; exit 3 ;; esac');
  if (id === "dwd_payments") lines.push(waitsFor("payments", "echo paid"));
  lines.push('for i in 1 2 3; do echo "batch $i of 3: $(($$ % 89 * 101 + i)) rows"; sleep 0.0$(($$ % 7)); done');
  return lines.join("\n") + "\n";
}

if (process.argv[1]?.endsWith("seed.ts")) console.log(await seed());
