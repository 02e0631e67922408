// The filters above the list; all are in the address.
import { Button, Checkbox, DatePicker } from "antd";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";

import type { State } from "../../app/api.ts";
import { useMe } from "../../app/me.ts";
import { FilterText, FilterWords } from "../../ui/filters.tsx";
import { states as all } from "../../ui/State.tsx";

interface At {
  q: string; nodeText: string; node: string[]; by: string[]; createdFrom: string; createdTo: string; from: string; to: string; state: State[]; mine: boolean; myNodes: boolean;
}

/** First and last date, each may be open. */
export function FilterDates({ label, from, to, change }: { label: string; from: string; to: string; change: (from: string, to: string) => void }) {
  const { t } = useTranslation("backfills");
  return (
    <DatePicker.RangePicker
      allowEmpty={[true, true]} aria-label={label} style={{ width: 230 }} placeholder={[`${label} ${t("filter.from")}`, t("filter.to")]}
      value={[from ? dayjs(from) : null, to ? dayjs(to) : null]} onChange={(range) => change(range?.[0]?.format("YYYY-MM-DD") ?? "", range?.[1]?.format("YYYY-MM-DD") ?? "")}
    />
  );
}

export function Filters({ at, go, states = all }: { at: At; go: (change: Partial<At>) => void; states?: readonly State[] }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const me = useMe().data?.name;
  const none: Partial<At> = { q: "", nodeText: "", node: [], by: [], createdFrom: "", createdTo: "", from: "", to: "", state: [], mine: false, myNodes: false };
  const some = Boolean(at.q || at.nodeText || at.node.length || at.by.length || at.createdFrom || at.createdTo || at.from || at.to || at.state.length || at.mine || at.myNodes);
  return (
    <div className="row" role="search" style={{ marginBottom: 8 }}>
      <FilterText label={t("filter.name")} value={at.q} change={(q) => go({ q })} width={180} />
      <FilterText label={t("filter.nodeText")} value={at.nodeText} change={(nodeText) => go({ nodeText })} width={170} />
      <FilterWords free label={t("filter.node")} value={at.node} change={(node) => go({ node })} options={[]} width={120} />
      <FilterWords label={t("filter.state")} value={at.state} change={(state) => go({ state })} options={states.map((value) => ({ value, label: ui(`state.${value}`) }))} width={120} />
      <FilterWords free label={t("filter.by")} value={at.by} change={(by) => go({ by })} options={me ? [{ value: me, label: me }] : []} width={130} />
      <FilterDates label={t("filter.created")} from={at.createdFrom} to={at.createdTo} change={(createdFrom, createdTo) => go({ createdFrom, createdTo })} />
      <FilterDates label={t("filter.dates")} from={at.from} to={at.to} change={(from, to) => go({ from, to })} />
      <Checkbox checked={at.mine} onChange={(e) => go({ mine: e.target.checked })}>{t("filter.mine")}</Checkbox>
      <Checkbox checked={at.myNodes} onChange={(e) => go({ myNodes: e.target.checked })}>{t("filter.myNodes")}</Checkbox>
      {some ? <Button size="small" type="link" onClick={() => go(none)}>{ui("clearFilters")}</Button> : null}
    </div>
  );
}
