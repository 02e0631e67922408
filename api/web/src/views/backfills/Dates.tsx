// The dates of a backfill in the order in which they run; each opens to its nodes, these to
// their instances. What is open is in the address.
import { useQueries } from "@tanstack/react-query";
import { Button, Select, Skeleton } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type State } from "../../app/api.ts";
import { choice, list, number, text, useUrl } from "../../app/url.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { FilterWord } from "../../ui/filters.tsx";
import { usePages } from "../../ui/pages.ts";
import { states } from "../../ui/State.tsx";
import { VirtualTable } from "../../ui/VirtualTable.tsx";
import { useDateColumns } from "./dateColumns.tsx";
import { rowsOf } from "./dateRows.ts";
import { FilterDates } from "./Filters.tsx";

const fields = { group: number(0), dateState: choice<State | "">(["", ...states], ""), from: text(), to: text(), open: list() };
/** Instances of an open date that are shown here; more are for the list of instances. */
const most = 1000;

export function Dates({ backfill, groups }: { backfill: string; groups: number }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const [at, go] = useUrl(fields);
  const asked = { group: at.group || undefined, state: at.dateState || undefined, date_from: at.from || undefined, date_to: at.to || undefined, limit: 200 };
  const pages = usePages(["backfills", backfill, "dates", asked], (cursor, signal) => data(api.GET("/v1/backfills/{backfill}/dates", { params: { path: { backfill }, query: { ...asked, cursor } }, signal })));
  const days = at.open.filter((key) => !key.includes("/"));
  const inside = useQueries({
    queries: days.map((day) => ({
      queryKey: ["instances", backfill, "of date", day],
      queryFn: () => data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill }, query: { date_from: day, date_to: day, limit: most } } })),
    })),
    combine: (results) => new Map(results.map((r, n) => [days[n] ?? "", r.data])),
  });
  const rows = useMemo(() => rowsOf(pages.items, new Set(at.open), inside), [pages.items, at.open, inside]);
  const toggle = (key: string) => go({ open: at.open.includes(key) ? at.open.filter((k) => k !== key) : [...at.open, key] });
  const columns = useDateColumns(backfill, new Set(at.open), toggle);
  if (pages.error && pages.items.length === 0) return <Failure error={pages.error} retry={pages.retry} />;
  return (
    <>
      <div className="row" role="search" style={{ marginBottom: 8 }}>
        <Select
          aria-label={t("filter.group")} allowClear placeholder={t("filter.group")} style={{ width: 130 }} value={at.group || undefined} onChange={(group?: number) => go({ group: group ?? 0 })}
          options={Array.from({ length: groups }, (_, n) => ({ value: n + 1, label: t("dates.groupOf", { group: n + 1 }) }))}
        />
        <FilterWord label={t("filter.state")} value={at.dateState} change={(dateState) => go({ dateState })} options={states.map((value) => ({ value, label: ui(`state.${value}`) }))} width={170} />
        <FilterDates label={t("filter.dates")} from={at.from} to={at.to} change={(from, to) => go({ from, to })} />
        {at.open.length > 0 ? <Button size="small" type="link" onClick={() => go({ open: [] })}>{t("dates.closeAll")}</Button> : null}
      </div>
      {pages.incomplete ? <span className="muted">{ui("incomplete")}</span> : null}
      {pages.pending ? <Skeleton active /> : rows.length === 0 && !pages.more
        ? <Teach title={t("dates.none")} />
        : <VirtualTable label={t("page.tabs.dates")} columns={columns} items={rows} rowKey={(r) => r.key} more={pages.more} style={{ flex: "1 1 0", minHeight: 240 }} />}
    </>
  );
}
