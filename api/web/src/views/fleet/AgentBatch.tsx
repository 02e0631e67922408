import { InputNumber, Typography, Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { newKey } from "../../api/client.ts";
import { api, data, type Schema } from "../../app/api.ts";
import { Act } from "../../ui/Act.tsx";
import { Steer } from "../../ui/Steer.tsx";

type Agent = Schema<"Agent">;
type Word = "drain" | "resume" | "forget";

const words = ["drain", "resume", "forget"] as const;
const operation = { drain: "drainAgents", resume: "resumeAgents", forget: "forgetAgent" } as const;
const none = { drain: "agent.noneToDrain", resume: "agent.noneToResume", forget: "agent.noneToForget" } as const;

const possible: Record<Word, (a: Agent) => boolean> = {
  drain: (a) => !a.drain,
  resume: (a) => Boolean(a.drain),
  forget: (a) => a.state === "lost" || a.state === "gone",
};

/** What can be done to chosen agents; those it cannot be done to are left out. */
export function AgentBatch({ chosen, clear }: { chosen: Agent[]; clear?: () => void }) {
  const { t } = useTranslation("fleet");
  const { t: u } = useTranslation("ui");
  const [word, setWord] = useState<Word>();
  return (
    <div className="row" role="toolbar" aria-label={t("agent.bar")}>
      {clear ? <Typography.Text strong>{u("chosen", { count: chosen.length })}</Typography.Text> : null}
      {words.map((w) => (
        <Act key={w} size="small" may={operation[w]} danger={w === "forget"} why={chosen.some(possible[w]) ? undefined : t(none[w])} onClick={() => setWord(w)}>{t(`agent.${w}`)}</Act>
      ))}
      {clear ? <Button size="small" type="text" onClick={clear}>{t("agent.clear")}</Button> : null}
      {word ? <Ask word={word} agents={chosen.filter(possible[word]).map((a) => a.id)} close={(done) => { setWord(undefined); if (done) clear?.(); }} /> : null}
    </div>
  );
}

function Ask({ word, agents, close }: { word: Word; agents: string[]; close: (done: boolean) => void }) {
  const { t } = useTranslation("fleet");
  const [minutes, setMinutes] = useState<number | null>(null);
  const run = async (why: string | undefined, header: { "Idempotency-Key": string }) => {
    if (word === "drain") await data(api.POST("/v1/agents/drain", { params: { header }, body: { agents, why, deadlineSeconds: Math.round((minutes ?? 0) * 60) } }));
    else if (word === "resume") await data(api.POST("/v1/agents/resume", { params: { header }, body: { agents, why } }));
    else for (const agent of agents) await data(api.DELETE("/v1/agents/{agent}", { params: { path: { agent }, header: { "Idempotency-Key": newKey() }, query: { why } } }));
  };
  const count = agents.length;
  const what = word === "drain" ? t("agent.drainWhat", { count }) : word === "resume" ? t("agent.resumeWhat") : t("agent.forgetWhat");
  return (
    <Steer title={t(`agent.${word}`)} what={<><strong>{agents.slice(0, 20).join(", ")}{count > 20 ? " …" : ""}</strong><br />{what}</>} danger={word === "forget"} run={run} said={() => t(`agent.${word}Said`, { count })} close={close}>
      {word === "drain" ? (
        <label style={{ display: "block", marginBottom: 12 }}>
          <span>{t("agent.deadline")}</span><br />
          <InputNumber min={0} value={minutes} onChange={setMinutes} aria-label={t("agent.deadline")} /> <span className="muted">{t("agent.deadlineHelp")}</span>
        </label>
      ) : null}
    </Steer>
  );
}
