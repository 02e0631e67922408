// How long a node's runs took. Loaded when it is looked at, with the library that draws.
import { Spin } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema, type State } from "../../app/api.ts";
import { useInstanceDrawer } from "../../app/url.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { BackfillLink, InstanceLink } from "../../ui/links.tsx";
import { usePages } from "../../ui/pages.ts";
import { stateColor } from "../../ui/State.tsx";
import { Moment, span } from "../../ui/Time.tsx";
import { VirtualTable, type Column } from "../../ui/VirtualTable.tsx";
import { RunChart } from "./RunChart.tsx";

type Run = Schema<"Run">;

const bad = new Set<Run["state"]>(["failed", "timedOut", "lost"]);

/** The state that a run's end belongs to. */
export const stateOf = (run: Run): State => (run.state === "succeeded" || run.state === "skipped" ? "succeeded" : bad.has(run.state) ? "failed" : "notRunning");

export default function Durations({ node }: { node: string }) {
  const { t } = useTranslation("nodes");
  const [, open] = useInstanceDrawer();
  const runs = usePages<Run>(["instances", "runs", node], (cursor) => data(api.GET("/v1/nodes/{node}/runs", { params: { path: { node }, query: { cursor, limit: 500 } } })));
  if (runs.error && runs.items.length === 0) return <Failure error={runs.error} retry={runs.retry} />;
  if (runs.pending) return <Spin />;
  if (runs.items.length === 0) return <div className="panel"><Teach title={t("durations.empty")}>{t("durations.emptyText")}</Teach></div>;
  return (
    <div style={{ flex: 1, minHeight: 0, display: "flex", flexDirection: "column", gap: 12, overflow: "auto", paddingBottom: 16 }}>
      <Figures runs={runs.items} />
      <section className="panel" style={{ padding: 12 }}>
        <RunChart runs={runs.items} open={open} label={t("durations.chart")} />
        <p className="muted" style={{ margin: "4px 0 0", fontSize: 12 }}>{t("durations.shown", { count: runs.items.length })} · {t("durations.hint")}</p>
      </section>
      <Runs runs={runs.items} more={runs.more} />
    </div>
  );
}

function Figures({ runs }: { runs: Run[] }) {
  const { t } = useTranslation("nodes");
  const took = runs.filter((r) => stateOf(r) === "succeeded").map((r) => r.seconds).sort((a, b) => a - b);
  const at = (share: number) => span((took[Math.max(0, Math.ceil(took.length * share) - 1)] ?? 0) * 1000);
  const figures = [
    [t("durations.runs"), String(runs.length)], [t("durations.rate"), `${Math.floor((took.length / runs.length) * 1000) / 10} %`],
    ...(took.length ? [[t("durations.median"), at(0.5)], [t("durations.p95"), at(0.95)], [t("durations.longest"), at(1)]] : []),
  ];
  return (
    <dl className="row" style={{ gap: 32, margin: 0 }}>
      {figures.map(([name, value]) => <div key={name}><dt className="muted" style={{ fontSize: 12 }}>{name}</dt><dd style={{ margin: 0, fontSize: 18, fontWeight: 600 }}>{value}</dd></div>)}
    </dl>
  );
}

function Runs({ runs, more }: { runs: Run[]; more?: { load: () => void; loading: boolean } }) {
  const { t } = useTranslation("nodes");
  const columns = useMemo<Column<Run>[]>(() => [
    { key: "date", title: t("durations.date"), width: 110, render: (r) => r.date },
    { key: "state", title: t("durations.state"), width: 110, render: (r) => <span><span aria-hidden style={{ color: stateColor(stateOf(r)) }}>{stateOf(r) === "failed" ? "✕" : "●"}</span> {t(`attempt.${r.state}`)}</span> },
    { key: "took", title: t("durations.took"), width: 90, render: (r) => span(r.seconds * 1000) },
    { key: "attempts", title: t("durations.attempts"), width: 80, render: (r) => r.attempts },
    { key: "plan", title: t("durations.plan"), width: 160, render: (r) => <BackfillLink id={r.backfill}>{t(`plan.${r.kind}`)} {r.backfill}</BackfillLink> },
    { key: "instance", title: t("durations.instance"), width: 120, render: (r) => <InstanceLink id={r.instance} /> },
    { key: "ended", title: t("durations.ended"), width: 160, render: (r) => <Moment at={r.endedAt} /> },
  ], [t]);
  return <VirtualTable label={t("durations.runs")} columns={columns} items={runs} rowKey={(r) => r.instance} more={more} style={{ flex: "1 0 240px", maxHeight: 480 }} />;
}
