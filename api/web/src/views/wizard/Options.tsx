// How the dates follow one another, when and where instances run, what runs, who is told.
import { AutoComplete, Button, Checkbox, Input, InputNumber, Select, Slider } from "antd";
import { useQuery } from "@tanstack/react-query";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useMay, useMe } from "../../app/me.ts";
import type { Draft } from "./draft.ts";
import { Choice, Field, Rows, Toggle, useForm, type Control } from "./form.tsx";
import { GroupSelect, NodeSelect, useNode } from "./pickers.tsx";

export function How() {
  const { draft, set } = useForm();
  return (
    <div className="wz-grid">
      <Field name="groups">
        {(control) => (
          <div className="row" style={{ flexWrap: "nowrap" }}>
            <InputNumber {...control} min={1} max={10} precision={0} value={draft.groups || 1} onChange={(groups) => set({ groups: groups ?? 1 })} style={{ width: 72 }} />
            <Slider min={1} max={10} value={draft.groups || 1} onChange={(groups) => set({ groups })} style={{ flex: 1 }} ariaLabelForHandle="1–10" />
          </div>
        )}
      </Field>
      <Amount name="maxRunning" />
      <Choice name="order" words={["ascending", "descending"]} />
      <Choice name="gate" words={["day", "node", "none"]} />
    </div>
  );
}

function Amount({ name }: { name: "maxRunning" | "stopAfter" }) {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  return <Field name={name}>{(control) => <InputNumber {...control} min={0} precision={0} placeholder={t(`none.${name}`)} value={draft[name] || null} onChange={(n) => set({ [name]: n ?? 0 })} style={{ width: 140 }} />}</Field>;
}

const priorities = [1, 2, 3, 5, 7, 8];

export function When() {
  const { t } = useTranslation("wizard");
  const { draft, set, zone } = useForm();
  const role = useMe().data?.role;
  const operator = role === "operator" || role === "admin";
  return (
    <div className="wz-grid">
      <Field name="resourceGroup">{(control) => <GroupSelect {...control} label={t("field.resourceGroup.label")} value={draft.resourceGroup} onChange={(resourceGroup) => set({ resourceGroup })} />}</Field>
      <Field name="priority">
        {(control) => (
          <Select
            {...control} aria-label={t("field.priority.label")} style={{ width: 180 }} disabled={!operator} title={operator ? undefined : t("operatorsOnly")} value={draft.priority || 0} onChange={(priority: number) => set({ priority })}
            options={[{ value: 0, label: t("byTheRules") }, ...priorities.map((value) => ({ value, label: String(value) }))]}
          />
        )}
      </Field>
      <Field name="notBefore">
        {(control) => <Input {...control} type="datetime-local" style={{ width: 220 }} value={draft.notBefore ? dayjs(draft.notBefore).format("YYYY-MM-DDTHH:mm") : ""} onChange={(e) => set({ notBefore: e.target.value ? dayjs(e.target.value).toISOString() : undefined })} />}
      </Field>
      <Toggle name="runFutureEarly" />
      <Field name="period" wide>{(control) => <Period {...control} />}</Field>
      {draft.period ? <Field name="zone">{(control) => <Input {...control} placeholder={zone} value={draft.zone ?? ""} onChange={(e) => set({ zone: e.target.value.trim() })} style={{ width: 220 }} />}</Field> : null}
    </div>
  );
}

function Period(control: Control) {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  const period = draft.period;
  const put = (change: Partial<Schema<"Period">>) => {
    const next = { cycle: "daily" as const, start: "22:00", ...period, ...change };
    if (!next.end) delete next.end;
    set({ period: next });
  };
  return (
    <div className="row">
      <Select
        id={control.id} aria-label={t("field.period.label")} style={{ width: 200 }} value={period?.cycle ?? "any"} onChange={(cycle: "any" | "daily" | "weekend") => (cycle === "any" ? set({ period: undefined }) : put({ cycle }))}
        options={(["any", "daily", "weekend"] as const).map((value) => ({ value, label: t(`word.period.${value}`) }))}
      />
      {period ? (
        <>
          <Input type="time" aria-label={t("periodStart")} status={control.status} style={{ width: 120 }} value={period.start} onChange={(e) => e.target.value && put({ start: e.target.value })} />
          –
          <Input type="time" aria-label={t("periodEnd")} status={control.status} style={{ width: 120 }} value={period.end ?? ""} onChange={(e) => put({ end: e.target.value })} />
          {period.end ? <Button size="small" type="link" onClick={() => put({ end: "" })}>{t("untilMidnight")}</Button> : <span className="muted">{t("untilMidnight")}</span>}
        </>
      ) : null}
    </div>
  );
}

