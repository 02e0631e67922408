// A calendar of two months on which ranges of dates are added and taken away.
import { DoubleLeftOutlined, DoubleRightOutlined, LeftOutlined, RightOutlined } from "@ant-design/icons";
import { Button } from "antd";
import dayjs from "dayjs";
import { useRef, useState, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";

import { contains, plus, textOf, united, without, type Range } from "./dates.ts";

const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };
const sorted = (a: string, b: string): Range => (a <= b ? { from: a, to: b } : { from: b, to: a });

export function Months({ dates, yesterday, onChange }: { dates: string[]; yesterday: string; onChange: (dates: string[]) => void }) {
  const { t } = useTranslation("wizard");
  const [focus, setFocus] = useState(() => dates.at(-1)?.slice(-10) ?? yesterday);
  const [shown, setShown] = useState(() => dayjs(focus).startOf("month").subtract(1, "month").format("YYYY-MM"));
  const [anchor, setAnchor] = useState<string>();
  const [over, setOver] = useState<string>();
  const grid = useRef<HTMLDivElement>(null);
  const turn = (months: number) => setShown(dayjs(`${shown}-01`).add(months, "month").format("YYYY-MM"));
  const put = (range: Range) => onChange(contains(dates, range.from) && contains(dates, range.to) ? without(dates, range) : united([...dates, textOf(range)]));
  const pick = (date: string) => {
    setFocus(date);
    if (anchor === undefined) return setAnchor(date);
    put(sorted(anchor, date));
    setAnchor(undefined);
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === "Escape") return setAnchor(undefined);
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const next = plus(focus, step);
    setFocus(next);
    setOver(next);
    const month = next.slice(0, 7);
    if (month < shown) turn(-1);
    else if (month > dayjs(`${shown}-01`).add(1, "month").format("YYYY-MM")) turn(1);
    requestAnimationFrame(() => grid.current?.querySelector<HTMLElement>(`[data-date="${next}"]`)?.focus());
  };
  const marked = anchor === undefined ? undefined : sorted(anchor, over ?? anchor);
  const months = [shown, dayjs(`${shown}-01`).add(1, "month").format("YYYY-MM")];
  const reachable = months.includes(focus.slice(0, 7)) ? focus : `${shown}-01`;
  return (
    <div className="wz-calendar">
      <div className="row" style={{ flexWrap: "nowrap" }}>
        <Button type="text" size="small" icon={<DoubleLeftOutlined />} aria-label={t("calendar.yearBack")} onClick={() => turn(-12)} />
        <Button type="text" size="small" icon={<LeftOutlined />} aria-label={t("calendar.monthBack")} onClick={() => turn(-1)} />
        <span style={{ flex: 1 }} className="muted wz-help" role="status">{anchor === undefined ? t("calendar.first") : t("calendar.second", { date: anchor })}</span>
        <Button type="text" size="small" icon={<RightOutlined />} aria-label={t("calendar.monthOn")} onClick={() => turn(1)} />
        <Button type="text" size="small" icon={<DoubleRightOutlined />} aria-label={t("calendar.yearOn")} onClick={() => turn(12)} />
      </div>
      <div className="wz-months" ref={grid} onKeyDown={key} onMouseLeave={() => setOver(undefined)}>
        {months.map((month) => (
          <Month key={month} month={month} dates={dates} marked={marked} focus={reachable} today={plus(yesterday, 1)} pick={pick} over={setOver} all={() => put({ from: `${month}-01`, to: dayjs(`${month}-01`).endOf("month").format("YYYY-MM-DD") })} />
        ))}
      </div>
    </div>
  );
}

interface MonthOf {
  month: string;
  dates: string[];
  marked: Range | undefined;
  focus: string;
  today: string;
  pick: (date: string) => void;
  over: (date: string) => void;
  all: () => void;
}

function Month({ month, dates, marked, focus, today, pick, over, all }: MonthOf) {
  const { t, i18n } = useTranslation("wizard");
  const first = dayjs(`${month}-01`);
  const title = new Intl.DateTimeFormat(i18n.language, { year: "numeric", month: "long" }).format(first.toDate());
  const weekday = new Intl.DateTimeFormat(i18n.language, { weekday: "narrow" });
  const lead = (first.day() + 6) % 7; // weeks begin on Monday
  return (
    <div role="group" aria-label={title}>
      <Button type="text" size="small" block onClick={all} aria-label={t("calendar.whole", { month: title })}><strong>{title}</strong></Button>
      <div className="wz-days">
        {Array.from({ length: 7 }, (_, n) => <span key={n} className="muted" aria-hidden>{weekday.format(new Date(2024, 0, 1 + n))}</span>)}
        {Array.from({ length: first.daysInMonth() }, (_, n) => {
          const date = plus(`${month}-01`, n);
          const on = contains(dates, date);
          return (
            <button
              key={date} type="button" data-date={date} aria-label={date} aria-pressed={on} aria-current={date === today ? "date" : undefined} tabIndex={date === focus ? 0 : -1}
              data-marked={(marked && marked.from <= date && date <= marked.to) || undefined} style={n ? undefined : { gridColumnStart: lead + 1 }} onClick={() => pick(date)} onMouseEnter={() => over(date)}
            >
              {n + 1}
            </button>
          );
        })}
      </div>
    </div>
  );
}
