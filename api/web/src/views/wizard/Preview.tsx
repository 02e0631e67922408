// What the request would run, as the cluster says while one still fills in the form.
import { Alert, Collapse, Spin, Tabs } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";
import { explain, Teach, titleOf } from "../../ui/Failure.tsx";
import { NodeLink, InstanceLink } from "../../ui/links.tsx";
import { Moment, span } from "../../ui/Time.tsx";
import { warningText } from "../../ui/warning.ts";
import { AsFile } from "./AsFile.tsx";
import type { FieldName, Request } from "./draft.ts";
import { Lanes } from "./Lanes.tsx";
import { PreviewCode } from "./PreviewCode.tsx";
import { PreviewNodes } from "./PreviewNodes.tsx";

export interface Previewed {
  /** The newest answer; of an older request while a newer one is on its way or refused. */
  answer: { request: Request; preview: Schema<"Preview"> } | undefined;
  fresh: boolean;
  error: Error | null;
  missing: FieldName[];
}

export function Preview({ request, previewed }: { request: Request; previewed: Previewed }) {
  const { t } = useTranslation("wizard");
  const { answer, fresh, error, missing } = previewed;
  const calm = missing.length ? (
    <Teach title={t("preview.incomplete")}>{missing.map((f) => t(`missing.${f}` as "missing.root")).join(" · ")}</Teach>
  ) : error ? (
    <Alert type="info" showIcon role="status" title={t("preview.refused")} description={<>{titleOf(error)}<div className="muted">{explain(error)}</div></>} style={{ marginBottom: 12 }} />
  ) : null;
  return (
    <section aria-label={t("preview.title")} aria-busy={!fresh} className="panel wz-preview" data-fresh={fresh}>
      {fresh || calm ? null : <div className="wz-busy" aria-hidden />}
      {calm}
      {answer || calm ? null : <Spin aria-label={t("preview.loading")} />}
      <Tabs
        size="small"
        items={[
          { key: "all", label: t("preview.tabs.all"), children: answer && !missing.length ? <Overview {...answer} /> : null, disabled: !answer },
          { key: "nodes", label: t("preview.tabs.nodes", { count: answer?.preview.nodes.length ?? 0 }), children: answer ? <PreviewNodes nodes={answer.preview.nodes} /> : null, disabled: !answer },
          { key: "code", label: t("preview.tabs.code"), children: answer ? <PreviewCode {...answer} /> : null, disabled: !answer },
          { key: "file", label: t("preview.tabs.file"), children: <AsFile request={request} /> },
        ]}
      />
    </section>
  );
}

function Overview({ request, preview }: { request: Request; preview: Schema<"Preview"> }) {
  const { t } = useTranslation("wizard");
  const { totals } = preview;
  const figures = [["instances", totals.instances], ["asked", totals.asked], ["bridges", totals.bridges], ["dryRun", totals.dryRun], ["dueLater", totals.dueLater]] as const;
  return (
    <>
      <dl className="wz-figures">
        {figures.map(([name, n]) => <div key={name} title={t(`figure.${name}.about`)}><dt>{t(`figure.${name}.name`)}</dt><dd>{n.toLocaleString()}</dd></div>)}
      </dl>
      <p className="muted wz-help">{t("preview.name", { name: preview.name, count: preview.dates, zone: preview.zone })}</p>
      {preview.forecast ? <Forecast forecast={preview.forecast} /> : null}
      {preview.warnings.length ? (
        <Alert type="warning" showIcon title={t("preview.warnings", { count: preview.warnings.length })} description={<ul className="wz-list">{preview.warnings.map((w, i) => <li key={i}>{warningText(w)}</li>)}</ul>} />
      ) : null}
      <h3>{t("preview.groups")}</h3>
      <Lanes groups={preview.groups} dates={request.dates} />
      <h3>{t("preview.priorities")}</h3>
      <Priorities counts={preview.priorities} />
      <h3>{t("preview.demand")}</h3>
      <ul className="wz-list">{preview.demand.map((d) => <Demand key={d.resourceGroup} demand={d} />)}</ul>
      <Details preview={preview} />
    </>
  );
}

/** In words: a figure that promises more than is known is no help. */
function Forecast({ forecast }: { forecast: Schema<"Forecast"> }) {
  const { t } = useTranslation("wizard");
  const say = (seconds: number) => span(seconds * 1000);
  return (
    <p data-forecast>
      {forecast.complete ? t("preview.forecast", { low: say(forecast.low), mid: say(forecast.mid), high: say(forecast.high) }) : t("preview.atLeast", { low: say(forecast.low) })}
      {forecast.why ? <span className="muted"> {forecast.why}</span> : null}
    </p>
  );
}

function Priorities({ counts }: { counts: Schema<"PriorityCount">[] }) {
  const { t } = useTranslation("wizard");
  const most = Math.max(1, ...counts.map((c) => c.instances));
  return (
    <ul className="wz-bars">
      {counts.map((c) => (
        <li key={c.priority}>
          <span>{t("preview.priority", { priority: c.priority })}</span>
          <span aria-hidden className="wz-bar"><span style={{ width: `${(100 * c.instances) / most}%` }} /></span>
          <span>{c.instances.toLocaleString()}</span>
        </li>
      ))}
    </ul>
  );
}

function Demand({ demand }: { demand: Schema<"GroupDemand"> }) {
  const { t } = useTranslation("wizard");
  const text = t(demand.slots ? "preview.slots" : "preview.noSlots", { group: demand.resourceGroup, instances: demand.instances.toLocaleString(), peak: demand.peak.toLocaleString(), slots: demand.slots.toLocaleString() });
  return <li data-demand={demand.resourceGroup}>{text}</li>;
}

const most = 100; // what the cluster names of each kind

function Details({ preview }: { preview: Schema<"Preview"> }) {
  const { t } = useTranslation("wizard");
  const part = (key: "missingUpstreams" | "conflicts" | "notPermitted" | "dueTimes", rows: ReactNode[]) => ({
    key, label: `${t(`detail.${key}.title`)} (${rows.length >= most ? `${most}+` : rows.length})`, children: <><p className="muted wz-help">{t(`detail.${key}.about`)}</p><ul className="wz-list">{rows}</ul></>, rows: rows.length,
  });
  const parts = [
    part("missingUpstreams", preview.missingUpstreams.map((m, i) => <li key={i}><NodeLink id={m.node} /> {m.date} · {t(m.failed ? "detail.failed" : "detail.never")} · {t("detail.neededBy")} <NodeLink id={m.neededBy} /></li>)),
    part("conflicts", preview.conflicts.map((c, i) => <li key={i}><NodeLink id={c.node} /> {c.date} · <Moment at={c.at} />{c.instance ? <> · <InstanceLink id={c.instance} /></> : null}</li>)),
    part("notPermitted", preview.notPermitted.map((id) => <li key={id}><NodeLink id={id} /></li>)),
    part("dueTimes", preview.dueTimes.map((d) => <li key={d.at}><Moment at={d.at} /> · {t("detail.due", { count: d.instances })}</li>)),
  ].filter((p) => p.rows > 0);
  return parts.length ? <Collapse size="small" style={{ marginTop: 12 }} items={parts.map(({ key, label, children }) => ({ key, label, children }))} /> : null;
}
