import { LeftOutlined, RightOutlined } from "@ant-design/icons";
import { Alert, Button, Drawer, Spin, Tabs, Tag, Tooltip, Typography } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import type { Instance } from "../../app/api.ts";
import { Failure } from "../../ui/Failure.tsx";
import { BackfillLink, NodeLink } from "../../ui/links.tsx";
import { InstanceState } from "../../ui/State.tsx";
import { Moment, Span } from "../../ui/Time.tsx";
import { Attempts } from "./Attempts.tsx";
import { CodeTab } from "./CodeTab.tsx";
import { Dependencies } from "./Dependencies.tsx";
import "./instance.css";
import { LogTab } from "./log/LogView.tsx";
import { Metrics } from "./Metrics.tsx";
import { Operations } from "./Operations.tsx";
import { tabs, usePlace, type Tab } from "./place.ts";
import { useDetail, useNeighbours, type Detail } from "./read.ts";
import { Why } from "./Why.tsx";

/** An instance over whatever is shown; its id is in the address. */
export default function InstanceDrawer({ id }: { id: string; close: () => void }) {
  const { t } = useTranslation("instance");
  const { open } = usePlace();
  // Whoever opened the drawer gets the focus back.
  const [opener] = useState(() => document.activeElement);
  useEffect(() => () => { if (opener instanceof HTMLElement && opener.isConnected) opener.focus(); }, [opener]);
  return (
    <Drawer
      open onClose={() => open("")} size="min(1080px, 94vw)" title={<h2 style={{ margin: 0, fontSize: 16 }}>{t("title", { id })}</h2>} aria-label={t("title", { id })}
      styles={{ section: { background: "var(--surface)" }, body: { display: "flex", flexDirection: "column", padding: "12px 24px", minHeight: 0 } }}
    >
      <Content key={id} id={id} />
    </Drawer>
  );
}

function Content({ id }: { id: string }) {
  const { t } = useTranslation("ui");
  const detail = useDetail(id);
  if (!detail.data) return detail.error ? <Failure error={detail.error} retry={() => void detail.refetch()} /> : <Spin style={{ margin: 64 }} aria-label={t("loading")} />;
  return <Shown detail={detail.data} stale={detail.error} again={() => void detail.refetch()} />;
}

function Shown({ detail, stale, again }: { detail: Detail; stale: unknown; again: () => void }) {
  const { t } = useTranslation("instance");
  const { at, go } = usePlace();
  const views: Record<Tab, () => React.ReactNode> = {
    why: () => <Why detail={detail} />,
    attempts: () => <Attempts detail={detail} />,
    code: () => <CodeTab detail={detail} />,
    log: () => <LogTab detail={detail} />,
    metrics: () => <Metrics detail={detail} />,
    dependencies: () => <Dependencies detail={detail} />,
  };
  return (
    <>
      {stale ? <Failure error={stale} retry={again} /> : null}
      <Header detail={detail} />
      <Operations detail={detail} />
      <Tabs
        className="instance-tabs" activeKey={at.instanceTab} onChange={(tab) => go({ instanceTab: tabs.find((known) => known === tab) ?? "why" })} destroyOnHidden
        items={tabs.map((key) => ({ key, label: t(`tab.${key}`) + (key === "attempts" && detail.attempts.length ? ` (${detail.attempts.length})` : ""), children: key === at.instanceTab ? views[key]() : null }))}
      />
    </>
  );
}

function Header({ detail }: { detail: Detail }) {
  const { t } = useTranslation(["instance", "ui"]);
  const i = detail.instance;
  const around = useNeighbours(i).data;
  return (
    <header>
      <div className="row" style={{ justifyContent: "space-between", alignItems: "flex-start" }}>
        <div>
          <div className="row" style={{ fontSize: 18, fontWeight: 600 }}>
            <InstanceState instance={i} />
            <NodeLink id={i.node} />
            <span className="nowrap">{i.date}</span>
            {detail.nodeName && detail.nodeName !== i.node ? <span className="muted" style={{ fontWeight: 400, fontSize: 14 }}>{detail.nodeName}</span> : null}
          </div>
          <div className="row" style={{ marginTop: 4 }}><Flags detail={detail} /></div>
        </div>
        <div className="row">
          <Neighbour there={around?.before} label={t("before")} icon={<LeftOutlined />} />
          <Neighbour there={around?.after} label={t("after")} icon={<RightOutlined />} />
        </div>
      </div>
      <dl className="instance-facts">
        <div><dt>{t("id")}</dt><dd><Typography.Text className="mono" copyable={{ text: i.id, tooltips: [t("ui:copy"), t("ui:copied")] }}>{i.id}</Typography.Text></dd></div>
        <div><dt>{t(i.kind === "auto" ? "day" : "backfill")}</dt><dd><BackfillLink id={i.backfill} /> · {t("group", { group: i.group })}</dd></div>
        <div><dt>{t("scheduled")}</dt><dd><Moment at={i.scheduledTime} />{detail.zone ? <span className="muted"> {detail.zone}</span> : null}</dd></div>
        <div><dt>{t("due")}</dt><dd><Moment at={detail.due} /></dd></div>
        <div><dt>{t("resourceGroup")}</dt><dd>{detail.resourceGroup}</dd></div>
        <div><dt>{t("priority")}</dt><dd>{i.priority}{detail.priorityOverride ? <span className="muted"> · {t("byHand")}</span> : null}</dd></div>
        {i.startedAt ? <div><dt>{t("started")}</dt><dd><Moment at={i.startedAt} /></dd></div> : null}
        {i.startedAt ? <div><dt>{t("took")}</dt><dd><Span from={i.startedAt} to={i.endedAt ?? (i.state === "running" ? undefined : i.startedAt)} /></dd></div> : null}
        {i.agent ? <div><dt>{t("agent")}</dt><dd>{i.agent}</dd></div> : null}
      </dl>
      {detail.conflict ? <Alert type="warning" showIcon title={detail.conflict.text} style={{ marginBottom: 8 }} /> : null}
    </header>
  );
}

function Flags({ detail }: { detail: Detail }) {
  const { t } = useTranslation("instance");
  const i = detail.instance;
  return (
    <>
      {i.kind === "auto" ? <Tag>{t("flag.auto")}</Tag> : null}
      {i.dryRun ? <Tag>{t(`dryRun.${i.dryRun}`)}</Tag> : null}
      {i.forced ? <Tag color="orange">{t("flag.forced")}</Tag> : null}
      {detail.yields ? <Tag>{t("flag.yields", { count: detail.yields })}</Tag> : null}
      {(detail.removedUpstreams ?? []).map((node) => <Tag key={node}>{t("flag.removed", { node })}</Tag>)}
    </>
  );
}

function Neighbour({ there, label, icon }: { there?: Instance; label: string; icon: React.ReactNode }) {
  const { t } = useTranslation("instance");
  const { open } = usePlace();
  return (
    <Tooltip title={there ? `${label}: ${there.date} (${there.id})` : t("noNeighbour")}>
      <Button size="small" icon={icon} aria-label={label} aria-disabled={!there} className={there ? undefined : "grey"} onClick={() => there && open(there.id)} />
    </Tooltip>
  );
}
