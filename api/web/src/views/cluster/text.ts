import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Cluster",
  health: {
    fine_one: "{{up}} of {{all}} vote; one may be lost.", fine_other: "{{up}} of {{all}} vote; {{count}} may be lost.",
    edge: "{{up}} of {{all}} vote; none may be lost, or nothing is decided any more.", single: "One coordinator, which alone decides: it survives a restart, not the loss of its disk. Three survive the loss of one.",
    lost: "Only {{up}} of {{all}} answer: there is no majority, and nothing is decided until one is back.", noLeader: "There is no leader now; an election usually takes a second.",
  },
  fact: { leader: "Leader", none: "none", term: "Term", answers: "Who answers you", today: "Business date today", zone: "Zone {{zone}}", index: "Log", applied: "{{applied}} applied of {{commit}} agreed", version: "Version", rules: "rules {{n}}" },
  members: "Coordinators",
  role: { leader: "Leader", voter: "Follower", nonVoter: "Does not vote yet" },
  member: {
    id: "Coordinator", role: "Role", term: "Term", behind: "Behind by", contact: "Heard the leader", log: "Log", snapshot: "Snapshot", attempts: "Logs of attempts", disk: "Disk free", version: "Version", addresses: "Addresses",
    silent: "does not answer", self: "answers you", entries_one: "{{count}} entry", entries_other: "{{count}} entries", none: "none", transfer: "Make leader", leads: "leads",
    transferTitle: "Make {{id}} the leader?", transferText: "Leadership is handed over in order: what runs goes on, and nothing is lost. New work starts again within about a second.", transferred: "{{id}} leads now", transferredUnknown: "Leadership was handed over", isLeader: "It leads already", notVoter: "It does not vote",
    remove: "Remove", removeTitle: "Remove {{id}} from the cluster?", removeText: "It leaves for good: no other coordinator listens to it, and it comes back only as a new member.",
    leaves_one: "One coordinator is left that votes.", leaves_other: "{{count}} are left that vote.", spare_zero: "None of them may be lost.", spare_one: "One of them may be lost.", spare_other: "{{count}} of them may be lost.",
    handsOver: "It leads: it hands leadership over first.", removed: "{{id}} is no member any more", onlyVoter: "It is the only one that votes", force: "Also while fewer than a majority of the others answer",
  },
  backup: {
    save: "Save a backup", title: "Save a backup of the cluster", download: "Download",
    what: "All facts as of a moment after the download begins, in one file: nodes, backfills and their instances, the schedule, settings, users and the audit. Logs of attempts are not in it. The cluster goes on meanwhile.",
    care: "Of tokens and passwords it has only hashes and places; of the code of your nodes it has all. Keep it where only those can read it who may read that.", inspect: "Check the file where it is kept:",
  },
  changes: { title: "Changes of leadership", none: "None since you opened this view.", line: "{{leader}} leads", lost: "No leader" },
  audit: {
    title: "Audit", actor: "Who", operation: "Operation", target: "Target contains", code: "Outcome", contains: "Any text", from: "From", to: "Until", when: "When", done: "Done", refused: "Refused",
    at: "When", number: "Number", via: "Token", by: "Address", what: "To what", why: "Why", outcome: "Outcome", more_one: "and {{count}} more refusal like it, which was only counted", more_other: "and {{count}} more refusals like it, which were only counted", things_one: "{{count}} item", things_other: "{{count}} items",
    open: "Record {{number}}", none: "Nothing was recorded yet", teach: "Every write by a person is kept here: who, when, from where, with which token, what it was before and after, and why. Begin by changing something.",
    noMatch: "No record is like this", noMatchText: "Widen the filters. The newest 100,000 records are kept.", denied: "The audit is for operators",
    export: "Export", exportWhat: "All records that the filters give, newest first, as JSON, one a line.", download: "Download", cli: "The same from the command line", exporting: "{{count}} records read", exported_one: "{{count}} record saved", exported_other: "{{count}} records saved",
    changes: "What was changed", field: "Field", before: "Before", after: "After", raw: "As it was recorded", request: "Request", index: "Index of the log", message: "Why it was refused", unkept: "No contents are kept of this operation.", cut: "It was cut at 4 KiB.", same: "Nothing is different.",
  },
};

