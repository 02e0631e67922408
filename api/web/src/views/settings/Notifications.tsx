import { CheckCircleFilled, ClockCircleFilled, CloseCircleFilled } from "@ant-design/icons";
import { Space } from "antd";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { choice, text, useUrl } from "../../app/url.ts";
import { Act } from "../../ui/Act.tsx";
import { Teach } from "../../ui/Failure.tsx";
import { FilterText, FilterWord } from "../../ui/filters.tsx";
import { BackfillLink } from "../../ui/links.tsx";
import { Listing } from "../../ui/Listing.tsx";
import { useWrite } from "../../ui/operate.tsx";
import { usePages } from "../../ui/pages.ts";
import { Moment } from "../../ui/Time.tsx";

const states = ["pending", "delivered", "dead"] as const;
const occasions = ["failure", "success", "finished", "stuck", "test"] as const;
const fields = { state: choice(["", ...states], ""), occasion: choice(["", ...occasions], ""), channel: text() };
const signs = {
  pending: <ClockCircleFilled style={{ color: "var(--state-waitingTime)" }} aria-hidden />, delivered: <CheckCircleFilled style={{ color: "var(--state-succeeded)" }} aria-hidden />, dead: <CloseCircleFilled style={{ color: "var(--state-failed)" }} aria-hidden />,
};

export function Notifications() {
  const { t } = useTranslation("settings");
  const [at, go] = useUrl(fields);
  const query = { state: at.state ? [at.state] : undefined, occasion: at.occasion ? [at.occasion] : undefined, channel: at.channel || undefined };
  const pages = usePages<Schema<"Notification">>(["notifications", query], (cursor) => data(api.GET("/v1/notifications", { params: { query: { ...query, cursor } } })));
  const one = useWrite((notification: string, header) => data(api.POST("/v1/notifications/{notification}/retry", { params: { path: { notification }, header } })), () => t("notification.again"));
  const all = useWrite((channel: string, header) => data(api.POST("/v1/notifications/retry", { params: { header }, body: { channel } })), ({ count }) => t("channel.retried", { count }));
  return (
    <Space orientation="vertical" style={{ width: "100%" }}>
      <div className="row">
        <FilterWord label={t("notification.state")} value={at.state} change={(state) => go({ state })} options={states.map((value) => ({ value, label: t(`notification.states.${value}`) }))} />
        <FilterWord label={t("notification.occasion")} value={at.occasion} change={(occasion) => go({ occasion })} options={occasions.map((value) => ({ value, label: t(`notification.occasions.${value}`) }))} />
        <FilterText label={t("notification.channel")} value={at.channel} change={(channel) => go({ channel })} />
        {at.channel ? <Act may="retryNotifications" onClick={() => all.mutate(at.channel)} loading={all.isPending}>{t("channel.retry")}</Act> : null}
      </div>
      <Listing
        label={t("tab.notifications")} pages={pages} rowKey={(n) => n.id} below={250} empty={<Teach title={t("tab.notifications")}>{t("teach.notifications")}</Teach>}
        columns={[
          { key: "state", title: t("notification.state"), width: 110, render: (n) => <span className="nowrap">{signs[n.state]} {t(`notification.states.${n.state}`)}</span> },
          { key: "occasion", title: t("notification.occasion"), width: 90, render: (n) => t(`notification.occasions.${n.occasion}`) },
          { key: "channel", title: t("notification.channel"), width: 140, render: (n) => n.channel },
          { key: "backfill", title: t("notification.backfill"), width: 90, render: (n) => (n.backfill ? <BackfillLink id={n.backfill} /> : "–") },
          { key: "text", title: t("notification.text"), width: 320, render: (n) => <span title={n.text}>{n.text}</span> },
          { key: "at", title: t("notification.at"), width: 130, render: (n) => <Moment at={n.at} relative /> },
          { key: "tries", title: t("notification.tries"), width: 80, render: (n) => n.tries },
          { key: "error", title: t("notification.error"), width: 240, render: (n) => <span title={n.error}>{n.error}</span> },
          { key: "retry", title: "", width: 90, render: (n) => (n.state === "dead" ? <Act may="retryNotification" size="small" onClick={() => one.mutate(n.id)} aria-label={t("notification.retryOf", { id: n.id })}>{t("notification.retry")}</Act> : null) },
        ]}
      />
    </Space>
  );
}
