import { Link, type ErrorComponentProps } from "@tanstack/react-router";
import { Button, Result } from "antd";
import { useTranslation } from "react-i18next";

import { explain } from "../ui/Failure.tsx";

export function NotFound() {
  const { t } = useTranslation();
  return <Result status="404" title={t("notFound.title")} subTitle={t("notFound.text")} extra={<Link to="/nodes">{t("notFound.home")}</Link>} />;
}

/** A view that has thrown; the others go on. */
export function Broken({ error, reset }: ErrorComponentProps) {
  const { t } = useTranslation();
  return (
    <Result status="error" title={t("broke.title")} subTitle={t("broke.text")} extra={<Button onClick={reset}>{t("broke.again")}</Button>}>
      <pre className="mono">{explain(error)}</pre>
    </Result>
  );
}
