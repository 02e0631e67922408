// The bar at the bottom: how much would run, and the button that lets it.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Button, Modal, Tooltip } from "antd";
import { useTranslation } from "react-i18next";

import { ApiError } from "../../api/client.ts";
import { api, data } from "../../app/api.ts";
import { useMay } from "../../app/me.ts";
import { Failure } from "../../ui/Failure.tsx";
import { say } from "../../ui/say.ts";
import { warningText } from "../../ui/warning.ts";
import type { Request } from "./draft.ts";
import { keyOf, settled } from "./kept.ts";
import type { Previewed } from "./Preview.tsx";

const big = 100_000; // instances that are asked about

/** A submission; one whose outcome is unknown is repeated under its key, also after a reload. */
export function useSubmit(done: () => void) {
  const { t } = useTranslation("wizard");
  const queries = useQueryClient();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: (request: Request) => data(api.POST("/v1/backfills", { params: { header: { "Idempotency-Key": keyOf(request) } }, body: request })),
    onSuccess: (submission) => {
      settled();
      done();
      void queries.invalidateQueries({ queryKey: ["backfills"] });
      say("success", t("submitted", { name: submission.name }));
      void navigate({ to: "/backfills/$backfill", params: { backfill: submission.id } });
    },
    onError: (error) => {
      if (error instanceof ApiError && !error.temporary) settled();
    },
  });
}

export function SubmitBar({ request, previewed, submission, restart }: { request: Request; previewed: Previewed; submission: ReturnType<typeof useSubmit>; restart: () => void }) {
  const { t } = useTranslation("wizard");
  const [modal, asks] = Modal.useModal();
  const may = useMay()("submitBackfill");
  const { answer, fresh, error, missing } = previewed;
  const known = fresh ? answer?.preview : undefined;
  const press = async () => {
    const warnings = known?.warnings ?? [];
    const ask = !known || known.totals.instances > big || warnings.length > 0;
    const sure = !ask || (await modal.confirm({
      title: known ? t("sure.title", { count: known.totals.instances }) : t("sure.unknown"), okText: t("sure.yes"), cancelText: t("sure.no"), width: 560,
      content: <ul className="wz-list">{warnings.slice(0, 20).map((w, i) => <li key={i}>{warningText(w)}</li>)}{warnings.length > 20 ? <li>{t("sure.more", { count: warnings.length - 20 })}</li> : null}</ul>,
    }));
    if (sure) submission.mutate(request);
  };
  const why = !may ? t("mayNot") : missing.length ? missing.map((f) => t(`missing.${f}` as "missing.root")).join(" · ") : !known && !error ? t("preview.loading") : undefined;
  return (
    <div className="wz-submit">
      {asks}
      {submission.error ? <Failure error={submission.error} /> : null}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <span className="muted" role="status">{why ?? (known ? t("preview.summary", { count: known.dates, nodes: known.nodes.length, groups: known.groups.length }) : "")}</span>
        <Button onClick={restart}>{t("restart")}</Button>
        <Tooltip title={why}>
          <Button type="primary" disabled={why !== undefined} loading={submission.isPending} onClick={() => void press()}>
            {known && !missing.length ? t("submitCount", { count: known.totals.instances, n: known.totals.instances.toLocaleString() }) : t("submit")}
          </Button>
        </Tooltip>
      </div>
    </div>
  );
}
