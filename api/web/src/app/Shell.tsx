// The frame: navigation, basket, who one is, whether what is shown is live.
import {
  ApartmentOutlined, AuditOutlined, ClusterOutlined, DatabaseOutlined, DoubleLeftOutlined, DoubleRightOutlined, FieldTimeOutlined, HistoryOutlined, SettingOutlined, UnorderedListOutlined,
} from "@ant-design/icons";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { Alert, Button, Layout, Menu, Spin } from "antd";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Failure } from "../ui/Failure.tsx";
import { Account } from "./Account.tsx";
import { BasketButton } from "./BasketButton.tsx";
import { useLine, useLiveStream } from "./live.ts";
import { Login } from "./Login.tsx";
import { useMe, useStranger } from "./me.ts";
import { narrow, useStored } from "./preferences.ts";
import { useInstanceDrawer } from "./url.ts";

const InstanceDrawer = lazy(() => import("../views/instance/InstanceDrawer.tsx"));

const places = [
  ["nodes", <UnorderedListOutlined key="n" />], ["graph", <ApartmentOutlined key="g" />], ["backfills", <HistoryOutlined key="b" />], ["schedule", <FieldTimeOutlined key="s" />],
  ["fleet", <DatabaseOutlined key="f" />], ["cluster", <ClusterOutlined key="c" />], ["audit", <AuditOutlined key="a" />], ["settings", <SettingOutlined key="e" />],
] as const;

export function Shell() {
  const me = useMe();
  const stranger = useStranger();
  useLiveStream(Boolean(me.data) && !stranger);
  if (stranger && !me.data) return <Login />;
  if (!me.data) return me.error ? <div style={{ padding: 48 }}><Failure error={me.error} retry={() => void me.refetch()} /></div> : <Waiting />;
  return (
    <>
      <div inert={stranger} style={{ height: "100%" }}><Frame /></div>
      {/* A session that ends while one works: the login is over the page, which waits as it was left. */}
      {stranger ? <div className="over"><Login /></div> : null}
    </>
  );
}

function Frame() {
  const { t } = useTranslation();
  const [small, setSmall] = useStored(narrow);
  const place = useLocation().pathname.split("/")[1] ?? "";
  const [instance, open] = useInstanceDrawer();
  return (
    <Layout style={{ height: "100%" }}>
      <a className="skip" href="#content">{t("skip")}</a>
      <Layout.Sider theme="light" width={208} collapsedWidth={56} collapsed={small} breakpoint="xl" onBreakpoint={setSmall} trigger={null} style={{ borderInlineEnd: "1px solid var(--line)", background: "var(--surface)" }}>
        <nav aria-label={t("nav.main")} style={{ height: "100%", display: "flex", flexDirection: "column" }}>
          <Link to="/nodes" className="row" style={{ padding: "12px 16px", textDecoration: "none", color: "inherit", fontWeight: 600, fontSize: 16, flexWrap: "nowrap" }} aria-label={t("name")}>
            <img src="/icon.svg" alt="" width={24} height={24} />{small ? null : t("name")}
          </Link>
          <Menu
            theme="light" mode="inline" selectedKeys={[place]} style={{ flex: 1, borderInlineEnd: 0, overflow: "auto" }}
            items={places.map(([key, icon]) => ({ key, icon, title: t(`nav.${key}`), label: <Link to={`/${key}`}>{t(`nav.${key}`)}</Link> }))}
          />
          <Button type="text" icon={small ? <DoubleRightOutlined /> : <DoubleLeftOutlined />} onClick={() => setSmall(!small)} aria-label={t(small ? "nav.expand" : "nav.collapse")} />
        </nav>
      </Layout.Sider>
      <Layout style={{ minWidth: 0 }}>
        <Layout.Header style={{ height: 48, lineHeight: "normal", padding: "0 16px", background: "var(--surface)", borderBottom: "1px solid var(--line)", display: "flex", gap: 12, alignItems: "center", justifyContent: "flex-end" }}>
          <LineSign />
          <span style={{ flex: 1 }} />
          <BasketButton />
          <Account />
        </Layout.Header>
        <LineBanner />
        <Layout.Content id="content" role="main" tabIndex={-1} style={{ overflow: "auto", minHeight: 0 }}>
          <Suspense fallback={<Waiting />}><Outlet /></Suspense>
        </Layout.Content>
      </Layout>
      {instance ? <Suspense fallback={null}><InstanceDrawer id={instance} close={() => open("")} /></Suspense> : null}
    </Layout>
  );
}

function Waiting(): ReactNode {
  const { t } = useTranslation("ui");
  return <div style={{ padding: 64, textAlign: "center" }}><Spin aria-label={t("loading")} /></div>;
}

function LineSign() {
  const { t } = useTranslation();
  const line = useLine();
  if (line === "broken") return null;
  return (
    <span className="row muted" data-line={line} style={{ fontSize: 12 }}>
      <span aria-hidden style={{ width: 8, height: 8, borderRadius: 4, background: line === "live" ? "var(--state-succeeded)" : "var(--state-waitingTime)" }} />
      {t(`line.${line}`)}
    </span>
  );
}

function LineBanner() {
  const { t } = useTranslation();
  return useLine() === "broken" ? <Alert banner type="warning" role="status" title={t("line.broken")} /> : null;
}
