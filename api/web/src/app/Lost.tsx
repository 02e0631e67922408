import { Link, type ErrorComponentProps } from "@tanstack/react-router";
import { Button } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { explain } from "../ui/Failure.tsx";

export function NotFound() {
  const { t } = useTranslation();
  return <Lost title={t("notFound.title")} text={t("notFound.text")}><Link to="/nodes">{t("notFound.home")}</Link></Lost>;
}

/** A view that has thrown; the others go on. */
export function Broken({ error, reset }: ErrorComponentProps) {
  const { t } = useTranslation();
  return (
    <Lost title={t("broke.title")} text={t("broke.text")}>
      <Button onClick={reset}>{t("broke.again")}</Button>
      <pre className="mono" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>{explain(error)}</pre>
    </Lost>
  );
}

function Lost({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  return (
    <div style={{ maxWidth: 560, margin: "0 auto", padding: "64px 24px", textAlign: "center" }}>
      <h1 style={{ fontSize: 20 }}>{title}</h1>
      <p className="muted">{text}</p>
      {children}
    </div>
  );
}
