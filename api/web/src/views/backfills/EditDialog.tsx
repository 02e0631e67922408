// Changing a backfill that is not finished: first the difference, then, if it still is what was
// looked at, the change.
import { useMutation } from "@tanstack/react-query";
import { Alert, Button, Input, InputNumber, Modal, Select, Skeleton, Space, TimePicker } from "antd";
import dayjs from "dayjs";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../../api/client.ts";
import { api, data, type Schema } from "../../app/api.ts";
import { Failure } from "../../ui/Failure.tsx";
import { useWrite } from "../../ui/operate.tsx";
import { warningText } from "../../ui/warning.ts";
import { GroupSelect, NodesSelect } from "../wizard/pickers.tsx";
import { useBackfill, type Read } from "./read.ts";

type Edit = Schema<"BackfillEdit">;
const priorities = [0, 8, 7, 5, 3, 2, 1];

export function EditDialog({ id, close }: { id: string; close: () => void }) {
  const { t } = useTranslation("backfills");
  const query = useBackfill(id);
  return (
    <Modal open title={t("edit.title", { name: query.data?.backfill.summary.name ?? id })} onCancel={close} footer={null} width={760}>
      {query.data ? <Editor read={query.data} reload={() => void query.refetch()} close={close} /> : query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : <Skeleton active />}
    </Modal>
  );
}

const send = (id: string, body: Edit, dryRun: boolean, tag: string, key?: { "Idempotency-Key": string }) =>
  data(api.PATCH("/v1/backfills/{backfill}", { params: { path: { backfill: id }, query: { dryRun }, header: { ...key, "If-Match": tag } }, body }));

function Editor({ read: { backfill, tag }, reload, close }: { read: Read; reload: () => void; close: () => void }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const { id } = backfill.summary;
  const [edit, setEdit] = useState<Edit>({});
  const change = (part: Partial<Edit>) => { setEdit((before) => ({ ...before, ...part })); preview.reset(); };
  const preview = useMutation<{ result: Schema<"EditResult">; tag: string }, Error>({ mutationFn: async () => ({ result: await send(id, edit, true, tag), tag }) });
  const apply = useWrite<string, Schema<"EditResult">>((seen, key) => send(id, edit, false, seen, key), () => { close(); return t("edit.done"); }, { quiet: true });
  const stale = apply.error instanceof ApiError && apply.error.code === "precondition";
  const nothing = Object.entries(edit).every(([field, v]) => field === "why" || v === undefined || (Array.isArray(v) && v.length === 0));
  const seen = preview.data;
  return (
    <>
      <EditForm request={backfill.request} edit={edit} change={change} />
      {preview.error ? <Failure error={preview.error} /> : null}
      {seen ? <Difference result={seen.result} /> : null}
      {stale ? <Alert type="warning" showIcon role="alert" title={t("edit.stale")} /> : apply.error ? <Failure error={apply.error} /> : null}
      <div className="row" style={{ justifyContent: "flex-end", marginTop: 16 }}>
        {nothing ? <span className="muted">{t("edit.nothing")}</span> : null}
        <Button onClick={close}>{ui("cancel")}</Button>
        <Button disabled={nothing} loading={preview.isPending} onClick={() => { apply.reset(); reload(); preview.mutate(); }}>{t("edit.preview")}</Button>
        <Button type="primary" disabled={!seen} loading={apply.isPending} onClick={() => seen && apply.mutate(seen.tag)}>{t("edit.apply")}</Button>
      </div>
    </>
  );
}

