// Beside the drawing, the same in words: what is chosen and what it is tied to, or the groups.
import { Button, Checkbox, Descriptions, Space } from "antd";
import { useTranslation } from "react-i18next";

import { useBasket } from "../../app/basket.ts";
import { NodeLink } from "../../ui/links.tsx";
import { mapStates, signs } from "../map/picture.ts";
import { neighbours, type GraphNode, type Groups, type Model } from "./model.ts";

export interface PanelProps {
  model: Model;
  groups: Groups | undefined;
  groupName: (g: number) => string;
  picked: (g: number) => "all" | "some" | "none";
  tick: (g: number) => void;
  chosen: ReadonlySet<number>;
  states: Uint8Array;
  reached: { ups: Set<number>; downs: Set<number> };
  go: (node: number) => void;
  clear: () => void;
  menu: (node: number, x: number, y: number) => void;
}

export function Panel(props: PanelProps) {
  const { t } = useTranslation("graph");
  return (
    <aside className="panel" aria-label={t("list")} style={{ width: 280, flex: "none", overflow: "auto", padding: 12, boxSizing: "border-box" }}>
      {props.chosen.size ? <Chosen {...props} /> : null}
      {props.groups ? <GroupList {...props} /> : null}
      {!props.chosen.size && !props.groups ? <NodeNames title={t("listed")} nodes={props.model.nodes.map((_, i) => i)} {...props} /> : null}
    </aside>
  );
}

function Chosen(props: PanelProps) {
  const { t } = useTranslation("graph");
  const basket = useBasket();
  const { model, chosen, states, reached } = props;
  const nodes = [...chosen].map((v) => model.nodes[v]).filter((n): n is GraphNode => Boolean(n));
  const only = chosen.size === 1 ? [...chosen][0] : undefined;
  const one = only === undefined ? undefined : model.nodes[only];
  const state = only === undefined ? undefined : mapStates[states[only] ?? 255];
  const inBasket = nodes.every((n) => basket.has(n.id));
  return (
    <section style={{ marginBottom: 16 }}>
      <h2 style={{ fontSize: 15, margin: "0 0 8px", overflowWrap: "anywhere" }}>{one ? <NodeLink id={one.id} /> : t("chosen", { count: chosen.size })}</h2>
      {one ? (
        <Descriptions
          column={1} size="small"
          items={[
            { key: "n", label: t("state"), children: state ? <StateWord state={state} /> : t("stateless") },
            { key: "t", label: t("type"), children: one.type },
            { key: "o", label: t("owner"), children: one.owner ?? t("none") },
            { key: "w", label: t("workspace"), children: one.workspace ?? t("none") },
          ]}
        />
      ) : null}
      <Space wrap style={{ margin: "4px 0 12px" }}>
        <Button size="small" onClick={() => (inBasket ? basket.remove(nodes.map((n) => n.id)) : basket.add(nodes))}>{t(inBasket ? "fromBasket" : "toBasket")}</Button>
        {only === undefined ? null : <Button size="small" onClick={(event) => props.menu(only, event.clientX, event.clientY)}>{t("backfill")} …</Button>}
        <Button size="small" onClick={props.clear}>{t("clear")}</Button>
      </Space>
      {only === undefined ? <NodeNames title={t("chosen", { count: chosen.size })} nodes={[...chosen]} {...props} /> : null}
      {only === undefined ? null : <NodeNames title={t("directUps")} nodes={neighbours(model.ups, only)} {...props} />}
      {only === undefined ? null : <NodeNames title={t("directDowns")} nodes={neighbours(model.downs, only)} {...props} />}
      <NodeNames title={t("upstream", { count: reached.ups.size })} nodes={[...reached.ups]} {...props} />
      <NodeNames title={t("downstream", { count: reached.downs.size })} nodes={[...reached.downs]} {...props} />
    </section>
  );
}

function StateWord({ state }: { state: (typeof mapStates)[number] }) {
  const { t } = useTranslation("map");
  return <span>{signs[state]} {t(`state.${state}`)}</span>;
}

function GroupList({ groups, groupName, picked, tick }: PanelProps) {
  const { t } = useTranslation("graph");
  return (
    <section>
      <h2 style={{ fontSize: 15, margin: "0 0 4px" }}>{t("groups")}</h2>
      <p className="muted" style={{ margin: "0 0 8px", fontSize: 12 }}>{t("groupHint")}</p>
      {groups?.members.slice(0, 500).map((members, g) => (
        <div key={g}><Checkbox checked={picked(g) === "all"} indeterminate={picked(g) === "some"} onChange={() => tick(g)}>{t("groupNodes", { name: groupName(g), count: members.length })}</Checkbox></div>
      ))}
    </section>
  );
}

const most = 100;

function NodeNames({ title, nodes, model, states, go }: PanelProps & { title: string; nodes: number[] }) {
  const { t } = useTranslation("graph");
  return (
    <section style={{ marginBottom: 12 }}>
      <h3 style={{ fontSize: 13, margin: "0 0 4px" }}>{title}</h3>
      {nodes.length ? (
        <ul style={{ listStyle: "none", margin: 0, padding: 0 }}>
          {nodes.slice(0, most).map((v) => (
            <li key={v}><Button type="link" size="small" style={{ padding: 0, height: "auto", maxWidth: "100%", whiteSpace: "normal", textAlign: "start", overflowWrap: "anywhere" }} onClick={() => go(v)}>{sign(states[v])}{model.nodes[v]?.id}</Button></li>
          ))}
        </ul>
      ) : <span className="muted">{t("none")}</span>}
      {nodes.length > most ? <span className="muted">{t("andMore", { count: nodes.length - most })}</span> : null}
    </section>
  );
}

const sign = (place: number | undefined): string => {
  const state = mapStates[place ?? 255];
  return state ? `${signs[state]} ` : "";
};
