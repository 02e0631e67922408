import { useQuery } from "@tanstack/react-query";
import { Alert, Descriptions, Segmented } from "antd";
import { useTranslation } from "react-i18next";

import { api, data, type Node, type Schema } from "../../app/api.ts";
import { choice, useUrl } from "../../app/url.ts";
import { Failure } from "../../ui/Failure.tsx";
import { NodeLink } from "../../ui/links.tsx";
import { span } from "../../ui/Time.tsx";
import { useLevels, type Level } from "./levels.ts";
import { scheduleWords } from "./words.ts";

const depths = ["1", "2", "3", "all"] as const;
const fields = { levels: choice(depths, "2") };

export function Overview({ detail }: { detail: Schema<"NodeDetail"> }) {
  const [at, go] = useUrl(fields);
  const { t } = useTranslation("nodes");
  return (
    <div style={{ overflow: "auto", display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(min(420px, 100%), 1fr))", gap: 16, alignContent: "start", paddingBottom: 16 }}>
      <Schedule node={detail.node} />
      <Settings detail={detail} />
      <div className="row" style={{ gridColumn: "1 / -1", marginBottom: -8 }}>
        <span className="muted" id="levels">{t("around.levels")}</span>
        <Segmented aria-labelledby="levels" value={at.levels} onChange={(levels) => go({ levels })} options={depths.map((value) => ({ value, label: value === "all" ? t("around.all") : value }))} />
      </div>
      <Around node={detail.node} way="up" depth={at.levels} />
      <Around node={detail.node} way="down" depth={at.levels} />
    </div>
  );
}

function Panel({ title, children }: { title: string; children: React.ReactNode }) {
  return <section className="panel" aria-label={title}><h2 style={{ fontSize: 15, margin: "0 0 12px" }}>{title}</h2>{children}</section>;
}

function Schedule({ node }: { node: Node }) {
  const { t, i18n } = useTranslation("nodes");
  const next = useQuery({ queryKey: ["nodes", node.id, "next"], queryFn: () => data(api.GET("/v1/nodes/{node}/next-runs", { params: { path: { node: node.id }, query: { count: 8 } } })), refetchInterval: 60_000 });
  const note = next.data && (!next.data.auto ? t("schedule.off") : next.data.mode !== "normal" ? t(`schedule.${next.data.mode}`) : undefined);
  return (
    <Panel title={t("schedule.title")}>
      <p style={{ margin: "0 0 4px", fontSize: 16 }}>{scheduleWords(t, i18n.language, node.schedule)}</p>
      <p className="muted" style={{ margin: "0 0 12px" }}>{next.data ? t("schedule.zone", { zone: next.data.zone }) : "…"}</p>
      {note ? <Alert type="info" title={note} style={{ marginBottom: 12 }} /> : null}
      {next.error ? <Failure error={next.error} retry={() => void next.refetch()} /> : null}
      <h3 style={{ fontSize: 13, margin: "0 0 4px" }}>{t("schedule.next")}</h3>
      {next.data?.items.length === 0 ? <p className="muted">{t("schedule.never")}</p> : (
        <table aria-label={t("schedule.next")} style={{ borderSpacing: "0 2px" }}>
          <thead><tr><th scope="col" style={{ textAlign: "start", paddingInlineEnd: 24 }}>D</th><th scope="col" style={{ textAlign: "start" }}>T</th></tr></thead>
          <tbody>
            {next.data?.items.map((run) => (
              <tr key={run.scheduledTime}><td style={{ paddingInlineEnd: 24 }}>{run.date}</td><td>{inZone(run.scheduledTime, next.data.zone)}</td></tr>
            ))}
          </tbody>
        </table>
      )}
      <p className="muted" style={{ margin: "8px 0 0", fontSize: 12 }}>{t("schedule.nextAbout")}</p>
    </Panel>
  );
}

/** A moment as clocks of a zone show it. */
export function inZone(moment: string, zone: string): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone: zone === "Local" ? undefined : zone, dateStyle: "short", timeStyle: "short" }).format(new Date(moment));
}

