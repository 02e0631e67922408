import { Button, DatePicker, Space } from "antd";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";

import { useMay, useMe } from "../../app/me.ts";
import { number, text, useUrl } from "../../app/url.ts";
import { Teach } from "../../ui/Failure.tsx";
import { FilterText } from "../../ui/filters.tsx";
import { Listing } from "../../ui/Listing.tsx";
import { Page } from "../../ui/Page.tsx";
import { usePages } from "../../ui/pages.ts";
import { Moment } from "../../ui/Time.tsx";
import { readAudit, type AuditQuery, type AuditRecord } from "./audit.ts";
import { AuditDetail } from "./AuditDetail.tsx";
import { AuditExport } from "./AuditExport.tsx";
import { Outcome } from "./Outcome.tsx";

const filters = ["actor", "operation", "target", "code", "contains"] as const;
const fields = { actor: text(), operation: text(), target: text(), code: text(), contains: text(), from: text(), to: text(), record: number(0) };
const none = { actor: "", operation: "", target: "", code: "", contains: "", from: "", to: "" };

/** How a moment stands in the address, in the zone of the browser, and how it is shown. */
const local = "YYYY-MM-DDTHH:mm";
const form = "YYYY-MM-DD HH:mm";

/** The same for the API. */
const moment = (said: string) => (said && !Number.isNaN(Date.parse(said)) ? new Date(said).toISOString() : undefined);

export default function Audit() {
  const { t } = useTranslation("cluster");
  const me = useMe().data;
  const may = useMay()("listAudit");
  return <Page title={t("audit.title")}>{me && !may ? <Teach title={t("audit.denied")} /> : <Records />}</Page>;
}

function Records() {
  const { t } = useTranslation("cluster");
  const { t: u } = useTranslation("ui");
  const [at, go] = useUrl(fields);
  const query: AuditQuery = { actor: at.actor || undefined, operation: at.operation || undefined, target: at.target || undefined, code: at.code || undefined, contains: at.contains || undefined, at_from: moment(at.from), at_to: moment(at.to) };
  const filtered = Object.values(query).some(Boolean);
  const pages = usePages<AuditRecord>(["audit", query], (cursor) => readAudit(query, 200, cursor));
  const record = pages.items.find((r) => r.number === at.record);
  return (
    <Space orientation="vertical" style={{ width: "100%" }}>
      <div className="row">
        {filters.map((name) => <FilterText key={name} label={t(`audit.${name}`)} value={at[name]} change={(value) => go({ [name]: value })} width={160} />)}
        <DatePicker.RangePicker
          showTime={{ format: "HH:mm" }} format={form} allowEmpty={[true, true]} aria-label={t("audit.when")} placeholder={[t("audit.from"), t("audit.to")]} style={{ width: 300 }}
          value={[at.from ? dayjs(at.from) : null, at.to ? dayjs(at.to) : null]} onChange={(range) => go({ from: range?.[0]?.format(local) ?? "", to: range?.[1]?.format(local) ?? "" })}
        />
        {filtered ? <Button type="text" onClick={() => go(none)}>{u("clearFilters")}</Button> : null}
        <AuditExport query={query} />
      </div>
      <Listing
        label={t("audit.title")} pages={pages} rowKey={(r) => String(r.number)} below={250}
        empty={filtered ? <Teach title={t("audit.noMatch")}>{t("audit.noMatchText")}</Teach> : <Teach title={t("audit.none")}>{t("audit.teach")}</Teach>}
        columns={[
          { key: "at", title: t("audit.at"), width: 170, render: (r) => <Button type="link" size="small" style={{ padding: 0 }} onClick={() => go({ record: r.number }, true)} aria-label={t("audit.open", { number: r.number })}><Moment at={r.at} /></Button> },
          { key: "actor", title: t("audit.actor"), width: 130, render: (r) => r.actor },
          { key: "operation", title: t("audit.operation"), width: 170, render: (r) => <span className="mono">{r.operation}</span> },
          { key: "target", title: t("audit.what"), width: 240, render: (r) => <span className="mono" title={r.target}>{r.target}</span> },
          { key: "outcome", title: t("audit.outcome"), width: 260, render: (r) => <Outcome record={r} /> },
          { key: "why", title: t("audit.why"), width: 200, render: (r) => <span title={r.why}>{r.why}</span> },
          { key: "via", title: t("audit.via"), width: 120, render: (r) => <span className="mono">{r.via}</span> },
          { key: "by", title: t("audit.by"), width: 120, render: (r) => r.from },
        ]}
      />
      {record ? <AuditDetail record={record} close={() => go({ record: 0 })} /> : null}
    </Space>
  );
}
