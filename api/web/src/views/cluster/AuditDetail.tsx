import { Descriptions, Drawer, Table } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Code } from "../../ui/Code.tsx";
import { Moment } from "../../ui/Time.tsx";
import type { AuditRecord } from "./audit.ts";
import { Outcome } from "./Outcome.tsx";

interface Change {
  field: string;
  before?: string;
  after?: string;
}

/** The fields of a recorded thing by their paths; nothing where it was cut in the middle. */
function flat(json: string | undefined): Map<string, string> | undefined {
  const out = new Map<string, string>();
  if (!json) return out;
  const walk = (path: string, value: unknown): void => {
    if (value !== null && typeof value === "object") {
      for (const [key, inner] of Object.entries(value)) walk(path ? `${path}.${key}` : key, inner);
    } else {
      out.set(path, typeof value === "string" ? value : String(value));
    }
  };
  try {
    walk("", JSON.parse(json));
    return out;
  } catch {
    return undefined;
  }
}

/** What differs between two recorded things. */
export function changes(before: string | undefined, after: string | undefined): Change[] | undefined {
  const [was, is] = [flat(before), flat(after)];
  if (!was || !is) return undefined;
  return [...new Set([...was.keys(), ...is.keys()])].filter((field) => was.get(field) !== is.get(field)).map((field) => ({ field, before: was.get(field), after: is.get(field) }));
}

export function AuditDetail({ record, close }: { record: AuditRecord; close: () => void }) {
  const { t } = useTranslation("cluster");
  const items: [string, ReactNode][] = [
    [t("audit.at"), <Moment key="at" at={record.at} />], [t("audit.actor"), record.actor], [t("audit.operation"), <span key="o" className="mono">{record.operation}</span>], [t("audit.what"), <span key="t" className="mono">{record.target}</span>],
    [t("audit.outcome"), <Outcome key="c" record={record} />], [t("audit.message"), record.message], [t("audit.why"), record.why], [t("audit.via"), record.via], [t("audit.by"), record.from],
    [t("audit.request"), <span key="r" className="mono">{record.requestId}</span>], [t("audit.index"), record.index],
  ];
  return (
    <Drawer open onClose={close} size={720} title={t("audit.open", { number: record.number })}>
      <Descriptions bordered size="small" column={1} styles={{ label: { width: 180 } }} items={items.filter(([, value]) => value !== undefined && value !== "").map(([label, children]) => ({ key: label, label, children }))} />
      <h2 style={{ fontSize: 16 }}>{t("audit.changes")}</h2>
      <Difference record={record} />
    </Drawer>
  );
}

function Difference({ record: { before, after } }: { record: AuditRecord }) {
  const { t } = useTranslation("cluster");
  if (!before && !after) return <p className="muted">{t("audit.unkept")}</p>;
  const all = changes(before, after);
  if (!all) {
    return (
      <>
        <p className="muted">{t("audit.cut")}</p>
        {before ? <Code text={before} label={t("audit.before")} /> : null}
        {after ? <Code text={after} label={t("audit.after")} /> : null}
      </>
    );
  }
  if (!all.length) return <p className="muted">{t("audit.same")}</p>;
  const cell = (value: string | undefined, sign: string, color: string) => (value === undefined ? null : <span style={{ color, overflowWrap: "anywhere" }}><span aria-hidden>{sign} </span>{value}</span>);
  return (
    <Table<Change>
      size="small" rowKey="field" dataSource={all} pagination={{ pageSize: 100, hideOnSinglePage: true }} aria-label={t("audit.changes")}
      columns={[
        { title: t("audit.field"), render: (_, c) => <span className="mono">{c.field}</span> },
        { title: t("audit.before"), render: (_, c) => cell(c.before, "−", "var(--state-failed)") },
        { title: t("audit.after"), render: (_, c) => cell(c.after, "+", "var(--text)") },
      ]}
    />
  );
}
