import { DownOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Button, Spin, Tabs, Tag } from "antd";
import { Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { later } from "../../app/later.ts";
import { api, data, type Schema } from "../../app/api.ts";
import { inGraph, useBasket } from "../../app/basket.ts";
import { choice, useUrl } from "../../app/url.ts";
import { Failure } from "../../ui/Failure.tsx";
import { LinkButton } from "../../ui/links.tsx";
import { Page } from "../../ui/Page.tsx";
import { CodeTab } from "./CodeTab.tsx";
import { Coverage } from "./Coverage.tsx";
import { Definition } from "./Definition.tsx";
import { Instances } from "./Instances.tsx";
import NodeMenu from "./NodeMenu.tsx";
import { Overview } from "./Overview.tsx";

const Durations = later(() => import("./Durations.tsx"));

const tabs = ["overview", "code", "durations", "coverage", "instances", "definition"] as const;
const fields = { tab: choice(tabs, "overview") };

export default function NodePage() {
  const { t } = useTranslation("nodes");
  const { node: id } = useParams({ strict: false });
  const [{ tab }, go] = useUrl(fields);
  const node = useQuery({ queryKey: ["nodes", id, "detail"], enabled: Boolean(id), queryFn: () => data(api.GET("/v1/nodes/{node}", { params: { path: { node: id ?? "" } } })) });
  if (!id) return null;
  // What was shown of another node while this one is on its way is not this one.
  const detail = node.data?.node.id === id ? node.data : undefined;
  return (
    <Page fill title={id} about={<About detail={detail} />} extra={detail ? <Actions node={detail.node} /> : null}>
      {node.error ? <Failure error={node.error} retry={() => void node.refetch()} /> : null}
      {detail ? (
        <>
          <Tabs activeKey={tab} onChange={(key) => go({ tab: tabs.find((k) => k === key) ?? "overview" }, true)} items={tabs.map((key) => ({ key, label: t(`tab.${key}`) }))} />
          <div role="tabpanel" aria-label={t(`tab.${tab}`)} style={{ flex: 1, minHeight: 0, display: "flex", flexDirection: "column" }}>
            <Suspense fallback={<Spin />}><Shown tab={tab} detail={detail} /></Suspense>
          </div>
        </>
      ) : node.error ? null : <Spin />}
    </Page>
  );
}

function Shown({ tab, detail }: { tab: (typeof tabs)[number]; detail: Schema<"NodeDetail"> }): ReactNode {
  switch (tab) {
    case "overview": return <Overview detail={detail} />;
    case "code": return <CodeTab node={detail.node} />;
    case "durations": return <Durations node={detail.node.id} />;
    case "coverage": return <Coverage node={detail.node.id} />;
    case "instances": return <Instances node={detail.node.id} />;
    case "definition": return <Definition node={detail.node} />;
  }
}

function About({ detail }: { detail?: Schema<"NodeDetail"> }) {
  const { t } = useTranslation("nodes");
  if (!detail) return null;
  const { node } = detail;
  return (
    <>
      {node.name && node.name !== node.id ? <span className="muted">{node.name}</span> : null}
      <Tag>{node.type ?? "shell"}</Tag>
      <Tag>{t(node.schedule?.auto ? "autoOn" : "autoOff")}</Tag>
      {node.mode && node.mode !== "normal" ? <Tag color="warning">{t(`mode.${node.mode}`)}</Tag> : null}
    </>
  );
}

function Actions({ node }: { node: Schema<"Node"> }) {
  const { t } = useTranslation("nodes");
  const basket = useBasket();
  const inside = basket.has(node.id);
  return (
    <>
      <Button onClick={() => (inside ? basket.remove([node.id]) : basket.add([node]))}>{t(inside ? "outOf" : "into")}</Button>
      <LinkButton to="/graph" search={inGraph([node]) as never}>{t("inGraph")}</LinkButton>
      <NodeMenu node={node}><Button type="primary" icon={<DownOutlined />} iconPlacement="end">{t("backfill")}</Button></NodeMenu>
    </>
  );
}
