// How states look: a colour, and a sign for whoever does not tell colours apart.
import { CheckCircleFilled, ClockCircleFilled, CloseCircleFilled, LoadingOutlined, MinusCircleOutlined, PauseCircleFilled } from "@ant-design/icons";
import { Tooltip } from "antd";
import type { CSSProperties, ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Schema, State } from "../app/api.ts";

/** All states, the most urgent first. */
export const states: readonly State[] = ["failed", "running", "waitingTime", "notRunning", "frozen", "succeeded"];

const signs: Record<State, ReactNode> = {
  notRunning: <MinusCircleOutlined />,
  waitingTime: <ClockCircleFilled />,
  running: <LoadingOutlined />,
  succeeded: <CheckCircleFilled />,
  failed: <CloseCircleFilled />,
  frozen: <PauseCircleFilled />,
};

export const stateColor = (state: State): string => `var(--state-${state})`;

/** A state as a drawing on a canvas needs it: colours of the look that is on now. */
export function stateColors(): Record<State, string> {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(states.map((s) => [s, style.getPropertyValue(`--state-${s}`).trim()])) as Record<State, string>;
}

export function StateTag({ state, note }: { state: State; note?: string }) {
  const { t } = useTranslation("ui");
  return (
    <span className="nowrap" data-state={state}>
      <span style={{ color: stateColor(state), marginInlineEnd: 6 }} aria-hidden>{signs[state]}</span>
      {t(`state.${state}`)}
      {note ? <span className="muted"> · {note}</span> : null}
    </span>
  );
}

/** What an instance is, with what makes it special. */
export function InstanceState({ instance }: { instance: Schema<"Instance"> }) {
  const { t } = useTranslation("ui");
  return <StateTag state={instance.state} note={instance.setToSuccess ? t("setToSuccess") : instance.dryRun ? t("dryRun") : undefined} />;
}

/** How many instances are in which state, as a bar. */
export function CountsBar({ counts, style }: { counts: Schema<"StateCounts">; style?: CSSProperties }) {
  const { t } = useTranslation("ui");
  const there = [...states].reverse().filter((s) => counts[s] > 0);
  const text = there.map((s) => `${t(`state.${s}`)} ${counts[s].toLocaleString()}`).join(", ");
  return (
    <Tooltip title={text}>
      <span role="img" aria-label={text} style={{ display: "flex", height: 8, minWidth: 80, borderRadius: 4, overflow: "hidden", background: "var(--line)", ...style }}>
        {there.map((s) => <span key={s} style={{ flex: `${counts[s]} 0 2px`, background: stateColor(s) }} />)}
      </span>
    </Tooltip>
  );
}
