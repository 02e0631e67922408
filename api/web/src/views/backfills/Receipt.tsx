// The account of every instance: rows by node, date or both, whose parts add up.
import { DownloadOutlined } from "@ant-design/icons";
import { Button, Segmented, Skeleton, Tooltip } from "antd";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { choice, text, useUrl } from "../../app/url.ts";
import { Command } from "../../ui/Command.tsx";
import { Failure } from "../../ui/Failure.tsx";
import { FilterText } from "../../ui/filters.tsx";
import { NodeLink } from "../../ui/links.tsx";
import { usePages } from "../../ui/pages.ts";
import { VirtualTable, type Column } from "../../ui/VirtualTable.tsx";
import { FilterDates } from "./Filters.tsx";
import { parts, Totals } from "./Totals.tsx";

type Row = Schema<"ReceiptRow">;
type By = Schema<"ReceiptBy">;
const ways: readonly By[] = ["node", "date", "nodeAndDate"];
const fields = { by: choice<By>(ways, "node"), node: text(), from: text(), to: text() };

export function Receipt({ backfill }: { backfill: string }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const [{ by, node, from, to }, go] = useUrl(fields);
  const path = { backfill };
  const asked = { by, node: node || undefined, date_from: from || undefined, date_to: to || undefined };
  const whole = useQuery({ queryKey: ["backfills", backfill, "receipt", "totals"], queryFn: () => data(api.GET("/v1/backfills/{backfill}/receipt", { params: { path, query: { limit: 1 } } })) });
  const pages = usePages(["backfills", backfill, "receipt", asked], async (cursor, signal) => {
    const page = await data(api.GET("/v1/backfills/{backfill}/receipt", { params: { path, query: { ...asked, cursor, limit: 100 } }, signal }));
    return { items: page.rows, next: page.next, incomplete: page.incomplete };
  });
  const columns = useColumns(by);
  if (pages.error && pages.items.length === 0) return <Failure error={pages.error} retry={pages.retry} />;
  if (pages.pending || !whole.data) return <Skeleton active />;
  const command = ["backfleet backfill receipt", backfill, "--by", by, ...(node ? ["--node", node] : []), ...(from ? ["--date-from", from] : []), ...(to ? ["--date-to", to] : []), "--limit 0"].join(" ");
  return (
    <div style={{ display: "flex", flexDirection: "column", gap: 8, flex: "1 1 0", minHeight: 480 }}>
      <div className="panel"><Totals of={whole.data.totals} /></div>
      <div className="row">
        <span className="muted">{t("receipt.by")}</span>
        <Segmented value={by} onChange={(value) => go({ by: value })} options={ways.map((value) => ({ value, label: t(`receipt.${value}`) }))} />
        <FilterText label={t("filter.node")} value={node} change={(value) => go({ node: value })} width={180} />
        <FilterDates label={t("filter.dates")} from={from} to={to} change={(a, b) => go({ from: a, to: b })} />
        <Tooltip title={t("receipt.exportHint", { count: pages.items.length })}>
          <Button size="small" icon={<DownloadOutlined />} onClick={() => save(`${backfill}-receipt.csv`, csvOf(pages.items))}>{t("receipt.export")}</Button>
        </Tooltip>
      </div>
      {pages.incomplete ? <span className="muted">{ui("incomplete")}</span> : null}
      <VirtualTable label={t("page.tabs.receipt")} columns={columns} items={pages.items} rowKey={(r) => `${r.node ?? ""} ${r.date ?? ""}`} more={pages.more} style={{ flex: "1 1 0" }} />
      <Command label={t("receipt.cli")} text={command} />
    </div>
  );
}

function useColumns(by: By): Column<Row>[] {
  const { t } = useTranslation("backfills");
  return useMemo(() => {
    const number = (key: "generated" | (typeof parts)[number]): Column<Row> => ({
      key, title: t(`total.${key}`), width: key === "setToSuccess" ? 116 : key === "generated" || key === "succeeded" ? 92 : 76,
      render: ({ totals }) => <span className={totals[key] === 0 ? "muted" : undefined} style={key === "failed" && totals.failed > 0 ? { color: "var(--state-failed)" } : undefined}>{totals[key].toLocaleString()}</span>,
    });
    return [
      ...(by === "date" ? [] : [{ key: "node", title: t("receipt.node"), width: 190, render: (r: Row) => (r.node ? <NodeLink id={r.node} /> : null) }]),
      ...(by === "node" ? [] : [{ key: "date", title: t("receipt.date"), width: 100, render: (r: Row) => r.date }]),
      number("generated"), ...parts.map(number),
      { key: "reasons", title: t("receipt.reasons"), width: 260, render: (r) => <span title={reasonsOf(r).join("\n")}>{reasonsOf(r).join(" · ")}</span> },
    ];
  }, [t, by]);
}

const reasonsOf = (row: Row): string[] => row.reasons?.map((r) => `${r.instances.toLocaleString()} × ${r.text}`) ?? [];

/** Quoted where it must be; a text that a spreadsheet would take for a formula is not one. */
const cell = (value: string | number): string => {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

function csvOf(rows: Row[]): string {
  const head = ["node", "date", "generated", ...parts, "codes", "reasons"];
  const lines = rows.map((r) => [r.node ?? "", r.date ?? "", r.totals.generated, ...parts.map((p) => r.totals[p]), r.reasons?.map((x) => x.code).join(" ") ?? "", reasonsOf(r).join("; ")]);
  return [head, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function save(name: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
