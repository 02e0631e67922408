import { DownOutlined, UpOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Checkbox } from "antd";
import { useCallback, useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Node } from "../../app/api.ts";
import { FilterText, FilterWord, FilterWords } from "../../ui/filters.tsx";
import { filtered, kinds, modes, type Change, type NodeFilters } from "./find.ts";
import { types } from "./types.ts";

const as = (words: readonly string[]) => words.map((value) => ({ value, label: value }));

/** What is set less often is under "More filters", which is open where any of it is set. */
export default function FilterBar({ at, go, seen }: { at: NodeFilters; go: Change; seen: Node[] }) {
  const { t } = useTranslation("nodes");
  const ui = useTranslation("ui").t;
  const workspaces = useQuery({ queryKey: ["nodes", "workspaces"], queryFn: () => data(api.GET("/v1/workspaces", { params: { query: { limit: 1000 } } })), staleTime: 60_000 });
  const less = at.id.length + at.group.length + at.baseline.length + at.kind.length + at.mode.length + (at.auto ? 1 : 0);
  const [open, setOpen] = useState(less > 0);
  const owners = [...new Set(seen.flatMap((n) => (n.owner ? [n.owner] : [])))].sort();
  const clear = () => go({ q: "", id: [], type: [], owner: [], workspace: [], group: [], baseline: [], kind: [], mode: [], auto: "", mine: false });
  return (
    <div role="search" style={{ marginBottom: 12 }}>
      <div className="row">
        <FilterText label={t("filter.contains")} value={at.q} change={useCallback((q: string) => go({ q }), [go])} />
        <FilterWords label={t("filter.workspace")} value={at.workspace} change={(workspace) => go({ workspace })} options={workspaces.data?.items.map((w) => ({ value: w.id, label: w.name && w.name !== w.id ? `${w.id} · ${w.name}` : w.id })) ?? []} />
        <FilterWords label={t("filter.owner")} value={at.owner} change={(owner) => go({ owner })} options={as(owners)} free width={150} />
        <FilterWords label={t("filter.type")} value={at.type} change={(type) => go({ type })} options={as(types)} width={150} />
        <Checkbox checked={at.mine} onChange={(e) => go({ mine: e.target.checked })}>{t("filter.mine")}</Checkbox>
        <Button type="text" icon={open ? <UpOutlined /> : <DownOutlined />} aria-expanded={open} onClick={() => setOpen(!open)}>{less ? t("filter.moreSet", { count: less }) : t("filter.more")}</Button>
        {filtered(at) ? <Button type="link" onClick={clear}>{ui("clearFilters")}</Button> : null}
      </div>
      {open ? <LessOften at={at} go={go} /> : null}
    </div>
  );
}

function LessOften({ at, go }: { at: NodeFilters; go: Change }) {
  const { t } = useTranslation("nodes");
  const groups = useQuery({ queryKey: ["groups", "names"], queryFn: () => data(api.GET("/v1/resource-groups", { params: { query: { limit: 1000, consistency: "stale" } } })), staleTime: 60_000 });
  const baselines = useQuery({ queryKey: ["nodes", "baselines"], queryFn: () => data(api.GET("/v1/baselines", { params: { query: { limit: 1000 } } })), staleTime: 60_000 });
  return (
    <div className="row" style={{ marginTop: 8 }}>
      <FilterWords label={t("filter.ids")} value={at.id} change={(id) => go({ id })} options={[]} free width={220} />
      <FilterWords label={t("filter.group")} value={at.group} change={(group) => go({ group })} options={as(groups.data?.items.map((g) => g.name) ?? [])} />
      <FilterWords label={t("filter.baseline")} value={at.baseline} change={(baseline) => go({ baseline })} options={as(baselines.data?.items.map((b) => b.name) ?? [])} width={150} />
      <FilterWords label={t("filter.kind")} value={at.kind} change={(kind) => go({ kind })} options={kinds.map((value) => ({ value, label: t(`kind.${value}`) }))} width={130} />
      <FilterWords label={t("filter.mode")} value={at.mode} change={(mode) => go({ mode })} options={modes.map((value) => ({ value, label: t(`mode.${value}`) }))} width={130} />
      <FilterWord label={t("filter.auto")} value={at.auto} change={(auto) => go({ auto })} options={[{ value: "on", label: t("autoOn") }, { value: "off", label: t("autoOff") }]} />
    </div>
  );
}
