// All instances of one backfill, with filters in the address.
import { Button, Checkbox, Tag } from "antd";
import { useTranslation } from "react-i18next";

import { api, data, type State } from "../../app/api.ts";
import { flag, list, text, useUrl } from "../../app/url.ts";
import { Teach } from "../../ui/Failure.tsx";
import { FilterText, FilterWords } from "../../ui/filters.tsx";
import { InstanceTable } from "../../ui/InstanceTable.tsx";
import { states } from "../../ui/State.tsx";
import { FilterDates } from "./Filters.tsx";

const fields = { nodeText: text(), node: list(), state: list<State>(), from: text(), to: text(), agent: list(), failure: text(), myNodes: flag() };

export function BackfillInstances({ backfill }: { backfill: string }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const [at, go] = useUrl(fields);
  const asked = { nodeContains: at.nodeText || undefined, node: at.node, state: at.state, date_from: at.from || undefined, date_to: at.to || undefined, agent: at.agent, failure: at.failure || undefined, myNodes: at.myNodes || undefined, limit: 200 };
  const some = Boolean(at.nodeText || at.node.length || at.state.length || at.from || at.to || at.agent.length || at.failure || at.myNodes);
  return (
    <>
      <div className="row" role="search" style={{ marginBottom: 4 }}>
        <FilterText label={t("filter.nodeText")} value={at.nodeText} change={(nodeText) => go({ nodeText })} width={180} />
        <FilterWords free label={t("filter.node")} value={at.node} change={(node) => go({ node })} options={[]} width={160} />
        <FilterWords label={t("filter.state")} value={at.state} change={(state) => go({ state })} options={states.map((value) => ({ value, label: ui(`state.${value}`) }))} width={170} />
        <FilterDates label={t("filter.dates")} from={at.from} to={at.to} change={(from, to) => go({ from, to })} />
        <FilterWords free label={ui("column.agent")} value={at.agent} change={(agent) => go({ agent })} options={[]} width={130} />
        {at.failure ? <Tag closable={{ "aria-label": t("filter.anyFailure") }} onClose={() => go({ failure: "" })}>{t("filter.failure")} <span className="mono">{at.failure}</span></Tag> : null}
        <Checkbox checked={at.myNodes} onChange={(e) => go({ myNodes: e.target.checked })}>{t("filter.myNodes")}</Checkbox>
        {some ? <Button size="small" type="link" onClick={() => go({ nodeText: "", node: [], state: [], from: "", to: "", agent: [], failure: "", myNodes: false })}>{ui("clearFilters")}</Button> : null}
      </div>
      <InstanceTable
        queryKey={["instances", backfill, asked]} hide={["backfill"]} empty={<Teach title={t("empty.found")} />} minHeight={240}
        load={(cursor, signal) => data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill }, query: { ...asked, cursor } }, signal }))}
      />
    </>
  );
}