function EditForm({ request, edit, change }: { request: Schema<"BackfillRequest">; edit: Edit; change: (part: Partial<Edit>) => void }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const period = edit.anyTime ? undefined : (edit.period ?? request.period);
  // What is as it was is not sent.
  const differs = <T,>(value: T, before: T): T | undefined => (value === before ? undefined : value);
  const start = (at?: string) => (at ? dayjs(`2000-01-01T${at}`) : null);
  return (
    <div style={{ display: "grid", gridTemplateColumns: "150px 1fr", gap: "10px 12px", alignItems: "center" }}>
      <Row label={t("edit.groups")}>{(label) => <InputNumber aria-label={label} min={1} max={10} value={edit.groups ?? request.groups ?? 1} onChange={(v) => change({ groups: differs(v ?? 1, request.groups ?? 1) })} />}</Row>
      <Row label={t("edit.maxRunning")} hint={t("edit.maxRunningHint")}>{(label) => <InputNumber aria-label={label} min={0} value={edit.maxRunning ?? request.maxRunning ?? 0} onChange={(v) => change({ maxRunning: differs(v ?? 0, request.maxRunning ?? 0) })} />}</Row>
      <Row label={t("edit.resourceGroup")} hint={t("edit.resourceGroupHint")}>{(label) => <span style={{ display: "inline-block", width: 240 }}><GroupSelect label={label} value={edit.resourceGroup ?? request.resourceGroup} onChange={(name) => change({ resourceGroup: differs(name ?? "", request.resourceGroup ?? "") })} /></span>}</Row>
      <Row label={t("edit.priority")}>{(label) => <Select aria-label={label} style={{ width: 140 }} value={edit.priority ?? request.priority ?? 0} onChange={(v: number) => change({ priority: differs(v, request.priority ?? 0) })} options={priorities.map((value) => ({ value, label: value === 0 ? t("edit.byRules") : value }))} />}</Row>
      <Row label={t("edit.period")}>{(label) => (
        <Space wrap>
          <Select
            aria-label={label} style={{ width: 140 }} value={period?.cycle ?? ""} options={[{ value: "", label: t("edit.anyTime") }, { value: "daily", label: t("edit.daily") }, { value: "weekend", label: t("edit.weekend") }]}
            onChange={(cycle: "" | Schema<"PeriodCycle">) => change(cycle === "" ? { period: undefined, anyTime: request.period ? true : undefined } : { anyTime: undefined, period: { start: period?.start ?? "00:00", end: period?.end, cycle } })}
          />
          {period ? <TimePicker.RangePicker
            aria-label={label} format="HH:mm" order={false} value={[start(period.start), start(period.end)]} allowEmpty={[false, true]}
            onChange={(range) => change({ anyTime: undefined, period: { cycle: period.cycle, start: range?.[0]?.format("HH:mm") ?? "00:00", end: range?.[1]?.format("HH:mm") } })}
          /> : null}
        </Space>
      )}</Row>
      <Row label={t("edit.addDates")}>{(label) => <Dates label={label} value={edit.addDates} change={(addDates) => change({ addDates })} />}</Row>
      <Row label={t("edit.dropDates")}>{(label) => <Dates label={label} value={edit.dropDates} change={(dropDates) => change({ dropDates })} />}</Row>
      <Row label={t("edit.addNodes")}>{(label) => <NodesSelect label={label} value={edit.addNodes ?? []} onChange={(addNodes) => change({ addNodes })} />}</Row>
      <Row label={t("edit.dropNodes")}>{(label) => <NodesSelect label={label} value={edit.dropNodes ?? []} onChange={(dropNodes) => change({ dropNodes })} />}</Row>
      <Row label={ui("why")}>{(label) => <Input aria-label={label} maxLength={1000} placeholder={ui("whyHint")} value={edit.why ?? ""} onChange={(e) => change({ why: e.target.value || undefined })} />}</Row>
    </div>
  );
}

function Row({ label, hint, children }: { label: string; hint?: string; children: (label: string) => ReactNode }) {
  return (
    <>
      <span>{label}</span>
      <span>{children(label)}{hint ? <span className="muted" style={{ marginInlineStart: 8 }}>{hint}</span> : null}</span>
    </>
  );
}

/** Dates and ranges as the contract writes them: typed, or pasted several at once. */
function Dates({ label, value, change }: { label: string; value?: string[]; change: (dates: string[]) => void }) {
  const { t } = useTranslation("backfills");
  return <Select mode="tags" open={false} suffixIcon={null} aria-label={label} placeholder={t("edit.dateHint")} style={{ width: "100%" }} tokenSeparators={[",", " ", "\n"]} value={value ?? []} onChange={change} />;
}

function Difference({ result }: { result: Schema<"EditResult"> }) {
  const { t } = useTranslation("backfills");
  return (
    <section aria-label={t("edit.changed")} className="panel" style={{ marginTop: 12, padding: 12, maxHeight: 260, overflow: "auto" }}>
      <table className="grid" style={{ tableLayout: "auto" }}>
        <thead><tr><th scope="col">{t("edit.field")}</th><th scope="col">{t("edit.before")}</th><th scope="col">{t("edit.after")}</th></tr></thead>
        <tbody>{result.changes.map((c) => <tr key={c.field}><td className="mono">{c.field}</td><td>{c.before || "–"}</td><td><strong>{c.after || "–"}</strong></td></tr>)}</tbody>
      </table>
      <div style={{ marginTop: 8 }}>{t("edit.added", { count: result.addedInstances })} · {t("edit.dropped", { count: result.droppedInstances })}</div>
      {result.warnings.map((w, i) => <Alert key={i} type="warning" showIcon style={{ marginTop: 8 }} title={warningText(w)} />)}
    </section>
  );
}
