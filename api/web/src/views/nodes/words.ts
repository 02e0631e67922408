// A schedule, said in words.
import type { TFunction } from "i18next";

import type { Schema } from "../../app/api.ts";

type Schedule = Schema<"Schedule">;
const week = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const name = (date: Date, language: string, form: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(language === "zh" ? "zh-CN" : "en", { ...form, timeZone: "UTC" }).format(date);
const join = (words: string[], language: string) => new Intl.ListFormat(language === "zh" ? "zh-CN" : "en", { type: "conjunction" }).format(words);
const clock = (time: string | undefined, otherwise: string) => (time ?? otherwise).replace(/^(\d\d:\d\d):00$/, "$1");

/** "Every Monday at 02:30", "Every 15 minutes from 08:00 to 20:00, every day". */
export function scheduleWords(t: TFunction<"nodes">, language: string, schedule: Schedule | undefined): string {
  const s: Schedule = schedule ?? { kind: "daily" };
  const at = clock(s.at, "00:00");
  switch (s.kind) {
    case "daily": return t("schedule.daily", { at });
    case "weekly": return t("schedule.weekly", { at, days: join((s.weekdays ?? []).map((d) => weekday(d, language)), language) });
    case "monthly": return t("schedule.monthly", { at, days: monthDays(t, language, s) });
    case "yearly": return t("schedule.yearly", { at, days: monthDays(t, language, s), months: join((s.months ?? []).map((m) => name(new Date(Date.UTC(2001, m - 1, 1)), language, { month: "long" })), language) });
    default: {
      const minutes = s.everyMinutes ?? (s.kind === "hourly" ? 60 : 1);
      const every = minutes % 60 === 0 ? t("schedule.hours", { count: minutes / 60 }) : t("schedule.minutes", { count: minutes });
      return t("schedule.hourly", { every, from: clock(s.from, "00:00"), to: clock(s.to, "23:59") });
    }
  }
}

function weekday(day: string, language: string): string {
  const place = week.findIndex((w) => w.startsWith(day.toLowerCase().slice(0, 3)));
  return name(new Date(Date.UTC(2001, 0, 1 + Math.max(0, place))), language, { weekday: "long" }); // 1 January 2001 was a Monday
}

function monthDays(t: TFunction<"nodes">, language: string, s: Schedule): string {
  return join((s.days ?? []).map((d) => (d === "last" ? t("schedule.last") : t("schedule.day", { day: d }))), language);
}
