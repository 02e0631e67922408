// What a search on the coordinator found in a log; each match leads to its line.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";

import { api, data } from "../../../app/api.ts";
import { Failure } from "../../../ui/Failure.tsx";
import { Ansi } from "./ansi.tsx";

export interface Search {
  text: string;
  regex: boolean;
  /** Upper and lower case differ. */
  exact: boolean;
}

/** What marks the matches in the lines; nothing where only the coordinator understands the expression. */
export function finder({ text, regex, exact }: Search): RegExp | undefined {
  if (!text) return undefined;
  try {
    return new RegExp(regex ? text : text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), exact ? "g" : "gi");
  } catch {
    return undefined;
  }
}

export function Found({ instance, attempt, search, target, jump }: { instance: string; attempt: number; search: Search; target?: number; jump: (offset: number) => void }) {
  const { t } = useTranslation(["instance", "ui"]);
  const found = useInfiniteQuery({
    queryKey: ["logs", instance, attempt, search],
    queryFn: ({ pageParam, signal }) =>
      data(api.GET("/v1/instances/{instance}/logs/search", {
        params: { path: { instance }, query: { text: search.text, regex: search.regex, ignoreCase: !search.exact, attempt, offset: pageParam, limit: 200 } }, signal,
      })),
    initialPageParam: 0,
    getNextPageParam: (page) => (page.incomplete ? page.next : undefined),
    refetchInterval: false,
    refetchOnWindowFocus: false,
    placeholderData: undefined,
  });
  const lines = (found.data?.pages ?? []).flatMap((page) => page.passages.flatMap((p) => p.lines).filter((l) => l.match));
  const find = finder(search);
  if (found.error) return <Failure error={found.error} retry={() => void found.refetch()} />;
  return (
    <div>
      <div className="row muted" role="status" style={{ fontSize: 12, marginBottom: 4 }}>
        <span>{found.isPending ? t("log.searching") : t("log.matches", { count: lines.length })}</span>
        {found.hasNextPage ? <Button size="small" type="link" loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>{t("log.searchOn")}</Button> : null}
        {!found.isPending ? <Button size="small" type="link" onClick={() => void found.refetch()}>{t("log.searchAgain")}</Button> : null}
      </div>
      {lines.length ? (
        <ul className="log-found mono" aria-label={t("log.found")}>
          {lines.slice(0, 1000).map((l) => (
            <li key={l.offset}><button type="button" aria-current={l.offset === target} onClick={() => jump(l.offset)}><Ansi text={l.text.slice(0, 400)} find={find} /></button></li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}
