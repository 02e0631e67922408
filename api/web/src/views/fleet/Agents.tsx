import { Button, Space, Tooltip } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { choice, text, useUrl } from "../../app/url.ts";
import { Teach } from "../../ui/Failure.tsx";
import { FilterText, FilterWord } from "../../ui/filters.tsx";
import { Listing } from "../../ui/Listing.tsx";
import { usePages } from "../../ui/pages.ts";
import { Moment } from "../../ui/Time.tsx";
import type { Column } from "../../ui/VirtualTable.tsx";
import { AgentBatch } from "./AgentBatch.tsx";
import { AgentDrawer } from "./AgentDrawer.tsx";
import { AgentSign, agentStates, wordOf } from "./AgentState.tsx";
import { useGroups } from "./groups.ts";
import { StartAgent } from "./StartAgent.tsx";

export type Agent = Schema<"Agent">;

const fields = { q: text(), state: choice(["", ...agentStates], ""), inGroup: text(), label: text(), agent: text() };

export function Agents() {
  const { t } = useTranslation("fleet");
  const { t: u } = useTranslation("ui");
  const [at, go] = useUrl(fields);
  const [chosen, setChosen] = useState<ReadonlyMap<string, Agent>>(new Map());
  const groups = useGroups().data ?? [];
  const filtered = Boolean(at.q || at.state || at.inGroup || at.label);
  const query = { contains: at.q || undefined, state: at.state || undefined, group: at.inGroup || undefined, label: at.label ? at.label.split(" ").filter(Boolean) : undefined, limit: 200 };
  const pages = usePages(["agents", query], (cursor) => data(api.GET("/v1/agents", { params: { query: { ...query, cursor } } })));
  // What was chosen is meant as it is now, not as it was when it was ticked.
  const now = pages.items.filter((a) => chosen.has(a.id));
  const choose = (agents: Agent[], on: boolean) => {
    const next = new Map(chosen);
    for (const a of agents) if (on) next.set(a.id, a); else next.delete(a.id);
    setChosen(next);
  };
  return (
    <Space orientation="vertical" style={{ width: "100%" }}>
      <div className="row">
        <FilterText label={t("agent.search")} value={at.q} change={(q) => go({ q })} />
        <FilterWord label={t("agent.anyState")} value={at.state} change={(state) => go({ state })} options={agentStates.map((value) => ({ value, label: t(`state.${value}`) }))} />
        <FilterWord label={t("agent.anyGroup")} value={at.inGroup} change={(inGroup) => go({ inGroup })} options={groups.map((g) => ({ value: g.name, label: g.name }))} width={180} />
        <FilterText label={t("agent.label")} value={at.label} change={(label) => go({ label })} />
        {filtered ? <Button type="text" onClick={() => go({ q: "", state: "", inGroup: "", label: "" })}>{u("clearFilters")}</Button> : null}
      </div>
      {now.length ? <AgentBatch chosen={now} clear={() => setChosen(new Map())} /> : null}
      <Listing
        label={t("tab.agents")} pages={pages} rowKey={(a) => a.id} columns={columns(t, (agent) => go({ agent }, true))}
        selection={{ has: (a) => chosen.has(a.id), set: choose, label: (a) => t("agent.choose", { id: a.id }), all: t("agent.all") }}
        empty={filtered ? <Teach title={t("agent.noMatch")}>{t("agent.noMatchText")}</Teach> : <Teach title={t("agent.none")} action={<Button onClick={() => go({ tab: "tokens" } as never, true)}>{t("token.create")}</Button>}>{t("agent.teach")}<StartAgent /></Teach>}
      />
      {at.agent ? <AgentDrawer id={at.agent} close={() => go({ agent: "" })} /> : null}
    </Space>
  );
}

function columns(t: ReturnType<typeof useTranslation<"fleet">>["t"], open: (id: string) => void): Column<Agent>[] {
  return [
    { key: "id", title: t("agent.id"), width: 150, render: (a) => <Button type="link" size="small" style={{ padding: 0 }} onClick={() => open(a.id)}>{a.id}</Button> },
    { key: "state", title: t("agent.state"), width: 260, render: (a) => <><AgentSign state={wordOf(a)} />{a.drain ? <DrainNote drain={a.drain} /> : null}</> },
    { key: "host", title: t("agent.host"), width: 140, render: (a) => a.host },
    { key: "slots", title: t("agent.slots"), width: 220, render: (a) => a.groups.map((g) => <Tooltip key={g.group} title={`${t("agent.inUse", g)}${g.ahead ? `, ${t("agent.ahead", { count: g.ahead })}` : ""}`}><span style={{ marginInlineEnd: 10 }}>{g.group} {g.used}/{g.slots}</span></Tooltip>) },
    { key: "attempts", title: t("agent.attempts"), width: 80, render: (a) => a.attempts },
    { key: "version", title: t("agent.version"), width: 130, render: (a) => <Tooltip title={t("agent.keeper", { version: a.keeperVersion ?? "–" })}><span>{a.version}{a.keeperVersion && a.keeperVersion !== a.version ? <span className="muted"> · {t("agent.keeper", { version: a.keeperVersion })}</span> : null}</span></Tooltip> },
    { key: "seen", title: t("agent.seen"), width: 120, render: (a) => <Moment at={a.lastSeen} relative /> },
  ];
}

function DrainNote({ drain }: { drain: Schema<"AgentDrain"> }) {
  const { t } = useTranslation("fleet");
  return (
    <span className="muted"> · {drain.remaining ? <>{t("agent.left", { count: drain.remaining })} · </> : null}{t("agent.drainedBy", { by: drain.by, why: drain.why || t("agent.noWhy") })}</span>
  );
}
