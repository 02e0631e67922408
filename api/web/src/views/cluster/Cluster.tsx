import { useQuery } from "@tanstack/react-query";
import { Alert, Skeleton, Space, Timeline } from "antd";
import { useCallback, useState } from "react";
import { useTranslation } from "react-i18next";

import type { Event } from "../../api/streams.ts";
import { api, data, type Schema } from "../../app/api.ts";
import { useEvents } from "../../app/live.ts";
import { Failure } from "../../ui/Failure.tsx";
import { Page } from "../../ui/Page.tsx";
import { Backup } from "./Backup.tsx";
import { Moment } from "../../ui/Time.tsx";
import { Members } from "./Members.tsx";

type Cluster = Schema<"Cluster">;

export default function ClusterView() {
  const { t } = useTranslation("cluster");
  // How far each has come has no event; it is asked for anew.
  const cluster = useQuery({ queryKey: ["cluster", "standing"], queryFn: () => data(api.GET("/v1/cluster", { params: { query: { standing: true } } })), refetchInterval: 3_000 });
  return (
    <Page title={t("title")} extra={cluster.data ? <Backup name={cluster.data.today} /> : null}>
      {cluster.error ? <Failure error={cluster.error} retry={() => void cluster.refetch()} /> : null}
      {cluster.data ? (
        <Space orientation="vertical" size="middle" style={{ width: "100%" }}>
          <Health cluster={cluster.data} />
          <Facts cluster={cluster.data} />
          <Members cluster={cluster.data} />
          <Changes />
        </Space>
      ) : cluster.error ? null : <Skeleton active />}
    </Page>
  );
}

/** In one sentence: whether it works, and what it may lose. */
function Health({ cluster }: { cluster: Cluster }) {
  const { t } = useTranslation("cluster");
  const voters = cluster.servers.filter((s) => s.role !== "nonVoter");
  const all = voters.length;
  const up = voters.filter((s) => s.standing).length;
  const spare = up - (Math.floor(all / 2) + 1);
  if (spare < 0) return <Alert type="error" showIcon role="status" title={t("health.lost", { up, all })} />;
  if (!cluster.leader) return <Alert type="warning" showIcon role="status" title={t("health.noLeader")} />;
  if (all === 1) return <Alert type="info" showIcon role="status" title={t("health.single")} />;
  if (spare === 0) return <Alert type="warning" showIcon role="status" title={t("health.edge", { up, all })} />;
  return <Alert type="success" showIcon role="status" title={t("health.fine", { up, all, count: spare })} />;
}

function Facts({ cluster }: { cluster: Cluster }) {
  const { t } = useTranslation("cluster");
  const facts: [string, string, string][] = [
    [t("fact.leader"), cluster.leader || t("fact.none"), `${t("fact.term")} ${cluster.term}`],
    [t("fact.answers"), cluster.self, `${t("fact.version")} ${cluster.version}${cluster.behaviour ? ` · ${t("fact.rules", { n: cluster.behaviour })}` : ""}`],
    [t("fact.today"), cluster.today, t("fact.zone", { zone: cluster.zone })],
    [t("fact.index"), cluster.appliedIndex.toLocaleString(), t("fact.applied", { applied: cluster.appliedIndex.toLocaleString(), commit: cluster.commitIndex.toLocaleString() })],
  ];
  return (
    <dl style={{ display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(200px, 1fr))", gap: 12, margin: 0 }}>
      {facts.map(([name, value, more]) => (
        <div key={name} className="panel" style={{ padding: "10px 16px" }}>
          <dt className="muted">{name}</dt>
          <dd style={{ margin: 0 }}><span style={{ fontSize: 20, fontWeight: 600 }}>{value}</span><div className="muted" style={{ fontSize: 12 }}>{more}</div></dd>
        </div>
      ))}
    </dl>
  );
}

function Changes() {
  const { t } = useTranslation("cluster");
  const [seen, setSeen] = useState<Event[]>([]);
  useEvents(useCallback((event: Event) => {
    if (event.type === "cluster") setSeen((before) => [event, ...before.filter((b) => b.id !== event.id)].slice(0, 20));
  }, []));
  return (
    <section className="panel" aria-label={t("changes.title")}>
      <h2 style={{ fontSize: 16, marginTop: 0 }}>{t("changes.title")}</h2>
      {seen.length ? <Timeline items={seen.map((event) => ({ key: event.id, content: <>{event.leader ? t("changes.line", { leader: event.leader }) : event.text || t("changes.lost")} <span className="muted"><Moment at={event.at} /></span></> }))} /> : <span className="muted">{t("changes.none")}</span>}
    </section>
  );
}
