import { useQuery } from "@tanstack/react-query";
import { Alert, Form, Input, Modal, Select, Switch } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { Act } from "../../ui/Act.tsx";
import { Failure } from "../../ui/Failure.tsx";
import { useWrite } from "../../ui/operate.tsx";
import { tagged } from "../../ui/Setting.tsx";
import { assignments, linesOf, NameField, placeOf, SecretField, secretPlace, type Place } from "./fields.tsx";
import { Kind } from "./Kind.tsx";

interface Channel {
  name?: string;
  kind: Schema<"ChannelKind">;
  description?: string;
  url?: string;
  secret: Place;
  headers?: string;
  to?: string[];
  subject?: string;
  body?: string;
  disabled?: boolean;
}

const names = ["kind", "description", "url", "secret", "headers", "to", "subject", "body", "disabled"] as const;

const valuesOf = (c: Schema<"Channel">): Channel => ({ kind: c.kind, description: c.description, url: c.url, secret: placeOf(c.secret), headers: linesOf(c.headers), to: c.to ?? [], subject: c.subject, body: c.body, disabled: c.disabled ?? false });

// What is of the other kind is left out: it would be refused.
function bodyOf(c: Channel): Schema<"ChannelSettings"> {
  const { kind, description, body, disabled } = c;
  return { kind, description, body, disabled, ...(kind === "webhook" ? { url: c.url, secret: secretPlace(c.secret), headers: assignments(c.headers) } : { to: c.to, subject: c.subject }) };
}

export function Channels() {
  const { t } = useTranslation("settings");
  const [testing, setTesting] = useState("");
  const labels = Object.fromEntries(names.map((name) => [name, t(`field.${name}`)])) as Record<(typeof names)[number], string>;
  return (
    <>
      <Kind<Schema<"Channel">, Channel>
        word="channels" put="putChannel" id={(c) => c.name} labels={labels} fresh={{ kind: "webhook", secret: { at: "none" } }} nameField={<NameField />}
        load={(query) => data(api.GET("/v1/channels", { params: { query } }))}
        read={(channel) => tagged(api.GET("/v1/channels/{channel}", { params: { path: { channel } } }), valuesOf)}
        write={(channel, values, how) => data(api.PUT("/v1/channels/{channel}", { params: { path: { channel }, ...how }, body: bodyOf(values) }))}
        remove={{ may: "removeChannel", what: t("removeWhat.channels"), run: (channel, why, header) => data(api.DELETE("/v1/channels/{channel}", { params: { path: { channel }, header, query: { why } } })) }}
        actions={(c) => <Act may="testChannel" size="small" onClick={() => setTesting(c.name)} aria-label={t("channel.test", { name: c.name })}>{t("channel.testing")}</Act>}
        columns={[
          { key: "name", title: t("field.name"), width: 170, render: (c) => c.name },
          { key: "kind", title: t("field.kind"), width: 90, render: (c) => t(`kind.${c.kind}`) },
          { key: "to", title: t("field.to"), width: 300, render: (c) => <span className="mono">{c.kind === "webhook" ? c.url : c.to?.join(", ")}</span> },
          { key: "off", title: t("field.disabled"), width: 100, render: (c) => t(c.disabled ? "yes" : "no") },
          { key: "pending", title: t("field.pending"), width: 80, render: (c) => c.pending },
          { key: "dead", title: t("field.dead"), width: 80, render: (c) => c.dead },
        ]}
        form={(values) => (
          <>
            <Form.Item name="kind" label={labels.kind}><Select options={(["webhook", "email"] as const).map((value) => ({ value, label: t(`kind.${value}`) }))} /></Form.Item>
            {values.kind === "email" ? (
              <>
                <Form.Item name="to" label={labels.to} rules={[{ required: true }]}><Select mode="tags" tokenSeparators={[",", " ", ";"]} open={false} suffixIcon={null} /></Form.Item>
                <Form.Item name="subject" label={labels.subject} extra={t("help.template")}><Input /></Form.Item>
              </>
            ) : (
              <>
                <Form.Item name="url" label={labels.url} extra={t("help.urlHelp")} rules={[{ required: true }]}><Input inputMode="url" /></Form.Item>
                <SecretField name="secret" label={labels.secret} value={values.secret} />
                <Form.Item name="headers" label={labels.headers} extra={t("help.headers")}><Input.TextArea autoSize={{ minRows: 2 }} /></Form.Item>
              </>
            )}
            <Form.Item name="body" label={labels.body} extra={t("help.template")}><Input.TextArea className="mono" autoSize={{ minRows: 3 }} /></Form.Item>
            <Form.Item name="description" label={labels.description}><Input maxLength={1000} /></Form.Item>
            <Form.Item name="disabled" label={labels.disabled} extra={t("help.disabled")} valuePropName="checked"><Switch /></Form.Item>
          </>
        )}
      />
      {testing ? <Test name={testing} close={() => setTesting("")} /> : null}
    </>
  );
}

/** Sends a test and shows what came of it. */
function Test({ name, close }: { name: string; close: () => void }) {
  const { t } = useTranslation("settings");
  const send = useWrite((channel: string, header) => data(api.POST("/v1/channels/{channel}/test", { params: { path: { channel }, header } })), undefined, { quiet: true });
  const id = send.data?.id ?? "";
  const look = useQuery({
    queryKey: ["notifications", "one", id], enabled: id !== "", queryFn: () => data(api.GET("/v1/notifications/{notification}", { params: { path: { notification: id } } })),
    refetchInterval: (query) => (query.state.data && query.state.data.state !== "pending" ? false : 500),
  });
  const now = look.data ?? send.data;
  return (
    <Modal open title={t("channel.result", { name })} onCancel={close} okText={t("channel.testing")} confirmLoading={send.isPending} onOk={() => send.mutate(name)}>
      {send.error ? <Failure error={send.error} /> : null}
      {now ? (
        <Alert
          role="status" showIcon type={now.state === "delivered" ? "success" : now.state === "dead" || now.error ? "error" : "info"}
          title={now.state === "delivered" ? t("channel.ok", { name }) : now.state === "dead" ? t("channel.dead") : now.error ? t("channel.pending") : t("channel.waiting")} description={now.error}
        />
      ) : null}
    </Modal>
  );
}
