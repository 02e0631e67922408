import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Settings",
  tab: { workspaces: "Workspaces", regions: "Regions", baselines: "Baselines", sources: "Data sources", channels: "Channels", notifications: "Notifications", users: "Users", tokens: "API tokens" },
  search: "Search by name", add: "New", edit: "Edit {{name}}", remove: "Remove", removeOf: "Remove {{name}}", removed: "Removed", denied: "This is for admins", yes: "yes", no: "no", none: "none", all: "all",
  what: { workspaces: "New workspace", regions: "New region", sources: "New data source", channels: "New channel", users: "New user" },
  removeWhat: { sources: "Nodes that name it fail until there is one again.", channels: "What is still to be delivered there is given up.", users: "Their tokens end at once. What they did stays in the audit." },
  teach: {
    workspaces: "A workspace is where nodes belong. It is named by the first node that says `workspace: NAME`; here it gets a region and its own rule for advanced mode.",
    regions: "A region holds workspaces and says for them whether backfills may choose single nodes (advanced mode).",
    baselines: "A baseline is a named promise with a priority. It is there as soon as a node says `baseline: NAME` with a priority of 1, 3, 5, 7 or 8.",
    sources: "A data source is a database that nodes name. The password is never here: you say where the agent finds it.",
    channels: "A channel is where notifications go: a webhook or e-mail. Backfills and nodes subscribe to it by its name.",
    notifications: "What people were told, or are to be told, of backfills and nodes that subscribe to a channel.",
    users: "A user may what their role may. Tokens are theirs. Until there is one, only the coordinators' own file and logins let anybody in.",
    tokens: "A token lets a program ask as you. Make one, and keep it where the program finds it; it is shown once.",
  },
  field: {
    name: "Name", region: "Region", advancedMode: "Advanced mode", inForce: "In force", description: "Description", type: "Type", host: "Host", port: "Port", database: "Database", user: "User", password: "Password", tls: "TLS", ca: "Authority (PEM)", options: "Options", resourceGroups: "Resource groups", nodes: "Nodes", priority: "Priority",
    kind: "Kind", url: "URL", secret: "Secret", headers: "Headers", to: "To", subject: "Subject", body: "Body", disabled: "Switched off", pending: "Pending", dead: "Given up", role: "Role", workspaces: "Workspaces", displayName: "Full name", email: "E-mail", origin: "Made by", lastLogin: "Last login", tokens: "Tokens", id: "Id", created: "Made", expires: "Ends",
  },
  help: {
    advanced: "Whether backfills may choose single nodes of it (mode advanced).", asRegion: "As its region", on: "On", off: "Off", options: "One a line: name=value", headers: "One a line: name=value. {secret} stands for the secret.", groups: "Whose agents may use it. None: all.", port: "0: that of the type", database: "Of sqlite: an absolute path on the agent", urlHelp: "http or https. {secret} stands for the secret.", template: "A template. Empty: the standard one.", disabled: "Nothing is sent but tests.", workspaces: "A developer's own. None: all.", userOff: "They may nothing, whatever they show.",
    place: { none: "None", environment: "Variable", file: "File" }, placeHelp: "Where it is found, never the secret itself: a variable that begins with BACKFLEET_SECRET_, or a file in the folder of secrets.", placeName: "Name of the variable or file",
  },
  kind: { webhook: "Webhook", email: "E-mail" },
  role: { viewer: "Viewer", developer: "Developer", operator: "Operator", admin: "Admin" },
  origin: { local: "a person", oidc: "a login" },
  channel: { test: "Test {{name}}", testing: "Test", ok: "The test was delivered to {{name}}", pending: "Not delivered yet: it is tried again", dead: "Given up", retry: "Retry what was given up", retried_one: "{{count}} notification is sent again", retried_other: "{{count}} notifications are sent again", result: "Test of {{name}}", waiting: "On its way…" },
  notification: { state: "State", states: { pending: "Pending", delivered: "Delivered", dead: "Given up" }, occasion: "Occasion", occasions: { failure: "Failure", success: "Success", finished: "Finished", stuck: "Stuck", test: "Test" }, channel: "Channel", text: "What is said", at: "Raised", tries: "Tries", error: "Last error", backfill: "Backfill", retry: "Retry", again: "It is sent again", retryOf: "Retry {{id}}" },
  token: { create: "New token", mine: "My own", everybody: "Everybody's", whose: "Whose tokens", for: "For user", forHelp: "Empty: yourself", role: "At most the role", roleHelp: "Empty: what its user may", days: "Ends after (days)", daysHelp: "Empty: it does not end by itself", once: "This is shown only now", onceText: "Copy it: the cluster keeps only a hash. Programs show it as a bearer token; for the command line, put it into a file and name that with --token-file.", secret: "Token", done: "I have copied it", revoke: "Revoke", revokeOf: "Revoke {{id}}", revokeWhat: "Whoever shows it is let in no more, from the next request on.", revoked: "Revoked", never: "never", expired: "expired", kind: { api: "Token", session: "Login" }, notUser: "You are not logged in as a user, so you have no tokens of your own." },
};

