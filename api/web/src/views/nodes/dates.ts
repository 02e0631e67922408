// Dates as the contract writes them.
import { shift } from "../../app/today.ts";

/** All from the first to the last. */
export function between(from: string, to: string): string[] {
  const out: string[] = [];
  for (let d = from; d <= to; d = shift(d, 1)) out.push(d);
  return out;
}

/** Dates in order as runs of consecutive ones: `2025-01-01..2025-01-05`, `2025-01-09`. */
export function ranges(dates: string[]): string[] {
  const runs: [string, string][] = [];
  for (const d of dates) {
    const last = runs.at(-1);
    if (last && shift(last[1], 1) === d) last[1] = d;
    else runs.push([d, d]);
  }
  return runs.map(([from, to]) => (from === to ? from : `${from}..${to}`));
}
