// What was asked for, as a file that the command line takes.
import { Link } from "@tanstack/react-router";
import { Typography } from "antd";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";
import { Code } from "../../ui/Code.tsx";
import { yamlOf } from "../wizard/yaml.ts";

export function RequestView({ of: { summary, request } }: { of: Schema<"Backfill"> }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const text = yamlOf(request);
  const auto = summary.kind === "auto";
  return (
    <div style={{ maxWidth: 900 }}>
      <div className="row" style={{ marginBottom: 8, justifyContent: "space-between" }}>
        <span className="muted">{t(auto ? "request.auto" : "request.hint")}</span>
        <span className="row">
          <Typography.Text copyable={{ text, tooltips: [ui("copy"), ui("copied")] }} />
          {auto ? null : <Link to="/backfills/new" search={{ from: summary.id } as never}>{t("say.again")}</Link>}
        </span>
      </div>
      <Code text={text} language="yaml" label={t("request.label")} />
    </div>
  );
}
