import { Button, Tooltip, type ButtonProps } from "antd";
import { useTranslation } from "react-i18next";

import { useMay, useMe } from "../app/me.ts";

/** A button for an operation of the contract; greyed out, with the reason, for whom it is not. */
export function Act({ may, why, disabled, ...button }: ButtonProps & { may: string; /** Why it cannot be done now, whoever asks. */ why?: string }) {
  const { t } = useTranslation("ui");
  const allowed = useMay()(may);
  const role = useMe().data?.role ?? "";
  const reason = allowed ? why : t("denied", { role });
  return <Tooltip title={reason}><Button {...button} disabled={disabled || Boolean(reason)} /></Tooltip>;
}
