// The attempts of an instance, and two of them side by side.
import { Button, Checkbox, Table } from "antd";
import dayjs from "dayjs";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";
import { Teach } from "../../ui/Failure.tsx";
import { stateColor } from "../../ui/State.tsx";
import { Moment, Span, span } from "../../ui/Time.tsx";
import { usePlace } from "./place.ts";
import type { Detail } from "./read.ts";

type Attempt = Schema<"Attempt">;

const colors: Partial<Record<Attempt["state"], string>> = { running: stateColor("running"), queued: stateColor("running"), succeeded: stateColor("succeeded"), skipped: stateColor("succeeded"), failed: stateColor("failed"), timedOut: stateColor("failed"), stopped: stateColor("failed") };
const signs: Partial<Record<Attempt["state"], string>> = { running: "▶", queued: "…", succeeded: "✓", skipped: "✓", failed: "✕", timedOut: "✕", stopped: "■" };

function AttemptState({ state }: { state: Attempt["state"] }) {
  const { t } = useTranslation("instance");
  return <span className="nowrap"><span aria-hidden style={{ color: colors[state] ?? stateColor("notRunning"), marginInlineEnd: 6 }}>{signs[state] ?? "○"}</span>{t(`attemptState.${state}`)}</span>;
}

export function Attempts({ detail }: { detail: Detail }) {
  const { t } = useTranslation("instance");
  const { at, go } = usePlace();
  const all = [...detail.attempts].reverse();
  if (!all.length) return <Teach title={t("attempts.none")}>{t("attempts.noneHint")}</Teach>;
  // Without a choice, the newest two.
  const chosen = all.filter((a) => at.compare.includes(String(a.number)));
  const pair = (chosen.length ? chosen : all).slice(0, 2).reverse();
  const choose = (number: number, on: boolean) => {
    const others = pair.map((a) => String(a.number)).filter((n) => n !== String(number));
    go({ compare: on ? [...others.slice(-1), String(number)] : others });
  };
  return (
    <>
      <Table<Attempt>
        size="small" rowKey="number" dataSource={all} pagination={all.length > 20 ? { pageSize: 20 } : false} scroll={{ x: "max-content" }}
        columns={[
          ...(all.length > 1 ? [{ title: t("attempts.compare"), width: 90, render: (_: unknown, a: Attempt) => <Checkbox checked={pair.includes(a)} aria-label={t("attempts.compareOne", { number: a.number })} onChange={(e) => choose(a.number, e.target.checked)} /> }] : []),
          { title: t("attempts.title"), dataIndex: "number", width: 80 },
          { title: t("attempts.state"), render: (_, a) => <AttemptState state={a.state} /> },
          { title: t("agent"), dataIndex: "agent" },
          { title: t("started"), render: (_, a) => <Moment at={a.startedAt} /> },
          { title: t("took"), render: (_, a) => <Took attempt={a} /> },
          { title: t("attempts.exitCode"), render: (_, a) => a.exitCode ?? "–" },
          { title: t("attempts.cause"), dataIndex: "cause", render: (cause?: string) => <span style={{ display: "inline-block", minWidth: 160, maxWidth: 320, overflowWrap: "anywhere" }}>{cause ?? "–"}</span> },
          { title: "", render: (_, a) => <Button type="link" size="small" style={{ padding: 0 }} onClick={() => go({ instanceTab: "log", attempt: a.number === all[0]?.number ? 0 : a.number })} aria-label={t("attempts.logOf", { number: a.number })}>{t("tab.log")}</Button> },
        ]}
      />
      {pair.length === 2 ? <Compared a={pair[0]} b={pair[1]} /> : all.length > 1 ? <p className="muted">{t("attempts.chooseTwo")}</p> : null}
    </>
  );
}

function Took({ attempt: a }: { attempt: Attempt }) {
  return a.startedAt && (a.endedAt || a.state === "running") ? <Span from={a.startedAt} to={a.endedAt} /> : <>–</>;
}

function took(a: Attempt): number | undefined {
  return a.startedAt && a.endedAt ? dayjs(a.endedAt).diff(a.startedAt) : undefined;
}

/** Of times, which always differ and say nothing by that. */
const always = () => 0;

/** Two attempts side by side; what differs stands out. */
function Compared({ a, b }: { a?: Attempt; b?: Attempt }) {
  const { t } = useTranslation("instance");
  if (!a || !b) return null;
  const metrics = [...new Set([...(a.metrics ?? []), ...(b.metrics ?? [])].map((m) => m.name))];
  const row = (name: string, of: (x: Attempt) => string | number | undefined, show: (x: Attempt) => ReactNode = (x) => of(x) ?? "–", note?: string) => (
    <tr key={name} className={of(a) === of(b) ? undefined : "differs"}>
      <th scope="row">{name}</th><td>{show(a)}</td><td>{show(b)}{of(a) !== of(b) ? <span className="muted"> · {note ?? t("attempts.differs")}</span> : null}</td>
    </tr>
  );
  const [ta, tb] = [took(a), took(b)];
  const longer = ta !== undefined && tb !== undefined ? `${tb < ta ? "−" : "+"}${span(Math.abs(tb - ta))}` : undefined;
  return (
    <section aria-label={t("attempts.sideBySide")} style={{ marginTop: 20, overflowX: "auto" }}>
      <h3 className="instance-heading">{t("attempts.sideBySide")}</h3>
      <table className="compare">
        <thead><tr><th scope="col">{t("attempts.what")}</th>{[a, b].map((x) => <th scope="col" key={x.number}>{t("attempts.number", { number: x.number })}</th>)}</tr></thead>
        <tbody>
          {row(t("attempts.state"), (x) => x.state, (x) => <AttemptState state={x.state} />)}
          {row(t("agent"), (x) => x.agent)}
          {row(t("attempts.granted"), always, (x) => <Moment at={x.grantedAt} />)}
          {row(t("started"), always, (x) => <Moment at={x.startedAt} />)}
          {row(t("attempts.ended"), always, (x) => <Moment at={x.endedAt} />)}
          {row(t("took"), took, (x) => <Took attempt={x} />, longer)}
          {row(t("attempts.exitCode"), (x) => x.exitCode)}
          {row(t("attempts.cause"), (x) => x.cause)}
          {row(t("attempts.codeVersion"), (x) => x.codeVersion, undefined, t("attempts.otherCode"))}
          {metrics.map((name) => row(t("attempts.metric", { name }), (x) => x.metrics?.find((m) => m.name === name)?.value))}
        </tbody>
      </table>
    </section>
  );
}
