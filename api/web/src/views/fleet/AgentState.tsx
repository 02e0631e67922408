import { CheckCircleFilled, ClockCircleFilled, CloseCircleFilled, DisconnectOutlined, LogoutOutlined, MinusCircleOutlined } from "@ant-design/icons";
import { Tooltip } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";

export type AgentWord = Schema<"AgentState"> | "drained";
export const agentStates: readonly Schema<"AgentState">[] = ["ready", "draining", "silent", "lost", "gone"];

const signs: Record<AgentWord, [ReactNode, string]> = {
  ready: [<CheckCircleFilled key="r" />, "var(--state-succeeded)"],
  draining: [<ClockCircleFilled key="d" />, "var(--state-waitingTime)"],
  drained: [<MinusCircleOutlined key="e" />, "var(--state-frozen)"],
  silent: [<DisconnectOutlined key="s" />, "var(--state-waitingTime)"],
  lost: [<CloseCircleFilled key="l" />, "var(--state-failed)"],
  gone: [<LogoutOutlined key="g" />, "var(--state-notRunning)"],
};

/** Draining with nothing left is drained (RULES R14.2). */
export const wordOf = (agent: Schema<"Agent">): AgentWord => (agent.state === "draining" && agent.attempts === 0 ? "drained" : agent.state);

export function AgentSign({ state, children }: { state: AgentWord; children?: ReactNode }) {
  const { t } = useTranslation("fleet");
  const [sign, color] = signs[state];
  return (
    <Tooltip title={t(`stateMeans.${state}`)}>
      <span className="nowrap" data-agent-state={state}><span aria-hidden style={{ color, marginInlineEnd: 6 }}>{sign}</span>{children ?? t(`state.${state}`)}</span>
    </Tooltip>
  );
}

/** How many agents are in which state; those that are none are left out. */
export function AgentStates({ counts }: { counts: Schema<"AgentCounts"> }) {
  const { t } = useTranslation("fleet");
  const there = agentStates.filter((s) => counts[s] > 0);
  if (!there.length) return <span>{t("agents", { count: 0 })}</span>;
  return <span className="row" style={{ gap: "2px 10px" }}>{there.map((s) => <AgentSign key={s} state={s}>{counts[s]} {t(`state.${s}`)}</AgentSign>)}</span>;
}
