import { Typography } from "antd";
import { useTranslation } from "react-i18next";

/** A line to copy: into a terminal, or where a secret is kept. */
export function Command({ text, label }: { text: string; label: string }) {
  const { t } = useTranslation("ui");
  return (
    <div className="row" style={{ flexWrap: "nowrap", alignItems: "flex-start", background: "var(--ground)", border: "1px solid var(--line)", borderRadius: 6, padding: "8px 12px" }}>
      <code className="mono" aria-label={label} style={{ flex: 1, overflowWrap: "anywhere", whiteSpace: "pre-wrap", textAlign: "start" }}>{text}</code>
      <Typography.Text copyable={{ text, tooltips: [t("copy"), t("copied")] }} aria-label={t("copy")} />
    </div>
  );
}
