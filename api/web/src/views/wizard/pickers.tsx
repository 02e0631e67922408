// Fields that search what the cluster has: nodes, workspaces, resource groups.
import { useQuery } from "@tanstack/react-query";
import { Select } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import type { Control } from "./form.tsx";
import { useLater } from "./later.ts";

const found = 50; // nodes that a search shows

/** Nodes whose id or name contains what is typed. */
function useNodes(typed: string, types: string[] | undefined) {
  const contains = useLater(typed.trim(), 200);
  return useQuery({
    queryKey: ["nodes", "search", contains, types],
    queryFn: () => data(api.GET("/v1/nodes", { params: { query: { contains, limit: found, ...(types ? { type: types } : {}) } } })),
    staleTime: 10_000,
  });
}

const option = (node: Schema<"Node">) => ({ value: node.id, label: <span>{node.id}{node.name ? <span className="muted"> {node.name}</span> : null}</span> });

interface Picking extends Partial<Control> {
  label: string;
  types?: string[];
}

export function NodeSelect({ value, onChange, label, types, ...control }: Picking & { value: string | undefined; onChange: (id: string | undefined) => void }) {
  const { t } = useTranslation("wizard");
  const [typed, setTyped] = useState("");
  const nodes = useNodes(typed, types);
  return (
    <Select
      {...control} aria-label={label} allowClear placeholder={t("search.node")} style={{ width: "100%", minWidth: 160 }}
      value={value || undefined} onChange={(id: string | undefined) => onChange(id)} options={nodes.data?.items.map(option) ?? []}
      optionLabelProp="value" popupMatchSelectWidth={false} notFoundContent={nodes.isFetching ? t("search.busy") : t("search.none")}
      showSearch={{ filterOption: false, onSearch: setTyped }}
    />
  );
}

/** Several nodes; ids can be pasted, too, with commas, blanks or lines between them. */
export function NodesSelect({ value, onChange, label, types, ...control }: Picking & { value: string[]; onChange: (ids: string[]) => void }) {
  const { t } = useTranslation("wizard");
  const [typed, setTyped] = useState("");
  const nodes = useNodes(typed, types);
  return (
    <Select
      {...control} aria-label={label} mode="tags" allowClear maxTagCount={24} placeholder={t("search.nodes")} style={{ width: "100%" }} tokenSeparators={[",", " ", "\n", "，", ";"]}
      value={value} onChange={(ids: string[]) => onChange([...new Set(ids.map((id) => id.trim()).filter(Boolean))])} options={nodes.data?.items.map(option) ?? []} optionLabelProp="value"
      popupMatchSelectWidth={false} showSearch={{ filterOption: false, onSearch: setTyped }}
    />
  );
}

export function WorkspacesSelect({ value, onChange, label, ...control }: Partial<Control> & { label: string; value: string[]; onChange: (ids: string[]) => void }) {
  const { t } = useTranslation("wizard");
  const [typed, setTyped] = useState("");
  const contains = useLater(typed.trim(), 200);
  const spaces = useQuery({ queryKey: ["workspaces", "search", contains], queryFn: () => data(api.GET("/v1/workspaces", { params: { query: { contains, limit: 100 } } })), staleTime: 10_000 });
  return (
    <Select
      {...control} aria-label={label} mode="multiple" allowClear placeholder={t("search.workspaces")} style={{ width: "100%" }} value={value} onChange={onChange} optionLabelProp="value"
      options={spaces.data?.items.map((w) => ({ value: w.id, label: <span>{w.id} <span className="muted">{w.name === w.id ? "" : w.name} {w.region}</span></span> })) ?? []}
      showSearch={{ filterOption: false, onSearch: setTyped }}
    />
  );
}

export function GroupSelect({ value, onChange, label, ...control }: Partial<Control> & { label: string; value: string | undefined; onChange: (name: string | undefined) => void }) {
  const { t } = useTranslation("wizard");
  const groups = useQuery({ queryKey: ["groups", "search"], queryFn: () => data(api.GET("/v1/resource-groups", { params: { query: { limit: 1000 } } })), staleTime: 10_000 });
  return (
    <Select
      {...control} aria-label={label} allowClear placeholder={t("search.group")} style={{ width: "100%" }} value={value || undefined} onChange={(name: string | undefined) => onChange(name)}
      popupMatchSelectWidth={false} showSearch={{ optionFilterProp: "value" }}
      options={groups.data?.items.map((g) => ({ value: g.name, label: <span>{g.name} <span className="muted">{t("search.used", { used: g.used, slots: g.slots })}</span></span> })) ?? []}
    />
  );
}

/** What a node is, with its parameters and fields. */
export function useNode(id: string | undefined) {
  return useQuery({ queryKey: ["nodes", "one", id], queryFn: () => data(api.GET("/v1/nodes/{node}", { params: { path: { node: id ?? "" } } })), enabled: Boolean(id), staleTime: 10_000 });
}
