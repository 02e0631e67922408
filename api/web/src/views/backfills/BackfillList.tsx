// The backfills that people have asked for, and instances across all of them.
import { PlusOutlined } from "@ant-design/icons";
import { useNavigate } from "@tanstack/react-router";
import { Button, Segmented, Skeleton } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type BackfillSummary, type State } from "../../app/api.ts";
import { choice, flag, list, text, useUrl } from "../../app/url.ts";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { InstanceTable } from "../../ui/InstanceTable.tsx";
import { Page } from "../../ui/Page.tsx";
import { usePages } from "../../ui/pages.ts";
import { VirtualTable } from "../../ui/VirtualTable.tsx";
import { BatchBar } from "./acts.tsx";
import { Filters } from "./Filters.tsx";
import { useColumns } from "./listColumns.tsx";

const tabs = ["submitted", "pending", "instances"] as const;
const sorts = ["-created", "created", "name", "-name", "state"] as const;
export const listFields = {
  tab: choice(tabs, "submitted"), q: text(), nodeText: text(), node: list(), by: list(), createdFrom: text(), createdTo: text(), from: text(), to: text(), state: list<State>(), mine: flag(), myNodes: flag(),
  sort: choice(sorts, "-created"),
};
const begins: State[] = ["notRunning", "waitingTime"];

export default function BackfillList() {
  const { t } = useTranslation("backfills");
  const [at, go] = useUrl(listFields);
  return (
    <Page
      fill title={t("title")}
      about={<Segmented value={at.tab} onChange={(tab) => go({ tab, state: [] }, true)} options={tabs.map((value) => ({ value, label: t(`tab.${value}`) }))} />}
      extra={<New />}
    >
      <Filters at={at} go={go} states={at.tab === "pending" ? begins : undefined} />
      {at.tab === "instances" ? <Instances /> : <Backfills />}
    </Page>
  );
}

function New() {
  const { t } = useTranslation("backfills");
  const navigate = useNavigate();
  return <Button type="primary" icon={<PlusOutlined />} onClick={() => void navigate({ to: "/backfills/new" })}>{t("new")}</Button>;
}

/** What both lists are asked for. */
function useAsked() {
  const [at] = useUrl(listFields);
  return {
    at,
    query: {
      contains: at.q || undefined, nodeContains: at.nodeText || undefined, node: at.node, createdBy: at.by, created_from: at.createdFrom || undefined, created_to: at.createdTo || undefined,
      date_from: at.from || undefined, date_to: at.to || undefined, mine: at.mine || undefined, myNodes: at.myNodes || undefined,
    },
  };
}

function Instances() {
  const { at, query } = useAsked();
  const { t } = useTranslation("backfills");
  const asked = { ...query, state: at.state, kind: "backfill" as const, limit: 200 };
  return (
    <InstanceTable
      queryKey={["instances", "search", asked]} hide={["group"]} empty={<Teach title={t("empty.found")} />}
      load={(cursor, signal) => data(api.GET("/v1/instances", { params: { query: { ...asked, cursor } }, signal }))}
    />
  );
}

function Backfills() {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const [, go] = useUrl(listFields);
  const { at, query } = useAsked();
  const pending = at.tab === "pending";
  const asked = { ...query, state: at.state.length > 0 ? at.state : pending ? begins : [], sort: at.sort, limit: 50 };
  const pages = usePages(["backfills", "list", asked], (cursor, signal) => data(api.GET("/v1/backfills", { params: { query: { ...asked, cursor } }, signal })));
  const [ticked, setTicked] = useState<ReadonlySet<string>>(new Set());
  const chosen = useMemo(() => pages.items.filter((b) => ticked.has(b.id)), [pages.items, ticked]);
  const columns = useColumns();
  const set = (items: BackfillSummary[], on: boolean) => setTicked((before) => {
    const after = new Set(before);
    for (const { id } of items) {
      if (on) after.add(id);
      else after.delete(id);
    }
    return after;
  });
  const filtered = Object.values({ ...query, state: at.state }).some((v) => (Array.isArray(v) ? v.length > 0 : v !== undefined));
  if (pages.error && pages.items.length === 0) return <Failure error={pages.error} retry={pages.retry} />;
  if (pages.pending) return <Skeleton active />;
  if (pages.items.length === 0 && !pages.more) {
    if (filtered) return <Teach title={t("empty.found")} />;
    return pending ? <Teach title={t("emptyPending.title")}>{t("emptyPending.text")}</Teach> : <Teach title={t("empty.title")} action={<New />}>{t("empty.text")}</Teach>;
  }
  return (
    <>
      <div className="row" style={{ minHeight: 32 }}>
        {chosen.length > 0 ? <BatchBar chosen={chosen} clear={() => setTicked(new Set())} /> : <span className="muted">{pages.more ? ui("loaded", { count: pages.items.length }) : ui("all", { count: pages.items.length })}</span>}
      </div>
      <VirtualTable
        label={t("list")} columns={columns} items={pages.items} rowKey={(b) => b.id} more={pages.more} sort={at.sort} onSort={(sort) => go({ sort: sorts.find((s) => s === sort) ?? "state" })}
        style={{ flex: "1 1 0", minHeight: 240, opacity: pages.old ? 0.6 : 1 }}
        selection={{ has: (b) => ticked.has(b.id), set, label: (b) => t("choose", { name: b.name }), all: t("chooseAll") }}
      />
    </>
  );
}
