// Why an instance stands where it stands: in a sentence, and as a tree down to what a person can change.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Alert, Button, Spin, Tag, Timeline } from "antd";
import dayjs from "dayjs";
import type { TFunction } from "i18next";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { Instance, Schema } from "../../app/api.ts";
import { Failure } from "../../ui/Failure.tsx";
import { BackfillLink } from "../../ui/links.tsx";
import { StateTag } from "../../ui/State.tsx";
import { Moment, span } from "../../ui/Time.tsx";
import { usePlace } from "./place.ts";
import { reasonText } from "./reason.ts";
import { becauseOf, endOf, useDetail, type Because, type Detail } from "./read.ts";

type Say = TFunction<"instance">;

export function Why({ detail }: { detail: Detail }) {
  const { t } = useTranslation("instance");
  return (
    <>
      <Sentence detail={detail} />
      {detail.reason || detail.instance.state === "failed" ? (
        <nav aria-label={t("why.tree")} style={{ marginBottom: 20 }}><ul className="why-tree"><Branch instance={detail.instance} above={[]} /></ul></nav>
      ) : null}
      <Marks marks={detail.marks ?? []} />
    </>
  );
}

/** Deeds that stand: what an instance that does not wait does, or how it ended. */
function deed(t: Say, i: Instance): string {
  switch (i.state) {
    case "failed": return (i.attempts > 1 ? t("why.failedAll", { count: i.attempts }) : t("why.failed")) + (i.cause ? `: ${i.cause}` : "");
    case "running": return (i.agent ? t("why.runsAt", { agent: i.agent }) : t("why.runs")) + (i.startedAt ? t("why.for", { span: span(Math.max(0, dayjs().diff(i.startedAt))) }) : "");
    case "succeeded": {
      const how = i.setToSuccess ? t("why.set") : i.dryRun ? t("why.dry", { reason: t(`dryRun.${i.dryRun}`) }) : t("why.succeeded");
      return how + (i.startedAt && i.endedAt ? t("why.after", { span: span(dayjs(i.endedAt).diff(i.startedAt)) }) : "");
    }
    default: return t("why.soon");
  }
}

const full = (t: Say, i: Instance): string => t("why.name", { id: i.id, node: i.node, date: i.date });

function Sentence({ detail }: { detail: Detail }) {
  const { t, i18n } = useTranslation("instance");
  const queries = useQueryClient();
  const { open } = usePlace();
  const i = detail.instance;
  const end = useQuery({ queryKey: ["instances", i.id, "end", i.state, detail.reason?.text], queryFn: () => endOf(queries, detail), enabled: Boolean(detail.reason) }).data;
  if (!detail.reason) return <Alert type={i.state === "failed" ? "error" : i.state === "succeeded" ? "success" : "info"} showIcon title={t("why.sentence", { name: full(t, i), what: deed(t, i) })} style={{ marginBottom: 12 }} />;
  const last = end && end.instance.id !== i.id ? end : undefined;
  return (
    <Alert
      type={last?.instance.state === "failed" ? "error" : "info"} showIcon style={{ marginBottom: 12 }} data-testid="sentence"
      title={t(i.state === "frozen" ? "why.held" : "why.waits", { name: full(t, i), what: reasonText(detail.reason, i18n.language) })}
      description={last ? (
        <>{t("why.inTheEnd", { name: full(t, last.instance), what: last.reason ? reasonText(last.reason, i18n.language) : deed(t, last.instance) })} <Button size="small" onClick={() => open(last.instance.id, "why")}>{t("why.go", { id: last.instance.id })}</Button></>
      ) : undefined}
    />
  );
}

/** One instance, and below it what it waits for, read when it is opened. */
function Branch({ instance, above, deep = true }: { instance: Instance; above: string[]; deep?: boolean }) {
  const { t } = useTranslation("instance");
  const { open: go } = usePlace();
  const again = above.includes(instance.id);
  const leaf = again || instance.state === "running" || instance.state === "succeeded";
  const [open, setOpen] = useState(deep && !leaf && above.length < 4);
  const detail = useDetail(instance.id, open && !leaf).data;
  const i = detail?.instance ?? instance;
  const name = `${i.node} ${i.date}`;
  return (
    <li>
      <div className="why-row">
        {leaf ? <span className="why-fold" aria-hidden>•</span> : <button type="button" className="why-fold" aria-expanded={open} aria-label={t(open ? "why.fold" : "why.unfold", { name })} onClick={() => setOpen(!open)}>{open ? "▾" : "▸"}</button>}
        <StateTag state={i.state} />
        {above.length ? <Button type="link" size="small" style={{ padding: 0, height: "auto" }} onClick={() => go(i.id, "why")}>{name}</Button> : <strong>{name}</strong>}
        {again ? <span className="muted">{t("why.above")}</span> : <Said detail={detail} instance={i} />}
      </div>
      {open && detail && !leaf ? <Below detail={detail} above={[...above, i.id]} /> : null}
    </li>
  );
}

