import { UnorderedListOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Alert, Button, Spin } from "antd";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useBasket } from "../../app/basket.ts";
import { useUrl } from "../../app/url.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { Page } from "../../ui/Page.tsx";
import { Legend } from "../map/StateLegend.tsx";
import { mapStates } from "../map/picture.ts";
import { address } from "./address.ts";
import type { Board } from "./board.ts";
import { GraphCanvas } from "./GraphCanvas.tsx";
import { groupsOf, modelOf, reach, type Model } from "./model.ts";
import { NodeMenu } from "./NodeMenu.tsx";
import { Panel } from "./Panel.tsx";
import { Toolbar } from "./Toolbar.tsx";
import { useChosen } from "./useChosen.ts";
import { usePlans, useStates } from "./useStates.ts";

const levels = (text: string) => (text === "all" ? undefined : Number(text));

function useGraph() {
  const [{ node, up, down, owner, workspace }] = useUrl(address);
  const query = { ...(node.length ? { root: node, up: levels(up), down: levels(down) } : {}), owner, workspace };
  const question = JSON.stringify(query);
  const graph = useQuery<Schema<"Graph">>({ queryKey: ["graph", query], queryFn: ({ signal }) => data(api.GET("/v1/graph", { params: { query }, signal })) });
  const model = useMemo(() => (graph.data ? modelOf(graph.data, question) : undefined), [graph.data, question]);
  return { ...graph, model };
}

export default function Graph() {
  const { t } = useTranslation("graph");
  const [at, go] = useUrl(address);
  const graph = useGraph();
  const { model } = graph;
  const board = useRef<Board>(null);
  const [list, setList] = useState(false);
  const jump = (id: string) => {
    const node = model?.index.get(id);
    // What is not drawn is drawn with what is around it.
    go(node === undefined ? { node: [id], up: "1", down: "1", owner: [], workspace: [], chosen: [id] } : { chosen: [id] }, true);
    if (node !== undefined) board.current?.jump(node);
  };
  const isFiltered = at.node.length + at.owner.length + at.workspace.length > 0;
  return (
    <Page
      title={t("title")} fill
      about={model ? <span className="muted">{t("counts", { nodes: model.nodes.length.toLocaleString(), edges: (model.edges.length / 2).toLocaleString() })}</span> : null}
      extra={<Button icon={<UnorderedListOutlined />} aria-pressed={list} type={list ? "primary" : "default"} onClick={() => setList(!list)}>{t("list")}</Button>}
    >
      <Toolbar model={model} jump={jump} board={board} />
      {graph.error ? <Failure error={graph.error} retry={() => void graph.refetch()} /> : null}
      {model?.nodes.length ? <Drawn model={model} board={board} list={list} /> : null}
      {model && !model.nodes.length ? (isFiltered ? <Teach title={t("filteredTitle")}>{t("filtered")}</Teach> : <Teach title={t("emptyTitle")}>{t("empty")}</Teach>) : null}
      {!model && !graph.error ? <Spin style={{ margin: 64 }} /> : null}
    </Page>
  );
}

