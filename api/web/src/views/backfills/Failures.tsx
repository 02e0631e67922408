// What failed, by what it has in common: one cause is one thing to mend, however many failed of it.
import { RedoOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Button, Skeleton, Tooltip, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useMay } from "../../app/me.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { InstanceLink, NodeLink } from "../../ui/links.tsx";
import { Steer } from "../../ui/Steer.tsx";
import { whole } from "./whole.ts";

type Group = Schema<"FailureGroup">;
type Word = "rerun" | "setToSuccess";

export function Failures({ backfill }: { backfill: string }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const query = useQuery({ queryKey: ["backfills", backfill, "failures"], queryFn: () => data(api.GET("/v1/backfills/{backfill}/failures", { params: { path: { backfill }, query: { limit: 100 } } })) });
  if (!query.data) return query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : <Skeleton active />;
  const { items, instances, groups, incomplete } = query.data;
  if (items.length === 0) return <Teach title={t("failures.none")}>{t("failures.text")}</Teach>;
  return (
    <div style={{ display: "flex", flexDirection: "column", gap: 12 }}>
      <span className="muted">{t("failures.count", { instances: instances.toLocaleString(), count: groups })}{incomplete ? ` · ${ui("incomplete")}` : ""}</span>
      {items.map((group) => <GroupCard key={group.id ?? "rest"} backfill={backfill} of={group} />)}
    </div>
  );
}

function GroupCard({ backfill, of: g }: { backfill: string; of: Group }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const may = useMay()("operateInstances");
  const [word, setWord] = useState<Word>();
  const title = g.exitCode === undefined ? g.cause || t("failures.nocause") : g.cause.replace("exit code …", "") || t("failures.exit", { code: g.exitCode });
  const retried = g.retrying === g.instances;
  const hint = !may ? ui("steer.mayNot") : !g.id ? t("failures.rest") : retried ? t("failures.retrying", { count: g.instances }) : "";
  return (
    <section className="panel" aria-label={title}>
      <div className="row" style={{ justifyContent: "space-between", alignItems: "flex-start", flexWrap: "nowrap" }}>
        <div style={{ minWidth: 0 }}>
          <Typography.Title level={2} style={{ fontSize: 15, margin: 0, overflowWrap: "anywhere" }}>{title}</Typography.Title>
          <div className="row muted" style={{ marginTop: 4, gap: 12 }}>
            <span>{t(`failures.outcome.${g.outcome}`)}{g.exitCode === undefined ? "" : ` · ${t("failures.exit", { code: g.exitCode })}`}</span>
            <strong style={{ color: "var(--state-failed)" }}>{t("failures.instances", { count: g.instances })}</strong>
            <span>{t("failures.nodes", { count: g.nodes })}</span>
            <span>{t("failures.dates", { count: g.dates })}: {g.firstDate === g.lastDate ? g.firstDate : `${g.firstDate} – ${g.lastDate}`}</span>
            {g.retrying && !retried ? <span>{t("failures.retrying", { count: g.retrying })}</span> : null}
          </div>
        </div>
        <div className="row" style={{ flexWrap: "nowrap" }}>
          <Tooltip title={hint}><Button size="small" type="primary" ghost icon={<RedoOutlined />} disabled={hint !== ""} onClick={() => setWord("rerun")}>{t("failures.rerun")}</Button></Tooltip>
          <Tooltip title={hint}><Button size="small" disabled={hint !== ""} onClick={() => setWord("setToSuccess")}>{t("failures.setToSuccess")}</Button></Tooltip>
          <Link to="/backfills/$backfill" params={{ backfill }} search={{ tab: "instances", ...(g.id ? { failure: g.id } : { state: "failed", from: g.firstDate, to: g.lastDate }) } as never}>{t("failures.list")}</Link>
        </div>
      </div>
      <Lines of={g} />
      {word && g.id ? <Act word={word} backfill={backfill} failure={g.id} count={g.instances - (g.retrying ?? 0)} close={() => setWord(undefined)} /> : null}
    </section>
  );
}

function Lines({ of: g }: { of: Group }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const rest = g.nodes - g.nodeIds.length;
  return (
    <dl style={{ display: "grid", gridTemplateColumns: "max-content 1fr", gap: "4px 12px", margin: "12px 0 0" }}>
      <dt className="muted">{ui("column.node")}</dt>
      <dd className="row" style={{ margin: 0, gap: 10 }}>{g.nodeIds.map((id) => <NodeLink key={id} id={id} />)}{rest > 0 ? <span className="muted">{t("failures.more", { count: rest })}</span> : null}</dd>
      {g.agents.length > 0 ? <><dt className="muted">{t("failures.agents")}</dt><dd style={{ margin: 0 }}>{g.agents.join(", ")}</dd></> : null}
      <dt className="muted">{t("failures.examples")}</dt>
      <dd style={{ margin: 0 }}>{g.examples.map((e) => <div key={e.instance} style={{ overflowWrap: "anywhere" }}><InstanceLink id={e.instance} /> <span className="mono">{e.cause}</span></div>)}</dd>
    </dl>
  );
}

/** Does it to those of the group that have failed by then: the coordinator knows which, however many. */
function Act({ word, backfill, failure, count, close }: { word: Word; backfill: string; failure: string; count: number; close: () => void }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const [meant] = useState(count);
  return (
    <Steer<number>
      title={ui(`steer.do.${word}`)} close={close} what={ui(`steer.what.${word}`, { count: meant })}
      run={(why, key) => whole(api, { operation: word, failure: { backfill, failure }, why }, key)}
      said={(instances) => ui("steer.said", { what: ui(`steer.do.${word}`), count: instances, backfills: backfill })}
    >
      <Typography.Paragraph type="secondary">{t("failures.meant")}</Typography.Paragraph>
    </Steer>
  );
}
