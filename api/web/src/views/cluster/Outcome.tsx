import { StopOutlined } from "@ant-design/icons";
import { useTranslation } from "react-i18next";

import type { AuditRecord } from "./audit.ts";

/** Whether it was done; of refusals, how many like it were only counted. */
export function Outcome({ record }: { record: AuditRecord }) {
  const { t } = useTranslation("cluster");
  const { code, count = 0 } = record;
  if (!code) return <span>{t("audit.done")}{count > 1 ? <span className="muted"> · {t("audit.things", { count })}</span> : null}</span>;
  return <span title={record.message}><span style={{ color: "var(--state-failed)" }}><StopOutlined aria-hidden /> {t("audit.refused")}: {code}</span>{count ? <span className="muted"> · {t("audit.more", { count })}</span> : null}</span>;
}
