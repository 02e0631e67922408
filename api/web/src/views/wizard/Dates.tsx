// Which data timestamps.
import { Button, Input, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { count, presetOf, presets, rangeOf, textOf, typed, united } from "./dates.ts";
import { Field, useForm, type Control } from "./form.tsx";
import { Months } from "./Months.tsx";

export function Dates() {
  return (
    <div className="wz-grid">
      <Field name="dates" wide>{(control) => <Ranges {...control} />}</Field>
      <Field name="timeOfDay">{(control) => <TimeOfDay {...control} />}</Field>
    </div>
  );
}

function Ranges(control: Control) {
  const { t } = useTranslation("wizard");
  const { draft, set, yesterday } = useForm();
  const [text, setText] = useState("");
  const put = (dates: string[]) => set({ dates });
  const add = () => {
    if (!text.trim()) return;
    put(united([...draft.dates, ...typed(text)]));
    setText("");
  };
  return (
    <>
      <div className="row" style={{ marginBottom: 6 }}>
        {draft.dates.map((range) => (
          <Tag key={range} closable color={rangeOf(range) ? "blue" : "red"} onClose={(e) => { e.preventDefault(); put(draft.dates.filter((d) => d !== range)); }} closeIcon={<span role="img" aria-label={t("calendar.remove", { range })}>×</span>}>{range}</Tag>
        ))}
        {draft.dates.length ? <span className="muted">{t("calendar.count", { count: count(draft.dates) })}</span> : null}
        {draft.dates.length > 1 ? <Button size="small" type="link" onClick={() => put([])}>{t("calendar.clear")}</Button> : null}
      </div>
      <div className="row" style={{ marginBottom: 6 }}>
        <Input {...control} style={{ flex: "1 1 240px" }} placeholder="2024-01-01..2024-01-31, 2024-02-29" value={text} onChange={(e) => setText(e.target.value)} onBlur={add} onPressEnter={(e) => { e.preventDefault(); add(); }} />
        {presets.map((preset) => <Button key={preset} size="small" onClick={() => put(united([...draft.dates, textOf(presetOf(preset, yesterday))]))}>{t(`preset.${preset}`)}</Button>)}
      </div>
      <Months dates={draft.dates} yesterday={yesterday} onChange={put} />
    </>
  );
}

/** Both ends, or none. */
function TimeOfDay(control: Control) {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  const at = draft.timeOfDay;
  const put = (change: { from?: string; to?: string }) => {
    const next = { from: at?.from ?? "00:00", to: at?.to ?? "23:59", ...change };
    set({ timeOfDay: next.from || next.to ? next : undefined });
  };
  return (
    <div className="row">
      <Input {...control} type="time" style={{ width: 120 }} value={at?.from ?? ""} onChange={(e) => put({ from: e.target.value })} />
      –
      <Input type="time" style={{ width: 120 }} aria-label={t("timeOfDayTo")} status={control.status} value={at?.to ?? ""} onChange={(e) => put({ to: e.target.value })} />
      {at ? <Button size="small" type="link" onClick={() => set({ timeOfDay: undefined })}>{t("anyTime")}</Button> : null}
    </div>
  );
}
