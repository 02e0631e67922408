// The code of any instance, as it would run.
import { useQuery } from "@tanstack/react-query";
import { Alert, Select, Spin } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { Code, languageOf } from "../../ui/Code.tsx";
import { Failure } from "../../ui/Failure.tsx";
import { Moment } from "../../ui/Time.tsx";
import { plus, rangeOf, united } from "./dates.ts";
import type { Request } from "./draft.ts";
import { useNode } from "./pickers.tsx";

const mostDates = 1000; // that the list of dates offers

function datesOf(request: Request): string[] {
  const out: string[] = [];
  for (const text of united(request.dates)) {
    const r = rangeOf(text);
    for (let d = r?.from; r && d && d <= r.to && out.length < mostDates; d = plus(d, 1)) out.push(d);
  }
  return out;
}

export function PreviewCode({ request, preview }: { request: Request; preview: Schema<"Preview"> }) {
  const { t } = useTranslation("wizard");
  const [node, setNode] = useState<string>();
  const [date, setDate] = useState<string>();
  const [cycle, setCycle] = useState(0);
  const dates = datesOf(request);
  const ids = preview.nodes.map((n) => n.node);
  const at = { node: node && ids.includes(node) ? node : (preview.nodes.find((n) => n.chosen) ?? preview.nodes[0])?.node ?? "", date: date && dates.includes(date) ? date : dates[0] ?? "" };
  const instances = useQuery({
    queryKey: ["preview", "instances", JSON.stringify(request), at.node, at.date],
    queryFn: () => data(api.POST("/v1/backfills/preview", { params: { query: { ...at, limit: 1000 } }, body: request })), refetchInterval: false,
  });
  const code = useQuery({ queryKey: ["nodes", "rendering", at.node, at.date], queryFn: () => data(api.GET("/v1/nodes/{node}/rendering", { params: { path: { node: at.node }, query: { date: at.date, limit: 1000 } } })) });
  const all = instances.data?.instances.filter((i) => i.node === at.node && i.date === at.date) ?? [];
  const one = all[cycle] ?? all[0];
  const type = useNode(at.node).data?.node.type;
  const rendering = code.data?.node === at.node ? code.data.items.find((r) => r.scheduledTime === one?.scheduledTime) : undefined;
  return (
    <>
      <div className="row" style={{ marginBottom: 8 }}>
        <Select aria-label={t("code.node")} showSearch style={{ flex: "2 1 180px" }} value={at.node} onChange={(id: string) => { setNode(id); setCycle(0); }} options={ids.map((value) => ({ value, label: value }))} />
        <Select aria-label={t("code.date")} showSearch style={{ flex: "1 1 120px" }} value={at.date} onChange={(d: string) => { setDate(d); setCycle(0); }} options={dates.map((value) => ({ value, label: value }))} />
        {all.length > 1 ? <Select aria-label={t("code.cycle")} style={{ flex: "1 1 160px" }} value={all.indexOf(one ?? all[0] as never)} onChange={setCycle} options={all.map((i, value) => ({ value, label: i.scheduledTime }))} /> : null}
      </div>
      {instances.error ? <Failure error={instances.error} /> : code.error ? <Failure error={code.error} /> : instances.isPending || code.isPending ? <Spin /> : one ? (
        <Instance instance={one} rendering={rendering} overridden={request.params?.some((p) => p.node === at.node) ?? false} type={type} />
      ) : <p className="muted">{t("code.none")}</p>}
    </>
  );
}

function Instance({ instance, rendering, overridden, type }: { instance: Schema<"PreviewInstance">; rendering: Schema<"NodeRendering"> | undefined; overridden: boolean; type: string | undefined }) {
  const { t } = useTranslation("wizard");
  const language = languageOf(type);
  return (
    <>
      <p className="wz-help">
        {t("code.scheduled")} <Moment at={instance.scheduledTime} /> · {t("code.due")} <Moment at={instance.due} /> · {t("code.place", { group: instance.group, priority: instance.priority })}
        {instance.dryRun ? <span className="muted"> · {t("nodes.dry", { why: t(`dryRunReason.${instance.dryRun}`) })}</span> : null}
      </p>
      {instance.values.length ? (
        <dl className="wz-values" aria-label={t("code.values")}>{instance.values.map((v) => <div key={v.name}><dt className="mono">{v.name}</dt><dd className="mono">{v.value}</dd></div>)}</dl>
      ) : null}
      {overridden ? <p className="muted wz-help">{t("code.overridden")}</p> : null}
      {rendering?.codeError ? <Alert type="warning" showIcon title={rendering.codeError} /> : null}
      {rendering?.code ? <Code text={rendering.code} label={t("code.label", { node: instance.node })} {...(language ? { language } : {})} /> : <p className="muted">{t("code.noCode")}</p>}
    </>
  );
}
