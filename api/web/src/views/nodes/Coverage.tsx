import { LeftOutlined, RightOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Spin, Tooltip } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useMay } from "../../app/me.ts";
import { useToday } from "../../app/today.ts";
import { list, number, useInstanceDrawer, useUrl } from "../../app/url.ts";
import { Failure } from "../../ui/Failure.tsx";
import { stateColor, states } from "../../ui/State.tsx";
import { Calendar, sign, type Covered } from "./Calendar.tsx";
import { between, ranges } from "./dates.ts";
import { useWizard } from "./modes.ts";

const fields = { year: number(0) };

/** What has become of each data timestamp of a year; what is missing can be backfilled. */
export function Coverage({ node }: { node: string }) {
  const { t } = useTranslation("nodes");
  const today = useToday();
  const [at, go] = useUrl(fields);
  const year = at.year || Number(today?.yesterday.slice(0, 4));
  const coverage = useQuery({
    queryKey: ["instances", "coverage", node, year],
    enabled: today !== undefined,
    queryFn: () => data(api.GET("/v1/nodes/{node}/coverage", { params: { path: { node }, query: { date_from: `${year}-01-01`, date_to: `${year}-12-31` } } })),
  });
  const [chosen, choose] = useState<[string, string]>();
  const [, open] = useInstanceDrawer();
  const by = useMemo<Covered>(() => new Map(coverage.data?.items.map((c) => [c.date, c])), [coverage.data]);
  if (!today || coverage.isPending) return coverage.error ? <Failure error={coverage.error} retry={() => void coverage.refetch()} /> : <Spin />;
  const turn = (to: number) => {
    choose(undefined);
    go({ year: to });
  };
  return (
    <div style={{ overflow: "auto", paddingBottom: 16 }}>
      {coverage.error ? <Failure error={coverage.error} retry={() => void coverage.refetch()} /> : null}
      <div className="row" style={{ marginBottom: 12 }}>
        <Button icon={<LeftOutlined />} aria-label={t("coverage.before")} onClick={() => turn(year - 1)} />
        <strong style={{ fontSize: 16 }}>{year}</strong>
        <Button icon={<RightOutlined />} aria-label={t("coverage.after")} onClick={() => turn(year + 1)} />
        <Share year={year} yesterday={today.yesterday} by={by} />
      </div>
      <section className="panel" style={{ overflow: "auto", opacity: coverage.isPlaceholderData ? 0.5 : 1 }}>
        <Calendar year={year} late={today.yesterday} by={by} chosen={chosen} choose={choose} open={(date) => { const instance = by.get(date)?.instance; if (instance) open(instance); else choose([date, date]); }} />
      </section>
      <Key />
      {coverage.data?.incomplete ? <p className="muted">{t("coverage.incomplete")}</p> : null}
      <p className="muted">{t("coverage.hint")}</p>
      {chosen ? <Chosen node={node} chosen={chosen} by={by} clear={() => choose(undefined)} /> : null}
    </div>
  );
}

function Share({ year, yesterday, by }: { year: number; yesterday: string; by: Covered }) {
  const { t } = useTranslation("nodes");
  const to = `${year}-12-31` < yesterday ? `${year}-12-31` : yesterday;
  const dates = to < `${year}-01-01` ? [] : between(`${year}-01-01`, to);
  return <span className="muted" role="status">{t("coverage.of", { covered: dates.filter((d) => by.get(d)?.state === "succeeded").length, total: dates.length })}</span>;
}

function Key() {
  const { t } = useTranslation("nodes");
  const ui = useTranslation("ui").t;
  return (
    <div className="row" style={{ gap: 16, marginTop: 8, fontSize: 12 }}>
      {states.map((s) => <span key={s}><span className="day key" aria-hidden style={{ background: stateColor(s) }}>{sign[s]}</span>{ui(`state.${s}`)}</span>)}
      <span><span className="day key" data-state="none" data-late aria-hidden />{t("coverage.missing")}</span>
    </div>
  );
}

/** What is in the chosen dates, and the ways into the wizard. */
function Chosen({ node, chosen: [from, to], by, clear }: { node: string; chosen: [string, string]; by: Covered; clear: () => void }) {
  const { t } = useTranslation("nodes");
  const wizard = useWizard();
  const may = useMay()("submitBackfill");
  const dates = between(from, to);
  const is = (state: Schema<"State">) => dates.filter((d) => by.get(d)?.state === state);
  const missing = dates.filter((d) => !by.has(d));
  const bad = dates.filter((d) => by.get(d)?.state !== "succeeded");
  const start = (some: string[]) => wizard({ root: node, mode: "current", dates: list().format(ranges(some)) });
  return (
    <section className="panel row" aria-label={t("dates")} style={{ position: "sticky", bottom: 0 }}>
      <strong>{from === to ? from : t("coverage.range", { from, to })}</strong>
      <span className="muted">{t("coverage.inRange", { missing: missing.length, failed: is("failed").length, succeeded: is("succeeded").length })}</span>
      <Tooltip title={may ? undefined : t("mayNot")}><Button type="primary" disabled={!may || missing.length === 0} onClick={() => start(missing)}>{t("coverage.backfillMissing", { count: missing.length })}</Button></Tooltip>
      {bad.length > missing.length ? <Button disabled={!may} onClick={() => start(bad)}>{t("coverage.backfillBad", { count: bad.length })}</Button> : null}
      <Button type="text" onClick={clear}>{t("coverage.clear")}</Button>
    </section>
  );
}
