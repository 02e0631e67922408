// The form's parts: who knows the draft, a field with its help and what is wrong with it, lists of rows.
import { CloseOutlined, ExclamationCircleOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Segmented, Switch } from "antd";
import { createContext, useContext, useId, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { findingsOf, said, type Draft, type FieldName, type Finding } from "./draft.ts";

export interface Form {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
  findings: readonly Finding[];
  /** The day before today, where the cluster is. */
  yesterday: string;
  zone: string;
}

export const FormContext = createContext<Form | undefined>(undefined);

export function useForm(): Form {
  const form = useContext(FormContext);
  if (!form) throw new Error("no form is around");
  return form;
}

/** What is given to a control, so that its label and help are read with it. */
export interface Control {
  id: string;
  "aria-describedby": string;
  status?: "error";
}

/** One field: label, control (or a group of them with names of their own), a sentence of help, and what the cluster says of it. */
export function Field({ name, label, children, wide = false, group = false }: { name: FieldName; label?: string; children: (control: Control) => ReactNode; wide?: boolean; group?: boolean }) {
  const { t } = useTranslation("wizard");
  const id = useId();
  const found = findingsOf(useForm().findings, name);
  const wrong = found.some((f) => !f.warning);
  return (
    <div className={wide ? "wz-field wz-wide" : "wz-field"} data-field={name}>
      {group ? <span className="wz-label">{t(`field.${name}.label`)}</span> : <label className="wz-label" htmlFor={id}>{label ?? t(`field.${name}.label`)}</label>}
      {children({ id, "aria-describedby": `${id}-help`, ...(wrong ? { status: "error" as const } : {}) })}
      <div id={`${id}-help`}>
        <div className="muted wz-help">{t(`field.${name}.help`)}</div>
        <Findings found={found} field={name} />
      </div>
    </div>
  );
}

export function Findings({ found, field }: { found: readonly Finding[]; field: string }) {
  const { t } = useTranslation("ui");
  return (
    <>
      {found.map((f, i) => (
        <div key={i} role={f.warning ? undefined : "alert"} className={f.warning ? "wz-warn" : "wz-wrong"}>
          <ExclamationCircleOutlined aria-hidden /> {f.field === field ? null : <code>{f.field}</code>} {f.warning ? f.message : t("wrong", { message: f.message })}
        </div>
      ))}
    </>
  );
}

/** A field of a few words of which one holds. */
export function Choice<F extends "order" | "gate" | "onFailure" | "overlap" | "onConflict" | "pausedNodes" | "dryRunNodes">({ name, words }: { name: F; words: readonly NonNullable<Draft[F]>[] }) {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  const say = (word: string) => t(`word.${name}.${word}` as "word.order.ascending");
  const value: string = draft[name] ?? words[0] ?? "";
  return (
    <Field name={name} group>
      {(control) => (
        <div role="group" aria-label={t(`field.${name}.label`)} aria-describedby={control["aria-describedby"]}>
          <Segmented name={control.id} value={value} options={words.map((word) => ({ value: word as string, label: say(word) }))} onChange={(word) => set({ [name]: word })} />
        </div>
      )}
    </Field>
  );
}

/** A field that is on or off. */
export function Toggle({ name }: { name: "withoutRoot" | "runFutureEarly" | "dryRun" | "pinCode" }) {
  const { draft, set } = useForm();
  return <Field name={name}>{(control) => <Switch id={control.id} aria-describedby={control["aria-describedby"]} checked={draft[name] ?? false} onChange={(on) => set({ [name]: on })} />}</Field>;
}

type ListName = "params" | "fields" | "notify" | "filters";
type Row<F extends ListName> = NonNullable<Draft[F]>[number];

/** A field of rows, each with controls of its own. */
export function Rows<F extends ListName>({ name, empty, children }: { name: F; empty: Row<F>; children: (row: Row<F>, change: (row: Partial<Row<F>>) => void, n: number) => ReactNode }) {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  const rows: Row<F>[] = draft[name] ?? [];
  const put = (next: Row<F>[]) => set({ [name]: next } as Partial<Draft>);
  return (
    <Field name={name} wide group>
      {(control) => (
        <div role="group" aria-label={t(`field.${name}.label`)} aria-describedby={control["aria-describedby"]}>
          {rows.map((row, n) => (
            <div key={n} className="wz-row" role="group" aria-label={`${t(`field.${name}.label`)} ${n + 1}`}>
              {children(row, (change) => put(rows.map((r, k) => (k === n ? { ...r, ...change } : r))), n)}
              <Button type="text" icon={<CloseOutlined />} aria-label={t("removeRow", { n: n + 1, list: t(`field.${name}.label`) })} onClick={() => put(rows.filter((_, k) => k !== n))} />
            </div>
          ))}
          <Button size="small" icon={<PlusOutlined />} disabled={rows.some((r) => !said(r))} onClick={() => put([...rows, empty])}>{t(`field.${name}.add`)}</Button>
        </div>
      )}
    </Field>
  );
}
