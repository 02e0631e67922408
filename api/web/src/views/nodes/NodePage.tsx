import { useTranslation } from "react-i18next";

import { Page } from "../../ui/Page.tsx";

export default function NodePage() {
  const { t } = useTranslation("nodes");
  return <Page title={t("title")}>{null}</Page>;
}
