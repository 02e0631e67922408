// What an instance waits for and what waits for it: a small graph, and the same as a list.
import { useQuery } from "@tanstack/react-query";
import { Button, Segmented, Spin, Tag } from "antd";
import { useState, type CSSProperties, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Instance, Schema } from "../../app/api.ts";
import { Failure } from "../../ui/Failure.tsx";
import { NodeLink } from "../../ui/links.tsx";
import { stateColor, StateTag } from "../../ui/State.tsx";
import { usePlace } from "./place.ts";
import { downstreamsOf, upstreamsOf, type Detail } from "./read.ts";

type Relative = Schema<"Relative">;
type Outside = Schema<"OutsidePartition">;
type Side = { relatives: Relative[]; outside: Outside[]; more: boolean };

export function Dependencies({ detail }: { detail: Detail }) {
  const { t } = useTranslation(["instance", "ui"]);
  const [as, setAs] = useState<"graph" | "list">("graph");
  const up = useQuery(upstreamsOf(detail.instance.id));
  const down = useQuery(downstreamsOf(detail.instance.id));
  const error = up.error ?? down.error;
  if (error) return <Failure error={error} retry={() => { void up.refetch(); void down.refetch(); }} />;
  if (!up.data || !down.data) return <Spin aria-label={t("ui:loading")} />;
  const above: Side = { relatives: up.data.items, outside: up.data.outside ?? [], more: Boolean(up.data.next) };
  const below: Side = { relatives: down.data.items, outside: [], more: Boolean(down.data.next) };
  return (
    <>
      <div className="row" style={{ marginBottom: 12 }}>
        <Segmented size="small" value={as} onChange={setAs} aria-label={t("near.as")} options={[{ value: "graph", label: t("near.graph") }, { value: "list", label: t("near.list") }]} />
        <span className="muted">{t("near.counts", { up: above.relatives.length, down: below.relatives.length })}</span>
      </div>
      {as === "graph" ? <Near own={detail.instance} above={above} below={below} showAll={() => setAs("list")} /> : <Lists above={above} below={below} />}
    </>
  );
}

const [wide, high, gap, across] = [232, 46, 12, 72];
const most = 12;

interface Box {
  key: string;
  content: ReactNode;
  color?: string;
  dashed?: boolean;
  label: string;
  id?: string;
}

function Near({ own, above, below, showAll }: { own: Instance; above: Side; below: Side; showAll: () => void }) {
  const { t } = useTranslation(["instance", "ui"]);
  const box = (r: Relative): Box => ({
    key: r.instance.id, id: r.instance.id, color: stateColor(r.instance.state), dashed: r.removed,
    label: `${r.instance.node} ${r.instance.date}, ${t(`ui:state.${r.instance.state}`)}${note(r) ? `, ${note(r)}` : ""}`,
    content: <><span>{r.instance.node}</span><span style={{ fontSize: 12 }}><StateTag state={r.instance.state} /> <span className="muted">{r.instance.date}{note(r) ? ` · ${note(r)}` : ""}</span></span></>,
  });
  const note = (r: Relative) => (r.removed ? t("near.removed") : r.relation === "upstream" ? "" : t(`near.${r.relation}`));
  const outside = (o: Outside): Box => ({
    key: `${o.node} ${o.date}`, dashed: true, label: `${o.node} ${o.date}, ${t(`near.partition.${o.state}`)}`,
    content: <><span><NodeLink id={o.node} /></span><span className="muted" style={{ fontSize: 12 }}>{o.date} · {t(`near.partition.${o.state}`)}</span></>,
  });
  const column = (side: Side) => [...side.relatives.map(box), ...side.outside.map(outside)];
  const [left, right] = [column(above), column(below)];
  const rows = Math.max(Math.min(left.length, most + 1), Math.min(right.length, most + 1), 1);
  const height = rows * (high + gap) + gap;
  const places = (boxes: Box[]): number[] => {
    const n = Math.min(boxes.length, most + (boxes.length > most ? 1 : 0));
    const first = (height - n * (high + gap) + gap) / 2;
    return Array.from({ length: n }, (_, k) => first + k * (high + gap));
  };
  const middle = (height - high) / 2;
  const xs = [gap, gap + wide + across, gap + 2 * (wide + across)];
  const edge = (x1: number, y1: number, x2: number, y2: number, dashed?: boolean) => (
    <path key={`${x1} ${y1} ${y2}`} d={`M${x1} ${y1 + high / 2} C${x1 + across / 2} ${y1 + high / 2} ${x2 - across / 2} ${y2 + high / 2} ${x2 - 1} ${y2 + high / 2}`} fill="none" stroke="var(--muted)" strokeDasharray={dashed ? "4 4" : undefined} markerEnd="url(#near-arrow)" />
  );
  return (
    <div className="near" style={{ maxHeight: "100%" }}>
      <div style={{ position: "relative", height, width: 3 * wide + 2 * across + 2 * gap, margin: "0 auto" }}>
        <svg className="near-edges" width="100%" height={height} aria-hidden>
          <defs><marker id="near-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8z" fill="var(--muted)" /></marker></defs>
          {places(left).map((y, k) => edge((xs[0] ?? 0) + wide, y, xs[1] ?? 0, middle, left[k]?.dashed))}
          {places(right).map((y, k) => edge((xs[1] ?? 0) + wide, middle, xs[2] ?? 0, y, right[k]?.dashed))}
        </svg>
        <Column boxes={left} places={places(left)} x={xs[0] ?? 0} showAll={showAll} label={t("near.up")} />
        <div className="near-box near-own" style={{ left: xs[1], top: middle, "--box": stateColor(own.state) } as CSSProperties}><span>{own.node}</span><span style={{ fontSize: 12 }}><StateTag state={own.state} /> <span className="muted">{own.date}</span></span></div>
        <Column boxes={right} places={places(right)} x={xs[2] ?? 0} showAll={showAll} label={t("near.down")} />
      </div>
    </div>
  );
}

