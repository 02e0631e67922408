import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Backfill instances",
  new: "New backfill",
  tab: { submitted: "Submitted", pending: "Pending", instances: "Instances" },
  filter: {
    name: "Backfill name or id", nodeText: "Node name or id", node: "Node ids", by: "Created by", created: "Created", dates: "Dates", state: "State", mine: "Initiated by me", myNodes: "My nodes",
    group: "Group", from: "from", to: "to", failure: "Failure", anyFailure: "Whatever it failed of",
  },
  column: {
    name: "Backfill", state: "State", progress: "Progress", nodes: "Nodes", range: "Data timestamps", created: "Created", duration: "Duration", left: "Left", actions: "Actions",
  },
  empty: { title: "No backfill yet", text: "A backfill runs nodes again for days that are past: choose nodes, choose dates, look at the preview, submit.", found: "Nothing is found with these filters" },
  emptyPending: { title: "Nothing waits to begin", text: "Here are backfills of which no instance has started: those that wait for their time (not before, execution period) and those that have just been submitted." },
  list: "Backfills",
  bar: "What to do with the chosen backfills",
  choose: "Choose {{name}}",
  chooseAll: "Choose all that are loaded",
  done: "{{percent}} %",
  progress: "{{done}} of {{total}} instances have succeeded",
  actionsOf: "Actions of {{name}}",
  say: {
    pause: "Pause", resume: "Resume", stop: "Stop", rerunFailed: "Rerun failed", freeze: "Freeze", unfreeze: "Unfreeze",
    edit: "Change", receipt: "Receipt", again: "Again with changes", open: "Open",
  },
  what: {
    pause_one: "Nothing new is started; what runs finishes. Resume goes on where it was.",
    pause_other: "In {{count}} backfills nothing new is started; what runs finishes. Resume goes on where they were.",
    resume_one: "It goes on: what was paused, stopped or halted starts again as its dependencies allow.",
    resume_other: "{{count}} backfills go on: what was paused, stopped or halted starts again as its dependencies allow.",
    stop_one: "Nothing new is started, and what runs is ended: a signal first, killed after its grace. Partitions may be left half written. What never started stays as it is.",
    stop_other: "In {{count}} backfills nothing new is started, and what runs is ended: a signal first, killed after its grace. Partitions may be left half written.",
    rerunFailed_one: "Exactly what failed runs again, with the code as it is now, and what waited for it goes on. What has succeeded is not touched.",
    rerunFailed_other: "In {{count}} backfills exactly what failed runs again, with the code as it is now, and what waited for it goes on.",
    freeze_one: "Everything that waits is held until it is unfrozen; what runs finishes.",
    freeze_other: "In {{count}} backfills everything that waits is held until it is unfrozen; what runs finishes.",
    unfreeze_one: "What was held goes on. Those that could have started meanwhile become failed and need a rerun.",
    unfreeze_other: "In {{count}} backfills what was held goes on. Those that could have started meanwhile become failed and need a rerun.",
  },
  said: "{{what}}: {{count}} instances in {{backfills}}",
  not: {
    pause: "It is paused, stopped or finished", resume: "It is neither paused, stopped nor halted", stop: "It is stopped or finished", rerunFailed: "Nothing in it has failed", freeze: "Nothing in it waits", unfreeze: "Nothing in it is frozen",
    edit: "Only a backfill that is not finished can be changed", again: "A day of the schedule cannot be submitted again",
  },
  page: {
    tabs: { overview: "Overview", dates: "Dates", instances: "Instances", map: "Map", failures: "Failures", receipt: "Receipt", operations: "Operations", request: "Request" },
    by: "by {{who}}", auto: "Day of the schedule", rate: "{{rate}} a second", left: "{{left}} left", unknown: "Time left cannot be told yet", nodes: "{{count}} nodes", dates: "{{count}} dates",
    flag: {
      paused: "Paused: nothing new is started until somebody resumes it.",
      stopped: "Stopped: nothing new is started. Resume lets the rest follow; rerun runs exactly what you name.",
      halted: "Halted: as many instances failed as its limit allows. Look at the failures, then resume or rerun what failed.",
      failed: "It has come to rest with failures: nothing goes on by itself. Mend the cause, then rerun what failed, or set it to success.",
      frozen: "It has come to rest with frozen instances: unfreeze them to let it go on.",
      quiet: "Nothing in it runs or can start without a person.",
      incomplete: "It is so large that not every instance was looked at: numbers of what waits are at least these.",
    },
    seeFailures: "Look at the failures",
  },
  overview: {
    groups: "Groups", group: "Group {{group}}", ofDates: "{{done}} of {{count}} dates", current: "now at {{date}}", totals: "Totals", warnings: "Warnings", finished: "all dates done",
    note: "{{asked}} asked for, {{bridges}} only to keep the order between them",
  },
  total: {
    generated: "Generated", succeeded: "Succeeded", setToSuccess: "Set to success", dryRun: "Dry runs", failed: "Failed", stopped: "Stopped", frozen: "Frozen", running: "Running", waiting: "Waiting",
  },
  dates: {
    what: "Data timestamp / node / instance", group: "Group", place: "Place", state: "State", counts: "Progress", why: "Why", instances: "{{count}} instances", cut: "More than {{count}} instances: look at them in the list", open: "Show what is in {{what}}", close: "Hide what is in {{what}}",
    closeAll: "Close all", none: "No date with these filters", groupOf: "Group {{group}}", cycles: "{{count}} cycles",
  },
  failures: {
    none: "Nothing has failed", text: "When instances fail, they are shown here by what they have in common, so that a thousand failures of one cause are one thing to mend.",
    count_one: "{{instances}} instances with one thing in common", count_other: "{{instances}} instances in {{count}} groups", instances_one: "one instance", instances_other: "{{count}} instances", nodes_one: "one node", nodes_other: "{{count}} nodes", dates_one: "one date", dates_other: "{{count}} dates",
    exit: "exit code {{code}}", retrying: "{{count}} of them are tried again by themselves", agents: "Agents", examples: "Examples", more: "and {{count}} more", rerun: "Rerun these", setToSuccess: "Set to success", list: "Show in the list",
    nocause: "No cause was told", meant: "It is done to every instance of this group that has failed by then, and to no other.", rest: "What these failed of is too varied to be one group: choose them in the list.", outcome: { queued: "Queued", failed: "Failed", timedOut: "Timed out", lost: "Lost with its agent", stopped: "Stopped", yielded: "Yielded", drained: "Drained", skipped: "Skipped", succeeded: "Succeeded", running: "Running", recalled: "Recalled" },
  },
  receipt: {
    by: "A row for each", node: "Node", date: "Date", nodeAndDate: "Node and date", reasons: "Where the rest is, and why", export: "Export as CSV", exportHint: "What is loaded, {{count}} rows", cli: "All of it, in a terminal",
  },
  operations: { number: "No.", at: "When", who: "Who", what: "What", count: "Instances", detail: "Of what", why: "Why", none: "Nobody has done anything to it yet", kind: {
    stop: "Stop", pause: "Pause", resume: "Resume", rerun: "Rerun", rerunFailed: "Rerun failed", setToSuccess: "Set to success", freeze: "Freeze", unfreeze: "Unfreeze", forceRun: "Force run", removeUpstream: "Remove upstream", setPriority: "Set priority", edit: "Change",
  } },
  request: { label: "Request", auto: "A day of the schedule was asked for by nobody: this is what it amounts to.", hint: "Save it to a file, and `backfleet backfill submit -f` submits the same again." },
  edit: {
    title: "Change {{name}}", groups: "Parallel groups", maxRunning: "Most at once", maxRunningHint: "0: no bound", resourceGroup: "Resource group", resourceGroupHint: "Empty: each node's own", priority: "Priority", byRules: "By the rules",
    period: "Execution period", anyTime: "At any time", daily: "Every day", weekend: "At weekends", addDates: "Add dates", dropDates: "Drop dates", addNodes: "Add nodes", dropNodes: "Drop nodes", dateHint: "2025-01-01..2025-01-31",
    preview: "Show what changes", apply: "Apply", changed: "What changes", field: "Field", before: "Before", after: "After", added: "{{count}} instances are added", dropped: "{{count}} instances are dropped: they become dry runs", nothing: "Nothing is changed yet",
    stale: "Somebody has changed it meanwhile. Look at the difference again.", done: "Changed",
  },
};