export const zh: Same<typeof en> = {
  title: "设置",
  tab: { workspaces: "工作空间", regions: "地域", baselines: "基线", sources: "数据源", channels: "通知渠道", notifications: "通知", users: "用户", tokens: "API 令牌" },
  search: "按名称搜索", add: "新建", edit: "编辑 {{name}}", remove: "删除", removeOf: "删除 {{name}}", removed: "已删除", denied: "仅管理员可用", yes: "是", no: "否", none: "无", all: "全部",
  what: { workspaces: "新建工作空间", regions: "新建地域", sources: "新建数据源", channels: "新建通知渠道", users: "新建用户" },
  removeWhat: { sources: "使用它的节点将失败，直到重新创建。", channels: "尚未送达的通知将被放弃。", users: "其令牌立即失效，操作历史仍保留在审计中。" },
  teach: {
    workspaces: "节点归属于工作空间。第一个声明 `workspace: 名称` 的节点会使用它；在这里可设置其地域及高级模式。",
    regions: "地域包含若干工作空间，并决定补数据是否可以任选节点（高级模式）。",
    baselines: "基线是带优先级的命名承诺。节点声明 `baseline: 名称` 及优先级 1、3、5、7 或 8 后即存在。",
    sources: "数据源是节点使用的数据库。此处不保存密码，只说明执行机从哪里读取。",
    channels: "通知渠道是通知的去处：Webhook 或邮件。补数据和节点按名称订阅。",
    notifications: "已发送或待发送的通知，来自订阅了渠道的补数据与节点。",
    users: "用户的权限由角色决定，令牌归用户所有。没有用户时，仅能通过协调器自己的文件或第三方登录进入。",
    tokens: "令牌让程序以您的身份访问。创建后请妥善保存，仅显示一次。",
  },
  field: {
    name: "名称", region: "地域", advancedMode: "高级模式", inForce: "生效值", description: "描述", type: "类型", host: "主机", port: "端口", database: "数据库", user: "用户", password: "密码", tls: "TLS", ca: "CA 证书（PEM）", options: "选项", resourceGroups: "资源组", nodes: "节点数", priority: "优先级",
    kind: "类型", url: "URL", secret: "密钥", headers: "请求头", to: "收件人", subject: "主题", body: "正文", disabled: "停用", pending: "待发送", dead: "已放弃", role: "角色", workspaces: "工作空间", displayName: "姓名", email: "邮箱", origin: "创建方式", lastLogin: "最近登录", tokens: "令牌数", id: "ID", created: "创建时间", expires: "失效时间",
  },
  help: {
    advanced: "补数据是否可以任选其节点（高级模式）。", asRegion: "跟随地域", on: "开启", off: "关闭", options: "每行一个：name=value", headers: "每行一个：name=value，{secret} 代表密钥。", groups: "可使用它的执行机所属资源组；不选表示全部。", port: "0 表示该类型的默认端口", database: "sqlite：执行机上的绝对路径", urlHelp: "http 或 https，{secret} 代表密钥。", template: "模板，留空使用标准模板。", disabled: "只发送测试通知。", workspaces: "开发者所属；不选表示全部。", userOff: "无论出示什么，均无任何权限。",
    place: { none: "无", environment: "环境变量", file: "文件" }, placeHelp: "只填写存放位置，绝不填写密钥本身：以 BACKFLEET_SECRET_ 开头的变量，或密钥目录中的文件。", placeName: "变量名或文件名",
  },
  kind: { webhook: "Webhook", email: "邮件" },
  role: { viewer: "访客", developer: "开发", operator: "运维", admin: "管理员" },
  origin: { local: "人工", oidc: "第三方登录" },
  channel: { test: "测试 {{name}}", testing: "测试", ok: "测试通知已送达 {{name}}", pending: "尚未送达，将继续重试", dead: "已放弃", retry: "重发已放弃的通知", retried_one: "重发 {{count}} 条通知", retried_other: "重发 {{count}} 条通知", result: "{{name}} 的测试", waiting: "发送中…" },
  notification: { state: "状态", states: { pending: "待发送", delivered: "已送达", dead: "已放弃" }, occasion: "事件", occasions: { failure: "失败", success: "成功", finished: "结束", stuck: "停滞", test: "测试" }, channel: "渠道", text: "内容", at: "产生时间", tries: "尝试次数", error: "最近错误", backfill: "补数据", retry: "重发", again: "正在重发", retryOf: "重发 {{id}}" },
  token: { create: "新建令牌", mine: "我的", everybody: "所有人的", whose: "令牌归属", for: "归属用户", forHelp: "留空：自己", role: "最高角色", roleHelp: "留空：与用户一致", days: "有效期（天）", daysHelp: "留空：不会自动失效", once: "仅显示这一次", onceText: "请复制保存，集群只保存其哈希值。程序以 Bearer 令牌出示；命令行请写入文件并用 --token-file 指定。", secret: "令牌", done: "我已复制", revoke: "吊销", revokeOf: "吊销 {{id}}", revokeWhat: "从下一个请求起不再有效。", revoked: "已吊销", never: "永久有效", expired: "已过期", kind: { api: "令牌", session: "登录" }, notUser: "您不是以用户身份登录，因此没有自己的令牌。" },
};
