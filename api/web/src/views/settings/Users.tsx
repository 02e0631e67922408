import { Form, Input, Select, Switch } from "antd";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useMay } from "../../app/me.ts";
import { Teach } from "../../ui/Failure.tsx";
import { tagged } from "../../ui/Setting.tsx";
import { Moment } from "../../ui/Time.tsx";
import { NameField } from "./fields.tsx";
import { Kind } from "./Kind.tsx";

export const roles = ["viewer", "developer", "operator", "admin"] as const;

interface User {
  name?: string;
  displayName?: string;
  email?: string;
  description?: string;
  role: Schema<"Role">;
  workspaces?: string[];
  disabled?: boolean;
}

const valuesOf = (u: Schema<"User">): User => ({ displayName: u.displayName, email: u.email, description: u.description, role: u.role, workspaces: u.workspaces, disabled: u.disabled });

export function Users() {
  const { t } = useTranslation("settings");
  return useMay()("listUsers") ? <List /> : <Teach title={t("denied")} />;
}

function List() {
  const { t } = useTranslation("settings");
  const labels = { displayName: t("field.displayName"), email: t("field.email"), role: t("field.role"), workspaces: t("field.workspaces"), description: t("field.description"), disabled: t("field.disabled") };
  return (
    <Kind<Schema<"User">, User>
      word="users" put="putUser" id={(u) => u.name} labels={labels} fresh={{ role: "viewer" }} nameField={<NameField />}
      load={(query) => data(api.GET("/v1/users", { params: { query } }))}
      read={(user) => tagged(api.GET("/v1/users/{user}", { params: { path: { user } } }), valuesOf)}
      write={(user, { name: _, ...body }, how) => data(api.PUT("/v1/users/{user}", { params: { path: { user }, ...how }, body: { ...body, workspaces: body.role === "developer" ? body.workspaces : undefined } }))}
      remove={{ may: "removeUser", what: t("removeWhat.users"), run: (user, why, header) => data(api.DELETE("/v1/users/{user}", { params: { path: { user }, header, query: { why } } })) }}
      columns={[
        { key: "name", title: t("field.name"), width: 160, render: (u) => u.name },
        { key: "display", title: t("field.displayName"), width: 180, render: (u) => u.displayName },
        { key: "role", title: t("field.role"), width: 110, render: (u) => t(`role.${u.role}`) },
        { key: "workspaces", title: t("field.workspaces"), width: 180, render: (u) => (u.role === "developer" ? u.workspaces.join(", ") || t("all") : "–") },
        { key: "off", title: t("field.disabled"), width: 100, render: (u) => t(u.disabled ? "yes" : "no") },
        { key: "origin", title: t("field.origin"), width: 110, render: (u) => t(`origin.${u.origin}`) },
        { key: "login", title: t("field.lastLogin"), width: 130, render: (u) => <Moment at={u.lastLogin} relative /> },
        { key: "tokens", title: t("field.tokens"), width: 80, render: (u) => u.tokens },
      ]}
      form={(values) => (
        <>
          <Form.Item name="role" label={labels.role}><Select options={roles.map((value) => ({ value, label: t(`role.${value}`) }))} /></Form.Item>
          {values.role === "developer" ? <Form.Item name="workspaces" label={labels.workspaces} extra={t("help.workspaces")}><Select mode="tags" /></Form.Item> : null}
          <Form.Item name="displayName" label={labels.displayName}><Input maxLength={200} /></Form.Item>
          <Form.Item name="email" label={labels.email}><Input maxLength={320} inputMode="email" /></Form.Item>
          <Form.Item name="description" label={labels.description}><Input maxLength={1000} /></Form.Item>
          <Form.Item name="disabled" label={labels.disabled} extra={t("help.userOff")} valuePropName="checked"><Switch /></Form.Item>
        </>
      )}
    />
  );
}