/** What is said of an instance, with links to what holds it. */
function Said({ detail, instance }: { detail?: Detail; instance: Instance }) {
  const { t, i18n } = useTranslation("instance");
  const r = detail?.reason;
  if (!r) return detail || instance.state === "failed" || instance.state === "running" ? <><span>{deed(t, instance)}</span>{instance.state === "running" && instance.agent ? <AgentLink id={instance.agent} /> : null}</> : null;
  return (
    <>
      <Tag style={{ margin: 0 }}>{t(`reason.${r.code}`)}</Tag>
      <span title={r.text}>{reasonText(r, i18n.language)}</span>
      <Holds reason={r} own={instance.backfill} />
    </>
  );
}

function AgentLink({ id }: { id: string }) {
  const { t } = useTranslation("instance");
  return <Link to="/fleet" search={{ tab: "agents", agent: id } as never}>{t("why.agent", { agent: id })}</Link>;
}

function Holds({ reason: r, own }: { reason: Schema<"Reason">; own: string }) {
  const { t } = useTranslation("instance");
  return (
    <>
      {r.until ? <span className="muted">{t("why.until")} <Moment at={r.until} /></span> : null}
      {r.backfill && (r.backfill !== own || ["paused", "stopped", "halted", "window", "maxRunning"].includes(r.code)) ? <BackfillLink id={r.backfill}>{t("why.backfill", { id: r.backfill })}</BackfillLink> : null}
      {r.resourceGroup ? <Link to="/fleet" search={{ show: r.resourceGroup } as never}>{t("why.group", { group: r.resourceGroup })}</Link> : null}
      {r.agent ? <AgentLink id={r.agent} /> : null}
    </>
  );
}

function Below({ detail, above }: { detail: Detail; above: string[] }) {
  const { t } = useTranslation(["instance", "ui"]);
  const { open } = usePlace();
  const found = useQuery(becauseOf(detail));
  if (found.error) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Spin size="small" style={{ marginInlineStart: 30 }} aria-label={t("ui:loading")} />;
  const b = found.data;
  return (
    <>
      {b.stderr?.length ? <pre className="why-end mono" tabIndex={0} aria-label={t("why.stderr")}>{b.stderr.join("\n")}</pre> : null}
      {detail.instance.state === "failed" && detail.attempts.length ? <div style={{ marginInlineStart: 30 }}><Button type="link" size="small" style={{ padding: 0 }} onClick={() => open(detail.instance.id, "log")}>{t("why.log")}</Button></div> : null}
      {b.instances.length || b.slots ? (
        <ul>
          {b.instances.map((i, k) => <Branch key={i.id} instance={i} above={above} deep={k === 0} />)}
          {b.more ? <li className="muted why-row">{t(b.least ? "why.atLeast" : "why.more", { count: b.more })}</li> : null}
          {b.slots ? <Slots slots={b.slots} /> : null}
        </ul>
      ) : null}
    </>
  );
}

const shownHolders = 5;

function Slots({ slots: { group: g, held } }: { slots: NonNullable<Because["slots"]> }) {
  const { t } = useTranslation("instance");
  const { open } = usePlace();
  return (
    <li>
      <div className="why-row">{t("why.slots", { group: g.name, used: g.used, slots: g.slots, backfills: g.backfills })}{g.waiting !== undefined ? `; ${t("why.waiting", { count: g.waiting })}` : null}</div>
      <ul>
        {held.slice(0, shownHolders).map((h) => (
          <li key={h.instance} className="why-row">
            <StateTag state="running" />
            <Button type="link" size="small" style={{ padding: 0, height: "auto" }} onClick={() => open(h.instance, "why")}>{h.node} {h.instance}</Button>
            <span>{t("why.holds", { count: h.slots })} <Moment at={h.since} />{h.stopping ? ` · ${t("why.stopping")}` : ""}</span>
          </li>
        ))}
        {held.length > shownHolders ? <li className="muted why-row">{t("why.more", { count: held.length - shownHolders })}</li> : null}
      </ul>
    </li>
  );
}

/** What people did to it, the newest first. */
function Marks({ marks }: { marks: Schema<"Mark">[] }) {
  const { t } = useTranslation("instance");
  if (!marks.length) return null;
  return (
    <section>
      <h3 className="instance-heading">{t("why.marks")}</h3>
      <Timeline items={[...marks].reverse().map((m) => ({ key: m.number, content: <><strong>{m.text}</strong>{m.why ? <div className="muted">“{m.why}”</div> : null}</> }))} />
    </section>
  );
}

