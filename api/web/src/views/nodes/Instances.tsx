import { DatePicker } from "antd";
import dayjs from "dayjs";
import { useCallback } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema, type State } from "../../app/api.ts";
import { choice, list, text, useUrl } from "../../app/url.ts";
import { Teach } from "../../ui/Failure.tsx";
import { FilterWord, FilterWords } from "../../ui/filters.tsx";
import { InstanceTable } from "../../ui/InstanceTable.tsx";
import { states } from "../../ui/State.tsx";

const fields = { state: list<State>(), kind: choice<Schema<"PlanFilter">>(["all", "backfill", "auto"], "all"), from: text(), to: text() };
const known = (words: State[]) => words.filter((w) => states.includes(w));

/** The instances of a node, wherever they are. */
export function Instances({ node }: { node: string }) {
  const { t } = useTranslation("nodes");
  const ui = useTranslation("ui").t;
  const [at, go] = useUrl(fields);
  const query = { node: [node], state: known(at.state), kind: at.kind, date_from: at.from || undefined, date_to: at.to || undefined };
  const word = JSON.stringify(query);
  const load = useCallback((cursor: string | undefined, signal: AbortSignal) => data(api.GET("/v1/instances", { params: { query: { ...(JSON.parse(word) as typeof query), cursor, limit: 200 } }, signal })), [word]);
  return (
    <>
      <div className="row" style={{ marginBottom: 8 }}>
        <FilterWords label={t("state")} value={at.state} change={(state) => go({ state })} options={states.map((value) => ({ value, label: ui(`state.${value}`) }))} width={200} />
        <FilterWord label={t("planOf")} value={at.kind === "all" ? "" : at.kind} change={(kind) => go({ kind: kind || "all" })} options={[{ value: "backfill", label: t("plan.backfill") }, { value: "auto", label: t("plan.auto") }]} />
        <DatePicker.RangePicker
          aria-label={t("dates")} allowEmpty={[true, true]} value={[at.from ? dayjs(at.from) : null, at.to ? dayjs(at.to) : null]}
          onChange={(range) => go({ from: range?.[0]?.format("YYYY-MM-DD") ?? "", to: range?.[1]?.format("YYYY-MM-DD") ?? "" })}
        />
      </div>
      <InstanceTable queryKey={["instances", "node", word]} load={load} hide={["node"]} empty={<div className="panel"><Teach title={t("instances.none")}>{t("instances.noneText")}</Teach></div>} />
    </>
  );
}
