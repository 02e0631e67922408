import { useTranslation } from "react-i18next";

import { Page } from "../../ui/Page.tsx";

export default function Schedule() {
  const { t } = useTranslation("schedule");
  return <Page title={t("title")}>{null}</Page>;
}
