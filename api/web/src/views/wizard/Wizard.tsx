import { useTranslation } from "react-i18next";

import { Page } from "../../ui/Page.tsx";

export default function Wizard() {
  const { t } = useTranslation("wizard");
  return <Page title={t("title")}>{null}</Page>;
}
