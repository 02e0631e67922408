import { Alert, Button, Empty as Nothing } from "antd";
import i18next from "i18next";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../api/client.ts";

/** What went wrong, in the page's language. */
export function titleOf(error: unknown): string {
  const code = error instanceof ApiError ? error.code : error instanceof TypeError ? "unreachable" : undefined;
  return i18next.t(code ? [`problem.${code}`, "failed"] : "failed", { ns: "ui" });
}

/** What an error says itself; a coordinator's are in English. */
export function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An error to people: its kind, its sentence, the fields, and what to quote to operators. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useTranslation("ui");
  const problem = error instanceof ApiError ? error.problem : undefined;
  return (
    <Alert
      type="error"
      showIcon
      role="alert"
      title={titleOf(error)}
      description={
        <>
          <div>{problem?.field ? <Where field={problem.field} /> : null}{explain(error)}</div>
          {problem?.errors?.map((e, i) => <div key={i}>{e.field ? <Where field={e.field} /> : null}{e.message}</div>)}
          {problem ? <span className="muted mono">{t("request", { id: problem.requestId })}</span> : null}
        </>
      }
      action={retry ? <Button size="small" onClick={retry}>{t("again")}</Button> : undefined}
    />
  );
}

/** A field by its path; one of a request by the label that the form gives it, too. */
function Where({ field }: { field: string }) {
  const { t, i18n } = useTranslation("wizard");
  const label = `field.${field.split(/[.[]/)[0]}.label`;
  return <>{i18n.exists(label, { ns: "wizard" }) ? `${t(label as "field.root.label")} ` : null}<code>{field}</code> </>;
}

/** An empty place that teaches what would be there, and how it gets there. */
export function Teach({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Nothing image={Nothing.PRESENTED_IMAGE_SIMPLE} description={<><strong style={{ fontWeight: 600, color: "var(--text)" }}>{title}</strong><div className="muted" style={{ maxWidth: 560, margin: "8px auto 0" }}>{children}</div></>}>
      {action}
    </Nothing>
  );
}