function Column({ boxes, places, x, showAll, label }: { boxes: Box[]; places: number[]; x: number; showAll: () => void; label: string }) {
  const { t } = useTranslation("instance");
  const { open } = usePlace();
  return (
    <div role="group" aria-label={label}>
      {places.map((top, k) => {
        const box = boxes[k];
        if (k === most && boxes.length > most) return <Button key="more" style={{ position: "absolute", left: x, top: top + 8, width: wide }} onClick={showAll}>{t("near.more", { count: boxes.length - most })}</Button>;
        if (!box) return null;
        const { id } = box;
        const style = { left: x, top, "--box": box.color } as CSSProperties;
        const name = `near-box${box.dashed ? " near-outside" : ""}`;
        return id ? <button type="button" key={box.key} className={name} style={style} aria-label={box.label} title={box.label} onClick={() => open(id)}>{box.content}</button> : <div key={box.key} className={name} style={style} title={box.label}>{box.content}</div>;
      })}
    </div>
  );
}

function Lists({ above, below }: { above: Side; below: Side }) {
  const { t } = useTranslation("instance");
  return (
    <>
      {([["near.up", above], ["near.down", below]] as const).map(([title, side]) => (
        <section key={title} aria-label={t(title)} style={{ marginBottom: 20 }}>
          <h3 className="instance-heading">{t(title)}</h3>
          {side.relatives.length || side.outside.length ? (
            <table className="compare">
              <tbody>
                {side.relatives.map((r) => <Row key={r.instance.id} relative={r} />)}
                {side.outside.map((o) => <tr key={`${o.node} ${o.date}`}><td><NodeLink id={o.node} /></td><td>{o.date}</td><td className="muted">{t(`near.partition.${o.state}`)}</td><td><Tag>{t("near.outside")}</Tag></td></tr>)}
              </tbody>
            </table>
          ) : <p className="muted">{t(title === "near.up" ? "near.noUp" : "near.noDown")}</p>}
          {side.more ? <p className="muted">{t("near.first", { count: side.relatives.length })}</p> : null}
        </section>
      ))}
    </>
  );
}

function Row({ relative: r }: { relative: Relative }) {
  const { t } = useTranslation("instance");
  const { open } = usePlace();
  return (
    <tr>
      <td><Button type="link" size="small" style={{ padding: 0 }} onClick={() => open(r.instance.id)}>{r.instance.node}</Button></td>
      <td>{r.instance.date}</td>
      <td><StateTag state={r.instance.state} /></td>
      <td>{r.removed ? <Tag>{t("near.removed")}</Tag> : r.relation === "upstream" ? null : <Tag>{t(`near.${r.relation}`)}</Tag>}</td>
    </tr>
  );
}
