// The frame: navigation, basket, who one is, whether what is shown is live.
import {
  ApartmentOutlined, AuditOutlined, ClusterOutlined, DatabaseOutlined, DoubleLeftOutlined, DoubleRightOutlined, FieldTimeOutlined, HistoryOutlined, SettingOutlined, UnorderedListOutlined,
} from "@ant-design/icons";
import { Link, Outlet, useLocation, useRouter } from "@tanstack/react-router";
import { Alert, Button, Spin } from "antd";
import { Suspense, useEffect, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Failure } from "../ui/Failure.tsx";
import { later } from "./later.ts";
import { useLine, useLiveStream } from "./live.ts";
import { useMe, useStranger } from "./me.ts";
import { narrow, useStored } from "./preferences.ts";
import { useInstanceDrawer } from "./url.ts";
import { loadDrawer } from "./views.ts";

// What the first view does without.
const InstanceDrawer = later(loadDrawer);
const Login = later(() => import("./Login.tsx"));
const Account = later(() => import("./Account.tsx"));
const BasketButton = later(() => import("./BasketButton.tsx"));

const places = [
  ["nodes", <UnorderedListOutlined key="n" />], ["graph", <ApartmentOutlined key="g" />], ["backfills", <HistoryOutlined key="b" />], ["schedule", <FieldTimeOutlined key="s" />],
  ["fleet", <DatabaseOutlined key="f" />], ["cluster", <ClusterOutlined key="c" />], ["audit", <AuditOutlined key="a" />], ["settings", <SettingOutlined key="e" />],
] as const;

export function Shell() {
  const me = useMe();
  const stranger = useStranger();
  useLiveStream(Boolean(me.data) && !stranger);
  if (stranger && !me.data) return <Suspense fallback={null}><Login /></Suspense>;
  if (!me.data) return me.error ? <div style={{ padding: 48 }}><Failure error={me.error} retry={() => void me.refetch()} /></div> : <Waiting />;
  return (
    <>
      <div inert={stranger} style={{ height: "100%" }}><Frame /></div>
      {/* A session that ends while one works: the login is over the page, which waits as it was left. */}
      {stranger ? <div className="over"><Suspense fallback={null}><Login /></Suspense></div> : null}
    </>
  );
}

function Frame() {
  const { t } = useTranslation();
  const [small, setSmall] = useFolded();
  const [instance, open] = useInstanceDrawer();
  useFocusKept();
  return (
    <div className="frame" data-narrow={small}>
      <a className="skip" href="#content">{t("skip")}</a>
      <nav aria-label={t("nav.main")} className="frame-nav">
        <Link to="/nodes" className="frame-name" aria-label={t("name")}><img src="/icon.svg" alt="" width={24} height={24} />{small ? null : t("name")}</Link>
        <Places small={small} />
        <Button className="frame-fold" type="text" icon={small ? <DoubleRightOutlined /> : <DoubleLeftOutlined />} onClick={() => setSmall(!small)} aria-label={t(small ? "nav.expand" : "nav.collapse")} />
      </nav>
      <header className="frame-head">
        <LineSign />
        <span style={{ flex: 1 }} />
        <Suspense fallback={null}><BasketButton /><Account /></Suspense>
      </header>
      <LineBanner />
      <main id="content" tabIndex={-1} className="frame-content">
        <Suspense fallback={<Waiting />}><Outlet /></Suspense>
      </main>
      {instance ? <Suspense fallback={null}><InstanceDrawer id={instance} close={() => open("")} /></Suspense> : null}
    </div>
  );
}

function Places({ small }: { small: boolean }) {
  const { t } = useTranslation();
  const place = useLocation().pathname.split("/")[1];
  return (
    <ul className="frame-places">
      {places.map(([key, icon]) => (
        <li key={key}>
          <Link to={`/${key}`} aria-current={place === key ? "page" : undefined} title={small ? t(`nav.${key}`) : undefined}><span aria-hidden>{icon}</span><span className="frame-word">{t(`nav.${key}`)}</span></Link>
        </li>
      ))}
    </ul>
  );
}

const wide = matchMedia("(min-width: 1200px)");

/** Whether the navigation is folded: as it was left, and anew whenever the window becomes narrow or wide. */
function useFolded(): [boolean, (small: boolean) => void] {
  const [small, setSmall] = useStored(narrow);
  useEffect(() => {
    const follow = () => setSmall(!wide.matches);
    wide.addEventListener("change", follow);
    return () => wide.removeEventListener("change", follow);
  }, [setSmall]);
  return [small, setSmall];
}

/** Where another view has taken the place of what was focused, whoever uses the keyboard goes on in its content. */
function useFocusKept(): void {
  const router = useRouter();
  useEffect(
    () =>
      router.subscribe("onRendered", ({ pathChanged }) => {
        if (pathChanged && document.activeElement === document.body) document.getElementById("content")?.focus({ preventScroll: true });
      }),
    [router],
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
  return useLine() === "broken" ? <Alert className="frame-banner" data-line="broken" banner type="warning" role="status" title={t("line.broken")} /> : null;
}
