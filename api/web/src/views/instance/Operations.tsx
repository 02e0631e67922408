// What can be done to an instance; what cannot says why.
import { useQuery } from "@tanstack/react-query";
import { Button, Form, Input, Modal, Select, Tooltip } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Schema } from "../../app/api.ts";
import { useMay } from "../../app/me.ts";
import { Failure } from "../../ui/Failure.tsx";
import { useWrite } from "../../ui/operate.tsx";
import { upstreamsOf, type Detail } from "./read.ts";

const deeds = ["stop", "rerun", "rerunDescendants", "setToSuccess", "freeze", "unfreeze", "forceRun", "removeUpstream", "setPriority"] as const;
type Deed = (typeof deeds)[number];

const operationOf = (deed: Deed): Schema<"InstanceOperation"> => (deed === "rerunDescendants" ? "rerun" : deed);
/** What somebody will ask about later: here the reason has to be said. */
const weighty: readonly Deed[] = ["setToSuccess", "forceRun", "removeUpstream"];

interface Asked {
  why?: string;
  upstream?: string;
  priority?: number;
}

export function Operations({ detail }: { detail: Detail }) {
  const { t } = useTranslation("instance");
  const may = useMay()("operateInstances");
  const [deed, setDeed] = useState<Deed>();
  return (
    <div className="row" role="toolbar" aria-label={t("operate.title")} style={{ marginBottom: 4, gap: 6 }}>
      {deeds.map((d) => {
        const chance = detail.operations?.find((o) => o.operation === operationOf(d));
        // A coordinator that is older than the page says it in English only.
        const obstacle = chance?.code ? t(`operate.obstacle.${chance.code}`, { agent: chance.agent }) : chance?.why;
        const why = !may ? t("operate.mayNot") : chance && !chance.possible ? t("operate.cannot", { why: obstacle }) : undefined;
        return (
          <Tooltip key={d} title={why ?? t(`operate.about.${d}`)} trigger={["hover", "focus"]}>
            <Button size="small" danger={d === "stop" && !why} aria-disabled={Boolean(why)} aria-description={why} className={why ? "grey" : undefined} onClick={() => !why && setDeed(d)}>{t(`operate.${d}`)}</Button>
          </Tooltip>
        );
      })}
      {deed ? <Ask detail={detail} deed={deed} close={() => setDeed(undefined)} /> : null}
    </div>
  );
}

/** Says what will be done, asks for what it needs, and does it. */
function Ask({ detail, deed, close }: { detail: Detail; deed: Deed; close: () => void }) {
  const { t } = useTranslation(["instance", "ui"]);
  const i = detail.instance;
  const [form] = Form.useForm<Asked>();
  const write = useWrite(
    (asked: Asked, header) =>
      data(api.POST("/v1/instances/operate", {
        params: { header },
        body: {
          operation: operationOf(deed), instances: [i.id], why: asked.why?.trim() || undefined, upstream: asked.upstream, priority: asked.priority,
          descendants: deed === "rerunDescendants" ? "all" : undefined,
        },
      })),
    (result) => {
      close();
      return t("operate.done", { what: t(`operate.${deed}`), count: result.instances });
    },
  );
  return (
    <Modal
      open title={t("operate.on", { what: t(`operate.${deed}`), node: i.node, date: i.date })} onCancel={close} okText={t(`operate.${deed}`)} cancelText={t("ui:cancel")}
      okButtonProps={{ danger: deed === "stop", htmlType: "submit" }} confirmLoading={write.isPending} onOk={() => form.submit()}
    >
      <p>{t(`operate.about.${deed}`)}</p>
      <Form<Asked> form={form} layout="vertical" onFinish={(asked) => write.mutate(asked)} requiredMark="optional" initialValues={{ priority: i.priority }}>
        {deed === "removeUpstream" ? <UpstreamField id={i.id} /> : null}
        {deed === "setPriority" ? (
          <Form.Item name="priority" label={t("priority")} rules={[{ required: true }]}>
            <Select options={[8, 7, 5, 3, 2, 1].map((value) => ({ value, label: value === 8 ? t("operate.highest") : value === 1 ? t("operate.lowest") : String(value) }))} />
          </Form.Item>
        ) : null}
        <Form.Item name="why" label={t("ui:why")} rules={[{ required: weighty.includes(deed), whitespace: weighty.includes(deed), message: t("operate.whyNeeded") }]}>
          <Input.TextArea rows={2} maxLength={1000} autoFocus />
        </Form.Item>
        {write.error ? <Failure error={write.error} /> : null}
      </Form>
    </Modal>
  );
}

function UpstreamField({ id }: { id: string }) {
  const { t } = useTranslation("instance");
  const found = useQuery(upstreamsOf(id));
  const nodes = [...new Map((found.data?.items ?? []).filter((u) => !u.removed).map((u) => [u.instance.node, u])).values()];
  return (
    <Form.Item name="upstream" label={t("operate.upstream")} rules={[{ required: true, message: t("operate.upstream") }]}>
      <Select showSearch loading={found.isPending} options={nodes.map((u) => ({ value: u.instance.node, label: u.relation === "self" ? `${u.instance.node} · ${t("near.self")}` : u.instance.node }))} />
    </Form.Item>
  );
}
