import { Form, Input, Segmented, Switch } from "antd";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { Teach } from "../../ui/Failure.tsx";
import { Listing } from "../../ui/Listing.tsx";
import { usePages } from "../../ui/pages.ts";
import { tagged } from "../../ui/Setting.tsx";
import { NameField } from "./fields.tsx";
import { Kind } from "./Kind.tsx";

type Mode = "asRegion" | "on" | "off";
interface Workspace { name?: string; display?: string; region: string; advanced: Mode }

const modeOf = (mode: boolean | undefined): Mode => (mode === undefined ? "asRegion" : mode ? "on" : "off");

export function Workspaces() {
  const { t } = useTranslation("settings");
  const labels = { display: t("field.displayName"), region: t("field.region"), advanced: t("field.advancedMode") };
  return (
    <Kind<Schema<"Workspace">, Workspace>
      word="workspaces" put="putWorkspace" id={(w) => w.id} labels={labels} fresh={{ region: "default", advanced: "asRegion" }} nameField={<NameField />}
      load={(query) => data(api.GET("/v1/workspaces", { params: { query } }))}
      read={(workspace) => tagged(api.GET("/v1/workspaces/{workspace}", { params: { path: { workspace } } }), (w) => ({ display: w.name, region: w.region, advanced: modeOf(w.advancedMode) }))}
      write={(workspace, v, how) => data(api.PUT("/v1/workspaces/{workspace}", { params: { path: { workspace }, ...how }, body: { name: v.display, region: v.region, advancedMode: v.advanced === "asRegion" ? undefined : v.advanced === "on" } }))}
      columns={[
        { key: "id", title: t("field.id"), width: 180, render: (w) => w.id },
        { key: "name", title: t("field.name"), width: 220, render: (w) => w.name },
        { key: "region", title: t("field.region"), width: 160, render: (w) => w.region },
        { key: "mode", title: t("field.advancedMode"), width: 160, render: (w) => t(`help.${modeOf(w.advancedMode)}`) },
        { key: "force", title: t("field.inForce"), width: 120, render: (w) => t(w.advancedModeInForce ? "help.on" : "help.off") },
      ]}
      form={() => (
        <>
          <Form.Item name="display" label={labels.display}><Input maxLength={200} /></Form.Item>
          <Form.Item name="region" label={labels.region} rules={[{ required: true }]}><Input maxLength={100} /></Form.Item>
          <Form.Item name="advanced" label={labels.advanced} extra={t("help.advanced")}><Segmented<Mode> options={(["asRegion", "on", "off"] as const).map((value) => ({ value, label: t(`help.${value}`) }))} /></Form.Item>
        </>
      )}
    />
  );
}

interface Region { name?: string; advancedMode: boolean }

export function Regions() {
  const { t } = useTranslation("settings");
  const labels = { advancedMode: t("field.advancedMode") };
  return (
    <Kind<Schema<"Region">, Region>
      word="regions" put="putRegion" id={(r) => r.id} labels={labels} fresh={{ advancedMode: true }} nameField={<NameField />}
      load={(query) => data(api.GET("/v1/regions", { params: { query } }))}
      read={(region) => tagged(api.GET("/v1/regions/{region}", { params: { path: { region } } }), (r) => ({ advancedMode: r.advancedMode }))}
      write={(region, { advancedMode }, how) => data(api.PUT("/v1/regions/{region}", { params: { path: { region }, ...how }, body: { advancedMode } }))}
      columns={[
        { key: "id", title: t("field.region"), width: 240, render: (r) => r.id },
        { key: "mode", title: t("field.advancedMode"), width: 200, render: (r) => t(r.advancedMode ? "help.on" : "help.off") },
      ]}
      form={() => <Form.Item name="advancedMode" label={labels.advancedMode} extra={t("help.advanced")} valuePropName="checked"><Switch /></Form.Item>}
    />
  );
}

/** Baselines are what nodes name: there is nothing to set here. */
export function Baselines() {
  const { t } = useTranslation("settings");
  const pages = usePages(["nodes", "baselines"], (cursor) => data(api.GET("/v1/baselines", { params: { query: { cursor } } })));
  return (
    <Listing
      label={t("tab.baselines")} pages={pages} rowKey={(b) => `${b.name} ${b.priority}`} empty={<Teach title={t("tab.baselines")}>{t("teach.baselines")}</Teach>}
      columns={[
        { key: "name", title: t("field.name"), width: 260, render: (b) => b.name },
        { key: "priority", title: t("field.priority"), width: 120, render: (b) => b.priority },
        { key: "nodes", title: t("field.nodes"), width: 120, render: (b) => b.nodes },
      ]}
    />
  );
}
