// A table of instances with a selection and what can be done to it.
import type { QueryKey } from "@tanstack/react-query";
import { Typography } from "antd";
import { useMemo, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Instance } from "../app/api.ts";
import { Failure, Teach } from "./Failure.tsx";
import { InstanceBatch } from "./InstanceBatch.tsx";
import { BackfillLink, InstanceLink, NodeLink } from "./links.tsx";
import { usePages, type PageOf } from "./pages.ts";
import { InstanceState } from "./State.tsx";
import { Moment, Span } from "./Time.tsx";
import { VirtualTable, type Column } from "./VirtualTable.tsx";

export type InstanceColumn = "id" | "node" | "backfill" | "date" | "scheduled" | "state" | "group" | "priority" | "attempts" | "duration" | "agent" | "cause";

export interface InstanceTableProps {
  /** Begins with "instances" and has all that the list is filtered by. */
  queryKey: QueryKey;
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<PageOf<Instance>>;
  hide?: InstanceColumn[];
  /** Shown where there is none. */
  empty?: ReactNode;
  /** Of the table; it fills what a flex column has left. */
  minHeight?: number;
}

/** Instances by a query, page after page. Selected are those that are still in the list. */
export function InstanceTable({ queryKey, load, hide, empty, minHeight = 320 }: InstanceTableProps) {
  const { t } = useTranslation("ui");
  const pages = usePages(queryKey, load);
  const [ticked, setTicked] = useState<ReadonlySet<string>>(new Set());
  const chosen = useMemo(() => pages.items.filter((i) => ticked.has(i.id)), [pages.items, ticked]);
  const columns = useColumns(hide);
  const set = (items: Instance[], on: boolean) => setTicked((before) => {
    const after = new Set(before);
    for (const { id } of items) {
      if (on) after.add(id);
      else after.delete(id);
    }
    return after;
  });
  if (pages.error && pages.items.length === 0) return <Failure error={pages.error} retry={pages.retry} />;
  return (
    <div style={{ display: "flex", flexDirection: "column", gap: 8, flex: "1 1 0", minHeight, opacity: pages.old ? 0.6 : 1 }}>
      <div className="row" style={{ minHeight: 28 }}>
        {chosen.length > 0
          ? <InstanceBatch chosen={chosen} clear={() => setTicked(new Set())} />
          : <Typography.Text type="secondary">{pages.more ? t("loaded", { count: pages.items.length }) : t("all", { count: pages.items.length })}{pages.items.length > 0 ? ` · ${t("steer.hint")}` : ""}</Typography.Text>}
      </div>
      {pages.incomplete ? <Typography.Text type="secondary">{t("incomplete")}</Typography.Text> : null}
      {pages.items.length === 0 && !pages.more && !pages.pending
        ? (empty ?? <Teach title={t("none")} />)
        : (
          <VirtualTable
            label={t("instances")} columns={columns} items={pages.items} rowKey={(i) => i.id} more={pages.more} style={{ flex: "1 1 0" }}
            selection={{ has: (i) => ticked.has(i.id), set, label: (i) => t("choose", { what: i.id }), all: t("chooseAll") }}
          />
        )}
    </div>
  );
}

function useColumns(hide: InstanceColumn[] = []): Column<Instance>[] {
  const { t } = useTranslation("ui");
  const hidden = hide.join();
  return useMemo(() => {
    const column = (key: InstanceColumn, width: number, render: (i: Instance) => ReactNode): Column<Instance> => ({ key, title: t(`column.${key}`), width, render });
    const columns = [
      column("id", 100, (i) => <InstanceLink id={i.id} />),
      column("node", 180, (i) => <NodeLink id={i.node} />),
      column("backfill", 80, (i) => <BackfillLink id={i.backfill} />),
      column("date", 122, (i) => <span className="nowrap">{i.date}</span>),
      column("scheduled", 150, (i) => <Moment at={i.scheduledTime} />),
      column("state", 150, (i) => <InstanceState instance={i} />),
      column("group", 64, (i) => i.group),
      column("priority", 72, (i) => i.priority),
      column("attempts", 80, (i) => i.attempts),
      column("duration", 82, (i) => <Span from={i.startedAt} to={i.endedAt} />),
      column("agent", 80, (i) => i.agent),
      column("cause", 190, (i) => <span title={i.cause}>{i.cause ?? (i.dryRun ? t(`dryRunReason.${i.dryRun}`) : "")}</span>),
    ];
    const gone = new Set(hidden.split(","));
    return columns.filter((c) => !gone.has(c.key));
  }, [t, hidden]);
}
