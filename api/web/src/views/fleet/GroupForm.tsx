import { Form, Input, InputNumber, Select } from "antd";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { SettingDrawer, tagged } from "../../ui/Setting.tsx";
import type { Group } from "./groups.ts";

const day = 86_400_000;

interface Values {
  name?: string;
  kind: Schema<"ResourceGroupKind">;
  reserveForAuto: number;
  backfillMaxShare: number;
  keepDays?: number;
  description?: string;
}

const fresh: Values = { kind: "shared", reserveForAuto: 0, backfillMaxShare: 0 };
const valuesOf = (g: Group): Values => ({ kind: g.kind, reserveForAuto: g.reserveForAuto, backfillMaxShare: g.backfillMaxShare, keepDays: g.logKeepMs ? g.logKeepMs / day : undefined, description: g.description ?? "" });

export function GroupForm({ name, close }: { name?: string; close: () => void }) {
  const { t } = useTranslation("fleet");
  const labels = { kind: t("group.kind"), reserveForAuto: t("group.reserve"), backfillMaxShare: t("group.share"), keepDays: t("group.keep"), description: t("group.description") };
  return (
    <SettingDrawer<Values>
      title={name ? t("group.edit", { name }) : t("group.create")} close={close} about={["group", name]} fresh={fresh} labels={labels}
      read={name ? () => tagged(api.GET("/v1/resource-groups/{resourceGroup}", { params: { path: { resourceGroup: name } } }), valuesOf) : undefined}
      write={({ name: typed, keepDays, ...rest }, how) =>
        data(api.PUT("/v1/resource-groups/{resourceGroup}", { params: { path: { resourceGroup: name ?? typed ?? "" }, ...how }, body: { ...rest, logKeepMs: Math.round((keepDays ?? 0) * day) } }))}
    >
      {() => (
        <>
          {name ? null : <Form.Item name="name" label={t("group.name")} extra={t("group.nameHelp")} rules={[{ required: true }]}><Input maxLength={100} autoFocus /></Form.Item>}
          <Form.Item name="kind" label={labels.kind}><Select options={(["shared", "exclusive"] as const).map((value) => ({ value, label: t(`kind.${value}`) }))} /></Form.Item>
          <Form.Item name="reserveForAuto" label={labels.reserveForAuto} extra={t("group.reserveHelp")} rules={[{ required: true }]}><InputNumber min={0} precision={0} /></Form.Item>
          <Form.Item name="backfillMaxShare" label={labels.backfillMaxShare} extra={t("group.shareHelp")} rules={[{ required: true }]}><InputNumber min={0} max={100} precision={0} /></Form.Item>
          <Form.Item name="keepDays" label={labels.keepDays} extra={t("group.keepHelp")}><InputNumber min={0} /></Form.Item>
          <Form.Item name="description" label={labels.description}><Input.TextArea maxLength={1000} autoSize={{ minRows: 2 }} /></Form.Item>
        </>
      )}
    </SettingDrawer>
  );
}
