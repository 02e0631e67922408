import { useInfiniteQuery } from "@tanstack/react-query";
import { Alert, Button, DatePicker, Segmented, Select, Spin } from "antd";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";

import { api, data, type Node, type Schema } from "../../app/api.ts";
import { useToday } from "../../app/today.ts";
import { choice, text, useUrl } from "../../app/url.ts";
import { Code, languageOf } from "../../ui/Code.tsx";
import { Failure } from "../../ui/Failure.tsx";
import { inZone } from "./Overview.tsx";

const fields = { date: text(), cycle: text(), show: choice(["rendered", "raw"] as const, "rendered") };

/** The code as it was written, and as it would run for any date, in any of its cycles. */
export function CodeTab({ node }: { node: Node }) {
  const { t } = useTranslation("nodes");
  const [at, go] = useUrl(fields);
  const yesterday = useToday()?.yesterday;
  const date = at.date || yesterday;
  const found = useInfiniteQuery({
    queryKey: ["nodes", node.id, "rendering", date],
    enabled: date !== undefined,
    queryFn: ({ pageParam }) => data(api.GET("/v1/nodes/{node}/rendering", { params: { path: { node: node.id }, query: { date: date ?? "", cursor: pageParam || undefined, limit: 200 } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next || undefined,
  });
  const first = found.data?.pages[0];
  const cycles = found.data?.pages.flatMap((p) => p.items) ?? [];
  const cycle = cycles.find((c) => c.scheduledTime === at.cycle) ?? cycles[0];
  return (
    <div style={{ overflow: "auto", paddingBottom: 16 }}>
      <div className="row" style={{ marginBottom: 12 }}>
        <label htmlFor="code-date">{t("code.date")}</label>
        <DatePicker id="code-date" value={date ? dayjs(date) : null} allowClear={false} onChange={(d) => go({ date: d?.format("YYYY-MM-DD") ?? "", cycle: "" })} />
        {at.date && at.date !== yesterday ? <Button onClick={() => go({ date: "", cycle: "" })}>{t("code.yesterday")}</Button> : null}
        {first && cycles.length > 1 ? (
          <>
            <Select aria-label={t("code.cycle")} value={cycle?.scheduledTime} onChange={(c) => go({ cycle: c })} options={cycles.map((c) => ({ value: c.scheduledTime, label: inZone(c.scheduledTime, first.zone) }))} showSearch style={{ width: 170 }} />
            {found.hasNextPage ? <Button onClick={() => void found.fetchNextPage()} loading={found.isFetchingNextPage}>{t("code.cycle")} +</Button> : null}
          </>
        ) : null}
        <Segmented aria-label={t("code.show")} value={at.show} onChange={(show) => go({ show })} options={(["rendered", "raw"] as const).map((value) => ({ value, label: t(`code.${value}`) }))} />
        {first && cycle ? <span className="muted">T {inZone(cycle.scheduledTime, first.zone)} {first.zone}</span> : null}
      </div>
      {found.error ? <Failure error={found.error} retry={() => void found.refetch()} /> : found.isPending ? <Spin /> : <Rendering node={node} cycle={cycle} raw={at.show === "raw"} />}
    </div>
  );
}

function Rendering({ node, cycle, raw }: { node: Node; cycle?: Schema<"NodeRendering">; raw: boolean }) {
  const { t } = useTranslation("nodes");
  const code = raw ? node.code : (cycle?.code ?? node.code);
  return (
    <div style={{ display: "grid", gap: 12 }}>
      {!cycle ? <Alert type="info" title={t("code.noCycle")} /> : cycle.dryRun ? <Alert type="info" title={t("code.dry", { reason: t(`dry.${cycle.dryRun}`) })} /> : null}
      {!raw && cycle?.codeError ? <Alert type="error" title={cycle.codeError} /> : null}
      <Values node={node} cycle={cycle} />
      {code ? <Code text={code} language={languageOf(node.type)} label={t("code.label", { node: node.id })} /> : <p className="muted">{t("code.noCode")}</p>}
    </div>
  );
}

/** Parameters as they are written beside what they come to. */
function Values({ node, cycle }: { node: Node; cycle?: Schema<"NodeRendering"> }) {
  const { t } = useTranslation("nodes");
  const values = new Map(cycle?.values.map((v) => [v.name, v.value]));
  const expressions = new Map(node.params?.map((p) => [p.name, p.value]));
  const names = [...new Set([...expressions.keys(), ...values.keys()])];
  if (names.length === 0) return <p className="muted" style={{ margin: 0 }}>{t("code.noParams")}</p>;
  const cell = { padding: "4px 24px 4px 0", textAlign: "start", borderBottom: "1px solid var(--line)" } as const;
  return (
    <section className="panel" style={{ overflow: "auto", padding: "8px 16px" }}>
      <table aria-label={t("code.values")} style={{ borderSpacing: 0 }}>
        <thead><tr>{(["name", "expression", "value"] as const).map((c) => <th key={c} scope="col" style={cell}>{t(`code.${c}`)}</th>)}</tr></thead>
        <tbody>
          {names.map((name) => <tr key={name}><td style={cell} className="mono">{name}</td><td style={cell} className="mono muted">{expressions.get(name)}</td><td style={cell} className="mono">{values.get(name)}</td></tr>)}
        </tbody>
      </table>
    </section>
  );
}
