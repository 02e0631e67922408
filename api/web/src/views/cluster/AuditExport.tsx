import { DownloadOutlined } from "@ant-design/icons";
import { Button, Modal } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { Command } from "../../ui/Command.tsx";
import { Failure } from "../../ui/Failure.tsx";
import { readAudit, type AuditQuery } from "./audit.ts";

const flags: Record<keyof AuditQuery, string> = { actor: "actor", operation: "operation", target: "target", code: "code", contains: "contains", at_from: "from", at_to: "to" };
const quoted = (word: string) => (/^[\w./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** The command that writes the same records. */
export function exportCommand(query: AuditQuery): string {
  const given = (Object.keys(flags) as (keyof AuditQuery)[]).flatMap((name) => { const value = query[name]; return value ? [`--${flags[name]} ${quoted(value)}`] : []; });
  return ["backfleet audit export", ...given].join(" ") + " > audit.jsonl";
}

/** All records that the filters give, in a file or by the command line. */
export function AuditExport({ query }: { query: AuditQuery }) {
  const { t } = useTranslation("cluster");
  const { t: u } = useTranslation("ui");
  const [open, setOpen] = useState(false);
  const [read, setRead] = useState<number>();
  const [done, setDone] = useState(false);
  const [error, setError] = useState<unknown>();
  const save = async () => {
    setError(undefined);
    setDone(false);
    try {
      const lines: string[] = [];
      let cursor: string | undefined;
      do {
        const page: Awaited<ReturnType<typeof readAudit>> = await readAudit(query, 1000, cursor);
        for (const record of page.items) lines.push(JSON.stringify(record) + "\n");
        setRead(lines.length);
        cursor = page.next;
      } while (cursor);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
      link.download = "audit.jsonl";
      link.click();
      URL.revokeObjectURL(link.href);
      setDone(true);
    } catch (failed) {
      setError(failed);
      setRead(undefined);
    }
  };
  const busy = read !== undefined && !done && !error;
  return (
    <>
      <Button icon={<DownloadOutlined />} onClick={() => setOpen(true)}>{t("audit.export")}</Button>
      <Modal open={open} onCancel={() => setOpen(false)} title={t("audit.export")} okText={t("audit.download")} cancelText={u("close")} confirmLoading={busy} onOk={() => void save()}>
        <p>{t("audit.exportWhat")}</p>
        <p style={{ marginBottom: 4 }}>{t("audit.cli")}</p>
        <Command label={t("audit.cli")} text={exportCommand(query)} />
        <p role="status" className="muted">{done ? t("audit.exported", { count: read ?? 0 }) : busy ? t("audit.exporting", { count: read }) : ""}</p>
        {error ? <Failure error={error} /> : null}
      </Modal>
    </>
  );
}
