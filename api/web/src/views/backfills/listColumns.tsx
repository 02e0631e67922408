// A backfill in a line of the list.
import { Tooltip } from "antd";
import { useMemo, type CSSProperties, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { BackfillSummary } from "../../app/api.ts";
import { BackfillLink } from "../../ui/links.tsx";
import { CountsBar, StateTag } from "../../ui/State.tsx";
import { Moment, Span, span } from "../../ui/Time.tsx";
import type { Column } from "../../ui/VirtualTable.tsx";
import { Actions } from "./acts.tsx";

export function useColumns(): Column<BackfillSummary>[] {
  const { t } = useTranslation("backfills");
  return useMemo(() => [
    { key: "name", title: t("column.name"), width: 220, sort: "name", render: (b) => <Two first={<BackfillLink id={b.id}>{b.name}</BackfillLink>} second={<><span className="mono">{b.id}</span> · {b.createdBy}</>} title={b.name} /> },
    { key: "state", title: t("column.state"), width: 132, sort: "state", render: (b) => <Two first={<StateTag state={b.state} />} second={<Held of={b} />} /> },
    { key: "progress", title: t("column.progress"), width: 152, render: (b) => <Progress of={b} /> },
    { key: "nodes", title: t("column.nodes"), width: 64, render: (b) => count(b.nodes) },
    { key: "range", title: t("column.range"), width: 160, render: (b) => <Two first={rangeText(b)} second={b.dates === undefined ? null : t("page.dates", { count: b.dates })} /> },
    { key: "created", title: t("column.created"), width: 124, sort: "created", render: (b) => <Moment at={b.createdAt} relative /> },
    { key: "duration", title: t("column.duration"), width: 88, render: (b) => <Span from={b.createdAt} to={b.quiet ? b.changedAt : undefined} /> },
    { key: "left", title: t("column.left"), width: 88, render: (b) => (b.secondsLeft === undefined ? count(undefined) : <span className="nowrap">{span(b.secondsLeft * 1000)}</span>) },
    { key: "actions", title: t("column.actions"), width: 116, stays: true, render: (b) => <Actions of={b} /> },
  ], [t]);
}

const line: CSSProperties = { overflow: "hidden", textOverflow: "ellipsis", lineHeight: 1.25 };

/** Two lines of a cell, the second in small letters. */
function Two({ first, second, title }: { first: ReactNode; second: ReactNode; title?: string }) {
  return <><div style={line} title={title}>{first}</div><div className="muted" style={{ ...line, fontSize: 12 }}>{second}</div></>;
}

/** What holds it, beside its state. */
function Held({ of: b }: { of: BackfillSummary }) {
  const { t } = useTranslation("ui");
  return b.stopped ? t("stopped") : b.halted ? t("halted") : b.paused ? t("paused") : null;
}

/** A state, with what holds it behind. */
export function StateWord({ of: b }: { of: BackfillSummary }) {
  return <><StateTag state={b.state} />{b.stopped || b.halted || b.paused ? <span className="muted">· <Held of={b} /></span> : null}</>;
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

const count = (n?: number) => <span className={n === undefined ? "muted" : "nowrap"}>{n?.toLocaleString() ?? "–"}</span>;

/** The first and the last date; a year is said once. */
export function rangeText({ firstDate: first = "–", lastDate: last = first }: BackfillSummary): string {
  return first === last ? first : `${first} – ${first.slice(0, 4) === last.slice(0, 4) ? last.slice(5) : last}`;
}
