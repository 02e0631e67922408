import { expect, type Page } from "@playwright/test";

/** Calls the frames of some seconds of moving: the median and the 95th percentile between two. */
export async function frames(page: Page, what: string, move: () => Promise<void>): Promise<void> {
  await page.evaluate(() => {
    const times: number[] = [];
    Object.assign(window, { benchTimes: times, benchOn: true });
    const tick = (at: number) => {
      times.push(at);
      if ((window as unknown as { benchOn: boolean }).benchOn) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  const end = Date.now() + 3000;
  while (Date.now() < end) await move();
  const gaps = await page.evaluate(() => {
    const bench = window as unknown as { benchTimes: number[]; benchOn: boolean };
    bench.benchOn = false;
    return bench.benchTimes.slice(1).map((t, i) => t - (bench.benchTimes[i] ?? t));
  });
  const sorted = gaps.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  console.log(`${what}: ${(1000 / at(0.5)).toFixed(0)} frames/s median (${at(0.5).toFixed(1)} ms), p95 ${at(0.95).toFixed(1)} ms, longest ${at(1).toFixed(0)} ms, ${sorted.length} frames`);
  expect(sorted.length).toBeGreaterThan(10);
}