function Drawn({ model, board, list }: { model: Model; board: React.RefObject<Board | null>; list: boolean }) {
  const { t } = useTranslation("graph");
  const { t: word } = useTranslation("map");
  const [at, go] = useUrl(address);
  const navigate = useNavigate();
  const basket = useBasket();
  const { auto } = usePlans();
  const plan = at.plan === "none" ? undefined : at.plan === "auto" ? auto.data?.plan.id : at.plan;
  const { states, error, refetch } = useStates(model, plan, at.plan === "auto" ? "" : at.date);
  const groups = useMemo(() => groupsOf(model, at.group), [model, at.group]);
  const { chosen, last, choose } = useChosen(model);
  const [hovered, setHovered] = useState<number>();
  const [menu, setMenu] = useState<{ node: number; x: number; y: number }>();
  const [chain, setChain] = useState<number>();

  const first = useRef(true);
  useEffect(() => {
    if (first.current && last !== undefined) board.current?.jump(last);
    first.current = false;
  }, [board, last]);
  const from = useMemo(() => (hovered === undefined ? chosen : new Set([hovered])), [hovered, chosen]);
  const reached = useMemo(() => ({ ups: reach(model.ups, chosen), downs: reach(model.downs, chosen) }), [model, chosen]);
  const lit = useMemo(() => {
    if (!from.size) return undefined;
    const out = new Uint8Array(model.nodes.length);
    for (const v of [...from, ...reach(model.ups, from), ...reach(model.downs, from)]) out[v] = 1;
    return out;
  }, [model, from]);
  const marks = useMemo(() => {
    const inBasket = new Set(basket.nodes.map((n) => n.id));
    return Uint8Array.from(model.nodes, (n, i) => (chosen.has(i) ? 1 : 0) | (inBasket.has(n.id) ? 2 : 0));
  }, [model, chosen, basket.nodes]);
  const groupName = useCallback((g: number) => (at.group === "priority" ? t("priority", { priority: groups?.names[g] ?? "" }) : groups?.names[g] || t("nameless")), [groups, at.group, t]);
  const picked = useCallback((g: number) => {
    const of = groups?.members[g] ?? [];
    const n = of.filter((v) => (marks[v] ?? 0) & 2).length;
    return n === 0 ? "none" as const : n === of.length ? "all" as const : "some" as const;
  }, [groups, marks]);
  const look = useMemo(
    () => ({ states, marks, lit, groups: (groups?.members ?? []).map((of, g) => ({ name: groupName(g), count: of.length, picked: picked(g) })) }),
    [states, marks, lit, groups, groupName, picked],
  );
  const tick = (g: number) => {
    const nodes = (groups?.members[g] ?? []).flatMap((v) => model.nodes[v] ?? []);
    if (picked(g) === "all") basket.remove(nodes.map((n) => n.id));
    else basket.add(nodes);
  };
  const id = (node: number | undefined) => (node === undefined ? "" : (model.nodes[node]?.id ?? ""));
  const open = (node: number) => void navigate({ to: "/nodes/$node", params: { node: id(node) } });
  const click = (nodes: number[], more: boolean) => {
    const [end] = nodes;
    if (chain !== undefined && end !== undefined) void navigate({ to: "/backfills/new", search: { mode: "chain", root: id(chain), end: id(end) } as never });
    else choose(nodes, more);
  };
  const show = (node: number) => {
    choose([node], false);
    board.current?.jump(node);
  };
  const chosenNode = menu && model.nodes[menu.node];
  const state = last === undefined ? undefined : mapStates[states[last] ?? 255];
  return (
    <>
      {error ? <Failure error={error} retry={() => void refetch()} /> : null}
      {chain === undefined ? null : <Alert banner type="info" role="status" title={t("pickEnd", { node: id(chain) })} action={<Button size="small" onClick={() => setChain(undefined)}>{t("cancel")}</Button>} style={{ marginBottom: 8 }} />}
      <div style={{ display: "flex", gap: 8, flex: 1, minHeight: 320 }}>
        <GraphCanvas model={model} groups={groups} look={look} at={last} board={board} choose={click} hover={setHovered} open={open} menu={(node, x, y) => setMenu({ node, x, y })} tick={tick} />
        {list || chosen.size || groups ? <Panel model={model} groups={groups} groupName={groupName} picked={picked} tick={tick} chosen={chosen} states={states} reached={reached} go={show} clear={() => choose([], false)} menu={(node, x, y) => setMenu({ node, x, y })} /> : null}
      </div>
      <div className="row muted" style={{ fontSize: 12, marginTop: 6, justifyContent: "space-between" }}>
        <Legend states={states} />
        <span>{at.plan === "auto" && auto.data === null ? t("noAuto") : t("help")}</span>
      </div>
      <div aria-live="polite" style={{ position: "absolute", width: 1, height: 1, overflow: "hidden", clipPath: "inset(50%)" }}>
        {last === undefined ? "" : t("at", { node: id(last), state: state ? word(`state.${state}`) : t("stateless"), ups: reached.ups.size, downs: reached.downs.size })}
      </div>
      {menu && chosenNode ? (
        <NodeMenu
          node={chosenNode} place={menu} chosen={[...chosen].map(id)} close={() => setMenu(undefined)} chain={() => setChain(menu.node)}
          select={(way) => choose([menu.node, ...reach(way === "ups" ? model.ups : model.downs, [menu.node])], true)}
          center={() => go({ node: [chosenNode.id], up: "1", down: "1", chosen: [] }, true)}
        />
      ) : null}
    </>
  );
}