export function Troubles() {
  return (
    <div className="wz-grid">
      <Choice name="onFailure" words={["hold", "continue"]} />
      <Amount name="stopAfter" />
      <Choice name="onConflict" words={["yield", "wait", "allow"]} />
      <Choice name="overlap" words={["wait", "refuse"]} />
    </div>
  );
}

export function What() {
  const { t } = useTranslation("wizard");
  return (
    <div className="wz-grid">
      <Rows name="params" empty={{ node: "", name: "", value: "" }}>
        {(row: Param, change) => <ParamRow row={row} change={change} />}
      </Rows>
      <Rows name="fields" empty={{ node: "" }}>
        {(row: FieldChoice, change) => <FieldRow row={row} change={change} />}
      </Rows>
      <Toggle name="dryRun" />
      <Toggle name="pinCode" />
      <Choice name="dryRunNodes" words={["run", "keep"]} />
      <Choice name="pausedNodes" words={["run", "keep"]} />
      <span className="muted wz-help wz-wide">{t("switchesHelp")}</span>
    </div>
  );
}

type Param = NonNullable<Draft["params"]>[number];
type FieldChoice = NonNullable<Draft["fields"]>[number];

function ParamRow({ row, change }: { row: Param; change: (row: Partial<Param>) => void }) {
  const { t } = useTranslation("wizard");
  const node = useNode(row.node || undefined);
  const known = node.data?.node.params ?? [];
  return (
    <>
      <div style={{ flex: "1 1 180px" }}><NodeSelect label={t("param.node")} value={row.node} onChange={(id) => change({ node: id ?? "" })} /></div>
      <AutoComplete aria-label={t("param.name")} placeholder={t("param.name")} style={{ flex: "1 1 120px" }} value={row.name} onChange={(name: string) => change({ name })} options={known.map((p) => ({ value: p.name, label: `${p.name} = ${p.value}` }))} popupMatchSelectWidth={false} />
      <Input aria-label={t("param.value")} placeholder={known.find((p) => p.name === row.name)?.value ?? t("param.value")} style={{ flex: "2 1 140px" }} value={row.value} onChange={(e) => change({ value: e.target.value })} />
    </>
  );
}

function FieldRow({ row, change }: { row: FieldChoice; change: (row: Partial<FieldChoice>) => void }) {
  const { t } = useTranslation("wizard");
  const node = useNode(row.node || undefined);
  const fields = node.data?.node.logical?.fields?.filter((f) => !f.primaryKey) ?? [];
  return (
    <>
      <div style={{ flex: "1 1 180px" }}><NodeSelect label={t("fieldRow.node")} types={["logical_dimension", "logical_fact", "logical_aggregate"]} value={row.node} onChange={(id) => change({ node: id ?? "", fields: undefined })} /></div>
      <Select mode="tags" aria-label={t("fieldRow.fields")} placeholder={t("fieldRow.all")} style={{ flex: "2 1 200px" }} value={row.fields ?? []} onChange={(chosen: string[]) => change({ fields: chosen })} options={fields.map((f) => ({ value: f.name, label: f.description ? `${f.name} – ${f.description}` : f.name }))} optionLabelProp="value" />
    </>
  );
}

const occasions = ["failure", "success", "finished", "stuck"] as const;
type Told = NonNullable<Draft["notify"]>[number];

export function Alerts() {
  const { t } = useTranslation("wizard");
  const may = useMay()("listChannels");
  const channels = useQuery({ queryKey: ["notifications", "channels"], queryFn: () => data(api.GET("/v1/channels", { params: { query: { limit: 1000 } } })), enabled: may });
  return (
    <div className="wz-grid">
      <Rows name="notify" empty={{ channel: "" }}>
        {(row: Told, change) => (
          <>
            <AutoComplete aria-label={t("told.channel")} placeholder={t("told.channel")} style={{ flex: "1 1 160px" }} value={row.channel} onChange={(channel: string) => change({ channel })} options={channels.data?.items.map((c) => ({ value: c.name, label: `${c.name} (${c.kind})` })) ?? []} />
            <Checkbox.Group options={occasions.map((value) => ({ value, label: t(`word.occasion.${value}`) }))} value={row.on?.length ? row.on : ["failure", "finished"]} onChange={(on) => change({ on: occasions.filter((o) => on.includes(o)) })} />
          </>
        )}
      </Rows>
    </div>
  );
}
