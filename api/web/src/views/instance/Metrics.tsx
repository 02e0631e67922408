// What the code reported of itself, beside what the run before it did.
import { useTranslation } from "react-i18next";

import { Teach } from "../../ui/Failure.tsx";
import { InstanceLink } from "../../ui/links.tsx";
import { useNeighbours, type Detail } from "./read.ts";

export function Metrics({ detail }: { detail: Detail }) {
  const { t } = useTranslation("instance");
  const before = useNeighbours(detail.instance).data?.before;
  const metrics = detail.instance.metrics ?? [];
  if (!metrics.length) return <Teach title={t("metrics.none")}>{t("metrics.noneHint")} <code>{'echo "rows=42" >> "$BACKFLEET_METRICS"'}</code></Teach>;
  const earlier = new Map((before?.metrics ?? []).map((m) => [m.name, m.value]));
  return (
    <table className="compare" aria-label={t("tab.metrics")}>
      <thead>
        <tr>
          <th scope="col">{t("metrics.name")}</th><th scope="col">{detail.instance.date}</th>
          <th scope="col">{before ? <>{t("metrics.before")} <InstanceLink id={before.id}>{before.date}</InstanceLink></> : t("metrics.noBefore")}</th><th scope="col">{t("metrics.change")}</th>
        </tr>
      </thead>
      <tbody>
        {metrics.map((m) => <tr key={m.name}><th scope="row" className="mono">{m.name}</th><td className="mono">{m.value}</td><td className="mono">{earlier.get(m.name) ?? "–"}</td><td className="mono">{change(earlier.get(m.name), m.value)}</td></tr>)}
      </tbody>
    </table>
  );
}

/** How much a number grew: by how many, and by what part. */
function change(before: string | undefined, now: string): string {
  const [a, b] = [Number(before?.trim() || NaN), Number(now.trim() || NaN)];
  if (!Number.isFinite(a) || !Number.isFinite(b)) return before === undefined || before === now ? "–" : "≠";
  if (a === b) return "=";
  const sign = b > a ? "+" : "−";
  return `${sign}${Math.abs(b - a).toLocaleString()}${a ? ` (${sign}${Math.abs(((b - a) / a) * 100).toFixed(1)} %)` : ""}`;
}