function Settings({ detail: { node, codeVersion } }: { detail: Schema<"NodeDetail"> }) {
  const { t } = useTranslation("nodes");
  const none = t("settings.none");
  const yes = t("settings.yes");
  const pairs: [string, React.ReactNode][] = [
    ["description", node.description], ["workspace", node.workspace], ["owner", node.owner], ["type", node.type ?? "shell"], ["baseline", node.baseline], ["priority", node.priority || 1],
    ["group", node.resourceGroup], ["mode", t(`mode.${node.mode ?? "normal"}`)], ["self", node.dependsOnSelf ? yes : undefined], ["children", node.dependsOnChildren ? yes : undefined],
    ["retries", node.retries ? (node.retryDelayMs ? t("settings.retriesAfter", { count: node.retries, delay: span(node.retryDelayMs) }) : node.retries) : none], ["timeout", node.timeoutMs ? span(node.timeoutMs) : none],
    ["slots", node.slots || 1], ["requires", node.requires?.map((r) => `${r.name}=${r.value}`).join(", ")], ["user", node.user], ["source", node.source], ["dialect", node.dialect], ["version", codeVersion],
  ];
  const items = pairs.flatMap(([key, children]) => (children ? [{ key, label: t(`settings.${key}` as "settings.owner"), children }] : []));
  return <Panel title={t("settings.title")}><Descriptions column={1} size="small" items={items} styles={{ label: { width: 180 } }} /></Panel>;
}

const mostShown = 60;

function Around({ node, way, depth }: { node: Node; way: "up" | "down"; depth: (typeof depths)[number] }) {
  const { t } = useTranslation("nodes");
  const levels = useLevels(node, way, depth === "all" ? undefined : Number(depth));
  return (
    <Panel title={t(`around.${way}`)}>
      {levels.error ? <Failure error={levels.error} retry={levels.retry} /> : null}
      {levels.levels?.length === 0 ? <p className="muted" style={{ margin: 0 }}>{t(way === "up" ? "around.noneUp" : "around.noneDown")}</p> : null}
      {levels.levels?.map((level, i) => <LevelOf key={i} level={level} number={i + 1} node={way === "up" && i === 0 ? node : undefined} />)}
    </Panel>
  );
}

function LevelOf({ level, number, node }: { level: Level; number: number; node?: Node }) {
  const { t } = useTranslation("nodes");
  const how = new Map(node?.upstreams?.map((u) => [u.node, u]));
  return (
    <div style={{ marginBottom: 8 }}>
      <div className="muted" style={{ fontSize: 12 }}>{t("around.level", { level: number, count: level.length })}</div>
      <ul style={{ listStyle: "none", margin: 0, padding: 0, display: "flex", flexWrap: "wrap", gap: "2px 16px" }}>
        {level.slice(0, mostShown).map((n) => <li key={n.id}><NodeLink id={n.id} />{n.name && n.name !== n.id ? <span className="muted"> {n.name}</span> : null}<How upstream={how.get(n.id)} /></li>)}
        {level.length > mostShown ? <li className="muted">{t("more", { count: level.length - mostShown })}</li> : null}
      </ul>
    </div>
  );
}

/** What is special about a dependency. */
function How({ upstream }: { upstream?: Schema<"Upstream"> }) {
  const { t } = useTranslation("nodes");
  if (!upstream) return null;
  const { previous, window, fields } = upstream;
  const said = [
    previous ? t("around.previous") : "",
    window ? t("around.window", { from: window.fromMonthStart ? t("around.monthStart") : (window.from ?? 0), to: window.to }) : "",
    fields?.length ? t("around.sinceFields", { fields: fields.join(", ") }) : "",
  ].filter(Boolean);
  return said.length ? <span className="muted"> ({said.join("; ")})</span> : null;
}
