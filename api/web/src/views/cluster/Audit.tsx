import { useTranslation } from "react-i18next";

import { Page } from "../../ui/Page.tsx";

export default function Audit() {
  const { t } = useTranslation("cluster");
  return <Page title={t("title")}>{null}</Page>;
}
