// A year of dates, a week a column. One date is in the tab order; arrows go on from it.
import { useRef, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";

import type { Schema, State } from "../../app/api.ts";
import { shift } from "../../app/today.ts";
import { stateColor } from "../../ui/State.tsx";
import { between } from "./dates.ts";
import "./nodes.css";

export type Covered = Map<string, Schema<"CoveredDate">>;

/** Beside its colour each state has a sign. */
export const sign: Record<State, string> = { failed: "×", running: "▸", waitingTime: "·", notRunning: "·", frozen: "‖", succeeded: "" };

const steps: Record<string, number | undefined> = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -7, ArrowRight: 7, PageUp: -28, PageDown: 28 };

interface Props {
  year: number;
  /** The newest date that is due: what has nothing up to it is missing. */
  late: string;
  by: Covered;
  chosen?: [string, string];
  choose: (range: [string, string] | undefined) => void;
  open: (date: string) => void;
}

export function Calendar({ year, late, by, chosen, choose, open }: Props) {
  const { t, i18n } = useTranslation("nodes");
  const frame = useRef<HTMLDivElement>(null);
  const from = useRef<string | undefined>(undefined);
  const [first, last] = [`${year}-01-01`, `${year}-12-31`];
  const dates = between(first, last);
  const tabbed = chosen?.[1] ?? (late >= first && late <= last ? late : first);
  const extend = (date: string, start: string) => choose(date < start ? [date, start] : [start, date]);
  const key = (event: KeyboardEvent, date: string) => {
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const to = shift(date, step);
    if (to < first || to > last) return;
    frame.current?.querySelector<HTMLButtonElement>(`[data-date="${to}"]`)?.focus();
    if (!event.shiftKey) {
      from.current = undefined;
      return;
    }
    from.current ??= date;
    extend(to, from.current);
  };
  const language = i18n.language === "zh" ? "zh-CN" : "en";
  const weekday = new Intl.DateTimeFormat(language, { weekday: "short", timeZone: "UTC" });
  const month = new Intl.DateTimeFormat(language, { month: "short", timeZone: "UTC" });
  const lead = (new Date(first).getUTCDay() + 6) % 7;
  return (
    <div ref={frame} className="year" role="group" aria-label={t("coverage.calendar", { year })}>
      {[0, 2, 4, 6].map((d) => <span key={d} className="weekday" aria-hidden style={{ gridRow: d + 2 }}>{weekday.format(new Date(Date.UTC(2001, 0, 1 + d)))}</span>)}
      {dates.map((date, i) => {
        const column = Math.floor((i + lead) / 7) + 2;
        return [
          date.endsWith("-01") ? <span key={`m${date}`} className="month" aria-hidden style={{ gridColumn: `${column} / span 3` }}>{month.format(new Date(date))}</span> : null,
          <Day
            key={date} date={date} covered={by.get(date)} late={date <= late} tabbed={date === tabbed} place={{ gridColumn: column, gridRow: ((i + lead) % 7) + 2 }}
            chosen={chosen !== undefined && date >= chosen[0] && date <= chosen[1]}
            events={{
              onKeyDown: (event) => key(event, date),
              onPointerDown: () => { from.current = date; },
              onPointerEnter: (event) => { if (event.buttons === 1 && from.current && from.current !== date) extend(date, from.current); },
              onClick: (event) => {
                if (event.shiftKey) extend(date, chosen?.[0] ?? date);
                else if (from.current === undefined || from.current === date) open(date);
                from.current = undefined;
              },
            }}
          />,
        ];
      })}
    </div>
  );
}

interface DayProps {
  date: string;
  covered?: Schema<"CoveredDate">;
  late: boolean;
  tabbed: boolean;
  chosen: boolean;
  place: { gridColumn: number; gridRow: number };
  events: Pick<React.DOMAttributes<HTMLButtonElement>, "onKeyDown" | "onPointerDown" | "onPointerEnter" | "onClick">;
}

function Day({ date, covered, late, tabbed, chosen, place, events }: DayProps) {
  const { t } = useTranslation("nodes");
  const ui = useTranslation("ui").t;
  const state = covered ? [ui(`state.${covered.state}`), covered.dryRun ? t(`dry.${covered.dryRun}`) : "", covered.instance ? t("coverage.runs", { count: covered.runs }) : t("coverage.forgotten")].filter(Boolean).join(", ") : late ? t("coverage.missing") : t("strip.none");
  const text = t("coverage.cell", { date, state });
  return (
    <button
      type="button" className="day" data-date={date} data-state={covered?.state ?? "none"} data-late={!covered && late ? "" : undefined} data-chosen={chosen ? "" : undefined}
      tabIndex={tabbed ? 0 : -1} aria-label={text} aria-pressed={chosen} title={text} style={{ ...place, ...(covered ? { background: stateColor(covered.state) } : {}) }} {...events}
    >
      {covered ? sign[covered.state] : ""}
    </button>
  );
}
