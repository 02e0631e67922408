import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Instance {{id}}",
  id: "Id", backfill: "Backfill", day: "Day of the schedule", group: "group {{group}}", scheduled: "Scheduled time", due: "Due", resourceGroup: "Resource group",
  priority: "Priority", byHand: "by hand", started: "Started", took: "Took", agent: "Agent",
  before: "Run before", after: "Run after", noNeighbour: "There is none",
  tab: { why: "Why", attempts: "Attempts", code: "Code and values", log: "Log", metrics: "Metrics", dependencies: "Dependencies" },
  flag: { auto: "Auto instance", forced: "Forced to run", yields_one: "Gave way once", yields_other: "Gave way {{count}} times", removed: "Does not wait for {{node}}" },
  dryRun: {
    offSchedule: "Dry run: off its schedule", blacklisted: "Dry run: blacklisted", notChosen: "Dry run: not chosen", currentNodeCleared: "Dry run: current node left out",
    nodeIsDryRun: "Dry run: the node is one", requested: "Dry run: asked for", notPermitted: "Dry run: not permitted", dropped: "Dry run: dropped", beforeSwitchedOn: "Dry run: before it was switched on", virtual: "Dry run: virtual node",
  },
  attemptState: {
    queued: "Queued at its agent", running: "Running", succeeded: "Succeeded", failed: "Failed", timedOut: "Timed out", stopped: "Stopped", lost: "Lost with its agent", yielded: "Gave way",
    recalled: "Called back", skipped: "Skipped", drained: "Handed back by its agent",
  },
  reason: {
    upstream: "Upstream", selfDependency: "Own cycle before", previousCycle: "Previous cycle", schedule: "Auto instance", gate: "Date before", notDue: "Not due", window: "Execution period", slot: "Slots",
    queued: "In line", queuedAtAgent: "Queued at its agent", conflict: "Conflict", overlap: "Overlap", retry: "Retry", noAgent: "No agent", paused: "Paused", stopped: "Stopped", halted: "Halted",
    maxRunning: "Most at once", frozen: "Frozen",
  },
  why: {
    tree: "What it waits for", name: "{{id}} ({{node}} of {{date}})", sentence: "{{name}} {{what}}.", waits: "{{name}} waits: {{what}}.", held: "{{name}} is held: {{what}}.",
    inTheEnd: "In the end because {{name}} {{what}}.", go: "Go to {{id}}", failed: "has failed", failedAll: "has failed at all of its {{count}} attempts", runs: "runs", runsAt: "runs at agent {{agent}}",
    for: " for {{span}}", set: "was set to success", dry: "has succeeded without running ({{reason}})", succeeded: "has succeeded", after: " after {{span}}", soon: "may start at any moment",
    above: "shown above", fold: "Fold {{name}}", unfold: "Unfold {{name}}", until: "until", backfill: "Backfill {{id}}", group: "Resource group {{group}}", agent: "Agent {{agent}}", stderr: "The end of stderr", log: "Whole log",
    more_one: "…and 1 more like it", more_other: "…and {{count}} more like it", atLeast_one: "…and at least 1 more like it", atLeast_other: "…and at least {{count}} more like it",
    slots: "Resource group {{group}} uses {{used}} of its {{slots}} slots, backfills {{backfills}} of them", waiting: "{{count}} wait for one", holds_one: "has 1 of them since", holds_other: "has {{count}} of them since",
    stopping: "is being stopped", marks: "What people did",
  },
  attempts: {
    none: "It has not run yet", noneHint: "Each start on an agent is an attempt: with its agent, its times, how it ended, its own log. Why it waits stands under “Why”.",
    title: "Attempt", number: "Attempt {{number}}", state: "Outcome", exitCode: "Exit code", cause: "Cause", compare: "Compare", compareOne: "Compare attempt {{number}}", logOf: "Log of attempt {{number}}",
    sideBySide: "Side by side", chooseTwo: "Choose two attempts to see them side by side.", what: "What", granted: "Granted", ended: "Ended", codeVersion: "Code version", metric: "Metric {{name}}",
    differs: "differs", otherCode: "the code was changed between them",
  },
  code: {
    title: "Code with its values", changed: "The node's code was changed since this instance ran. What is shown is the code as it is now.", empty: "This node has no code to show.",
    noCycle: "The node as it is now has no cycle at this time.", values: "Parameters", noValues: "It has no parameters.", name: "Name", value: "Value", expression: "Expression",
    environment: "Environment", environmentHint: "Names only: values may be secret.", noEnvironment: "The node sets no variables.",
  },
  log: {
    none: "There is no log yet", noneHint: "Its lines are shown here as soon as it starts, as they are written.", attempt: "Attempt", newest: "newest", follow: "Follow", times: "Times", wrap: "Wrap lines",
    toStart: "To the start", toEnd: "To the end", toError: "To the first error", noError: "No line looks like an error", copy: "Copy the lines", copyHint: "Copies the lines that are loaded; download has all", copied_one: "1 line copied", copied_other: "{{count}} lines copied",
    noCopy: "The browser does not allow copying here. Download the log instead.", download: "Download", find: "Search the whole log", regex: "Regular expression", exact: "Match case",
    label: "Log of {{id}}, attempt {{attempt}}", held_one: "1 line loaded of {{size}}", held_other: "{{lines}} lines loaded of {{size}}", fromPart: "from {{part}} % on",
    phase: { loading: "Loading", part: "Part of it", following: "Live", broken: "Connection broken, trying again", complete: "Complete" },
    cleared: "{{size}} were cleared here: logs of finished attempts are cut to 3 MB once a day", dropped_one: "1 line is missing here ({{text}})", dropped_other: "{{count}} lines are missing here ({{text}})",
    stream: { stdout: "stdout", stderr: "stderr" }, partial: "The line goes on", searching: "Searching", matches_zero: "No line matches", matches_one: "1 line matches", matches_other: "{{count}} lines match",
    searchOn: "Search on", searchAgain: "Search again", found: "Lines found",
  },
  metrics: { none: "It has reported no metrics", noneHint: "Code reports what is worth comparing, such as how many rows it wrote, by adding a line to a file:", name: "Metric", before: "Run before:", noBefore: "No run before", change: "Change" },
  near: {
    as: "Show as", graph: "Graph", list: "List", counts: "{{up}} upstream, {{down}} downstream", up: "Upstream", down: "Downstream", removed: "dependency removed", previousCycle: "previous cycle", self: "own cycle before",
    partition: { written: "written", failed: "failed", missing: "not written" }, outside: "outside this backfill, not waited for", more: "{{count}} more", noUp: "It waits for no other instance.", noDown: "No other instance waits for it.",
    first: "These are the first {{count}}.",
  },
  operate: {
    title: "Operations", stop: "Stop", rerun: "Rerun", rerunDescendants: "Rerun with descendants", setToSuccess: "Set to success", freeze: "Freeze", unfreeze: "Unfreeze", forceRun: "Force run",
    removeUpstream: "Remove upstream", setPriority: "Set priority", on: "{{what}}: {{node}} of {{date}}", done_one: "{{what}}: done, 1 instance touched", done_other: "{{what}}: done, {{count}} instances touched", mayNot: "Your role does not allow operations on instances.",
    cannot: "Not now: {{why}}.", upstream: "Node that it no longer waits for", whyNeeded: "Say why: whoever looks later will want to know.",
    about: {
      stop: "What runs is ended at its agent; what waits fails at once. It can be run again.", rerun: "Runs it again, in a new attempt. What comes after stays as it is.", rerunDescendants: "Runs it again and, in order, all that comes after it in this backfill.",
      setToSuccess: "Takes the failed instance for succeeded, without running it: what comes after goes on. Its data is as the failure left it.", freeze: "Holds it, and with it what comes after, until it is unfrozen.",
      unfreeze: "Lets it go on. If it could have started meanwhile it fails and needs a rerun.", forceRun: "Starts it once without waiting for its upstreams, its gate, its due time and its execution period. A slot is still needed.",
      removeUpstream: "It no longer waits for one of its upstreams.", setPriority: "Its place in the line for slots.",
    },
    highest: "8, the highest", lowest: "1, the lowest",
    obstacle: {
      runs: "it runs: stop it first, or wait for its end", runsAlready: "it runs already", frozen: "it is frozen: unfreeze it first", notFrozen: "it is not frozen",
      notFailed: "it waits: only what has failed can be set to success", waitsAlready: "it waits to run already", failed: "it has failed: run it again first",
      succeeded: "it has succeeded: run it again first", stopping: "it is being stopped: wait for its end", noUpstream: "it waits for no upstream",
      queuedAtAgent: "it is queued at agent {{agent}} and starts as soon as a slot is free there: stop or freeze it first, or wait for its end",
    },
  },
};

