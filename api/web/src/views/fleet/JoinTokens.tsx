import { PlusOutlined } from "@ant-design/icons";
import { Alert, Button, Form, Input, InputNumber, Modal, Select, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useMay } from "../../app/me.ts";
import { flag, useUrl } from "../../app/url.ts";
import { Act } from "../../ui/Act.tsx";
import { Command } from "../../ui/Command.tsx";
import { Failure, Teach } from "../../ui/Failure.tsx";
import { Listing } from "../../ui/Listing.tsx";
import { useWrite } from "../../ui/operate.tsx";
import { usePages } from "../../ui/pages.ts";
import { Steer } from "../../ui/Steer.tsx";
import { Moment } from "../../ui/Time.tsx";
import { useGroups } from "./groups.ts";
import { StartAgent } from "./StartAgent.tsx";

type Token = Schema<"JoinToken">;
const fields = { new: flag() };

export function JoinTokens() {
  const { t } = useTranslation("fleet");
  return useMay()("listJoinTokens") ? <List /> : <Teach title={t("token.denied")} />;
}

function List() {
  const { t } = useTranslation("fleet");
  const [at, go] = useUrl(fields);
  const [revoking, setRevoking] = useState<Token>();
  const pages = usePages(["joinTokens"], (cursor) => data(api.GET("/v1/join-tokens", { params: { query: { cursor } } })));
  const create = <Act may="createJoinToken" type="primary" icon={<PlusOutlined />} onClick={() => go({ new: true }, true)}>{t("token.create")}</Act>;
  return (
    <Space orientation="vertical" style={{ width: "100%" }}>
      <div className="row" style={{ justifyContent: "flex-end" }}>{create}</div>
      <Listing
        label={t("tab.tokens")} pages={pages} rowKey={(token) => token.id} empty={<Teach title={t("token.none")}>{t("token.teach")}</Teach>}
        columns={[
          { key: "id", title: t("token.id"), width: 170, render: (token) => <span className="mono">{token.id}</span> },
          { key: "description", title: t("token.description"), width: 240, render: (token) => token.description },
          { key: "groups", title: t("token.groups"), width: 180, render: (token) => token.groups.join(", ") || t("token.all") },
          { key: "by", title: t("token.by"), width: 120, render: (token) => token.createdBy },
          { key: "at", title: t("token.at"), width: 130, render: (token) => <Moment at={token.createdAt} relative /> },
          { key: "ends", title: t("token.ends"), width: 130, render: (token) => (token.expired ? t("token.expired") : token.expiresAt ? <Moment at={token.expiresAt} relative /> : t("token.never")) },
          { key: "agents", title: t("token.agents"), width: 100, render: (token) => token.agents },
          { key: "revoke", title: "", width: 100, render: (token) => <Act may="revokeJoinToken" size="small" danger onClick={() => setRevoking(token)} aria-label={t("token.revokeTitle", { id: token.id })}>{t("token.revoke")}</Act> },
        ]}
      />
      {revoking ? (
        <Steer
          title={t("token.revoke")} what={<><strong className="mono">{revoking.id}</strong><br />{t("token.revokeWhat", { count: revoking.agents })}</>} danger said={() => t("token.revoked")} close={() => setRevoking(undefined)}
          run={(why, header) => data(api.DELETE("/v1/join-tokens/{joinToken}", { params: { path: { joinToken: revoking.id }, header, query: { why } } }))}
        />
      ) : null}
      {at.new ? <Create close={() => go({ new: false })} /> : null}
    </Space>
  );
}

interface Values {
  description?: string;
  groups?: string[];
  days?: number;
}

function Create({ close }: { close: () => void }) {
  const { t } = useTranslation("fleet");
  const { t: u } = useTranslation("ui");
  const groups = useGroups().data ?? [];
  const [form] = Form.useForm<Values>();
  const make = useWrite(
    ({ description, groups: into, days }: Values, header) => data(api.POST("/v1/join-tokens", { params: { header }, body: { description, groups: into, expiresInSeconds: Math.round((days ?? 0) * 86_400) } })),
    undefined, { quiet: true },
  );
  const made = make.data;
  if (made) {
    return (
      <Modal open title={t("token.once")} onCancel={close} closable={false} mask={{ closable: false }} keyboard={false} footer={<Button type="primary" onClick={close}>{t("token.done")}</Button>} width={640}>
        <Alert type="warning" showIcon title={t("token.onceText")} style={{ marginBottom: 12 }} />
        <StartAgent token={made.token} groups={made.joinToken.groups} />
        <p style={{ marginBottom: 4 }}>{t("token.secret")}</p>
        <Command label={t("token.secret")} text={made.token} />
      </Modal>
    );
  }
  return (
    <Modal open title={t("token.create")} onCancel={close} okText={t("token.create")} cancelText={u("cancel")} confirmLoading={make.isPending} onOk={form.submit}>
      <Form form={form} layout="vertical" requiredMark="optional" onFinish={(values) => make.mutate(values)}>
        <Form.Item name="description" label={t("token.description")} extra={t("token.descriptionHelp")}><Input maxLength={1000} autoFocus /></Form.Item>
        <Form.Item name="groups" label={t("token.groups")} extra={t("token.groupsHelp")}><Select mode="tags" options={groups.map((g) => ({ value: g.name, label: g.name }))} /></Form.Item>
        <Form.Item name="days" label={t("token.expires")} extra={t("token.expiresHelp")}><InputNumber min={0} /></Form.Item>
      </Form>
      {make.error ? <Failure error={make.error} /> : null}
    </Modal>
  );
}
