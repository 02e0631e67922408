import { Form, Input, InputNumber, Select } from "antd";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { tagged } from "../../ui/Setting.tsx";
import { assignments, linesOf, NameField, placeOf, SecretField, secretPlace, type Place } from "./fields.tsx";
import { Kind } from "./Kind.tsx";

interface Source {
  name?: string;
  type: string;
  description?: string;
  host?: string;
  port?: number;
  database: string;
  user?: string;
  password: Place;
  tls?: string;
  ca: Place;
  options?: string;
  resourceGroups?: string[];
}

const names = ["type", "description", "host", "port", "database", "user", "password", "tls", "ca", "options", "resourceGroups"] as const;
const fresh: Source = { type: "postgres", database: "", password: { at: "none" }, ca: { at: "none" } };

const valuesOf = (s: Schema<"DataSource">): Source => ({ type: s.type, description: s.description, host: s.host, port: s.port, database: s.database, user: s.user, password: placeOf(s.password), tls: s.tls, ca: placeOf(s.ca), options: linesOf(s.options), resourceGroups: s.resourceGroups ?? [] });

const bodyOf = ({ password, ca, options, name: _, ...rest }: Source): Schema<"DataSourceSettings"> => ({ ...rest, password: secretPlace(password), ca: secretPlace(ca), options: assignments(options) });

export function Sources() {
  const { t } = useTranslation("settings");
  const labels = Object.fromEntries(names.map((name) => [name, t(`field.${name}`)])) as Record<(typeof names)[number], string>;
  return (
    <Kind<Schema<"DataSource">, Source>
      word="sources" put="putDataSource" id={(s) => s.name} labels={labels} fresh={fresh} nameField={<NameField />}
      load={(query) => data(api.GET("/v1/data-sources", { params: { query } }))}
      read={(dataSource) => tagged(api.GET("/v1/data-sources/{dataSource}", { params: { path: { dataSource } } }), valuesOf)}
      write={(dataSource, values, how) => data(api.PUT("/v1/data-sources/{dataSource}", { params: { path: { dataSource }, ...how }, body: bodyOf(values) }))}
      remove={{ may: "removeDataSource", what: t("removeWhat.sources"), run: (dataSource, why, header) => data(api.DELETE("/v1/data-sources/{dataSource}", { params: { path: { dataSource }, header, query: { why } } })) }}
      columns={[
        { key: "name", title: t("field.name"), width: 180, render: (s) => s.name },
        { key: "type", title: t("field.type"), width: 100, render: (s) => s.type },
        { key: "host", title: t("field.host"), width: 200, render: (s) => (s.host ? `${s.host}${s.port ? `:${s.port}` : ""}` : "–") },
        { key: "database", title: t("field.database"), width: 180, render: (s) => s.database },
        { key: "user", title: t("field.user"), width: 120, render: (s) => s.user },
        { key: "nodes", title: t("field.nodes"), width: 80, render: (s) => s.nodes },
        { key: "groups", title: t("field.resourceGroups"), width: 160, render: (s) => s.resourceGroups?.join(", ") || t("all") },
      ]}
      form={(values) => (
        <>
          <Form.Item name="type" label={labels.type}><Select options={["postgres", "mysql", "sqlite"].map((value) => ({ value, label: value }))} /></Form.Item>
          {values.type === "sqlite" ? null : (
            <>
              <Form.Item name="host" label={labels.host} rules={[{ required: true }]}><Input /></Form.Item>
              <Form.Item name="port" label={labels.port} extra={t("help.port")}><InputNumber min={0} max={65535} precision={0} /></Form.Item>
            </>
          )}
          <Form.Item name="database" label={labels.database} extra={values.type === "sqlite" ? t("help.database") : undefined} rules={[{ required: true }]}><Input /></Form.Item>
          {values.type === "sqlite" ? null : (
            <>
              <Form.Item name="user" label={labels.user} rules={[{ required: true }]}><Input autoComplete="off" /></Form.Item>
              <SecretField name="password" label={labels.password} value={values.password} />
              <Form.Item name="tls" label={labels.tls}><Select allowClear options={["verify", "require", "disable"].map((value) => ({ value, label: value }))} /></Form.Item>
              <SecretField name="ca" label={labels.ca} value={values.ca} />
            </>
          )}
          <Form.Item name="options" label={labels.options} extra={t("help.options")}><Input.TextArea autoSize={{ minRows: 2 }} /></Form.Item>
          <Form.Item name="resourceGroups" label={labels.resourceGroups} extra={t("help.groups")}><Select mode="tags" /></Form.Item>
          <Form.Item name="description" label={labels.description}><Input.TextArea autoSize={{ minRows: 2 }} /></Form.Item>
        </>
      )}
    />
  );
}
