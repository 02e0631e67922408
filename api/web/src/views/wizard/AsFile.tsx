import { CopyOutlined, DownloadOutlined } from "@ant-design/icons";
import { Button, Segmented } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { Code } from "../../ui/Code.tsx";
import { say } from "../../ui/say.ts";
import type { Request } from "./draft.ts";
import { commandOf, yamlOf } from "./yaml.ts";

const command = "backfleet backfill submit -f request.yaml";

/** The same request for a file that is kept beside code, or for a shell. */
export function AsFile({ request }: { request: Request }) {
  const { t } = useTranslation("wizard");
  const [kind, setKind] = useState<"yaml" | "shell">("yaml");
  const text = kind === "yaml" ? yamlOf(request) : commandOf(request);
  return (
    <>
      <div className="row" style={{ marginBottom: 8 }}>
        <Segmented value={kind} onChange={setKind} options={[{ value: "yaml" as const, label: t("file.yaml") }, { value: "shell" as const, label: t("file.shell") }]} />
        <Copy text={text} label={t("file.copy")} />
        {kind === "yaml" ? <Button size="small" icon={<DownloadOutlined />} href={`data:text/yaml;charset=utf-8,${encodeURIComponent(text)}`} download="request.yaml">{t("file.save")}</Button> : null}
      </div>
      <Code text={text} language={kind === "yaml" ? "yaml" : "bash"} label={t(kind === "yaml" ? "file.yaml" : "file.shell")} />
      {kind === "yaml" ? <p className="row"><code>{command}</code><Copy text={command} label={t("file.copyCommand")} /></p> : null}
      <p className="muted wz-help">{t("file.about")}</p>
    </>
  );
}

function Copy({ text, label }: { text: string; label: string }) {
  const { t } = useTranslation("ui");
  // Not to be had where the page did not come over TLS or from this machine.
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("success", t("copied"));
    } catch (error) {
      say("error", String(error));
    }
  };
  return <Button size="small" icon={<CopyOutlined />} onClick={() => void copy()}>{label}</Button>;
}
