import { message, notification } from "antd";
import { useEffect } from "react";

import { speaks } from "./say.ts";

/** Draws what is said by `say`. */
export default function Says() {
  const [messages, here] = message.useMessage();
  const [notices, there] = notification.useNotification();
  useEffect(
    () =>
      speaks(({ kind, text, detail, stays }) => {
        if (detail !== undefined || stays) notices[kind]({ title: text, description: detail, duration: stays ? 0 : undefined });
        else void messages[kind](text);
      }),
    [messages, notices],
  );
  return <>{here}{there}</>;
}
