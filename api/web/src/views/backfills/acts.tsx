// What can be done to whole backfills: when, what happens then, and to whom.
import { CaretRightOutlined, EllipsisOutlined, PauseOutlined, RedoOutlined, StopOutlined } from "@ant-design/icons";
import { useNavigate } from "@tanstack/react-router";
import { Button, Dropdown, Tooltip, Typography, type MenuProps } from "antd";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type BackfillSummary, type Schema } from "../../app/api.ts";
import { useMay } from "../../app/me.ts";
import { Steer } from "../../ui/Steer.tsx";
import { EditDialog } from "./EditDialog.tsx";

export type Act = Schema<"BackfillOperation">;
export const acts: readonly Act[] = ["pause", "resume", "rerunFailed", "freeze", "unfreeze", "stop"];

const icons: Partial<Record<Act, ReactNode>> = { pause: <PauseOutlined />, resume: <CaretRightOutlined />, stop: <StopOutlined />, rerunFailed: <RedoOutlined /> };

export function unfinished({ counts }: BackfillSummary): boolean {
  return counts.notRunning + counts.waitingTime + counts.running + counts.frozen > 0;
}

/** Whether it can be done as the backfill stands (RULES R9); the coordinator has the last word. */
export function able(act: Act, b: BackfillSummary): boolean {
  switch (act) {
    case "pause": return unfinished(b) && !b.paused && !b.stopped;
    case "resume": return b.paused || b.stopped || b.halted;
    case "stop": return unfinished(b) && !b.stopped;
    case "rerunFailed": return b.counts.failed > 0;
    case "freeze": return b.counts.notRunning + b.counts.waitingTime > 0;
    case "unfreeze": return b.counts.frozen > 0;
  }
}

/** Why it cannot be done; empty when it can. */
function useHint(): (act: Act, of: BackfillSummary[]) => string {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const may = useMay()("operateBackfills");
  return (act, of) => (!may ? ui("steer.mayNot") : of.some((b) => able(act, b)) ? "" : t(`not.${act}`));
}

function Ask({ act, of, close }: { act: Act; of: BackfillSummary[]; close: (done: boolean) => void }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const [backfills] = useState(() => of.filter((b) => able(act, b)));
  const left = of.length - backfills.length;
  const only = backfills.length === 1 ? backfills[0] : undefined;
  return (
    <Steer<Schema<"OperationBatch">>
      title={t(`say.${act}`)} danger={act === "stop"} count={backfills.length} close={close}
      what={<>{only ? <Typography.Text strong style={{ display: "block" }}>{only.name} <span className="mono muted">{only.id}</span></Typography.Text> : null}{t(`what.${act}`, { count: backfills.length })}{left > 0 ? <span className="muted"> {ui("steer.left", { count: left })}</span> : null}</>}
      run={(why, key, without) => data(api.POST("/v1/backfills/operate", { params: { header: key }, body: { operation: act, backfills: backfills.map((b) => b.id).filter((id) => !without.has(id)), why } }))}
      said={(r) => t("said", { what: t(`say.${act}`), count: r.instances, backfills: backfills.map((b) => b.name).slice(0, 3).join(", ") })}
    />
  );
}

/** Buttons for several chosen ones. */
export function BatchBar({ chosen, clear }: { chosen: BackfillSummary[]; clear: () => void }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const hint = useHint();
  const [act, setAct] = useState<Act>();
  return (
    <div className="row" role="toolbar" aria-label={t("bar")}>
      <Typography.Text strong>{ui("chosen", { count: chosen.length })}</Typography.Text>
      {acts.map((a) => <ActButton key={a} act={a} hint={hint(a, chosen)} ask={setAct} />)}
      <Button size="small" type="text" onClick={clear}>{ui("steer.clear")}</Button>
      {act ? <Ask act={act} of={chosen} close={(done) => { setAct(undefined); if (done) clear(); }} /> : null}
    </div>
  );
}

function ActButton({ act, hint, ask }: { act: Act; hint: string; ask: (act: Act) => void }) {
  const { t } = useTranslation("backfills");
  return <Tooltip title={hint}><Button size="small" danger={act === "stop"} disabled={hint !== ""} onClick={() => ask(act)} icon={icons[act]}>{t(`say.${act}`)}</Button></Tooltip>;
}

/** What one backfill offers: in a row of the list as signs, at the head of its page in words. */
export function Actions({ of, words = false }: { of: BackfillSummary; words?: boolean }) {
  const { t } = useTranslation("backfills");
  const { t: ui } = useTranslation("ui");
  const hint = useHint();
  const may = useMay();
  const navigate = useNavigate();
  const [act, setAct] = useState<Act>();
  const [edits, setEdits] = useState(false);
  const held: Act = able("resume", of) ? "resume" : "pause";
  const first: Act[] = [held, "rerunFailed", "stop"];
  const editHint = !may("editBackfill") ? ui("steer.mayNot") : of.kind === "auto" || !unfinished(of) ? t("not.edit") : "";
  const items: MenuProps["items"] = [
    ...acts.filter((a) => !first.includes(a) && (a === "freeze" || a === "unfreeze")).map((a) => ({ key: a, label: t(`say.${a}`), disabled: hint(a, [of]) !== "", title: hint(a, [of]) })),
    { type: "divider" },
    { key: "edit", label: t("say.edit"), disabled: editHint !== "", title: editHint },
    ...(words ? [] : [{ key: "receipt", label: t("say.receipt") }]),
    { key: "again", label: t("say.again"), disabled: of.kind === "auto", title: of.kind === "auto" ? t("not.again") : "" },
  ];
  const choose = (key: string) => {
    const chosen = acts.find((a) => a === key);
    if (chosen) setAct(chosen);
    else if (key === "edit") setEdits(true);
    else if (key === "receipt") void navigate({ to: "/backfills/$backfill", params: { backfill: of.id }, search: { tab: "receipt" } as never });
    else void navigate({ to: "/backfills/new", search: { from: of.id } as never });
  };
  return (
    <span className="row" style={{ gap: words ? 8 : 0, flexWrap: "nowrap" }}>
      {first.map((a) => (words
        ? <ActButton key={a} act={a} hint={hint(a, [of])} ask={setAct} />
        : <Tooltip key={a} title={hint(a, [of]) || t(`say.${a}`)}><Button size="small" type="text" style={{ width: 25, height: 25, flexShrink: 0 }} icon={icons[a]} disabled={hint(a, [of]) !== ""} aria-label={`${t(`say.${a}`)}: ${of.name}`} onClick={() => setAct(a)} /></Tooltip>))}
      <Dropdown trigger={["click"]} menu={{ items, onClick: ({ key }) => choose(key) }}>
        <Button size="small" type={words ? "default" : "text"} style={words ? undefined : { width: 25, height: 25, flexShrink: 0 }} icon={<EllipsisOutlined />} aria-label={t("actionsOf", { name: of.name })} />
      </Dropdown>
      {act ? <Ask act={act} of={[of]} close={() => setAct(undefined)} /> : null}
      {edits ? <EditDialog id={of.id} close={() => setEdits(false)} /> : null}
    </span>
  );
}
