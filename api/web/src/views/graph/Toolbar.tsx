import { AimOutlined, DownloadOutlined, ZoomInOutlined, ZoomOutOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { AutoComplete, Button, Dropdown, Select, Space, Tag, Tooltip } from "antd";
import { useMemo, useState, type RefObject } from "react";
import { useTranslation } from "react-i18next";

import { api, data } from "../../app/api.ts";
import { useUrl } from "../../app/url.ts";
import { FilterWords } from "../../ui/filters.tsx";
import { address } from "./address.ts";
import type { Board } from "./board.ts";
import type { Form } from "./messages.ts";
import { groupings, type Model } from "./model.ts";
import { usePlanDates, usePlans } from "./useStates.ts";

const forms: readonly Form[] = ["png", "svg"];

export function Toolbar({ model, jump, board }: { model: Model | undefined; jump: (id: string) => void; board: RefObject<Board | null> }) {
  const { t } = useTranslation("graph");
  const [at, go] = useUrl(address);
  const values = (of: "owner" | "workspace") => [...new Set([...at[of], ...(model?.nodes.map((n) => n[of] ?? "") ?? [])])].filter(Boolean).sort().map((value) => ({ value, label: value }));
  const save = async (form: Form) => {
    const blob = await board.current?.painter.export(form);
    if (!blob) return;
    const url = URL.createObjectURL(blob);
    Object.assign(document.createElement("a"), { href: url, download: `graph.${form}` }).click();
    URL.revokeObjectURL(url);
  };
  return (
    <div style={{ display: "grid", gap: 8, marginBottom: 8 }}>
      <div className="row">
        <Search model={model} jump={jump} />
        <Select aria-label={t("grouping")} value={at.group} onChange={(group) => go({ group })} options={groupings.map((value) => ({ value, label: t(`group.${value}`) }))} style={{ width: 140 }} />
        <FilterWords label={t("owners")} value={at.owner} change={(owner) => go({ owner })} options={values("owner")} width={130} />
        <FilterWords label={t("workspaces")} value={at.workspace} change={(workspace) => go({ workspace })} options={values("workspace")} width={140} />
        <Plan />
        <span style={{ flex: 1 }} />
        <Space.Compact>
          <Tooltip title={t("closer")}><Button icon={<ZoomInOutlined />} aria-label={t("closer")} onClick={() => board.current?.by(1.5)} /></Tooltip>
          <Tooltip title={t("further")}><Button icon={<ZoomOutOutlined />} aria-label={t("further")} onClick={() => board.current?.by(1 / 1.5)} /></Tooltip>
          <Tooltip title={t("fit")}><Button icon={<AimOutlined />} aria-label={t("fit")} onClick={() => board.current?.fit()} /></Tooltip>
          <Dropdown trigger={["click"]} disabled={!model?.nodes.length} menu={{ items: forms.map((form) => ({ key: form, label: t(`exportAs.${form}`), onClick: () => void save(form) })) }}>
            <Button icon={<DownloadOutlined />} aria-label={t("export")} />
          </Dropdown>
        </Space.Compact>
      </div>
      {at.node.length ? (
        <div className="row">
          <Tag closable onClose={() => go({ node: [] })}>{t("around", { nodes: at.node.length > 3 ? t("more", { count: at.node.length }) : at.node.join(", ") })}</Tag>
          <Levels label={t("up")} value={at.up} set={(up) => go({ up })} />
          <Levels label={t("down")} value={at.down} set={(down) => go({ down })} />
          <Button size="small" type="link" onClick={() => go({ node: [], up: "1", down: "1" })}>{t("wholeGraph")}</Button>
        </div>
      ) : null}
    </div>
  );
}

function Levels({ label, value, set }: { label: string; value: string; set: (value: string) => void }) {
  const { t } = useTranslation("graph");
  const now = value === "all" ? Infinity : Number(value);
  return (
    <span className="row" role="group" aria-label={label} style={{ gap: 4 }}>
      <span className="muted">{label}</span>
      <Space.Compact size="small">
        <Button size="small" disabled={now === 0} aria-label={`${label} −1`} onClick={() => set(now === Infinity ? "1" : String(now - 1))}>−1</Button>
        <Button size="small" style={{ pointerEvents: "none", minWidth: 36 }} tabIndex={-1}>{value === "all" ? t("all") : value}</Button>
        <Button size="small" disabled={now === Infinity} aria-label={`${label} +1`} onClick={() => set(String(now + 1))}>+1</Button>
        <Button size="small" disabled={now === Infinity} aria-label={`${label} +10`} onClick={() => set(String(now + 10))}>+10</Button>
        <Button size="small" disabled={now === Infinity} aria-label={`${label} ${t("plusAll")}`} onClick={() => set("all")}>{t("plusAll")}</Button>
      </Space.Compact>
    </span>
  );
}

/** Whose states are shown: of the schedule's latest day, of a backfill, on one date of it or all. */
function Plan() {
  const { t } = useTranslation("graph");
  const [at, go] = useUrl(address);
  const { auto, backfills } = usePlans();
  const dates = usePlanDates(at.plan === "auto" || at.plan === "none" ? undefined : at.plan);
  const its = (backfills.data ?? []).map((b) => ({ value: b.id, label: `${b.name} (${b.id})` }));
  if (at.plan.startsWith("b") && !its.some((o) => o.value === at.plan)) its.unshift({ value: at.plan, label: at.plan });
  return (
    <>
      <Select
        aria-label={t("plan")} value={at.plan} onChange={(plan) => go({ plan, date: "" })} style={{ width: 220 }} popupMatchSelectWidth={false} showSearch={{ optionFilterProp: "label" }}
        options={[
          { value: "auto", label: auto.data ? `${t("plans.auto")}: ${auto.data.date}` : t("plans.auto") },
          { value: "none", label: t("plans.none") },
          { label: t("plans.backfills"), options: its },
        ]}
      />
      {dates.data && dates.data.length > 1 ? (
        <Select aria-label={t("date")} value={at.date} onChange={(date) => go({ date })} showSearch style={{ width: 140 }} popupMatchSelectWidth={false} options={[{ value: "", label: t("allDates") }, ...dates.data.map((value) => ({ value, label: value }))]} />
      ) : null}
    </>
  );
}

/** Finds nodes of the graph, and beyond it. */
function Search({ model, jump }: { model: Model | undefined; jump: (id: string) => void }) {
  const { t } = useTranslation("graph");
  const [words, setWords] = useState("");
  const here = useMemo(() => {
    const wanted = words.toLowerCase();
    return wanted ? (model?.nodes ?? []).filter((n) => n.id.toLowerCase().includes(wanted) || n.name.toLowerCase().includes(wanted)).slice(0, 50) : [];
  }, [model, words]);
  const beyond = useQuery({
    queryKey: ["nodes", "search", words],
    enabled: words.length > 1 && here.length === 0,
    queryFn: async () => (await data(api.GET("/v1/nodes", { params: { query: { q: words, limit: 20 } } }))).items,
  });
  const found = here.length || words.length < 2 ? here : (beyond.data ?? []);
  return (
    <AutoComplete
      value={words} onChange={setWords} onSelect={jump} allowClear placeholder={t("search")} aria-label={t("search")} style={{ width: 210 }} popupMatchSelectWidth={false}
      options={found.map((n) => ({ value: n.id, label: n.name && n.name !== n.id ? `${n.id} · ${n.name}` : n.id }))}
    />
  );
}
