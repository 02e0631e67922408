// Why an instance waits, in the page's language. Coordinators say it in English, and exactly so it
// is shown there; elsewhere it is said from what the reason names.
import dayjs from "dayjs";

import type { Schema } from "../../app/api.ts";

type Reason = Schema<"Reason">;

const at = (moment?: string) => (moment ? dayjs(moment).format("YYYY-MM-DD HH:mm:ss") : "");
const by = (r: Reason) => (r.by ? `（${r.by}，${at(r.since)}）` : "");
const line = (r: Reason) => (r.place ? `，排在第 ${r.place} 位` : "");
const use = (r: Reason) => (r.limit ? `（已用 ${r.used ?? 0}/${r.limit}）` : "");

const zh: Record<Reason["code"], (r: Reason) => string> = {
  upstream: (r) => `上游实例 ${r.instance ?? ""} 尚未成功`,
  selfDependency: (r) => `自身上一周期 ${r.instance ?? ""} 尚未成功`,
  previousCycle: (r) => `上一周期的实例 ${r.instance ?? ""} 尚未成功`,
  schedule: (r) => `等待自动实例 ${r.instance ?? ""}`,
  gate: (r) => `同一分组中的前一日期 ${r.date ?? ""} 尚未全部成功`,
  notDue: (r) => `未到时间，${at(r.until)} 到期`,
  window: (r) => `不在执行时段内，${at(r.until)} 开始`,
  slot: (r) => `资源组 ${r.resourceGroup ?? ""} 没有空闲槽位${use(r)}${line(r)}`,
  queued: (r) => `在资源组 ${r.resourceGroup ?? ""} 中排队${line(r)}`,
  queuedAtAgent: (r) => `在执行机 ${r.agent ?? ""} 上排队，有空闲槽位即开始`,
  conflict: (r) => `与实例 ${r.instance ?? ""} 冲突，等待其结束`,
  overlap: (r) => `实例 ${r.instance ?? ""} 正在处理同一周期`,
  retry: (r) => `将于 ${at(r.until)} 进行第 ${r.used ?? 1} 次重试，共 ${r.limit ?? 1} 次`,
  noAgent: (r) => `资源组 ${r.resourceGroup ?? ""} 没有可用的执行机`,
  paused: (r) => `补数据 ${r.backfill ?? ""} 已暂停${by(r)}`,
  stopped: (r) => `补数据 ${r.backfill ?? ""} 已终止${by(r)}`,
  halted: (r) => `补数据 ${r.backfill ?? ""} 失败 ${r.used ?? 0} 个实例，达到上限 ${r.limit ?? 0}，已中止`,
  maxRunning: (r) => `补数据 ${r.backfill ?? ""} 已达并发上限${use(r)}`,
  frozen: (r) => `已冻结${by(r)}`,
};

export const reasonText = (r: Reason, language: string): string => (language === "zh" ? zh[r.code](r) : r.text);
