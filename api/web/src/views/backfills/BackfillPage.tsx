// One backfill, or one day of the schedule: where it stands, and everything that is in it.
import { useParams } from "@tanstack/react-router";
import { Alert, Button, Skeleton, Tabs } from "antd";
import { Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { later } from "../../app/later.ts";
import type { Schema } from "../../app/api.ts";
import { choice, useUrl } from "../../app/url.ts";
import { Failure } from "../../ui/Failure.tsx";
import { Page } from "../../ui/Page.tsx";
import { CountsBar } from "../../ui/State.tsx";
import { Moment, Span, span } from "../../ui/Time.tsx";
import { Actions } from "./acts.tsx";
import { Dates } from "./Dates.tsx";
import { Failures } from "./Failures.tsx";
import { BackfillInstances } from "./Instances.tsx";
import { StateWord } from "./listColumns.tsx";
import { Operations } from "./Operations.tsx";
import { Overview } from "./Overview.tsx";
import { useBackfill } from "./read.ts";
import { Receipt } from "./Receipt.tsx";
import { RequestView } from "./RequestView.tsx";

const HeatMap = later(() => import("../map/HeatMap.tsx"));

const tabs = ["overview", "dates", "instances", "map", "failures", "receipt", "operations", "request"] as const;
const fields = { tab: choice(tabs, "overview") };

export default function BackfillPage() {
  const { backfill: id = "" } = useParams({ strict: false });
  const { t } = useTranslation("backfills");
  const query = useBackfill(id);
  const backfill = query.data?.backfill;
  // What was shown before belongs to another address.
  if (!backfill || backfill.summary.id !== id) {
    return <Page title={id}>{query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : <Skeleton active title={false} />}</Page>;
  }
  return (
    <Page fill title={backfill.summary.name} about={<About of={backfill.summary} />} extra={<Actions of={backfill.summary} words />}>
      {query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : null}
      <Head of={backfill} />
      <Content of={backfill} label={t("title")} />
    </Page>
  );
}

function About({ of: b }: { of: Schema<"BackfillSummary"> }) {
  const { t } = useTranslation("backfills");
  return (
    <span className="row" style={{ gap: 10 }}>
      <span className="mono muted">{b.id}</span>
      <StateWord of={b} />
      <span className="muted">{b.kind === "auto" ? t("page.auto") : t("page.by", { who: b.createdBy })}</span>
      <span className="muted"><Moment at={b.createdAt} relative /></span>
    </span>
  );
}

/** Progress, pace and time left; and what holds it, with what to do about that. */
function Head({ of: { summary: b, rate } }: { of: Schema<"Backfill"> }) {
  const { t } = useTranslation("backfills");
  const { counts } = b;
  const percent = counts.total === 0 ? 0 : Math.floor((counts.succeeded / counts.total) * 100);
  const runs = !b.quiet && !b.stopped && !b.paused;
  return (
    <div style={{ marginBottom: 4 }}>
      <div className="row" style={{ gap: 16, marginBottom: 8 }}>
        <CountsBar counts={counts} style={{ flex: "1 1 240px", height: 12 }} />
        <strong className="nowrap">{t("done", { percent })}</strong>
        <span className="muted nowrap">{t("progress", { done: counts.succeeded.toLocaleString(), total: counts.total.toLocaleString() })}</span>
        {b.nodes !== undefined && b.dates !== undefined ? <span className="muted nowrap">{t("page.nodes", { count: b.nodes })} × {t("page.dates", { count: b.dates })}</span> : null}
        <span className="muted nowrap"><Span from={b.createdAt} to={b.quiet ? b.changedAt : undefined} /></span>
        {runs ? <span className="muted nowrap">{t("page.rate", { rate: rate.perSecond.toLocaleString(undefined, { maximumFractionDigits: 1 }) })} · {rate.secondsLeft === undefined ? t("page.unknown") : t("page.left", { left: span(rate.secondsLeft * 1000) })}</span> : null}
      </div>
      <Flag of={b} />
    </div>
  );
}

/** The one thing that holds it most, if anything does. */
function Flag({ of: b }: { of: Schema<"BackfillSummary"> }): ReactNode {
  const { t } = useTranslation("backfills");
  const [at, go] = useUrl(fields);
  const flag = b.stopped ? "stopped" : b.halted ? "halted" : b.paused ? "paused" : b.quiet && b.state === "failed" ? "failed" : b.quiet && b.counts.frozen > 0 ? "frozen" : b.quiet && b.state !== "succeeded" ? "quiet" : b.incomplete ? "incomplete" : undefined;
  if (!flag) return null;
  const failures = b.counts.failed > 0 && at.tab !== "failures";
  return (
    <Alert
      type={flag === "failed" || flag === "halted" ? "error" : flag === "incomplete" || flag === "quiet" ? "info" : "warning"} showIcon role="status" title={t(`page.flag.${flag}`)} data-flag={flag}
      action={failures ? <Button size="small" onClick={() => go({ tab: "failures" }, true)}>{t("page.seeFailures")}</Button> : undefined}
    />
  );
}

function Content({ of: backfill, label }: { of: Schema<"Backfill">; label: string }) {
  const { t } = useTranslation("backfills");
  const [{ tab }, go] = useUrl(fields);
  const { id, counts } = backfill.summary;
  const views: Record<(typeof tabs)[number], () => ReactNode> = {
    overview: () => <Overview of={backfill} />,
    dates: () => <Dates backfill={id} groups={backfill.groups.length} />,
    instances: () => <BackfillInstances backfill={id} />,
    map: () => <Suspense fallback={<Skeleton active />}><HeatMap backfill={id} /></Suspense>,
    failures: () => <Failures backfill={id} />,
    receipt: () => <Receipt backfill={id} />,
    operations: () => <Operations backfill={id} />,
    request: () => <RequestView of={backfill} />,
  };
  return (
    <>
      <Tabs
        aria-label={label} activeKey={tab} onChange={(key) => go({ tab: tabs.find((k) => k === key) ?? "overview" }, true)} tabBarStyle={{ marginBottom: 8 }}
        items={tabs.map((key) => ({ key, label: key === "failures" && counts.failed > 0 ? <>{t("page.tabs.failures")} <span style={{ color: "var(--state-failed)" }}>{counts.failed.toLocaleString()}</span></> : t(`page.tabs.${key}`) }))}
      />
      <div style={{ flex: "1 1 0", minHeight: 0, display: "flex", flexDirection: "column", overflow: "auto" }}>{views[tab]()}</div>
    </>
  );
}
