import { Tabs } from "antd";
import { useTranslation } from "react-i18next";

import { choice, text, useUrl } from "../../app/url.ts";
import { Page } from "../../ui/Page.tsx";
import { Baselines, Regions, Workspaces } from "./Places.tsx";
import { Channels } from "./Channels.tsx";
import { Notifications } from "./Notifications.tsx";
import { Sources } from "./Sources.tsx";
import { Tokens } from "./Tokens.tsx";
import { Users } from "./Users.tsx";

const tabs = ["workspaces", "regions", "baselines", "sources", "channels", "notifications", "users", "tokens"] as const;
const fields = { tab: choice(tabs, "workspaces"), q: text(), edit: text() };
const views = { workspaces: <Workspaces />, regions: <Regions />, baselines: <Baselines />, sources: <Sources />, channels: <Channels />, notifications: <Notifications />, users: <Users />, tokens: <Tokens /> };

export default function Settings() {
  const { t } = useTranslation("settings");
  const [at, go] = useUrl(fields);
  return (
    <Page title={t("title")}>
      <Tabs activeKey={at.tab} onChange={(key) => go({ tab: tabs.find((tab) => tab === key), q: "", edit: "" }, true)} destroyOnHidden items={tabs.map((key) => ({ key, label: t(`tab.${key}`), children: views[key] }))} />
    </Page>
  );
}
