// Node × date of a backfill or a day of the schedule, each cell a state. Asks only for what is on
// the screen, in no more cells than can be seen; until that is there, what was there is shown scaled.
import { AimOutlined, TableOutlined, ZoomInOutlined, ZoomOutOutlined } from "@ant-design/icons";
import { Link, useNavigate } from "@tanstack/react-router";
import { AutoComplete, Button, Space, Tooltip } from "antd";
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { text, useInstanceDrawer, useUrl } from "../../app/url.ts";
import { Failure } from "../../ui/Failure.tsx";
import { say, sayFailure } from "../../ui/say.ts";
import type { Cell } from "./draw.ts";
import { Legend } from "./Legend.tsx";
import { MapCanvas } from "./MapCanvas.tsx";
import { Minimap } from "./Minimap.tsx";
import type { MapState, Picture } from "./picture.ts";
import { useDescription } from "./useDescription.ts";
import { instanceAt, useDetail, useExtent, useNodeIds, useOverview } from "./useMap.ts";
import { useSize } from "./useSize.ts";
import { asked, clamp, format, parse, whole, zoom, type Size, type View } from "./view.ts";

const fields = { mapNodes: text(), mapDates: text() };

export default function HeatMap({ backfill }: { backfill: string }) {
  const extent = useExtent(backfill);
  if (extent.error) return <Failure error={extent.error} retry={() => void extent.refetch()} />;
  return extent.data ? <Shown key={backfill} backfill={backfill} nodes={extent.data.nodes} dates={extent.data.dates} /> : null;
}

function Shown({ backfill, nodes, dates }: { backfill: string; nodes: number; dates: number }) {
  const { t } = useTranslation("map");
  const navigate = useNavigate();
  const [, openInstance] = useInstanceDrawer();
  const all = useMemo(() => ({ nodes, dates }), [nodes, dates]);
  const [place, size] = useSize();
  const [view, look] = useView(all);
  const detail = useDetail(backfill, useRested(useMemo(() => (size ? asked(view, all, inside(size)) : undefined), [view, all, size])));
  const overview = useOverview(backfill);
  const [hidden, setHidden] = useState<ReadonlySet<MapState>>(new Set());
  const [cursor, setCursor] = useState<Cell>();
  const [tip, setTip] = useState<{ x: number; y: number }>();
  const pictures = useMemo(() => [overview, detail.picture].filter((p): p is Picture => Boolean(p)), [overview, detail.picture]);
  const scene = useMemo(() => ({ view, pictures, hidden, cursor }), [view, pictures, hidden, cursor]);
  const said = useDescription(pictures, cursor);

  const open = (cell: Cell) => {
    const { picture } = detail;
    if (!picture?.exact || !picture.has(cell.node, cell.date)) {
      look({ nodes: zoom(around(view.nodes, cell.node), nodes, 0.25), dates: zoom(around(view.dates, cell.date), dates, 0.25) });
      return;
    }
    const node = picture.map.rowNodes[picture.rowOf(cell.node)] ?? "";
    const date = picture.map.columnDates[picture.columnOf(cell.date)] ?? "";
    instanceAt(backfill, node, date).then(
      (id) => (id ? openInstance(id) : say("info", t("gone"))),
      sayFailure,
    );
  };
  const openNode = (n: number) => {
    const id = detail.picture && n >= detail.picture.map.nodeFrom ? detail.picture.map.rowNodes[detail.picture.rowOf(n)] : undefined;
    if (id) void navigate({ to: "/nodes/$node", params: { node: id } });
  };
  return (
    <section style={{ display: "flex", flexDirection: "column", gap: 8 }}>
      <div className="row" style={{ justifyContent: "space-between", alignItems: "flex-end" }}>
        <div style={{ display: "grid", gap: 8, flex: 1, minWidth: 320 }}>
          <div className="row">
            <Search backfill={backfill} nodes={nodes} found={(n) => { setCursor({ node: n, date: Math.floor(view.dates.from) }); look({ ...view, nodes: clamp({ from: n - 8, count: Math.min(view.nodes.count, 24) }, nodes) }); }} />
            <Zoom in={() => look({ nodes: zoom(view.nodes, nodes, 0.5), dates: zoom(view.dates, dates, 0.5) })} out={() => look({ nodes: zoom(view.nodes, nodes, 2), dates: zoom(view.dates, dates, 2) })} all={() => look(whole(nodes, dates))} />
            <Link to="/backfills/$backfill" params={{ backfill }} search={{ tab: "dates" } as never}><TableOutlined /> {t("table")}</Link>
            <span className="muted">{t("shown", { nodes: Math.round(view.nodes.count).toLocaleString(), allNodes: nodes.toLocaleString(), dates: Math.round(view.dates.count).toLocaleString(), allDates: dates.toLocaleString() })}</span>
          </div>
          <Legend picture={detail.picture} hidden={hidden} set={setHidden} />
        </div>
        <Minimap picture={overview} view={view} all={all} hidden={hidden} look={look} />
      </div>
      {detail.error ? <Failure error={detail.error} retry={() => void detail.refetch()} /> : null}
      <div ref={place} className="panel" style={{ position: "relative", padding: 0, height: "calc(100vh - 360px)", minHeight: 340, overflow: "hidden" }} data-settled={detail.picture && !detail.isPlaceholderData ? "yes" : "no"}>
        {size ? <MapCanvas scene={scene} all={all} size={size} label={t("label")} describedBy="map-hint" look={look} point={(cell, at) => { setCursor(cell); setTip(at); }} open={open} openNode={openNode} /> : null}
        {tip && size ? <div role="tooltip" style={{ position: "absolute", pointerEvents: "none", left: Math.min(tip.x + 14, size.width - 260), top: tip.y > size.height - 60 ? tip.y - 44 : tip.y + 18, background: "var(--text)", color: "var(--surface)", padding: "4px 8px", borderRadius: 4, maxWidth: 420, fontSize: 13 }}>{said}</div> : null}
      </div>
      <div aria-live="polite" style={{ position: "absolute", width: 1, height: 1, overflow: "hidden", clipPath: "inset(50%)" }}>{tip ? "" : said}</div>
      <div id="map-hint" className="muted" style={{ fontSize: 12 }}>{t(detail.picture?.exact ? "exact" : "binned")} {t("hint")}</div>
    </section>
  );
}

