import { useQuery } from "@tanstack/react-query";
import { Alert, Descriptions, Drawer, Skeleton, Table, Tag } from "antd";
import { useTranslation } from "react-i18next";

import { ApiError } from "../../api/client.ts";
import { api, data, type Schema } from "../../app/api.ts";
import { Failure } from "../../ui/Failure.tsx";
import { InstanceLink, NodeLink } from "../../ui/links.tsx";
import { Moment, Span } from "../../ui/Time.tsx";
import { AgentBatch } from "./AgentBatch.tsx";
import { AgentSign, wordOf } from "./AgentState.tsx";

/** An agent: what it is, and what it holds now. */
export function AgentDrawer({ id, close }: { id: string; close: () => void }) {
  const { t } = useTranslation("fleet");
  const detail = useQuery({ queryKey: ["agents", "detail", id], queryFn: () => data(api.GET("/v1/agents/{agent}", { params: { path: { agent: id } } })), refetchInterval: 3_000, placeholderData: undefined });
  const gone = detail.error instanceof ApiError && detail.error.code === "not_found";
  return (
    <Drawer open onClose={close} size={720} title={t("agent.details", { id })} extra={detail.data && !gone ? <AgentBatch chosen={[detail.data.agent]} /> : null}>
      {gone ? <Alert type="info" showIcon title={t("agent.gone")} /> : detail.error ? <Failure error={detail.error} retry={() => void detail.refetch()} /> : detail.data ? <Detail {...detail.data} /> : <Skeleton active />}
    </Drawer>
  );
}

function Detail({ agent, attempts }: Schema<"AgentDetail">) {
  const { t } = useTranslation("fleet");
  return (
    <>
      <Descriptions
        size="small" column={1} bordered styles={{ label: { width: 180 } }}
        items={[
          {
            key: "state", label: t("agent.state"),
            children: <><AgentSign state={wordOf(agent)} />{agent.drain ? <div className="muted">{t("agent.drainedBy", { by: agent.drain.by, why: agent.drain.why || t("agent.noWhy") })} · <Moment at={agent.drain.since} relative />{agent.drain.deadline ? <> · {t("agent.until")} <Moment at={agent.drain.deadline} /></> : null}{agent.drain.remaining ? <> · {t("agent.left", { count: agent.drain.remaining })}</> : null}</div> : null}</>,
          },
          { key: "host", label: t("agent.host"), children: agent.host },
          { key: "slots", label: t("agent.slots"), children: agent.groups.map((g) => <div key={g.group}>{t("agent.inUse", g)} <span className="muted">({t("group.backfills")} {g.backfills}{g.ahead ? `, ${t("agent.ahead", { count: g.ahead })}` : ""})</span></div>) },
          { key: "connected", label: t("agent.connected"), children: agent.connected === undefined ? t("agent.unknown") : agent.connected ? t("agent.yes") : t("agent.no") },
          { key: "seen", label: t("agent.seen"), children: <Moment at={agent.lastSeen} relative /> },
          { key: "version", label: t("agent.version"), children: <>{agent.version}{agent.keeperVersion ? <span className="muted"> · {t("agent.keeper", { version: agent.keeperVersion })}</span> : null}</> },
          { key: "labels", label: t("agent.labels"), children: agent.labels?.map((l) => <Tag key={l.name}>{l.name}={l.value}</Tag>) },
          { key: "token", label: t("agent.token"), children: agent.joinToken ? <span className="mono">{agent.joinToken}</span> : t("agent.otherCredential") },
          { key: "boot", label: t("agent.boot"), children: <span className="mono">{agent.boot ?? "–"}</span> },
          { key: "incarnation", label: t("agent.incarnation"), children: <span className="mono">{agent.incarnation ?? "–"}</span> },
        ]}
      />
      <h2 style={{ fontSize: 16 }}>{t("agent.running", { count: agent.attempts })}</h2>
      {attempts.length ? (
        <Table<Schema<"AgentAttempt">>
          size="small" rowKey={(a) => `${a.instance}/${a.attempt}`} dataSource={attempts} pagination={{ pageSize: 50, hideOnSinglePage: true }} aria-label={t("agent.running", { count: agent.attempts })}
          columns={[
            { title: t("agent.instance"), render: (_, a) => <InstanceLink id={a.instance} /> },
            { title: t("agent.node"), render: (_, a) => <NodeLink id={a.node} /> },
            { title: t("agent.attempt"), dataIndex: "attempt" },
            { title: t("agent.inState"), render: (_, a) => <>{a.state === "queued" || a.state === "running" ? t(`agent.attemptState.${a.state}`) : a.state}{a.stopping ? <span className="muted"> · {t("agent.stopping")}{a.cause ? ` (${a.cause})` : ""}</span> : null}</> },
            { title: t("group.name"), dataIndex: "resourceGroup" },
            { title: t("agent.since"), render: (_, a) => <Span from={a.since} /> },
          ]}
        />
      ) : <p className="muted">{t("agent.nothing")}</p>}
      {agent.attempts > attempts.length && attempts.length >= 1000 ? <p className="muted">{t("agent.first")}</p> : null}
    </>
  );
}
