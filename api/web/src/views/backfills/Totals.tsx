// What was generated, and the parts that it is the sum of (RULES R13.6).
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";

export type Part = "succeeded" | "setToSuccess" | "dryRun" | "failed" | "stopped" | "frozen" | "running" | "waiting";
export const parts: readonly Part[] = ["succeeded", "setToSuccess", "dryRun", "failed", "stopped", "frozen", "running", "waiting"];

export function Totals({ of }: { of: Schema<"ReceiptTotals"> }) {
  const { t } = useTranslation("backfills");
  return (
    <>
      <dl style={{ display: "flex", flexWrap: "wrap", gap: "8px 12px", margin: 0, alignItems: "center" }}>
        <Number label={t("total.generated")} value={of.generated} />
        <span className="muted" aria-hidden style={{ fontSize: 20 }}>=</span>
        {parts.map((part) => <Number key={part} label={t(`total.${part}`)} value={of[part]} dim={of[part] === 0} alarm={part === "failed" && of.failed > 0} />)}
      </dl>
      <div className="muted" style={{ marginTop: 8 }}>{t("overview.note", { asked: of.asked.toLocaleString(), bridges: of.bridges.toLocaleString() })}</div>
    </>
  );
}

function Number({ label, value, dim, alarm }: { label: string; value: number; dim?: boolean; alarm?: boolean }) {
  return (
    <div style={{ minWidth: 84 }} data-total={label}>
      <dt className="muted" style={{ fontSize: 12 }}>{label}</dt>
      <dd className={dim ? "muted" : undefined} style={{ margin: 0, fontSize: 20, ...(alarm ? { color: "var(--state-failed)" } : {}) }}>{value.toLocaleString()}</dd>
    </div>
  );
}