const inside = (size: Size): Size => ({ width: Math.max(1, size.width - 190), height: Math.max(1, size.height - 40) });
const around = (axis: { count: number }, at: number) => ({ from: at + 0.5 - axis.count / 2, count: axis.count });

/** The view: at once on the screen, and a moment later in the address. */
function useView(all: { nodes: number; dates: number }): [View, (view: View) => void] {
  const [at, go] = useUrl(fields);
  const [view, setView] = useState<View>(() => ({ nodes: parse(at.mapNodes, all.nodes), dates: parse(at.mapDates, all.dates) }));
  const written = useRef(`${at.mapNodes} ${at.mapDates}`);
  useEffect(() => {
    const next = { mapNodes: format(view.nodes, all.nodes), mapDates: format(view.dates, all.dates) };
    const words = `${next.mapNodes} ${next.mapDates}`;
    if (words === written.current) return;
    const timer = setTimeout(() => {
      written.current = words;
      go(next);
    }, 300);
    return () => clearTimeout(timer);
  }, [view, all, go]);
  useEffect(() => {
    // Somebody went back, or followed a link.
    const words = `${at.mapNodes} ${at.mapDates}`;
    if (words === written.current) return;
    written.current = words;
    setView({ nodes: parse(at.mapNodes, all.nodes), dates: parse(at.mapDates, all.dates) });
  }, [at, all]);
  return [view, setView];
}

/** A value once it has not changed for a moment; the first at once. */
function useRested<T>(value: T | undefined): T | undefined {
  const words = JSON.stringify(value);
  const [rested, setRested] = useState<{ words: string | undefined; value: T | undefined }>({ words: undefined, value: undefined });
  useEffect(() => {
    if (words === rested.words) return;
    const timer = setTimeout(() => setRested({ words, value }), rested.value ? 80 : 0);
    return () => clearTimeout(timer);
  }, [words, value, rested]);
  return rested.value;
}

function Zoom(to: { in: () => void; out: () => void; all: () => void }) {
  const { t } = useTranslation("map");
  return (
    <Space.Compact>
      <Tooltip title={t("zoomIn")}><Button icon={<ZoomInOutlined />} aria-label={t("zoomIn")} onClick={to.in} /></Tooltip>
      <Tooltip title={t("zoomOut")}><Button icon={<ZoomOutOutlined />} aria-label={t("zoomOut")} onClick={to.out} /></Tooltip>
      <Tooltip title={t("whole")}><Button icon={<AimOutlined />} aria-label={t("whole")} onClick={to.all} /></Tooltip>
    </Space.Compact>
  );
}

function Search({ backfill, nodes, found }: { backfill: string; nodes: number; found: (node: number) => void }) {
  const { t } = useTranslation("map");
  const [words, setWords] = useState("");
  const ids = useNodeIds(backfill, nodes, words !== "").data;
  const options = useMemo(() => {
    const wanted = words.toLowerCase();
    const out: { value: string; number: number }[] = [];
    for (const [i, id] of (wanted ? (ids ?? []) : []).entries()) if (id.toLowerCase().includes(wanted) && out.push({ value: id, number: i }) >= 50) break;
    return out;
  }, [ids, words]);
  return <AutoComplete value={words} onChange={setWords} options={options} onSelect={(_, option) => found(option.number)} allowClear placeholder={t("search")} aria-label={t("search")} style={{ width: 220 }} />;
}
