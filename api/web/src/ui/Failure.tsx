import { Alert, Button, Empty as Nothing } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../api/client.ts";

/** What an error says to people: its sentence, the field, and what to quote to operators. */
export function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useTranslation("ui");
  const problem = error instanceof ApiError ? error.problem : undefined;
  return (
    <Alert
      type="error"
      showIcon
      role="alert"
      title={explain(error)}
      description={
        problem ? (
          <>
            {problem.errors?.map((e, i) => <div key={i}>{e.field ? <code>{e.field}</code> : null} {e.message}</div>)}
            <span className="muted mono">{t("request", { id: problem.requestId })}</span>
          </>
        ) : undefined
      }
      action={retry ? <Button size="small" onClick={retry}>{t("again")}</Button> : undefined}
    />
  );
}

/** An empty place that teaches what would be there, and how it gets there. */
export function Teach({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Nothing image={Nothing.PRESENTED_IMAGE_SIMPLE} description={<><strong style={{ fontWeight: 600, color: "var(--text)" }}>{title}</strong><div className="muted" style={{ maxWidth: 560, margin: "8px auto 0" }}>{children}</div></>}>
      {action}
    </Nothing>
  );
}
