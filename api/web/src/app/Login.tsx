import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Card, Divider, Form, Input } from "antd";
import { useTranslation } from "react-i18next";

import { newKey } from "../api/client.ts";
import { Failure } from "../ui/Failure.tsx";
import { api, data, type Schema } from "./api.ts";

export default function Login() {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const ways = useQuery({ queryKey: ["login"], queryFn: () => data(api.GET("/v1/login")), staleTime: Infinity });
  const enter = useMutation({
    mutationFn: ({ token }: { token: string }) => data(api.POST("/v1/sessions", { params: { header: { "Idempotency-Key": newKey() } }, body: { token: token.trim(), cookie: true } })),
    // Whoever comes back finds what was shown; somebody else begins anew, at the same address.
    onSuccess: ({ name }) => {
      const before = queries.getQueryData<Schema<"Me">>(["me"]);
      if (before && before.name !== name) location.reload();
      else void (before ? queries.invalidateQueries() : queries.resetQueries());
    },
  });
  return (
    <main style={{ minHeight: "100%", display: "grid", placeItems: "center" }}>
      <Card style={{ width: 380, maxWidth: "94vw" }}>
        <h1 style={{ fontSize: 18, marginTop: 0 }}>{t("login.title", { cluster: ways.data?.cluster ?? "Backfleet" })}</h1>
        {ways.error ? <Failure error={ways.error} retry={() => void ways.refetch()} /> : null}
        {ways.data?.oidc ? <Button type="primary" block size="large" href={`${ways.data.oidc.page}?next=${encodeURIComponent(location.pathname + location.search)}`}>{t("login.provider")}</Button> : null}
        {ways.data?.oidc && ways.data.token ? <Divider /> : null}
        {ways.data?.token ? (
          <Form layout="vertical" onFinish={(values: { token: string }) => enter.mutate(values)} requiredMark={false}>
            <Form.Item name="token" label={t("login.token")} extra={t("login.tokenHint")} rules={[{ required: true, message: t("login.token") }]}>
              <Input.Password autoComplete="current-password" autoFocus />
            </Form.Item>
            {enter.error ? <div style={{ marginBottom: 12 }}><Failure error={enter.error} /></div> : null}
            <Button htmlType="submit" block type={ways.data.oidc ? "default" : "primary"} loading={enter.isPending}>{t("login.submit")}</Button>
          </Form>
        ) : null}
        {ways.data && !ways.data.oidc && !ways.data.token ? t("login.none") : null}
      </Card>
    </main>
  );
}
