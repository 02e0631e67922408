import { Button, Segmented } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import type { Node } from "../../app/api.ts";
import { choice, useUrl } from "../../app/url.ts";
import { Code } from "../../ui/Code.tsx";
import { say } from "../../ui/say.ts";
import { yaml } from "../../ui/yaml.ts";

const forms = ["yaml", "json"] as const;
const fields = { form: choice(forms, "yaml") };

export function Definition({ node }: { node: Node }) {
  const { t } = useTranslation("nodes");
  const [{ form }, go] = useUrl(fields);
  const text = useMemo(() => (form === "yaml" ? yaml(node) : JSON.stringify(node, null, 2)), [node, form]);
  const copy = () => void navigator.clipboard.writeText(text).then(() => say("success", t("definition.copied")));
  return (
    <div style={{ overflow: "auto", paddingBottom: 16 }}>
      <div className="row" style={{ marginBottom: 12 }}>
        <Segmented aria-label={t("tab.definition")} value={form} onChange={(f) => go({ form: f })} options={forms.map((value) => ({ value, label: value.toUpperCase() }))} />
        <Button onClick={copy}>{t("definition.copy")}</Button>
      </div>
      <Code text={text} language={form} label={t("definition.label", { node: node.id })} />
    </div>
  );
}
