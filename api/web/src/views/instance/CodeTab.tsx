// What an instance runs: its code with the values in it, and where these come from.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Alert, Spin, Tag } from "antd";
import dayjs from "dayjs";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { Code, languageOf } from "../../ui/Code.tsx";
import { Failure } from "../../ui/Failure.tsx";
import { newest, nodeOf, type Detail } from "./read.ts";

export function CodeTab({ detail }: { detail: Detail }) {
  const { t } = useTranslation(["instance", "ui"]);
  const i = detail.instance;
  const node = useQuery(nodeOf(i.node));
  const pages = useInfiniteQuery({
    queryKey: ["nodes", i.node, "rendering", i.date],
    queryFn: ({ pageParam }) => data(api.GET("/v1/nodes/{node}/rendering", { params: { path: { node: i.node }, query: { date: i.date, cursor: pageParam, limit: 100 } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next,
  });
  // A page may end early: one reads on until the cycle is there.
  const cycle = pages.data?.pages.flatMap((p) => p.items).find((r) => dayjs(r.scheduledTime).isSame(i.scheduledTime));
  const { hasNextPage, isFetching, fetchNextPage } = pages;
  useEffect(() => {
    if (!cycle && hasNextPage && !isFetching) void fetchNextPage();
  }, [cycle, hasNextPage, isFetching, fetchNextPage]);
  const ran = newest(detail)?.codeVersion;
  const changed = ran !== undefined && node.data && node.data.codeVersion !== ran;
  return (
    <>
      {changed ? <Alert type="warning" showIcon title={t("code.changed")} style={{ marginBottom: 12 }} /> : null}
      {node.error ? <Failure error={node.error} retry={() => void node.refetch()} /> : null}
      {pages.error ? <Failure error={pages.error} retry={() => void pages.refetch()} /> : null}
      <h3 className="instance-heading">{t("code.title")}</h3>
      {pages.isPending || (!cycle && hasNextPage) ? <Spin aria-label={t("ui:loading")} /> : cycle?.code ? (
        <Code text={cycle.code} language={languageOf(node.data?.node.type)} label={t("code.title")} />
      ) : <p className="muted">{cycle?.codeError ?? (cycle ? t("code.empty") : t("code.noCycle"))}</p>}
      <Values title={t("code.values")} values={detail.values} none={t("code.noValues")} declared={node.data?.node.params} />
      <h3 className="instance-heading" style={{ marginTop: 20 }}>{t("code.environment")}</h3>
      <p className="muted" style={{ marginTop: 0 }}>{t("code.environmentHint")}</p>
      <div className="row">{(node.data?.node.environment ?? []).length ? node.data?.node.environment?.map((e) => <Tag key={e.name} className="mono">{e.name}</Tag>) : <span className="muted">{t("code.noEnvironment")}</span>}</div>
    </>
  );
}

function Values({ title, values, none, declared = [] }: { title: string; values: Schema<"Assignment">[]; none: string; declared?: Schema<"Assignment">[] }) {
  const { t } = useTranslation("instance");
  return (
    <section style={{ marginTop: 20 }}>
      <h3 className="instance-heading">{title}</h3>
      {values.length ? (
        <table className="compare">
          <thead><tr><th scope="col">{t("code.name")}</th><th scope="col">{t("code.value")}</th><th scope="col">{t("code.expression")}</th></tr></thead>
          <tbody>{values.map((v) => <tr key={v.name}><th scope="row" className="mono">{v.name}</th><td className="mono">{v.value}</td><td className="mono muted">{declared.find((d) => d.name === v.name)?.value ?? "–"}</td></tr>)}</tbody>
        </table>
      ) : <p className="muted">{none}</p>}
    </section>
  );
}
