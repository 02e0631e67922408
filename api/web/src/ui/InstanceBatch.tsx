// What can be done to several instances at once. Operations are all or nothing: those that an
// operation cannot be done to are left out before, and a refusal names those that changed meanwhile.
import { DownOutlined } from "@ant-design/icons";
import { Button, Dropdown, Select, Tooltip, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { api, data, type Instance, type Schema, type State } from "../app/api.ts";
import { useMay } from "../app/me.ts";
import { Steer } from "./Steer.tsx";

type Word = "stop" | "rerun" | "rerunDescendants" | "setToSuccess" | "freeze" | "unfreeze" | "forceRun" | "setPriority";

const waits: State[] = ["notRunning", "waitingTime"];
const ended: State[] = ["succeeded", "failed", "notRunning"];

/** The states in which an operation may be possible (RULES R9); the coordinator has the last word. */
const possible: Record<Word, State[]> = {
  stop: ["running", ...waits], rerun: ended, rerunDescendants: ended, setToSuccess: ["failed"],
  freeze: waits, unfreeze: ["frozen"], forceRun: waits, setPriority: waits,
};
const first: Word[] = ["rerun", "stop", "setToSuccess", "freeze", "unfreeze"];
const further: Word[] = ["rerunDescendants", "forceRun", "setPriority"];
const priorities = [8, 7, 5, 3, 2, 1];

const able = (word: Word, chosen: Instance[]) => chosen.filter((i) => possible[word].includes(i.state));

export function InstanceBatch({ chosen, clear }: { chosen: Instance[]; clear: () => void }) {
  const { t } = useTranslation("ui");
  const may = useMay()("operateInstances");
  const [word, setWord] = useState<Word>();
  const hint = (w: Word) => (!may ? t("steer.mayNot") : able(w, chosen).length === 0 ? t(`steer.none.${w}`) : "");
  return (
    <div className="row" role="toolbar" aria-label={t("steer.bar")}>
      <Typography.Text strong>{t("chosen", { count: chosen.length })}</Typography.Text>
      {first.map((w) => (
        <Tooltip key={w} title={hint(w)}>
          <Button size="small" danger={w === "stop"} disabled={hint(w) !== ""} onClick={() => setWord(w)}>{t(`steer.do.${w}`)}</Button>
        </Tooltip>
      ))}
      <Dropdown trigger={["click"]} menu={{ onClick: ({ key }) => setWord(further.find((w) => w === key)), items: further.map((w) => ({ key: w, disabled: hint(w) !== "", title: hint(w), label: t(`steer.do.${w}`) })) }}>
        <Button size="small">{t("steer.further")} <DownOutlined /></Button>
      </Dropdown>
      <Button size="small" type="text" onClick={clear}>{t("steer.clear")}</Button>
      {word ? <Ask word={word} chosen={chosen} close={(done) => { setWord(undefined); if (done) clear(); }} /> : null}
    </div>
  );
}

function Ask({ word, chosen, close }: { word: Word; chosen: Instance[]; close: (done: boolean) => void }) {
  const { t } = useTranslation("ui");
  // As they were when one asked: what is shown must not change under one's hand.
  const [instances] = useState(() => able(word, chosen).map((i) => i.id));
  const [left] = useState(chosen.length - instances.length);
  const [priority, setPriority] = useState(5);
  const operation: Schema<"InstanceOperation"> = word === "rerunDescendants" ? "rerun" : word;
  return (
    <Steer<Schema<"OperationBatch">>
      title={t(`steer.do.${word}`)} danger={word === "stop"} count={instances.length} close={close}
      what={<>{t(`steer.what.${word}`, { count: instances.length })}{left > 0 ? <span className="muted"> {t("steer.left", { count: left })}</span> : null}</>}
      run={(why, key, without) => data(api.POST("/v1/instances/operate", {
        params: { header: key },
        body: {
          operation, instances: instances.filter((id) => !without.has(id)), why,
          descendants: word === "rerunDescendants" ? "all" : undefined, priority: word === "setPriority" ? priority : undefined,
        },
      }))}
      said={(r) => t("steer.said", { what: t(`steer.do.${word}`), count: r.instances, backfills: r.backfills.map((b) => b.backfill).slice(0, 5).join(", ") })}
    >
      {word === "setPriority" ? (
        <Select value={priority} onChange={setPriority} aria-label={t("steer.do.setPriority")} style={{ width: 120, marginBottom: 12 }} options={priorities.map((value) => ({ value, label: value }))} />
      ) : null}
    </Steer>
  );
}
