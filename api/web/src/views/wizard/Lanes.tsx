// Groups as lanes on the time line of the data: which dates each runs, from where to where.
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";
import { parts, textOf, type Range } from "./dates.ts";

const width = 640, lane = 26, left = 30, right = 8;

export function Lanes({ groups, dates }: { groups: Schema<"PreviewGroup">[]; dates: string[] }) {
  const { t } = useTranslation("wizard");
  const ends = groups.flatMap((g) => [g.first, g.last]).sort();
  const from = ends[0], to = ends.at(-1);
  if (!from || !to) return null;
  const whole = { from, to };
  const x = (share: number) => left + share * (width - left - right);
  const height = groups.length * lane + 20;
  return (
    <svg viewBox={`0 0 ${width} ${height}`} width="100%" role="img" aria-label={groups.map((g) => t("preview.lane", { group: g.group, first: g.first, last: g.last, count: g.dates })).join("; ")} style={{ maxWidth: 800, display: "block" }}>
      <defs>
        <marker id="wz-arrow" viewBox="0 0 8 8" refX={7} refY={4} markerWidth={6} markerHeight={6} orient="auto"><path d="M0 0 L8 4 L0 8 Z" fill="var(--text)" /></marker>
      </defs>
      {groups.map((g, n) => <Lane key={g.group} group={g} top={n * lane} dates={dates} whole={whole} x={x} />)}
      <g fontSize={11} fill="var(--muted)">
        <line x1={left} x2={width - right} y1={height - 17} y2={height - 17} stroke="var(--line)" />
        <text x={left} y={height - 4}>{from}</text>
        {from === to ? null : <text x={width - right} y={height - 4} textAnchor="end">{to}</text>}
      </g>
    </svg>
  );
}

function Lane({ group, top, dates, whole, x }: { group: Schema<"PreviewGroup">; top: number; dates: string[]; whole: Range; x: (share: number) => number }) {
  const { t } = useTranslation("wizard");
  const back = group.first > group.last;
  const own = parts(dates, back ? { from: group.last, to: group.first } : { from: group.first, to: group.last }, whole);
  const begin = own[0], end = own.at(-1);
  const ends = begin && end ? [x(begin.at) + 4, x(end.at + end.size) - 4] : undefined;
  return (
    <g data-lane={group.group}>
      <title>{t("preview.lane", { group: group.group, first: group.first, last: group.last, count: group.dates })}</title>
      <text x={left - 8} y={top + 16} textAnchor="end" fontSize={12} fill="var(--text)">{group.group}</text>
      {own.map((p) => (
        <rect key={p.from} x={x(p.at)} y={top + 3} width={Math.max(2, x(p.at + p.size) - x(p.at) - 1)} height={lane - 6} rx={3} fill="var(--accent)" fillOpacity={0.3} stroke="var(--accent)"><title>{textOf(p)}</title></rect>
      ))}
      {ends && (ends[1] ?? 0) - (ends[0] ?? 0) > 60 ? (
        <>
          <line x1={back ? ends[1] : ends[0]} x2={back ? ends[0] : ends[1]} y1={top + lane - 8} y2={top + lane - 8} stroke="var(--text)" strokeOpacity={0.6} markerEnd="url(#wz-arrow)" />
          <text x={(ends[0] ?? 0) + 4} y={top + 14} fontSize={11} fill="var(--text)">{t("preview.laneText", { count: group.dates, instances: group.instances.toLocaleString() })}</text>
        </>
      ) : null}
    </g>
  );
}
