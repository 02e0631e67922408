import { CloseOutlined, EditOutlined, PlusOutlined, WarningFilled } from "@ant-design/icons";
import { Link } from "@tanstack/react-router";
import { Alert, Skeleton, Space, Table, Tag, Tooltip } from "antd";
import { useTranslation } from "react-i18next";

import { flag, text, useUrl } from "../../app/url.ts";
import { Act } from "../../ui/Act.tsx";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { AgentStates } from "./AgentState.tsx";
import { GroupForm } from "./GroupForm.tsx";
import { useGroups, type Group } from "./groups.ts";
import { StartAgent } from "./StartAgent.tsx";

const fields = { group: text(), new: flag(), show: text() };

export function Groups() {
  const { t } = useTranslation("fleet");
  const [at, go] = useUrl(fields);
  const groups = useGroups();
  if (groups.error && !groups.data) return <Failure error={groups.error} retry={() => void groups.refetch()} />;
  if (!groups.data) return <Skeleton active />;
  const close = () => go({ group: "", new: false });
  const shown = groups.data.filter((g) => !at.show || g.name === at.show);
  const unserved = groups.data.filter((g) => g.unserved);
  return (
    <Space orientation="vertical" style={{ width: "100%" }}>
      {unserved.map((g) => <Alert key={g.name} type="warning" showIcon title={`${g.name}: ${t("group.unserved", { name: g.name })}`} />)}
      <div className="row">
        {at.show ? <Tag closable onClose={() => go({ show: "" })} closeIcon={<CloseOutlined aria-label={t("group.showAll")} />}>{t("group.only", { name: at.show })}</Tag> : null}
        <span style={{ flex: 1 }} /><Act may="putResourceGroup" icon={<PlusOutlined />} onClick={() => go({ new: true }, true)}>{t("group.create")}</Act>
      </div>
      <Table<Group>
        size="small" rowKey="name" pagination={false} dataSource={shown} aria-label={t("tab.groups")} scroll={{ x: 860 }}
        locale={{ emptyText: <Teach title={t("group.none0")}>{t("group.teach")}<StartAgent /></Teach> }}
        columns={[
          { title: t("group.name"), dataIndex: "name", width: 200, render: (name: string, g) => <><strong>{name}</strong>{g.unserved ? <Tooltip title={t("group.unserved", { name })}><WarningFilled style={{ color: "var(--state-waitingTime)", marginInlineStart: 6 }} aria-label={t("group.unserved", { name })} /></Tooltip> : null}<div className="muted">{g.description}</div></> },
          { title: t("group.kind"), width: 90, render: (_, g) => t(`kind.${g.kind}`) },
          { title: t("group.use"), width: 260, render: (_, g) => <UseBar group={g} /> },
          { title: t("group.queue"), width: 200, render: (_, g) => <Queue group={g} /> },
          { title: t("group.agents"), width: 170, render: (_, g) => <Link to="/fleet" search={{ tab: "agents", inGroup: g.name } as never}><AgentStates counts={g.agentStates} /></Link> },
          { title: t("group.limits"), width: 170, render: (_, g) => <Limits group={g} /> },
          { key: "edit", width: 48, render: (_, g) => <Act may="putResourceGroup" type="text" icon={<EditOutlined />} aria-label={t("group.edit", { name: g.name })} onClick={() => go({ group: g.name }, true)} /> },
        ]}
      />
      {at.new || at.group ? <GroupForm key={at.group} name={at.group || undefined} close={close} /> : null}
    </Space>
  );
}

/** Slots of a group: what the schedule uses, what backfills use, what is free. */
function UseBar({ group: { used, slots, backfills } }: { group: Group }) {
  const { t } = useTranslation("fleet");
  const auto = used - backfills;
  const said = t("group.used", { used, slots, auto, backfills });
  const part = (n: number) => `${(100 * n) / Math.max(1, slots, used)}%`;
  return (
    <Tooltip title={said}>
      <div role="img" aria-label={said}>
        <div style={{ display: "flex", height: 10, borderRadius: 5, overflow: "hidden", background: "var(--line)" }}>
          <span style={{ width: part(auto), background: "var(--accent)" }} />
          <span style={{ width: part(backfills), background: "repeating-linear-gradient(135deg, var(--state-frozen) 0 5px, color-mix(in srgb, var(--state-frozen) 65%, var(--surface)) 5px 8px)" }} />
        </div>
        <div className="muted" style={{ fontSize: 12 }}>{used} / {slots}{used ? <> · {t("group.auto")} {auto} · {t("group.backfills")} {backfills}</> : null}</div>
      </div>
    </Tooltip>
  );
}

function Queue({ group: { waiting, queue } }: { group: Group }) {
  const { t } = useTranslation("fleet");
  if (waiting === undefined) return <span className="muted">–</span>;
  if (!waiting) return <span className="muted">{t("group.empty")}</span>;
  return (
    <Tooltip title={t("group.waiting", { count: waiting })}>
      <Space size={4} wrap aria-label={t("group.waiting", { count: waiting })} role="group">
        {queue?.map((q) => <Tag key={q.priority} style={{ margin: 0 }}>P{q.priority}: {q.instances.toLocaleString()}</Tag>)}
      </Space>
    </Tooltip>
  );
}

function Limits({ group }: { group: Group }) {
  const { t } = useTranslation("fleet");
  const limits = [group.reserveForAuto ? t("group.reserved", { count: group.reserveForAuto }) : "", group.backfillMaxShare ? t("group.shared", { percent: group.backfillMaxShare }) : ""].filter(Boolean);
  return limits.length ? <>{limits.map((l) => <div key={l}>{l}</div>)}</> : <span className="muted">{t("group.none")}</span>;
}
