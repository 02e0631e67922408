import { PlusOutlined } from "@ant-design/icons";
import { Alert, Button, Form, Input, InputNumber, Modal, Segmented, Select, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useMay, useMe } from "../../app/me.ts";
import { choice, flag, useUrl } from "../../app/url.ts";
import { Act } from "../../ui/Act.tsx";
import { Command } from "../../ui/Command.tsx";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { Listing } from "../../ui/Listing.tsx";
import { useWrite } from "../../ui/operate.tsx";
import { usePages } from "../../ui/pages.ts";
import { Steer } from "../../ui/Steer.tsx";
import { Moment } from "../../ui/Time.tsx";
import { roles } from "./Users.tsx";

type Token = Schema<"AccessToken">;
const fields = { whose: choice(["mine", "everybody"], "mine"), new: flag() };

export function Tokens() {
  const { t } = useTranslation("settings");
  const me = useMe().data;
  const admin = useMay()("listUsers");
  const [at, go] = useUrl(fields);
  const [leaving, setLeaving] = useState<Token>();
  // Only who has shown a user's token has tokens of their own.
  const isUser = Boolean(me && me.via !== "open" && !me.via.startsWith("file:"));
  const whose = admin && (!isUser || at.whose === "everybody") ? "everybody" : "mine";
  const pages = usePages<Token>(["tokens", whose], async (cursor) => (whose === "mine" && !isUser ? { items: [] } : data(api.GET("/v1/tokens", { params: { query: { user: whose === "everybody" ? "*" : undefined, cursor } } }))));
  return (
    <Space orientation="vertical" style={{ width: "100%" }}>
      <div className="row" style={{ justifyContent: "space-between" }}>
        {admin && isUser ? <Segmented aria-label={t("token.whose")} value={whose} onChange={(value) => go({ whose: value === "everybody" ? "everybody" : "mine" })} options={[{ value: "mine", label: t("token.mine") }, { value: "everybody", label: t("token.everybody") }]} /> : <span className="muted">{isUser ? "" : t("token.notUser")}</span>}
        <Act may="createToken" type="primary" icon={<PlusOutlined />} disabled={!isUser && !admin} onClick={() => go({ new: true }, true)}>{t("token.create")}</Act>
      </div>
      <Listing
        label={t("tab.tokens")} pages={pages} rowKey={(token) => token.id} empty={<Teach title={t("tab.tokens")}>{t("teach.tokens")}</Teach>}
        columns={[
          { key: "id", title: t("field.id"), width: 170, render: (token) => <span className="mono">{token.id}</span> },
          { key: "user", title: t("field.user"), width: 130, render: (token) => token.user },
          { key: "kind", title: t("field.kind"), width: 80, render: (token) => t(`token.kind.${token.kind}`) },
          { key: "description", title: t("field.description"), width: 220, render: (token) => token.description },
          { key: "role", title: t("field.role"), width: 100, render: (token) => (token.role ? t(`role.${token.role}`) : "–") },
          { key: "at", title: t("field.created"), width: 130, render: (token) => <Moment at={token.createdAt} relative /> },
          { key: "ends", title: t("field.expires"), width: 130, render: (token) => (token.expired ? t("token.expired") : token.expiresAt ? <Moment at={token.expiresAt} relative /> : t("token.never")) },
          { key: "revoke", title: "", width: 90, render: (token) => <Act may="revokeToken" size="small" danger onClick={() => setLeaving(token)} aria-label={t("token.revokeOf", { id: token.id })}>{t("token.revoke")}</Act> },
        ]}
      />
      {leaving ? (
        <Steer
          title={t("token.revoke")} what={<><strong className="mono">{leaving.id}</strong><br />{t("token.revokeWhat")}</>} danger said={() => t("token.revoked")} close={() => setLeaving(undefined)}
          run={(why, header) => data(api.DELETE("/v1/tokens/{token}", { params: { path: { token: leaving.id }, header, query: { why } } }))}
        />
      ) : null}
      {at.new ? <Create admin={admin} isUser={isUser} close={() => go({ new: false })} /> : null}
    </Space>
  );
}

interface Values {
  user?: string;
  description?: string;
  role?: Schema<"Role">;
  days?: number;
}

function Create({ admin, isUser, close }: { admin: boolean; isUser: boolean; close: () => void }) {
  const { t } = useTranslation("settings");
  const { t: u } = useTranslation("ui");
  const [form] = Form.useForm<Values>();
  const make = useWrite(
    ({ user, description, role, days }: Values, header) => data(api.POST("/v1/tokens", { params: { header }, body: { user: user || undefined, description, role, expiresInSeconds: Math.round((days ?? 0) * 86_400) } })),
    undefined, { quiet: true },
  );
  if (make.data) {
    return (
      <Modal open title={t("token.once")} onCancel={close} closable={false} mask={{ closable: false }} keyboard={false} footer={<Button type="primary" onClick={close}>{t("token.done")}</Button>} width={640}>
        <Alert type="warning" showIcon title={t("token.onceText")} style={{ marginBottom: 12 }} />
        <Command label={t("token.secret")} text={make.data.token} />
      </Modal>
    );
  }
  return (
    <Modal open title={t("token.create")} onCancel={close} okText={t("token.create")} cancelText={u("cancel")} confirmLoading={make.isPending} onOk={form.submit}>
      <Form form={form} layout="vertical" requiredMark="optional" onFinish={(values) => make.mutate(values)}>
        {admin ? <Form.Item name="user" label={t("token.for")} extra={isUser ? t("token.forHelp") : undefined} rules={[{ required: !isUser }]}><Input autoFocus /></Form.Item> : null}
        <Form.Item name="description" label={t("field.description")}><Input maxLength={1000} /></Form.Item>
        <Form.Item name="role" label={t("token.role")} extra={t("token.roleHelp")}><Select allowClear options={roles.map((value) => ({ value, label: t(`role.${value}`) }))} /></Form.Item>
        <Form.Item name="days" label={t("token.days")} extra={t("token.daysHelp")}><InputNumber min={0} /></Form.Item>
      </Form>
      {make.error ? <Failure error={make.error} /> : null}
    </Modal>
  );
}