export const zh: Same<typeof en> = {
  title: "补数据实例",
  new: "新建补数据",
  tab: { submitted: "已提交", pending: "待运行", instances: "实例" },
  filter: {
    name: "补数据名称或 ID", nodeText: "节点名称或 ID", node: "节点 ID", by: "创建人", created: "创建日期", dates: "业务日期", state: "状态", mine: "我发起的", myNodes: "我的节点",
    group: "分组", from: "起", to: "止", failure: "失败分组", anyFailure: "不限失败分组",
  },
  column: {
    name: "补数据", state: "状态", progress: "进度", nodes: "节点数", range: "业务日期", created: "创建时间", duration: "时长", left: "剩余", actions: "操作",
  },
  empty: { title: "还没有补数据", text: "补数据为过去的业务日期重新运行节点：选择节点和日期，查看预览，然后提交。", found: "没有符合筛选条件的结果" },
  emptyPending: { title: "没有待运行的补数据", text: "这里显示尚未启动任何实例的补数据：等待时间（最早开始时间、执行时段）的，以及刚刚提交的。" },
  list: "补数据列表",
  bar: "对所选补数据的操作",
  choose: "选择 {{name}}",
  chooseAll: "选择全部已加载项",
  done: "{{percent}}%",
  progress: "{{total}} 个实例中 {{done}} 个成功",
  actionsOf: "{{name}} 的操作",
  say: {
    pause: "暂停", resume: "恢复", stop: "终止", rerunFailed: "重跑失败", freeze: "冻结", unfreeze: "解冻",
    edit: "修改", receipt: "回执", again: "修改后再次提交", open: "打开",
  },
  what: {
    pause_one: "不再启动新实例，运行中的实例继续到结束。恢复后从原处继续。",
    pause_other: "{{count}} 个补数据不再启动新实例，运行中的实例继续到结束。恢复后从原处继续。",
    resume_one: "继续运行：暂停、终止或中止的部分按依赖重新启动。",
    resume_other: "{{count}} 个补数据继续运行：暂停、终止或中止的部分按依赖重新启动。",
    stop_one: "不再启动新实例，运行中的实例先收到结束信号，宽限期后被强制结束，分区可能只写了一半。未启动的保持原状。",
    stop_other: "{{count}} 个补数据不再启动新实例，运行中的实例先收到结束信号，宽限期后被强制结束，分区可能只写了一半。",
    rerunFailed_one: "仅以当前代码重跑失败的实例，等待它们的下游随后继续。已成功的不受影响。",
    rerunFailed_other: "{{count}} 个补数据仅以当前代码重跑失败的实例，等待它们的下游随后继续。",
    freeze_one: "所有等待中的实例在解冻前不会启动，运行中的继续到结束。",
    freeze_other: "{{count}} 个补数据中所有等待中的实例在解冻前不会启动，运行中的继续到结束。",
    unfreeze_one: "被冻结的实例继续。冻结期间本可启动的变为失败，需要重跑。",
    unfreeze_other: "{{count}} 个补数据中被冻结的实例继续。冻结期间本可启动的变为失败，需要重跑。",
  },
  said: "{{what}}：{{backfills}} 中 {{count}} 个实例",
  not: {
    pause: "已暂停、已终止或已结束", resume: "未暂停、未终止也未中止", stop: "已终止或已结束", rerunFailed: "没有失败的实例", freeze: "没有等待中的实例", unfreeze: "没有冻结的实例",
    edit: "只有未结束的补数据可以修改", again: "周期调度日不能再次提交",
  },
  page: {
    tabs: { overview: "概览", dates: "日期", instances: "实例", map: "状态图", failures: "失败", receipt: "回执", operations: "操作记录", request: "请求" },
    by: "由 {{who}} 创建", auto: "周期调度日", rate: "每秒 {{rate}} 个", left: "剩余 {{left}}", unknown: "暂无法预计剩余时间", nodes: "{{count}} 个节点", dates: "{{count}} 个业务日期",
    flag: {
      paused: "已暂停：恢复之前不再启动新实例。",
      stopped: "已终止：不再启动新实例。恢复可让其余部分继续；重跑只运行您指定的实例。",
      halted: "已中止：失败实例数达到上限。请查看失败原因，再恢复或重跑失败实例。",
      failed: "因失败而停住，不会自行继续。请排除原因后重跑失败实例，或将其置成功。",
      frozen: "因冻结实例而停住：解冻后继续。",
      quiet: "没有运行中的实例，也没有可自行启动的实例。",
      incomplete: "规模过大，未统计全部实例：等待数为下限。",
    },
    seeFailures: "查看失败",
  },
  overview: {
    groups: "并行分组", group: "分组 {{group}}", ofDates: "{{count}} 个日期中完成 {{done}} 个", current: "当前 {{date}}", totals: "合计", warnings: "警告", finished: "全部日期已完成",
    note: "请求 {{asked}} 个，另有 {{bridges}} 个仅用于保持依赖顺序",
  },
  total: {
    generated: "生成", succeeded: "成功", setToSuccess: "置成功", dryRun: "空跑", failed: "失败", stopped: "已终止", frozen: "冻结", running: "运行中", waiting: "等待",
  },
  dates: {
    what: "业务日期 / 节点 / 实例", group: "分组", place: "次序", state: "状态", counts: "进度", why: "原因", instances: "{{count}} 个实例", cut: "超过 {{count}} 个实例，请在列表中查看", open: "展开 {{what}}", close: "收起 {{what}}",
    closeAll: "全部收起", none: "没有符合条件的日期", groupOf: "分组 {{group}}", cycles: "{{count}} 个周期",
  },
  failures: {
    none: "没有失败", text: "实例失败后按共同原因归类显示在这里：同一原因的一千个失败只需处理一次。",
    count_one: "{{instances}} 个实例原因相同", count_other: "{{count}} 组共 {{instances}} 个实例", instances_one: "1 个实例", instances_other: "{{count}} 个实例", nodes_one: "1 个节点", nodes_other: "{{count}} 个节点", dates_one: "1 个业务日期", dates_other: "{{count}} 个业务日期",
    exit: "退出码 {{code}}", retrying: "其中 {{count}} 个会自动重试", agents: "执行机", examples: "示例", more: "另有 {{count}} 个", rerun: "重跑这些", setToSuccess: "置成功", list: "在列表中查看",
    nocause: "未给出原因", meant: "对届时该组中全部已失败的实例执行，不涉及其他实例。", rest: "这些失败的原因过于分散，无法作为一组：请在列表中选择。", outcome: { queued: "已排队", failed: "失败", timedOut: "超时", lost: "随执行机丢失", stopped: "已终止", yielded: "已让出", drained: "已排空", skipped: "已跳过", succeeded: "成功", running: "运行中", recalled: "已召回" },
  },
  receipt: {
    by: "每行一个", node: "节点", date: "日期", nodeAndDate: "节点与日期", reasons: "其余在哪里、为什么", export: "导出 CSV", exportHint: "已加载的 {{count}} 行", cli: "在终端中获取全部",
  },
  operations: { number: "序号", at: "时间", who: "操作人", what: "操作", count: "实例数", detail: "对象", why: "原因", none: "还没有人对它进行过操作", kind: {
    stop: "终止", pause: "暂停", resume: "恢复", rerun: "重跑", rerunFailed: "重跑失败", setToSuccess: "置成功", freeze: "冻结", unfreeze: "解冻", forceRun: "强制运行", removeUpstream: "移除上游依赖", setPriority: "设置优先级", edit: "修改",
  } },
  request: { label: "请求", auto: "周期调度日无人提交：以下是其等价内容。", hint: "保存为文件后，可用 `backfleet backfill submit -f` 再次提交。" },
  edit: {
    title: "修改 {{name}}", groups: "并行分组数", maxRunning: "最大并行数", maxRunningHint: "0：不限", resourceGroup: "资源组", resourceGroupHint: "留空：各节点自己的资源组", priority: "优先级", byRules: "按规则",
    period: "执行时段", anyTime: "任意时间", daily: "每天", weekend: "周末", addDates: "增加日期", dropDates: "移除日期", addNodes: "增加节点", dropNodes: "移除节点", dateHint: "2025-01-01..2025-01-31",
    preview: "预览变更", apply: "应用", changed: "变更内容", field: "字段", before: "变更前", after: "变更后", added: "增加 {{count}} 个实例", dropped: "移除 {{count}} 个实例（变为空跑）", nothing: "尚未修改",
    stale: "期间有人修改过，请重新查看变更。", done: "已修改",
  },
};
