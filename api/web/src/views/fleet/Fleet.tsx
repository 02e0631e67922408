import { useTranslation } from "react-i18next";

import { Page } from "../../ui/Page.tsx";

export default function Fleet() {
  const { t } = useTranslation("fleet");
  return <Page title={t("title")}>{null}</Page>;
}
