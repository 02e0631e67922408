// Asking before something is done to what runs: what will happen, why one does it, and, when a
// coordinator refuses, what stood in the way.
import { Alert, Input, Modal, Typography } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../api/client.ts";
import { explain, titleOf } from "./Failure.tsx";
import { useWrite } from "./operate.tsx";

export interface SteerProps<R> {
  title: string;
  /** What will happen, in a sentence. */
  what: ReactNode;
  danger?: boolean;
  /** Nothing can be done as it stands. */
  disabled?: boolean;
  /** Does it, without those that a refusal has named. */
  run: (why: string | undefined, key: { "Idempotency-Key": string }, without: ReadonlySet<string>) => Promise<R>;
  /** How it went, in a sentence. */
  said: (result: R) => string;
  close: (done: boolean) => void;
  /** How many are meant, for the offer to leave out those that stand in the way. */
  count?: number;
  children?: ReactNode;
}

export function Steer<R>({ title, what, danger, disabled, run, said, close, count = 0, children }: SteerProps<R>) {
  const { t } = useTranslation("ui");
  const [why, setWhy] = useState("");
  const write = useWrite<ReadonlySet<string>, R>((without, key) => run(why.trim() || undefined, key, without), (result) => { close(true); return said(result); }, { quiet: true });
  const offenders = write.error instanceof ApiError ? (write.error.problem.errors ?? []) : [];
  const named = new Set(offenders.map((e) => e.field).filter((f) => f !== undefined));
  const left = count - named.size;
  const retry = named.size > 0 && left > 0;
  return (
    <Modal
      open title={title} onCancel={() => close(false)} cancelText={t("cancel")}
      okText={retry ? t("steer.others", { count: left }) : title} okButtonProps={{ danger, disabled: disabled || (named.size > 0 && !retry) }}
      confirmLoading={write.isPending} onOk={() => write.mutate(retry ? new Set([...named, ...(write.variables ?? [])]) : new Set())}
    >
      <Typography.Paragraph>{what}</Typography.Paragraph>
      {children}
      <label>
        <span className="muted">{t("why")}</span>
        <Input.TextArea value={why} onChange={(e) => setWhy(e.target.value)} maxLength={1000} autoSize={{ minRows: 2, maxRows: 6 }} placeholder={t("whyHint")} aria-label={t("why")} />
      </label>
      {write.error ? (
        <Alert
          type="error" showIcon role="alert" style={{ marginTop: 12 }} title={named.size > 0 ? t("steer.refused", { count: named.size }) : titleOf(write.error)}
          description={offenders.length > 0 ? <ul style={{ margin: 0, paddingInlineStart: 18, maxHeight: 180, overflow: "auto" }}>{offenders.map((e, i) => <li key={i}><span className="mono">{e.field}</span> {e.message}</li>)}</ul> : explain(write.error)}
        />
      ) : null}
    </Modal>
  );
}
