// Who did what to a backfill, when and why.
import { Skeleton } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { InstanceLink } from "../../ui/links.tsx";
import { usePages } from "../../ui/pages.ts";
import { Moment } from "../../ui/Time.tsx";
import { VirtualTable, type Column } from "../../ui/VirtualTable.tsx";

type Record = Schema<"OperationRecord">;

export function Operations({ backfill }: { backfill: string }) {
  const { t } = useTranslation("backfills");
  const pages = usePages(["backfills", backfill, "operations"], (cursor, signal) => data(api.GET("/v1/backfills/{backfill}/operations", { params: { path: { backfill }, query: { cursor, limit: 100 } }, signal })));
  const columns = useMemo<Column<Record>[]>(() => [
    { key: "number", title: t("operations.number"), width: 56, render: (o) => o.number },
    { key: "at", title: t("operations.at"), width: 150, render: (o) => <Moment at={o.at} /> },
    { key: "who", title: t("operations.who"), width: 110, render: (o) => o.actor },
    { key: "what", title: t("operations.what"), width: 120, render: (o) => t(`operations.kind.${o.operation}`) },
    { key: "count", title: t("operations.count"), width: 80, render: (o) => o.count.toLocaleString() },
    { key: "detail", title: t("operations.detail"), width: 220, render: (o) => <Detail of={o} /> },
    { key: "why", title: t("operations.why"), width: 220, render: (o) => <span title={o.why}>{o.why}</span> },
  ], [t]);
  if (pages.error && pages.items.length === 0) return <Failure error={pages.error} retry={pages.retry} />;
  if (pages.pending) return <Skeleton active />;
  if (pages.items.length === 0) return <Teach title={t("operations.none")} />;
  return <VirtualTable label={t("page.tabs.operations")} columns={columns} items={pages.items} rowKey={(o) => String(o.number)} more={pages.more} style={{ flex: "1 1 0" }} />;
}

function Detail({ of: o }: { of: Record }) {
  const some = o.instances?.slice(0, 3) ?? [];
  const rest = (o.instances?.length ?? 0) - some.length;
  return (
    <span title={o.detail ?? o.dates?.join(", ")}>
      {o.detail ? <span>{o.detail} </span> : null}
      {o.dates?.length ? <span>{o.dates.join(", ")} </span> : null}
      {some.map((id) => <span key={id}><InstanceLink id={id} /> </span>)}
      {rest > 0 ? `+${rest}` : null}
    </span>
  );
}
