// Data timestamps as text, as the contract has them: one date, or two with dots between.
import dayjs from "dayjs";

export interface Range {
  from: string;
  to: string;
}

const form = /^(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?$/;

export const textOf = ({ from, to }: Range): string => (from === to ? from : `${from}..${to}`);

/** A range of a text; undefined where it is none, or no date of the calendar. */
export function rangeOf(text: string): Range | undefined {
  const [, from, to = from] = form.exec(text) ?? [];
  return from && to && exists(from) && exists(to) && from <= to ? { from, to } : undefined;
}

const exists = (date: string): boolean => dayjs(`${date}T00:00:00Z`).isValid() && new Date(`${date}T00:00:00Z`).toISOString().startsWith(date);

const day = 86_400_000;
const number = (date: string): number => Date.parse(`${date}T00:00:00Z`) / day;
const dateOf = (n: number): string => new Date(n * day).toISOString().slice(0, 10);
export const plus = (date: string, days: number): string => dateOf(number(date) + days);

/** Ranges in order, with those that meet made one. Texts that are no ranges stay, at the end. */
export function united(texts: readonly string[]): string[] {
  const ranges = texts.map(rangeOf).filter((r) => r !== undefined).sort((a, b) => a.from.localeCompare(b.from));
  const out: Range[] = [];
  for (const r of ranges) {
    const last = out.at(-1);
    if (last && r.from <= plus(last.to, 1)) last.to = r.to > last.to ? r.to : last.to;
    else out.push({ ...r });
  }
  return [...out.map(textOf), ...texts.filter((t) => !rangeOf(t))];
}

/** Takes the dates of one range out of the others. */
export function without(texts: readonly string[], gone: Range): string[] {
  return texts.flatMap((text) => {
    const r = rangeOf(text);
    if (!r || r.to < gone.from || r.from > gone.to) return [text];
    const rest: Range[] = [];
    if (r.from < gone.from) rest.push({ from: r.from, to: plus(gone.from, -1) });
    if (r.to > gone.to) rest.push({ from: plus(gone.to, 1), to: r.to });
    return rest.map(textOf);
  });
}

export const contains = (texts: readonly string[], date: string): boolean => texts.some((t) => { const r = rangeOf(t); return r && r.from <= date && date <= r.to; });

export const count = (texts: readonly string[]): number => united(texts).reduce((n, t) => { const r = rangeOf(t); return r ? n + number(r.to) - number(r.from) + 1 : n; }, 0);

/** The dates from one to another that are chosen, as parts of the whole way: for a time line. */
export function parts(texts: readonly string[], within: Range, whole: Range): { from: string; to: string; at: number; size: number }[] {
  const length = number(whole.to) - number(whole.from) + 1;
  return united(texts).map(rangeOf).filter((r) => r !== undefined).flatMap((r) => {
    const from = r.from > within.from ? r.from : within.from;
    const to = r.to < within.to ? r.to : within.to;
    return from <= to ? [{ from, to, at: (number(from) - number(whole.from)) / length, size: (number(to) - number(from) + 1) / length }] : [];
  });
}

/** What a person has typed: ranges between commas, blanks or lines. */
export const typed = (text: string): string[] => text.split(/[\s,;，；]+/).filter(Boolean).map((t) => t.replace(/(~|–|\.\.\.|至)/, "..").replaceAll("/", "-"));

export const presets = ["yesterday", "week", "month", "lastMonth", "year"] as const;
export type Preset = (typeof presets)[number];

/** What a preset means, as seen from yesterday. */
export function presetOf(preset: Preset, yesterday: string): Range {
  const today = plus(yesterday, 1);
  switch (preset) {
    case "yesterday": return { from: yesterday, to: yesterday };
    case "week": return { from: plus(yesterday, -6), to: yesterday };
    case "month": return { from: plus(yesterday, -29), to: yesterday };
    case "lastMonth": {
      const last = plus(`${today.slice(0, 7)}-01`, -1);
      return { from: `${last.slice(0, 7)}-01`, to: last };
    }
    case "year": return { from: `${yesterday.slice(0, 4)}-01-01`, to: yesterday };
  }
}
