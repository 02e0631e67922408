import { MoreOutlined } from "@ant-design/icons";
import { useMutation } from "@tanstack/react-query";
import { Button, Spin, Tooltip } from "antd";
import { Suspense, useMemo } from "react";
import { useTranslation } from "react-i18next";

import { later } from "../../app/later.ts";
import type { Node, State } from "../../app/api.ts";
import { inGraph, useBasket } from "../../app/basket.ts";
import { useMay } from "../../app/me.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { LinkButton, NodeLink } from "../../ui/links.tsx";
import { Page } from "../../ui/Page.tsx";
import { say, sayFailure } from "../../ui/say.ts";
import { StateTag } from "../../ui/State.tsx";
import { VirtualTable, type Column } from "../../ui/VirtualTable.tsx";
import { allThatMatch, filtered, sorts, useNodeFilters, useNodes } from "./find.ts";
import { useWizard } from "./modes.ts";
import { Strip, useTodayStates } from "./states.tsx";
import { scheduleWords } from "./words.ts";

// What the first view does without: its filters and the menus of its rows come a moment later.
const FilterBar = later(() => import("./FilterBar.tsx"));
const NodeMenu = later(() => import("./NodeMenu.tsx"));

export default function NodeList() {
  const { t } = useTranslation("nodes");
  const [at, go] = useNodeFilters();
  const nodes = useNodes(at);
  const { items } = nodes;
  const today = useTodayStates();
  const basket = useBasket();
  const columns = useColumns(today);
  const count = nodes.more ? t("countMore", { count: items.length }) : t("count", { count: items.length });
  return (
    <Page fill title={t("title")} about={!nodes.pending ? <span className="muted" role="status">{count}</span> : null} extra={<Chosen at={at} />}>
      <Suspense fallback={<div style={{ height: 24, marginBottom: 12 }} />}><FilterBar at={at} go={go} seen={items} /></Suspense>
      {nodes.error ? <div style={{ marginBottom: 12 }}><Failure error={nodes.error} retry={() => nodes.retry()} /></div> : null}
      {nodes.pending ? <div style={{ padding: 64, textAlign: "center" }}><Spin /></div> : items.length === 0 ? <None filtered={filtered(at)} /> : (
        <VirtualTable
          label={t("list")} columns={columns} items={items} rowKey={(n) => n.id} style={{ flex: 1, opacity: nodes.old ? 0.6 : 1 }} more={nodes.more}
          sort={at.sort} onSort={(sort) => go({ sort: sorts.find((s) => s === sort) ?? "id" })}
          selection={{ has: (n) => basket.has(n.id), set: (some, on) => (on ? basket.add(some) : basket.remove(some.map((n) => n.id))), label: (n) => t("tick", { node: n.id }), all: t("tickAll") }}
        />
      )}
    </Page>
  );
}

function None({ filtered }: { filtered: boolean }) {
  const { t } = useTranslation("nodes");
  const what = filtered ? "none" : "empty";
  return <div className="panel"><Teach title={t(`${what}.title`)}>{t(`${what}.text`)}</Teach></div>;
}

/** What can be done with those that are in the basket, and how all that match get there. */
function Chosen({ at }: { at: Parameters<typeof allThatMatch>[0] }) {
  const { t } = useTranslation("nodes");
  const basket = useBasket();
  const may = useMay()("submitBackfill");
  const wizard = useWizard();
  const all = useMutation({
    mutationFn: () => allThatMatch(at),
    onSuccess: ({ nodes, more }) => {
      basket.add(nodes);
      if (more) say("warning", t("tooMany", { count: nodes.length }));
    },
    onError: sayFailure,
  });
  const none = basket.nodes.length === 0;
  return (
    <>
      {none ? null : <span className="muted">{t("chosen", { count: basket.nodes.length })}</span>}
      <Button onClick={() => all.mutate()} loading={all.isPending}>{t("chooseAll")}</Button>
      {none ? null : <LinkButton to="/graph" search={inGraph(basket.nodes) as never}>{t("inGraph")}</LinkButton>}
      <Tooltip title={may ? undefined : t("mayNot")}><Button type="primary" disabled={!may} onClick={() => wizard({})}>{t("backfill")}</Button></Tooltip>
    </>
  );
}

function useColumns(today: Map<string, State> | undefined): Column<Node>[] {
  const { t, i18n } = useTranslation("nodes");
  const language = i18n.language;
  return useMemo(() => {
    const dash = <span className="muted">–</span>;
    const state = (n: Node) => {
      const s = today?.get(n.id);
      return s ? <StateTag state={s} /> : dash;
    };
    return [
      { key: "node", title: t("column.node"), width: 230, sort: "id", render: (n) => <span title={n.description}><NodeLink id={n.id} />{n.name && n.name !== n.id ? <span className="muted"> {n.name}</span> : null}</span> },
      { key: "today", title: t("column.today"), width: 116, render: state },
      { key: "strip", title: t("column.strip"), width: 156, render: (n) => <Strip node={n.id} /> },
      { key: "schedule", title: t("column.schedule"), width: 180, render: (n) => <Schedule node={n} text={scheduleWords(t, language, n.schedule)} /> },
      { key: "type", title: t("column.type"), width: 84, render: (n) => n.type ?? "shell" },
      { key: "workspace", title: t("column.workspace"), width: 106, sort: "workspace", render: (n) => n.workspace || dash },
      { key: "owner", title: t("column.owner"), width: 84, sort: "owner", render: (n) => n.owner || dash },
      { key: "group", title: t("column.group"), width: 128, render: (n) => n.resourceGroup || dash },
      { key: "baseline", title: t("column.baseline"), width: 124, render: (n) => n.baseline || dash },
      { key: "priority", title: t("column.priority"), width: 80, sort: "priority", render: (n) => n.priority || 1 },
      { key: "actions", title: <span className="hidden">{t("column.actions")}</span>, width: 48, stays: true, render: (n) => <Actions node={n} label={t("actionsOf", { node: n.id })} /> },
    ];
  }, [t, language, today]);
}

function Actions({ node, label }: { node: Node; label: string }) {
  const button = <Button type="text" size="small" icon={<MoreOutlined />} aria-label={label} />;
  return <Suspense fallback={button}><NodeMenu node={node}>{button}</NodeMenu></Suspense>;
}

function Schedule({ node, text }: { node: Node; text: string }) {
  const { t } = useTranslation("nodes");
  const auto = node.schedule?.auto ?? false;
  const mode = node.mode && node.mode !== "normal" ? t(`mode.${node.mode}`) : "";
  return <span title={`${text} · ${t(auto ? "autoOn" : "autoOff")}`} className={auto ? undefined : "muted"}>{auto ? "" : `${t("off")} · `}{text}{mode ? ` · ${mode}` : ""}</span>;
}
