import { useTranslation } from "react-i18next";

import { Page } from "../../ui/Page.tsx";

export default function Graph() {
  const { t } = useTranslation("graph");
  return <Page title={t("title")}>{null}</Page>;
}
