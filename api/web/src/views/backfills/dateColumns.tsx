// A line of the dates: a date, a node with several cycles, or an instance.
import { CaretDownOutlined, CaretRightOutlined } from "@ant-design/icons";
import { Link } from "@tanstack/react-router";
import { Button } from "antd";
import { useTranslation } from "react-i18next";

import { InstanceLink, NodeLink } from "../../ui/links.tsx";
import { CountsBar, InstanceState, StateTag } from "../../ui/State.tsx";
import { Moment, Span } from "../../ui/Time.tsx";
import type { Column } from "../../ui/VirtualTable.tsx";
import type { DateRow } from "./dateRows.ts";

export function useDateColumns(backfill: string, open: ReadonlySet<string>, toggle: (key: string) => void): Column<DateRow>[] {
  const { t } = useTranslation("backfills");
  return [
    { key: "what", title: t("dates.what"), width: 330, render: (r) => <What row={r} backfill={backfill} open={open.has(r.key)} toggle={toggle} /> },
    { key: "group", title: t("dates.group"), width: 64, render: (r) => (r.kind === "date" ? r.of.group : null) },
    { key: "place", title: t("dates.place"), width: 64, render: (r) => (r.kind === "date" ? r.of.place : null) },
    { key: "state", title: t("dates.state"), width: 160, render: (r) => (r.kind === "instance" ? <InstanceState instance={r.of} /> : r.kind === "cut" ? null : <StateTag state={r.kind === "date" ? r.of.state : r.state} />) },
    { key: "counts", title: t("dates.counts"), width: 200, render: (r) => <Done row={r} /> },
    { key: "why", title: t("dates.why"), width: 340, render: (r) => <Why row={r} /> },
  ];
}

function What({ row, backfill, open, toggle }: { row: DateRow; backfill: string; open: boolean; toggle: (key: string) => void }) {
  const { t } = useTranslation("backfills");
  switch (row.kind) {
    case "date": return <><Toggle of={row.of.date} open={open} toggle={() => toggle(row.key)} /> <strong>{row.of.date}</strong></>;
    case "node": return <span style={{ paddingInlineStart: 24 }}><Toggle of={row.node} open={open} toggle={() => toggle(row.key)} /> <NodeLink id={row.node} /> <span className="muted">{t("dates.cycles", { count: row.counts.total })}</span></span>;
    case "instance": return row.alone
      ? <span style={{ paddingInlineStart: 52 }}><NodeLink id={row.of.node} /> <InstanceLink id={row.of.id} /></span>
      : <span style={{ paddingInlineStart: 76 }}><InstanceLink id={row.of.id} /> <span className="muted"><Moment at={row.of.scheduledTime} /></span></span>;
    case "cut": return <Link style={{ paddingInlineStart: 52 }} to="/backfills/$backfill" params={{ backfill }} search={{ tab: "instances", from: row.date, to: row.date } as never}>{t("dates.cut", { count: row.shown })}</Link>;
  }
}

function Toggle({ of, open, toggle }: { of: string; open: boolean; toggle: () => void }) {
  const { t } = useTranslation("backfills");
  return <Button size="small" type="text" aria-expanded={open} aria-label={t(open ? "dates.close" : "dates.open", { what: of })} icon={open ? <CaretDownOutlined /> : <CaretRightOutlined />} onClick={toggle} />;
}

function Done({ row }: { row: DateRow }) {
  if (row.kind === "cut") return null;
  if (row.kind === "instance") return row.of.startedAt ? <Span from={row.of.startedAt} to={row.of.endedAt} /> : null;
  const counts = row.kind === "date" ? row.of.counts : row.counts;
  return (
    <span className="row" style={{ flexWrap: "nowrap", gap: 6 }}>
      <CountsBar counts={counts} style={{ flex: 1 }} />
      <span className="nowrap muted" style={{ fontSize: 12 }}>{counts.succeeded.toLocaleString()} / {counts.total.toLocaleString()}</span>
    </span>
  );
}

function Why({ row }: { row: DateRow }) {
  const { t } = useTranslation("ui");
  const why = row.kind === "date" ? row.of.reason : row.kind === "instance" ? (row.of.cause ?? (row.of.dryRun ? t(`dryRunReason.${row.of.dryRun}`) : undefined)) : undefined;
  return <span title={why}>{why}</span>;
}
