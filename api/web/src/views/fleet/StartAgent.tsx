import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { api, data } from "../../app/api.ts";
import { Command } from "../../ui/Command.tsx";

/** The command line that starts an agent of this cluster; with a token, it is put into a file first. */
export function StartAgent({ token, groups = [] }: { token?: string; groups?: string[] }) {
  const { t } = useTranslation("fleet");
  const cluster = useQuery({ queryKey: ["cluster", "addresses"], queryFn: () => data(api.GET("/v1/cluster")) });
  const addresses = cluster.data?.servers.map((s) => s.rpcAddress).filter(Boolean).join(",") || "HOST:8471";
  const pools = (groups.length ? groups : ["default"]).map((g) => ` --group ${g}=$(nproc)`).join("");
  const start = `backfleet agent --data backfleet-agent --coordinators ${addresses}${pools}`;
  return <div style={{ marginTop: 8 }}><Command label={t("token.line")} text={token ? `(umask 077 && echo ${token} > token) && ${start} --token-file token` : start} /></div>;
}
