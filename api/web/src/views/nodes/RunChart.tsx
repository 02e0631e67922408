// A point for each run: its data timestamp across, how long it took upwards, its colour and its
// sign how it ended. The table beside it says the same in words.
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import type { Schema } from "../../app/api.ts";
import { useDark } from "../../app/preferences.ts";
import { stateColors } from "../../ui/State.tsx";
import { span } from "../../ui/Time.tsx";
import { stateOf } from "./Durations.tsx";

type Run = Schema<"Run">;

const height = 260;

/** Where each run stands: its D, and as far into it as its cycle is after the first of that D. */
function placed(runs: Run[]): { run: Run; x: number; y: number }[] {
  const first = new Map<string, number>();
  for (const r of runs) first.set(r.date, Math.min(first.get(r.date) ?? Infinity, Date.parse(r.scheduledTime)));
  return runs.map((run) => ({ run, x: (Date.parse(run.date) + Date.parse(run.scheduledTime) - (first.get(run.date) ?? 0)) / 1000, y: run.seconds })).sort((a, b) => a.x - b.x);
}

export function RunChart({ runs, open, label }: { runs: Run[]; open: (instance: string) => void; label: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const dark = useDark();
  const points = useMemo(() => placed(runs), [runs]);
  useEffect(() => {
    const box = frame.current;
    if (!box) return;
    const plot = new uPlot(options(points, box.clientWidth, open), [points.map((p) => p.x), points.map((p) => p.y)], box);
    const fit = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height }));
    fit.observe(box);
    return () => {
      fit.disconnect();
      plot.destroy();
    };
  }, [points, open, dark]);
  return <div ref={frame} role="img" aria-label={label} style={{ minHeight: height }} />;
}

type Points = ReturnType<typeof placed>;

function options(points: Points, width: number, open: (instance: string) => void): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const axis = { stroke: style.getPropertyValue("--muted"), grid: { stroke: style.getPropertyValue("--line"), width: 1 }, ticks: { stroke: style.getPropertyValue("--line"), width: 1 } };
  const days = (points.at(-1)?.x ?? 0) - (points[0]?.x ?? 0);
  return {
    width, height,
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { range: (_, min, max) => (days === 0 ? [min - 43200, max + 43200] : [min - days * 0.02, max + days * 0.02]) }, y: { range: (_, __, max) => [0, Math.max(max, 0.1) * 1.1] } },
    axes: [{ ...axis, values: (_, splits) => splits.map((s) => new Date(s * 1000).toISOString().slice(0, 10)), space: 90, incrs: [1, 2, 5, 7, 14, 30, 60, 90, 180, 365].map((d) => d * 86400) }, { ...axis, size: 70, values: (_, splits) => splits.map((s) => span(s * 1000)) }],
    series: [{}, { points: { show: false }, paths: () => null }],
    cursor: { points: { show: false }, drag: { x: true, y: false } },
    hooks: { draw: [(u) => draw(u, points)], ready: [(u) => hover(u, points, open)] },
  };
}

function draw(u: uPlot, points: Points): void {
  const colors = stateColors();
  const { ctx } = u;
  const r = 3.5 * devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  ctx.clip();
  ctx.lineWidth = 2 * devicePixelRatio;
  for (const { run, x, y } of points) {
    const state = stateOf(run);
    const [cx, cy] = [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    ctx.fillStyle = ctx.strokeStyle = colors[state];
    ctx.beginPath();
    if (state === "failed") {
      ctx.moveTo(cx - r, cy - r);
      ctx.lineTo(cx + r, cy + r);
      ctx.moveTo(cx + r, cy - r);
      ctx.lineTo(cx - r, cy + r);
      ctx.stroke();
    } else {
      ctx.arc(cx, cy, r, 0, 2 * Math.PI);
      ctx.fill();
    }
  }
  ctx.restore();
}

/** Names the point under the pointer, and opens its instance when it is clicked. */
function hover(u: uPlot, points: Points, open: (instance: string) => void): void {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  u.over.append(tip);
  const at = (event: MouseEvent) => {
    const box = u.over.getBoundingClientRect();
    return nearest(u, points, event.clientX - box.left, event.clientY - box.top);
  };
  u.over.addEventListener("mousemove", (event) => {
    const found = at(event);
    tip.hidden = !found;
    u.over.style.cursor = found ? "pointer" : "";
    if (!found) return;
    tip.textContent = `${found.run.date} · ${span(found.y * 1000)} · ${found.run.instance}`;
    const left = u.valToPos(found.x, "x");
    Object.assign(tip.style, { top: `${Math.max(0, u.valToPos(found.y, "y") - 34)}px`, left: `${left}px`, transform: left > u.over.clientWidth / 2 ? "translateX(-100%)" : "" });
  });
  u.over.addEventListener("mouseleave", () => (tip.hidden = true));
  let down = 0;
  u.over.addEventListener("mousedown", (event) => (down = event.clientX));
  u.over.addEventListener("click", (event) => {
    const found = Math.abs(event.clientX - down) < 4 ? at(event) : undefined;
    if (found) open(found.run.instance);
  });
}

function nearest(u: uPlot, points: Points, x: number, y: number): Points[number] | undefined {
  let best: Points[number] | undefined;
  let least = 12;
  for (const p of points) {
    const distance = Math.hypot(u.valToPos(p.x, "x") - x, u.valToPos(p.y, "y") - y);
    if (distance < least) [best, least] = [p, distance];
  }
  return best;
}
