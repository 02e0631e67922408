// Fields that forms of settings share.
import { Form, Input, Select, Space } from "antd";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";

/** Where a secret is found; never the secret. */
export interface Place {
  at: "none" | "environment" | "file";
  name?: string;
}

export const placeOf = (place: Schema<"SecretPlace"> | undefined): Place => (place?.environment ? { at: "environment", name: place.environment } : place?.file ? { at: "file", name: place.file } : { at: "none" });

export function secretPlace(place: Place | undefined): Schema<"SecretPlace"> | undefined {
  if (!place || place.at === "none" || !place.name) return undefined;
  return { [place.at]: place.name };
}

/** Assignments as lines, as people write them. */
export const linesOf = (all: Schema<"Assignment">[] | undefined): string => (all ?? []).map((a) => `${a.name}=${a.value}`).join("\n");

export const assignments = (lines: string | undefined): Schema<"Assignment">[] =>
  (lines ?? "").split("\n").map((l) => l.trim()).filter(Boolean).map((line) => {
    const sign = line.indexOf("=");
    return sign < 0 ? { name: line, value: "" } : { name: line.slice(0, sign).trim(), value: line.slice(sign + 1).trim() };
  });

export function NameField() {
  const { t } = useTranslation("settings");
  return <Form.Item name="name" label={t("field.name")} rules={[{ required: true }]}><Input autoFocus maxLength={100} /></Form.Item>;
}

export function SecretField({ name, label, value }: { name: string; label: string; value: Place | undefined }) {
  const { t } = useTranslation("settings");
  const at = value?.at ?? "none";
  return (
    <Form.Item label={label} extra={t("help.placeHelp")}>
      <Space.Compact style={{ width: "100%" }}>
        <Form.Item name={[name, "at"]} noStyle><Select aria-label={label} style={{ width: 140 }} options={(["none", "environment", "file"] as const).map((v) => ({ value: v, label: t(`help.place.${v}`) }))} /></Form.Item>
        <Form.Item name={[name, "name"]} noStyle rules={[{ required: at !== "none", message: t("help.placeName") }]}><Input aria-label={`${label}: ${t("help.placeName")}`} disabled={at === "none"} placeholder={at === "environment" ? "BACKFLEET_SECRET_…" : undefined} /></Form.Item>
      </Space.Compact>
    </Form.Item>
  );
}
