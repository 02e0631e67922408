// A form for something that has a tag: it is written only if it is still what was read.
// If somebody was faster, it is shown what they have changed, and nothing is lost.
import { useQuery, useQueryClient, type QueryKey } from "@tanstack/react-query";
import { Alert, Button, Drawer, Form, Input, Skeleton, Space } from "antd";
import { useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ApiError, newKey } from "../api/client.ts";
import { Failure } from "./Failure.tsx";
import { say } from "./say.ts";

/** What was read, as the form has it, with the tag it had. */
export interface Tagged<F> {
  values: F;
  tag: string;
}

export interface Write {
  header: { "Idempotency-Key": string; "If-Match"?: string; "If-None-Match"?: "*" };
  query: { why?: string };
}

interface Props<F> {
  title: string;
  close: () => void;
  /** What it is about, such as ["groups", "default"]. */
  about: QueryKey;
  /** Absent: it is a new one. */
  read?: () => Promise<Tagged<F>>;
  fresh?: Partial<F>;
  write: (values: F, how: Write) => Promise<unknown>;
  /** The fields' names as people read them; only these are compared. */
  labels: Partial<Record<keyof F & string, string>>;
  children: (values: Partial<F>) => ReactNode;
}

/** Reads one thing of the API and its tag. */
export async function tagged<T, F>(answer: Promise<{ data?: T; response: Response }>, form: (value: T) => F): Promise<Tagged<F>> {
  const { data, response } = await answer;
  return { values: form(data as T), tag: response.headers.get("ETag") ?? "" };
}

// A thing that nobody has set yet (a group that only agents name) has a tag without a number.
const hasNumber = /^(W\/)?"\d+-.{16}"$/;

function condition(tag: string | undefined): Pick<Write["header"], "If-Match" | "If-None-Match"> {
  return tag && hasNumber.test(tag) ? { "If-Match": tag } : { "If-None-Match": "*" };
}

const shown = (value: unknown) => (value === undefined || value === "" ? "–" : typeof value === "string" ? value : JSON.stringify(value));

export function SettingDrawer<F extends object>({ title, close, about, read, fresh, write, labels, children }: Props<F>) {
  const { t } = useTranslation("ui");
  const queries = useQueryClient();
  const [form] = Form.useForm<F & { why?: string }>();
  const values = (Form.useWatch([], form) ?? fresh ?? {}) as Partial<F>;
  const [base, setBase] = useState<Tagged<F>>();
  const [newer, setNewer] = useState<Tagged<F>>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  // Read once: what a person is changing must not change under their hands.
  const first = useQuery({ queryKey: ["edit", ...about], queryFn: () => read?.(), enabled: Boolean(read) && !base, gcTime: 0, refetchInterval: false });
  useEffect(() => {
    if (first.data && !base) setBase(first.data);
  }, [first.data, base]);

  const save = async ({ why, ...rest }: F & { why?: string }) => {
    setBusy(true);
    setError(undefined);
    try {
      await write(rest as F, { header: { "Idempotency-Key": newKey(), ...condition(base?.tag) }, query: { why: why || undefined } });
      say("success", t("saved"));
      void queries.invalidateQueries();
      close();
    } catch (failed) {
      const late = failed instanceof ApiError && failed.code === "precondition" && read;
      const now = late ? await read().catch(() => undefined) : undefined;
      if (now) setNewer(now);
      else setError(failed);
    } finally {
      setBusy(false);
    }
  };
  const settle = (theirs: boolean) => {
    if (!newer) return;
    if (theirs) form.setFieldsValue(newer.values as Parameters<typeof form.setFieldsValue>[0]);
    setBase(newer);
    setNewer(undefined);
  };
  const ready = !read || base;
  return (
    <Drawer
      open onClose={close} size={480} title={title}
      footer={<Space><Button type="primary" loading={busy} disabled={!ready || Boolean(newer)} onClick={() => form.submit()}>{t("save")}</Button><Button onClick={close}>{t("cancel")}</Button></Space>}
    >
      {first.error && !base ? <Failure error={first.error} retry={() => void first.refetch()} /> : null}
      {newer && base ? <Conflict labels={labels} was={base.values} now={newer.values} mine={values} settle={settle} /> : null}
      {error ? <div style={{ marginBottom: 12 }}><Failure error={error} /></div> : null}
      {ready ? (
        <Form form={form} layout="vertical" initialValues={base?.values ?? fresh} onFinish={(all) => void save(all)} requiredMark="optional">
          {children({ ...(base?.values ?? fresh), ...values } as Partial<F>)}
          <Form.Item name="why" label={t("why")}><Input placeholder={t("whyHint")} maxLength={1000} /></Form.Item>
        </Form>
      ) : first.error ? null : <Skeleton active />}
    </Drawer>
  );
}

function Conflict<F extends object>({ labels, was, now, mine, settle }: { labels: Props<F>["labels"]; was: F; now: F; mine: Partial<F>; settle: (theirs: boolean) => void }) {
  const { t } = useTranslation("ui");
  const changed = (Object.keys(labels) as (keyof F & string)[]).filter((name) => shown(was[name]) !== shown(now[name]));
  return (
    <Alert
      type="warning" showIcon role="alert" style={{ marginBottom: 16 }} title={t("conflict.title")}
      description={
        <>
          <p style={{ marginTop: 0 }}>{t("conflict.text")}</p>
          <table style={{ width: "100%", marginBottom: 12 }}>
            <thead><tr style={{ textAlign: "start" }}>{[t("conflict.field"), t("conflict.was"), t("conflict.now"), t("conflict.mine")].map((head) => <th key={head} style={{ textAlign: "start" }}>{head}</th>)}</tr></thead>
            <tbody>{changed.map((name) => <tr key={name}><th scope="row" style={{ textAlign: "start", fontWeight: 400 }}>{labels[name]}</th>{[was[name], now[name], mine[name]].map((v, i) => <td key={i}>{shown(v)}</td>)}</tr>)}</tbody>
          </table>
          <Space wrap><Button size="small" onClick={() => settle(true)}>{t("conflict.theirs")}</Button><Button size="small" onClick={() => settle(false)}>{t("conflict.keep")}</Button></Space>
        </>
      }
    />
  );
}
