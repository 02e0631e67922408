// Which nodes run.
import { Input, InputNumber, Select } from "antd";
import { useTranslation } from "react-i18next";

import { means, type Draft } from "./draft.ts";
import { Field, Rows, Toggle, useForm } from "./form.tsx";
import { ModeCards } from "./ModeCards.tsx";
import { NodeSelect, NodesSelect, WorkspacesSelect } from "./pickers.tsx";

const types = ["shell", "python", "sql", "http", "check", "integration", "logical_dimension", "logical_fact", "logical_aggregate", "virtual"];
const filterTexts = ["workspace", "owner", "name", "id", "resourceGroup"] as const;

export function Which() {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  const mode = draft.mode;
  return (
    <>
      <ModeCards />
      <div className="wz-grid">
        {means("root", mode) ? (
          <Field name="root" label={t(mode === "current" ? "rootOf.current" : mode === "chain" ? "rootOf.chain" : "rootOf.others")}>
            {(control) => <NodeSelect {...control} label={t(mode === "current" ? "rootOf.current" : mode === "chain" ? "rootOf.chain" : "rootOf.others")} value={draft.root} onChange={(root) => set({ root })} />}
          </Field>
        ) : null}
        {mode === "chain" ? <Field name="end">{(control) => <NodeSelect {...control} label={t("field.end.label")} value={draft.end} onChange={(end) => set({ end })} />}</Field> : null}
        {mode === "advanced" ? <Nodes /> : null}
        {mode === "descendants" ? <Below /> : null}
        {mode === "massive" ? <Massive /> : null}
        {mode === "advanced" ? <Filters /> : null}
      </div>
    </>
  );
}

function Nodes() {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  const label = t(draft.mode === "advanced" ? "nodesOf.advanced" : "nodesOf.descendants");
  return <Field name="nodes" wide label={label}>{(control) => <NodesSelect {...control} label={label} value={draft.nodes ?? []} onChange={(nodes) => set({ nodes })} />}</Field>;
}

function Below() {
  const { draft, set } = useForm();
  return (
    <>
      <Toggle name="withoutRoot" />
      <Field name="nameFilter">{(control) => <Input {...control} value={draft.nameFilter ?? ""} onChange={(e) => set({ nameFilter: e.target.value })} allowClear />}</Field>
      <Field name="maxLevel">{(control) => <InputNumber {...control} min={0} precision={0} value={draft.maxLevel || null} onChange={(maxLevel) => set({ maxLevel: maxLevel ?? 0 })} style={{ width: 120 }} />}</Field>
      <Nodes />
    </>
  );
}

function Massive() {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  return (
    <>
      <Toggle name="withoutRoot" />
      <Field name="workspaces" wide>{(control) => <WorkspacesSelect {...control} label={t("field.workspaces.label")} value={draft.workspaces ?? []} onChange={(workspaces) => set({ workspaces })} />}</Field>
      <Field name="whitelist" wide>{(control) => <NodesSelect {...control} label={t("field.whitelist.label")} value={draft.whitelist ?? []} onChange={(whitelist) => set({ whitelist })} />}</Field>
      <Field name="blacklist" wide>{(control) => <NodesSelect {...control} label={t("field.blacklist.label")} value={draft.blacklist ?? []} onChange={(blacklist) => set({ blacklist })} />}</Field>
    </>
  );
}

type Filter = NonNullable<Draft["filters"]>[number];

function Filters() {
  const { t } = useTranslation("wizard");
  return (
    <Rows name="filters" empty={{}}>
      {(row: Filter, change) => (
        <>
          {filterTexts.map((key) => (
            <Input key={key} aria-label={t(`filter.${key}`)} placeholder={t(`filter.${key}`)} style={{ flex: "1 1 110px" }} value={row[key] ?? ""} onChange={(e) => change({ [key]: e.target.value || undefined })} />
          ))}
          <Select aria-label={t("filter.type")} placeholder={t("filter.type")} allowClear style={{ flex: "1 1 120px" }} popupMatchSelectWidth={false} value={row.type} onChange={(type: string | undefined) => change({ type })} options={types.map((value) => ({ value, label: value }))} />
          <Select aria-label={t("filter.priority")} placeholder={t("filter.priority")} allowClear style={{ flex: "1 1 90px" }} value={row.priority} onChange={(priority: number | undefined) => change({ priority })} options={[1, 3, 5, 7, 8].map((value) => ({ value, label: value }))} />
        </>
      )}
    </Rows>
  );
}