export const zh: Same<typeof en> = {
  title: "集群",
  health: {
    fine_one: "{{all}} 个中有 {{up}} 个参与投票，允许故障 1 个。", fine_other: "{{all}} 个中有 {{up}} 个参与投票，允许故障 {{count}} 个。",
    edge: "{{all}} 个中有 {{up}} 个参与投票，不能再有故障，否则将无法决策。", single: "仅一个协调器：重启不受影响，但磁盘损坏会丢失数据。三个协调器可容忍一个故障。",
    lost: "{{all}} 个中仅 {{up}} 个响应：未达多数，恢复之前无法决策。", noLeader: "当前没有主协调器，选举通常需要一秒。",
  },
  fact: { leader: "主协调器", none: "无", term: "任期", answers: "当前应答者", today: "今日日期", zone: "时区 {{zone}}", index: "日志", applied: "已提交 {{commit}}，已应用 {{applied}}", version: "版本", rules: "规则 {{n}}" },
  members: "协调器",
  role: { leader: "主", voter: "从", nonVoter: "尚未参与投票" },
  member: {
    id: "协调器", role: "角色", term: "任期", behind: "落后", contact: "最近收到主的消息", log: "日志", snapshot: "快照", attempts: "运行日志", disk: "磁盘可用", version: "版本", addresses: "地址",
    silent: "无响应", self: "当前应答", entries_one: "{{count}} 条", entries_other: "{{count}} 条", none: "无", transfer: "设为主", leads: "主",
    transferTitle: "将 {{id}} 设为主协调器？", transferText: "有序移交：运行中的任务继续，不会丢失任何内容，约一秒内恢复分配新任务。", transferred: "{{id}} 现在是主协调器", transferredUnknown: "已移交", isLeader: "它已经是主协调器", notVoter: "它不参与投票",
    remove: "移除", removeTitle: "从集群中移除 {{id}}？", removeText: "永久移除：其他协调器不再接受它，只能作为新成员重新加入。",
    leaves_one: "剩余 {{count}} 个参与投票。", leaves_other: "剩余 {{count}} 个参与投票。", spare_zero: "不允许再有故障。", spare_one: "允许故障 {{count}} 个。", spare_other: "允许故障 {{count}} 个。",
    handsOver: "它是主协调器，将先移交主身份。", removed: "{{id}} 已不是集群成员", onlyVoter: "它是唯一参与投票的协调器", force: "即使其余协调器未达多数响应，也执行移除",
  },
  backup: {
    save: "保存备份", title: "保存集群备份", download: "下载",
    what: "将下载开始之后某一时刻的全部数据保存为一个文件：节点、补数据及其实例、周期调度、设置、用户和审计。不含运行日志。期间集群照常工作。",
    care: "令牌和密码仅含哈希与存放位置；节点代码则全部包含。请仅存放在有权查看代码的人可读取的地方。", inspect: "在存放处检查文件：",
  },
  changes: { title: "主协调器变更", none: "打开本页以来没有变更。", line: "{{leader}} 成为主协调器", lost: "没有主协调器" },
  audit: {
    title: "审计", actor: "操作人", operation: "操作", target: "对象包含", code: "结果", contains: "任意文本", from: "从", to: "到", when: "时间", done: "成功", refused: "被拒绝",
    at: "时间", number: "编号", via: "令牌", by: "来源地址", what: "对象", why: "原因", outcome: "结果", more_one: "另有 {{count}} 次同类拒绝，仅计数", more_other: "另有 {{count}} 次同类拒绝，仅计数", things_one: "{{count}} 项", things_other: "{{count}} 项",
    open: "记录 {{number}}", none: "还没有记录", teach: "所有人为的修改都记录在此：谁、何时、从哪里、用哪个令牌、修改前后的内容以及原因。",
    noMatch: "没有符合条件的记录", noMatchText: "请放宽筛选条件。仅保留最近 100,000 条记录。", denied: "审计仅运维可见",
    export: "导出", exportWhat: "导出筛选出的全部记录（由新到旧），每行一个 JSON。", download: "下载", cli: "等价的命令行", exporting: "已读取 {{count}} 条", exported_one: "已保存 {{count}} 条记录", exported_other: "已保存 {{count}} 条记录",
    changes: "变更内容", field: "字段", before: "修改前", after: "修改后", raw: "原始记录", request: "请求", index: "日志序号", message: "拒绝原因", unkept: "该操作不保留内容。", cut: "内容在 4 KiB 处截断。", same: "没有不同。",
  },
};
