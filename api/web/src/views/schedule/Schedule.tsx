import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Button, Checkbox, Spin } from "antd";
import { useCallback } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../../api/client.ts";
import { api, data, type Schema, type State } from "../../app/api.ts";
import { shift, useToday } from "../../app/today.ts";
import { flag, list, text, useUrl } from "../../app/url.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { FilterText, FilterWords } from "../../ui/filters.tsx";
import { InstanceTable } from "../../ui/InstanceTable.tsx";
import { LinkButton } from "../../ui/links.tsx";
import { Page } from "../../ui/Page.tsx";
import { CountsBar, StateTag, states } from "../../ui/State.tsx";
import { types } from "../nodes/types.ts";
import { Days } from "./Days.tsx";

const fields = { date: text(), node: text(), owner: list(), type: list(), state: list<State>(), mine: flag() };

/** The days that are run without being asked for, and what is in one of them. */
export default function Schedule() {
  const { t } = useTranslation("schedule");
  const [at, go] = useUrl(fields);
  const today = useToday();
  const days = useInfiniteQuery({
    queryKey: ["schedule", "days"],
    queryFn: ({ pageParam }) => data(api.GET("/v1/schedule", { params: { query: { cursor: pageParam, limit: 60 } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next || undefined,
  });
  const items = days.data?.pages.flatMap((p) => p.items) ?? [];
  const through = days.data?.pages[0]?.generatedThrough;
  const date = at.date || (items.find((d) => d.date === today?.yesterday) ?? items[0])?.date;
  return (
    <Page fill title={t("title")} about={through ? <span className="muted">{t("through", { date: through })}</span> : null}>
      {days.error ? <Failure error={days.error} retry={() => void days.refetch()} /> : null}
      {days.isPending ? <Spin /> : items.length === 0 && !at.date ? <Nothing /> : (
        <div style={{ flex: 1, minHeight: 0, display: "flex", gap: 16 }}>
          <Days days={items} chosen={date} today={today?.today} choose={(d) => go({ date: d }, true)} more={days.hasNextPage ? { load: () => void days.fetchNextPage({ cancelRefetch: false }), loading: days.isFetchingNextPage } : undefined} />
          {date ? <Day date={date} known={items.find((d) => d.date === date)} at={at} go={go} /> : null}
        </div>
      )}
    </Page>
  );
}

function Nothing() {
  const { t } = useTranslation("schedule");
  return <div className="panel"><Teach title={t("empty.title")} action={<LinkButton to="/nodes" search={{ auto: "on" } as never}>{t("empty.nodes")}</LinkButton>}>{t("empty.text")}</Teach></div>;
}

type Url = ReturnType<typeof useUrl<typeof fields>>;

function Day({ date, known, at, go }: { date: string; known?: Schema<"ScheduleDay">; at: Url[0]; go: Url[1] }) {
  const { t } = useTranslation("schedule");
  const asked = useQuery({ queryKey: ["schedule", "day", date], enabled: !known, placeholderData: undefined, queryFn: () => data(api.GET("/v1/schedule/{date}", { params: { path: { date } } })) });
  const day = known ?? asked.data;
  if (!day) {
    if (asked.error instanceof ApiError && asked.error.code === "not_found") return <div className="panel" style={{ flex: 1, alignSelf: "start" }}><Teach title={t("noDay.title", { date })}>{t("noDay.text")}</Teach></div>;
    return asked.error ? <Failure error={asked.error} retry={() => void asked.refetch()} /> : <Spin />;
  }
  return (
    <section aria-label={date} style={{ flex: 1, minWidth: 0, display: "flex", flexDirection: "column" }}>
      <Head day={day} />
      <Filters at={at} go={go} />
      <Instances plan={day.plan.id} at={at} />
    </section>
  );
}

function Head({ day: { date, plan } }: { day: Schema<"ScheduleDay"> }) {
  const { t } = useTranslation("schedule");
  const to = { to: "/backfills/$backfill", params: { backfill: plan.id } } as const;
  return (
    <div className="row" style={{ marginBottom: 8, gap: 12 }}>
      <h2 style={{ fontSize: 16, margin: 0 }}>{date}</h2>
      <span className="muted">{t("due.on", { date: shift(date, 1) })}</span>
      <StateTag state={plan.state} />
      <CountsBar counts={plan.counts} style={{ width: 160 }} />
      <span className="muted">{t("counts", { done: plan.counts.succeeded, total: plan.counts.total })}{plan.counts.failed ? ` · ${t("failed", { count: plan.counts.failed })}` : ""}</span>
      <span style={{ flex: 1 }} />
      <LinkButton {...to}>{t("open")}</LinkButton>
      <LinkButton {...to} search={{ tab: "map" } as never}>{t("map")}</LinkButton>
    </div>
  );
}

function Filters({ at, go }: { at: Url[0]; go: Url[1] }) {
  const { t } = useTranslation("schedule");
  const ui = useTranslation("ui").t;
  return (
    <div className="row" role="search" style={{ marginBottom: 4 }}>
      <FilterText label={t("node")} value={at.node} change={useCallback((node: string) => go({ node }), [go])} />
      <FilterWords label={t("state")} value={at.state} change={(state) => go({ state })} options={states.map((value) => ({ value, label: ui(`state.${value}`) }))} width={140} />
      <FilterWords label={t("owner")} value={at.owner} change={(owner) => go({ owner })} options={[]} free width={120} />
      <FilterWords label={t("type")} value={at.type} change={(type) => go({ type })} options={types.map((value) => ({ value, label: value }))} width={120} />
      <Checkbox checked={at.mine} onChange={(e) => go({ mine: e.target.checked })}>{t("mine")}</Checkbox>
      {at.node || at.state.length || at.owner.length || at.type.length || at.mine ? <Button type="link" onClick={() => go({ node: "", state: [], owner: [], type: [], mine: false })}>{ui("clearFilters")}</Button> : null}
    </div>
  );
}

function Instances({ plan, at }: { plan: string; at: Url[0] }) {
  const { t } = useTranslation("schedule");
  const query = { nodeContains: at.node || undefined, owner: at.owner, type: at.type, state: at.state.filter((s) => states.includes(s)), myNodes: at.mine || undefined };
  const word = JSON.stringify(query);
  const load = useCallback(
    (cursor: string | undefined, signal: AbortSignal) => data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill: plan }, query: { ...(JSON.parse(word) as typeof query), cursor, limit: 200 } }, signal })),
    [plan, word],
  );
  return <InstanceTable key={plan} queryKey={["instances", "day", plan, word]} load={load} hide={["backfill", "date", "group"]} empty={<div className="panel"><Teach title={t("none.title")}>{t("none.text")}</Teach></div>} />;
}
