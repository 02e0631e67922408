import { Badge, Collapse, Input, Tag } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Dates } from "./Dates.tsx";
import { findingsOf, requestOf, said, type FieldName, type Request } from "./draft.ts";
import { Field, useForm } from "./form.tsx";
import { Alerts, How, Troubles, What, When } from "./Options.tsx";
import { Which } from "./Which.tsx";

type Section = "nodes" | "dates" | "how" | "when" | "troubles" | "what" | "alerts";

const fields: Record<Section, readonly FieldName[]> = {
  nodes: ["root", "end", "nodes", "filters", "workspaces", "whitelist", "blacklist", "withoutRoot", "nameFilter", "maxLevel"],
  dates: ["dates", "timeOfDay"],
  how: ["groups", "maxRunning", "order", "gate"],
  when: ["resourceGroup", "priority", "notBefore", "runFutureEarly", "period", "zone"],
  troubles: ["onFailure", "stopAfter", "onConflict", "overlap"],
  what: ["params", "fields", "dryRun", "pinCode", "dryRunNodes", "pausedNodes"],
  alerts: ["notify"],
};
const often: readonly Section[] = ["nodes", "dates", "how"];
const seldom: readonly Section[] = ["when", "troubles", "what", "alerts"];
const bodies: Record<Section, ReactNode> = { nodes: <Which />, dates: <Dates />, how: <How />, when: <When />, troubles: <Troubles />, what: <What />, alerts: <Alerts /> };

/** The form: what is always asked first, then what is seldom needed, folded. */
export function Sections() {
  const { t } = useTranslation("wizard");
  const { draft, set, findings } = useForm();
  const [open, setOpen] = useState<Section[]>([...often]);
  const wrong = (s: Section) => fields[s].flatMap((f) => findingsOf(findings, f)).filter((f) => !f.warning).length;
  const items = (list: readonly Section[]) => list.map((key) => ({
    key, children: bodies[key],
    label: <span className="row"><strong>{t(`section.${key}`)}</strong>{often.includes(key) ? null : <Summary names={fields[key]} />}{wrong(key) ? <Badge count={wrong(key)} title={t("wrong", { count: wrong(key) })} /> : null}</span>,
  }));
  const folded = (list: readonly Section[]) => (
    <Collapse
      activeKey={list.filter((s) => open.includes(s) || wrong(s) > 0)} items={items(list)} className="wz-sections"
      onChange={(keys) => setOpen([...open.filter((s) => !list.includes(s)), ...list.filter((s) => keys.includes(s))])}
    />
  );
  return (
    <>
      <div className="panel" style={{ marginBottom: 12 }}><Field name="name" wide>{(control) => <Input {...control} maxLength={256} placeholder={t("suggested")} value={draft.name ?? ""} onChange={(e) => set({ name: e.target.value })} allowClear />}</Field></div>
      {folded(often)}
      <h2 className="wz-advanced">{t("advanced")}</h2>
      {folded(seldom)}
    </>
  );
}

/** What of a folded section is set. */
function Summary({ names }: { names: readonly FieldName[] }) {
  const { t } = useTranslation("wizard");
  const request = requestOf(useForm().draft);
  const there = names.filter((n) => n in request);
  if (!there.length) return <span className="muted wz-help">{t("nothingSet")}</span>;
  return <>{there.map((n) => <Tag key={n} data-set={n} style={{ margin: 0, fontWeight: 400 }}>{t(`field.${n}.label`)}{shortly(request, n)}</Tag>)}</>;
}

function shortly(request: Request, name: FieldName): string {
  const value = request[name];
  if (Array.isArray(value)) return `: ${value.filter((v) => typeof v === "string" || said(v)).length}`;
  if (typeof value === "number" || (typeof value === "string" && name !== "notBefore")) return `: ${value}`;
  return "";
}
