import { useTranslation } from "react-i18next";

import { Page } from "../../ui/Page.tsx";

export default function BackfillPage() {
  const { t } = useTranslation("backfills");
  return <Page title={t("title")}>{null}</Page>;
}