export const zh: Same<typeof en> = {
  title: "实例 {{id}}",
  id: "实例 ID", backfill: "补数据", day: "调度日", group: "并行分组 {{group}}", scheduled: "定时时间", due: "到期时间", resourceGroup: "资源组",
  priority: "优先级", byHand: "手动设置", started: "开始时间", took: "耗时", agent: "执行机",
  before: "上一次运行", after: "下一次运行", noNeighbour: "没有",
  tab: { why: "原因", attempts: "运行记录", code: "代码与参数", log: "日志", metrics: "指标", dependencies: "依赖" },
  flag: { auto: "自动实例", forced: "强制运行", yields_one: "让行 {{count}} 次", yields_other: "让行 {{count}} 次", removed: "不再等待 {{node}}" },
  dryRun: {
    offSchedule: "空跑：非调度周期", blacklisted: "空跑：黑名单", notChosen: "空跑：未选中", currentNodeCleared: "空跑：不含当前节点", nodeIsDryRun: "空跑：节点为空跑", requested: "空跑：按要求",
    notPermitted: "空跑：无权限", dropped: "空跑：已移除", beforeSwitchedOn: "空跑：调度开启之前", virtual: "空跑：虚拟节点",
  },
  attemptState: {
    queued: "在执行机排队", running: "运行中", succeeded: "成功", failed: "失败", timedOut: "超时", stopped: "已终止", lost: "随执行机失联", yielded: "让行", recalled: "已召回", skipped: "已跳过", drained: "执行机下线退回",
  },
  reason: {
    upstream: "等待上游", selfDependency: "自依赖", previousCycle: "上一周期", schedule: "自动实例", gate: "等待前一日期", notDue: "未到时间", window: "执行时段", slot: "等待资源", queued: "排队", queuedAtAgent: "在执行机排队",
    conflict: "冲突", overlap: "重叠", retry: "等待重试", noAgent: "无执行机", paused: "已暂停", stopped: "已终止", halted: "已中止", maxRunning: "并发上限", frozen: "已冻结",
  },
  why: {
    tree: "等待的对象", name: "{{id}}（{{node}}，{{date}}）", sentence: "{{name}}{{what}}。", waits: "{{name}}正在等待：{{what}}。", held: "{{name}}被挂起：{{what}}。", inTheEnd: "根本原因：{{name}}{{what}}。", go: "前往 {{id}}",
    failed: "已失败", failedAll: "{{count}} 次运行全部失败", runs: "正在运行", runsAt: "正在执行机 {{agent}} 上运行", for: "，已 {{span}}", set: "已置成功", dry: "未实际运行即成功（{{reason}}）", succeeded: "已成功", after: "，耗时 {{span}}",
    soon: "随时可能开始", above: "见上文", fold: "收起 {{name}}", unfold: "展开 {{name}}", until: "直到", backfill: "补数据 {{id}}", group: "资源组 {{group}}", agent: "执行机 {{agent}}", stderr: "stderr 末尾", log: "完整日志",
    more_one: "……另有 {{count}} 个类似", more_other: "……另有 {{count}} 个类似", atLeast_one: "……另有至少 {{count}} 个类似", atLeast_other: "……另有至少 {{count}} 个类似",
    slots: "资源组 {{group}} 已用 {{used}}/{{slots}} 个槽位，其中补数据占 {{backfills}} 个", waiting: "{{count}} 个在等待", holds_one: "占用 {{count}} 个，自", holds_other: "占用 {{count}} 个，自", stopping: "正在终止", marks: "人工操作记录",
  },
  attempts: {
    none: "尚未运行", noneHint: "每次在执行机上启动都是一条运行记录，包含执行机、时间、结果和日志。等待原因见“原因”页签。", title: "序号", number: "第 {{number}} 次", state: "结果", exitCode: "退出码", cause: "失败原因",
    compare: "对比", compareOne: "对比第 {{number}} 次", logOf: "第 {{number}} 次的日志", sideBySide: "并排对比", chooseTwo: "选择两次运行进行并排对比。", what: "项目", granted: "分配时间", ended: "结束时间", codeVersion: "代码版本",
    metric: "指标 {{name}}", differs: "不同", otherCode: "两次之间代码有变更",
  },
  code: {
    title: "代入参数值的代码", changed: "该实例运行之后节点代码已变更，此处显示的是当前代码。", empty: "该节点没有可显示的代码。", noCycle: "按当前配置，该节点在此时间没有周期。", values: "参数", noValues: "没有参数。", name: "名称", value: "值",
    expression: "表达式", environment: "环境变量", environmentHint: "仅显示名称，值可能是机密。", noEnvironment: "该节点未设置环境变量。",
  },
  log: {
    none: "暂无日志", noneHint: "实例启动后，日志会随写入实时显示在这里。", attempt: "运行记录", newest: "最新", follow: "跟随", times: "时间", wrap: "自动换行", toStart: "到开头", toEnd: "到末尾", toError: "到第一个错误", noError: "没有疑似错误的行", copy: "复制日志行",
    copyHint: "复制已加载的行，下载可得到全部", copied_one: "已复制 {{count}} 行", copied_other: "已复制 {{count}} 行", noCopy: "浏览器不允许在此复制，请改用下载。", download: "下载", find: "搜索整个日志", regex: "正则表达式", exact: "区分大小写",
    label: "{{id}} 第 {{attempt}} 次运行的日志", held_one: "已加载 {{lines}} 行，日志共 {{size}}", held_other: "已加载 {{lines}} 行，日志共 {{size}}", fromPart: "从 {{part}} % 处起",
    phase: { loading: "加载中", part: "部分", following: "实时", broken: "连接断开，正在重试", complete: "完整" },
    cleared: "此处已清理 {{size}}：已结束运行的日志每天裁剪至 3 MB", dropped_one: "此处缺失 {{count}} 行（{{text}}）", dropped_other: "此处缺失 {{count}} 行（{{text}}）", stream: { stdout: "stdout", stderr: "stderr" }, partial: "该行未结束",
    searching: "搜索中", matches_zero: "没有匹配的行", matches_one: "{{count}} 行匹配", matches_other: "{{count}} 行匹配", searchOn: "继续搜索", searchAgain: "重新搜索", found: "匹配的行",
  },
  metrics: { none: "没有上报指标", noneHint: "代码可以向文件追加一行来上报值得对比的数值，例如写入的行数：", name: "指标", before: "上一次运行：", noBefore: "没有上一次运行", change: "变化" },
  near: {
    as: "显示方式", graph: "图", list: "列表", counts: "上游 {{up}}，下游 {{down}}", up: "上游", down: "下游", removed: "依赖已移除", previousCycle: "上一周期", self: "自身上一周期",
    partition: { written: "已写入", failed: "失败", missing: "未写入" }, outside: "不在本补数据内，不等待", more: "另有 {{count}} 个", noUp: "不等待其他实例。", noDown: "没有其他实例等待它。", first: "仅显示前 {{count}} 个。",
  },
  operate: {
    title: "操作", stop: "终止", rerun: "重跑", rerunDescendants: "重跑及下游", setToSuccess: "置成功", freeze: "冻结", unfreeze: "解冻", forceRun: "强制运行", removeUpstream: "移除上游依赖", setPriority: "设置优先级",
    on: "{{what}}：{{node}}，{{date}}", done_one: "{{what}}完成，涉及 {{count}} 个实例", done_other: "{{what}}完成，涉及 {{count}} 个实例", mayNot: "您的角色不允许操作实例。", cannot: "当前不可用：{{why}}。", upstream: "不再等待的节点", whyNeeded: "请填写原因，以便日后查看。",
    about: {
      stop: "正在运行的将在执行机上终止，等待中的立即置为失败。之后可以重跑。", rerun: "重新运行该实例，下游保持不变。", rerunDescendants: "重新运行该实例，并依次重跑本补数据中的全部下游。", setToSuccess: "不运行即把失败的实例视为成功，下游继续。数据保持失败时的样子。",
      freeze: "挂起该实例及其下游，直到解冻。", unfreeze: "让其继续。若冻结期间本可开始，则置为失败，需要重跑。", forceRun: "不等待上游、分组前一日期、到期时间和执行时段，启动一次。仍需要槽位。", removeUpstream: "不再等待它的一个上游。", setPriority: "调整在资源队列中的位置。",
    },
    highest: "8，最高", lowest: "1，最低",
    obstacle: {
      runs: "实例正在运行，请先终止或等待其结束", runsAlready: "实例已在运行", frozen: "实例已冻结，请先解冻", notFrozen: "实例未冻结", notFailed: "实例在等待，只有失败的实例可以置成功",
      waitsAlready: "实例已在等待运行", failed: "实例已失败，请先重跑", succeeded: "实例已成功，请先重跑", stopping: "实例正在终止，请等待其结束", noUpstream: "实例没有等待任何上游",
      queuedAtAgent: "实例在执行机 {{agent}} 上排队，有空闲槽位即开始，请先终止或冻结，或等待其结束",
    },
  },
};
