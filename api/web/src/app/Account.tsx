import { BulbOutlined, GlobalOutlined, UserOutlined } from "@ant-design/icons";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Button, Dropdown } from "antd";
import { useTranslation } from "react-i18next";

import { newKey } from "../api/client.ts";
import { api } from "./api.ts";
import { useMe } from "./me.ts";
import { language, look, useStored } from "./preferences.ts";

export default function Account() {
  const { t } = useTranslation();
  const me = useMe().data;
  const queries = useQueryClient();
  const [lang, setLanguage] = useStored(language);
  const [shown, setLook] = useStored(look);
  const leave = useMutation({
    mutationFn: () => api.DELETE("/v1/sessions/current", { params: { header: { "Idempotency-Key": newKey() } } }),
    onSettled: () => queries.resetQueries(),
  });
  return (
    <>
      <Dropdown trigger={["click"]} menu={{ selectable: true, selectedKeys: [lang], onClick: ({ key }) => setLanguage(key === "zh" ? "zh" : "en"), items: [{ key: "en", label: <span lang="en">English</span> }, { key: "zh", label: <span lang="zh-CN">中文</span> }] }}>
        <Button type="text" icon={<GlobalOutlined />} aria-label={t("preferences.language")} />
      </Dropdown>
      <Dropdown
        trigger={["click"]}
        menu={{
          selectable: true, selectedKeys: [shown], onClick: ({ key }) => setLook(key === "dark" || key === "light" ? key : "system"),
          items: (["light", "dark", "system"] as const).map((key) => ({ key, label: t(`preferences.${key}`) })),
        }}
      >
        <Button type="text" icon={<BulbOutlined />} aria-label={t("preferences.look")} />
      </Dropdown>
      <Dropdown
        trigger={["click"]}
        menu={{
          items: [
            { key: "who", disabled: true, label: me ? `${me.name} · ${me.role}` : "" },
            ...(me?.via === "open" ? [{ key: "open", disabled: true, label: t("account.open") }] : []),
            { key: "docs", label: <a href="/docs" target="_blank" rel="noreferrer">{t("account.docs")}</a> },
            ...(me && me.via !== "open" ? [{ key: "out", label: t("account.logout"), onClick: () => leave.mutate() }] : []),
          ],
        }}
      >
        <Button type="text" icon={<UserOutlined />} aria-label={t("account.account")}>{me?.name}</Button>
      </Dropdown>
    </>
  );
}
