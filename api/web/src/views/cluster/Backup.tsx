// A backup of all facts, as a file.
import { DownloadOutlined } from "@ant-design/icons";
import { Modal } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { Act } from "../../ui/Act.tsx";
import { Command } from "../../ui/Command.tsx";

export function Backup({ name }: { name: string }) {
  const { t } = useTranslation("cluster");
  const { t: u } = useTranslation("ui");
  const [open, setOpen] = useState(false);
  const file = `backfleet-${name}.snapshot`;
  return (
    <>
      <Act may="saveSnapshot" icon={<DownloadOutlined aria-hidden />} onClick={() => setOpen(true)}>{t("backup.save")}</Act>
      <Modal
        open={open} title={t("backup.title")} okText={t("backup.download")} cancelText={u("cancel")} onCancel={() => setOpen(false)} onOk={() => setOpen(false)}
        okButtonProps={{ href: "/v1/cluster/snapshot", download: file }}
      >
        <p>{t("backup.what")}</p>
        <p>{t("backup.care")}</p>
        <p style={{ marginBottom: 4 }}>{t("backup.inspect")}</p>
        <Command label={t("backup.inspect")} text={`backfleet cluster snapshot inspect ${file}`} />
      </Modal>
    </>
  );
}
