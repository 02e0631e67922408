import { Tabs } from "antd";
import { useTranslation } from "react-i18next";

import { choice, useUrl } from "../../app/url.ts";
import { Page } from "../../ui/Page.tsx";
import { Agents } from "./Agents.tsx";
import { Groups } from "./Groups.tsx";
import { JoinTokens } from "./JoinTokens.tsx";

const tabs = ["groups", "agents", "tokens"] as const;
const fields = { tab: choice(tabs, "groups") };
const views = { groups: <Groups />, agents: <Agents />, tokens: <JoinTokens /> };

export default function Fleet() {
  const { t } = useTranslation("fleet");
  const [at, go] = useUrl(fields);
  return (
    <Page title={t("title")}>
      <Tabs activeKey={at.tab} onChange={(key) => go({ tab: tabs.find((tab) => tab === key) }, true)} destroyOnHidden items={tabs.map((key) => ({ key, label: t(`tab.${key}`), children: views[key] }))} />
    </Page>
  );
}
