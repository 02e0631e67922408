// Groups as lanes, each with the date it is at and what holds it; totals; warnings.
import { Link } from "@tanstack/react-router";
import { Alert, Typography } from "antd";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";
import { CountsBar, StateTag } from "../../ui/State.tsx";
import { warningText } from "../../ui/warning.ts";
import { Totals } from "./Totals.tsx";

export function Overview({ of }: { of: Schema<"Backfill"> }) {
  const { t } = useTranslation("backfills");
  return (
    <div style={{ display: "flex", flexDirection: "column", gap: 16 }}>
      <section className="panel" aria-label={t("overview.groups")}>
        <Typography.Title level={2} style={{ fontSize: 15, marginTop: 0 }}>{t("overview.groups")}</Typography.Title>
        {of.groups.map((group) => <Lane key={group.group} backfill={of.summary.id} of={group} />)}
      </section>
      <section className="panel" aria-label={t("overview.totals")}>
        <Typography.Title level={2} style={{ fontSize: 15, marginTop: 0 }}>{t("overview.totals")}</Typography.Title>
        <Totals of={of.receipt} />
      </section>
      {of.warnings.length > 0 ? (
        <section aria-label={t("overview.warnings")} style={{ display: "flex", flexDirection: "column", gap: 8 }}>
          {of.warnings.map((w, i) => <Alert key={i} type="warning" showIcon title={warningText(w)} />)}
        </section>
      ) : null}
    </div>
  );
}

function Lane({ backfill, of: g }: { backfill: string; of: Schema<"GroupProgress"> }) {
  const { t } = useTranslation("backfills");
  const group = t("overview.group", { group: g.group });
  return (
    <div role="group" aria-label={group} style={{ display: "grid", gridTemplateColumns: "84px minmax(120px, 1fr) 140px 130px 130px", columnGap: 16, alignItems: "center", padding: "6px 0", borderTop: "1px solid var(--line)" }}>
      <Link to="/backfills/$backfill" params={{ backfill }} search={{ tab: "dates", group: String(g.group) } as never}>{group}</Link>
      <CountsBar counts={g.counts} style={{ height: 10 }} />
      <span className="muted nowrap">{t("overview.ofDates", { done: g.datesDone, count: g.dates })}</span>
      <StateTag state={g.state} />
      <span className="nowrap">{g.current ? t("overview.current", { date: g.current }) : <span className="muted">{t("overview.finished")}</span>}</span>
      {g.reason ? <div className="muted" style={{ gridColumn: "2 / -1", fontSize: 13 }}>{g.reason}</div> : null}
    </div>
  );
}
