// A backfill in a line of the list.
import { Tooltip } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import type { BackfillSummary } from "../../app/api.ts";
import { BackfillLink } from "../../ui/links.tsx";
import { CountsBar, StateTag } from "../../ui/State.tsx";
import { Moment, Span, span } from "../../ui/Time.tsx";
import type { Column } from "../../ui/VirtualTable.tsx";
import { Actions } from "./acts.tsx";
import { useSize, useTimeLeft } from "./read.ts";

export function useColumns(): Column<BackfillSummary>[] {
  const { t } = useTranslation("backfills");
  return useMemo(() => [
    { key: "name", title: t("column.name"), width: 172, sort: "name", render: (b) => <span title={b.name}><BackfillLink id={b.id}>{b.name}</BackfillLink> <span className="mono muted">{b.id}</span></span> },
    { key: "state", title: t("column.state"), width: 158, sort: "state", render: (b) => <StateWord of={b} /> },
    { key: "progress", title: t("column.progress"), width: 140, render: (b) => <Progress of={b} /> },
    { key: "nodes", title: t("column.nodes"), width: 56, render: (b) => <Size id={b.id} what="nodes" /> },
    { key: "days", title: t("column.days"), width: 56, render: (b) => <Size id={b.id} what="dates" /> },
    { key: "range", title: t("column.range"), width: 134, render: (b) => <Size id={b.id} what="range" /> },
    { key: "by", title: t("column.by"), width: 78, render: (b) => b.createdBy },
    { key: "created", title: t("column.created"), width: 96, sort: "created", render: (b) => <Moment at={b.createdAt} relative /> },
    { key: "duration", title: t("column.duration"), width: 70, render: (b) => <Span from={b.createdAt} to={b.quiet ? b.changedAt : undefined} /> },
    { key: "left", title: t("column.left"), width: 70, render: (b) => <Left of={b} /> },
    { key: "actions", title: t("column.actions"), width: 110, stays: true, render: (b) => <Actions of={b} /> },
  ], [t]);
}

/** A state, with what holds it beside it. */
export function StateWord({ of: b }: { of: BackfillSummary }) {
  const { t } = useTranslation("ui");
  return <StateTag state={b.state} note={b.stopped ? t("stopped") : b.halted ? t("halted") : b.paused ? t("paused") : undefined} />;
}

export function Progress({ of: { counts } }: { of: BackfillSummary }) {
  const { t } = useTranslation("backfills");
  const percent = counts.total === 0 ? 0 : Math.floor((counts.succeeded / counts.total) * 100);
  return (
    <span className="row" style={{ flexWrap: "nowrap", gap: 6 }}>
      <CountsBar counts={counts} style={{ flex: "1 1 48px", minWidth: 48 }} />
      <Tooltip title={t("progress", { done: counts.succeeded.toLocaleString(), total: counts.total.toLocaleString() })}>
        <span className="nowrap" style={{ fontSize: 12, minWidth: 68, textAlign: "end" }}>{t("done", { percent })} · {counts.total.toLocaleString()}</span>
      </Tooltip>
    </span>
  );
}

function Size({ id, what }: { id: string; what: "nodes" | "dates" | "range" }) {
  const size = useSize(id).data;
  if (!size) return <span className="muted">–</span>;
  return <span className="nowrap">{what === "range" ? (rangeText(size.first, size.last)) : size[what].toLocaleString()}</span>;
}

function Left({ of: b }: { of: BackfillSummary }) {
  const left = useTimeLeft(b.id, b.state === "running" && !b.quiet && !b.paused && !b.stopped).data;
  return left === undefined || left === null ? <span className="muted">–</span> : <span className="nowrap">{span(left * 1000)}</span>;
}

/** Two dates; a year is said once. */
const rangeText = (first: string, last: string): string => (first === last ? first : `${first} – ${first.slice(0, 4) === last.slice(0, 4) ? last.slice(5) : last}`);
