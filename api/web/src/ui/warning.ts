// What a plan warns of, in the page's language. Coordinators say it in English, and exactly so it
// is shown there; elsewhere it is said from what the warning names.
import i18next from "i18next";

import type { Schema } from "../app/api.ts";

type Warning = Schema<"Warning">;
type Named = Record<string, string>;

const who = (a: Named) => `节点 ${a.node}${a.more ? `（及另外 ${a.more} 个）` : ""}`;

const zh: Record<Schema<"WarningCode">, (a: Named) => string> = {
  descendingSelf: (a) => `${who(a)}依赖自身上一周期：从晚到早运行时，本次补数据内的日期不等待其前一天，只等待补数据之外的周期`,
  descendingPrevious: (a) => `${who(a)}依赖其他节点的上一周期：从晚到早运行时，各日期仍等待更早的日期`,
  future: (a) => `${a.dates} 个日期中有 ${a.future} 个在未来：其实例等待定时时间`,
  groups: (a) => `${a.groups} 个分组多于 ${a.dates} 个日期：每个日期一个分组`,
  crossing: (a) => `节点 ${a.node} 的 ${a.date} 等待前一分组中 ${a.upstream} 的 ${a.before}：这类依赖使各分组依次运行（若日期之间只等待同一节点，靠上游的节点可以先行）`,
  virtual: (a) => `不会运行任何代码：${who(a)}是仅用于保持顺序的虚拟节点，请同时选择其下游`,
  neverScheduled: (a) => `${who(a)}在所选日期均无调度，其实例全部空跑（业务日期为调度日的前一天）`,
  pausedNode: (a) => `${who(a)}已暂停并保持暂停：其实例被冻结，下游将等待`,
  askerMayNot: (a) => `提交人无权运行${who(a)}，其实例将空跑`,
  notPermitted: (a) => `您无权运行 ${a.nodes}，将空跑以保持顺序`,
  circle: (a) => `以下实例永远无法开始：${a.circle}；请从其中一个节点移除上一周期依赖`,
  missingUpstream: (a) =>
    a.partitions ? `仅检查了补数据之外的前 ${a.partitions} 个分区，其余请减少日期后再预览`
    : `补数据之外的上游 ${a.node}${a.previous === "true" ? " 的上一周期" : ""}（${a.dates}）${a.failed === "true" ? "上次失败" : "从未产出"}，${a.previous === "true" && a.failed === "true" ? "依赖它的实例将等待其成功" : "不会等待"}`,
  selfDependency: (a) => `节点 ${a.node} 依赖自身，补数据之外的 ${a.before} 上次失败：其 ${a.date} 的周期将等待该周期成功`,
  overlap: (a) => `补数据 ${a.backfill}（${a.name}）尚未完成节点 ${a.node} ${a.date} 的实例 ${a.instance}：后提交的补数据逐周期等待`,
  conflict: (a) => `截至 ${a.until}，${a.complete === "true" ? "" : "至少"}有 ${a.instances} 个周期实例与本次补数据的节点相同，最早为 ${a.at} 的节点 ${a.node}：周期实例优先，${a.onConflict === "wait" ? "除非补数据已在运行该节点" : "补数据正在运行的会让出"}`,
  demand: (a) => `资源组 ${a.resourceGroup} 同时最多需要 ${a.peak} 个槽位，补数据目前可用 ${a.slots} 个，其余等待`,
  agents: (a) => `目前没有执行机可以运行：${a.lack}`,
  forecast: (a) => (a.why ? `无法预计所需时间：${a.why}` : `预计${a.complete === "true" ? "约" : "至少"}需 ${a.mid}（${a.low} 至 ${a.high}），超过 24 小时`),
  dataSource: (a) => `数据源 ${a.source} 尚不存在：创建之前，使用它的实例会失败`,
  channel: (a) => `告警渠道 ${a.channel} 尚不存在：创建之前不会通知任何人`,
};

/** One without a code, or with one that is newer than the page, is told as it came. */
export function warningText(w: Warning, language = i18next.language): string {
  const say = language === "zh" && w.args ? w.code && zh[w.code as Schema<"WarningCode">] : undefined;
  return say ? say({ ...(w.node ? { node: w.node } : {}), ...w.args }) : w.message;
}
