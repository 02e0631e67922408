import { CrownFilled, DisconnectOutlined } from "@ant-design/icons";
import { Checkbox, Modal, Table, Tag, Tooltip } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { Act } from "../../ui/Act.tsx";
import { useWrite } from "../../ui/operate.tsx";
import { Steer } from "../../ui/Steer.tsx";
import { Moment } from "../../ui/Time.tsx";

type Server = Schema<"ClusterServer">;

/** Bytes as people say them. */
export function bytes(n: number | undefined): string {
  if (n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = n < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(n) / Math.log(1024)));
  const value = n / 1024 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

export function Members({ cluster }: { cluster: Schema<"Cluster"> }) {
  const { t } = useTranslation("cluster");
  const { t: u } = useTranslation("ui");
  const [to, setTo] = useState("");
  const [gone, setGone] = useState("");
  const voters = cluster.servers.filter((s) => s.role !== "nonVoter").length;
  const transfer = useWrite(
    (id: string, header) => data(api.POST("/v1/cluster/transfer", { params: { header }, body: { to: id } })),
    ({ leader }) => { setTo(""); return leader ? t("member.transferred", { id: leader }) : t("member.transferredUnknown"); },
  );
  return (
    <>
      <Table<Server>
        size="small" rowKey="id" pagination={false} dataSource={cluster.servers} aria-label={t("members")} scroll={{ x: 1040 }}
        columns={[
          { title: t("member.id"), render: (_, s) => <Tooltip title={<>{s.httpAddress}<br />rpc {s.rpcAddress}<br />raft {s.raftAddress}</>}><strong tabIndex={0}>{s.id}</strong>{s.id === cluster.self ? <Tag style={{ marginInlineStart: 8 }}>{t("member.self")}</Tag> : null}</Tooltip> },
          { title: t("member.role"), render: (_, s) => <span className="nowrap">{s.role === "leader" ? <CrownFilled style={{ color: "var(--state-waitingTime)", marginInlineEnd: 6 }} aria-hidden /> : null}{t(`role.${s.role}`)}{s.standing ? null : <Tooltip title={s.silent}><span style={{ color: "var(--state-failed)", marginInlineStart: 8 }}><DisconnectOutlined aria-hidden /> {t("member.silent")}</span></Tooltip>}</span> },
          { title: t("member.term"), align: "right", render: (_, s) => s.standing?.term ?? "–" },
          { title: t("member.behind"), align: "right", render: (_, s) => (s.standing ? t("member.entries", { count: s.standing.behind ?? 0 }) : "–") },
          { title: t("member.contact"), render: (_, s) => (s.role === "leader" ? <span className="muted">{t("member.leads")}</span> : <Moment at={s.standing?.lastContact} relative />) },
          { title: t("member.log"), align: "right", render: (_, s) => <Tooltip title={s.standing ? `${s.standing.firstIndex.toLocaleString()} – ${s.standing.lastIndex.toLocaleString()}` : ""}><span className="nowrap">{bytes(s.standing?.logBytes)}</span></Tooltip> },
          { title: t("member.snapshot"), render: (_, s) => (s.standing?.snapshotIndex ? <span className="nowrap">{bytes(s.standing.snapshotBytes)} · <Moment at={s.standing.snapshotAt} relative /></span> : <span className="muted">{t("member.none")}</span>) },
          { title: t("member.attempts"), align: "right", render: (_, s) => bytes(s.standing?.attemptLogBytes) },
          { title: t("member.disk"), align: "right", render: (_, s) => bytes(s.standing?.diskFree) },
          { title: t("member.version"), render: (_, s) => <>{s.version ?? "–"}{s.standing?.behaviour ? <span className="muted nowrap"> · {t("fact.rules", { n: s.standing.behaviour })}</span> : null}</> },
          { key: "act", width: 210, render: (_, s) => <span className="row" style={{ flexWrap: "nowrap", gap: 6 }}><Act may="transferLeadership" size="small" why={s.role === "leader" ? t("member.isLeader") : s.role === "nonVoter" ? t("member.notVoter") : undefined} onClick={() => setTo(s.id)} aria-label={t("member.transferTitle", { id: s.id })}>{t("member.transfer")}</Act><Act may="removeServer" size="small" danger why={s.role !== "nonVoter" && voters === 1 ? t("member.onlyVoter") : undefined} onClick={() => setGone(s.id)} aria-label={t("member.removeTitle", { id: s.id })}>{t("member.remove")}</Act></span> },
        ]}
      />
      <Modal open={to !== ""} title={t("member.transferTitle", { id: to })} okText={t("member.transfer")} cancelText={u("cancel")} confirmLoading={transfer.isPending} onOk={() => transfer.mutate(to)} onCancel={() => setTo("")}>
        {t("member.transferText")}
      </Modal>
      {gone ? <Remove server={gone} voters={voters} leads={cluster.leader === gone} votes={cluster.servers.some((s) => s.id === gone && s.role !== "nonVoter")} close={() => setGone("")} /> : null}
    </>
  );
}

/** Takes a coordinator out, after having said what that leaves. */
function Remove({ server, voters, leads, votes, close }: { server: string; voters: number; leads: boolean; votes: boolean; close: () => void }) {
  const { t } = useTranslation("cluster");
  const [force, setForce] = useState(false);
  const left = voters - (votes ? 1 : 0);
  const spare = left - (Math.floor(left / 2) + 1);
  return (
    <Steer<Schema<"Removal">>
      title={t("member.removeTitle", { id: server })} danger close={close}
      what={<>{t("member.removeText")} {t(`member.leaves`, { count: left })} {t("member.spare", { count: spare })}{leads ? ` ${t("member.handsOver")}` : ""}</>}
      run={(why, header) => data(api.DELETE("/v1/cluster/servers/{id}", { params: { path: { id: server }, query: { why, force: force || undefined }, header } }))}
      said={() => t("member.removed", { id: server })}
    >
      <Checkbox checked={force} onChange={(e) => setForce(e.target.checked)} style={{ marginBottom: 12 }}>{t("member.force")}</Checkbox>
    </Steer>
  );
}
