// What has become of nodes lately: today's states in one answer, a strip of dates for each row in sight.
import { useQuery } from "@tanstack/react-query";
import { Tooltip } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../../api/client.ts";
import { api, data, type Schema, type State } from "../../app/api.ts";
import { shift, useToday } from "../../app/today.ts";
import { stateColor, states } from "../../ui/State.tsx";
import "./nodes.css";

const meaning: Record<Schema<"MapState">, State> = { failed: "failed", running: "running", retrying: "running", frozen: "frozen", waiting: "notRunning", succeeded: "succeeded", dryRun: "succeeded" };
const rows = 4096;

/** The state of each node in the day of the schedule that is due today. */
export function useTodayStates(): Map<string, State> | undefined {
  const day = useToday()?.yesterday;
  const { data: found } = useQuery({
    queryKey: ["schedule", "states", day],
    enabled: day !== undefined,
    refetchInterval: 10_000,
    queryFn: async () => {
      const plan = (await data(api.GET("/v1/schedule/{date}", { params: { path: { date: day ?? "" } } })).catch(absent))?.plan.id;
      const parts: Schema<"BackfillMap">[] = [];
      for (let nodeFrom = 0; plan && (parts[0] === undefined || nodeFrom < parts[0].nodes); nodeFrom += rows) {
        parts.push(await data(api.GET("/v1/backfills/{backfill}/map", { params: { path: { backfill: plan }, query: { nodeFrom, nodeCount: rows, rows, columns: 1 } } })));
      }
      return parts;
    },
  });
  return useMemo(() => found && new Map(found.flatMap(statesOf)), [found]);
}

/** The day may not have been made: a new cluster, nothing switched on. */
function absent(error: unknown): undefined {
  if (!(error instanceof ApiError && error.code === "not_found")) throw error;
}

function statesOf(map: Schema<"BackfillMap">): [string, State][] {
  const cells = Uint8Array.from(atob(map.cells), (c) => c.charCodeAt(0));
  return map.rowNodes.flatMap((id, row) => {
    const said = map.legend[cells[row * map.columns] ?? 255];
    return said ? [[id, meaning[said]] as [string, State]] : [];
  });
}

const days = 14;

/** The last dates of a node, a mark each. Asked for only while its row is there, and seldom. */
export function Strip({ node }: { node: string }) {
  const { t } = useTranslation("nodes");
  const ui = useTranslation("ui").t;
  const to = useToday()?.yesterday;
  const from = to && shift(to, 1 - days);
  const coverage = useQuery({
    queryKey: ["nodes", node, "strip", to],
    enabled: to !== undefined,
    staleTime: 30_000, refetchInterval: 60_000,
    queryFn: () => data(api.GET("/v1/nodes/{node}/coverage", { params: { path: { node }, query: { date_from: from, date_to: to } } })),
  });
  if (!coverage.data || !from || !to) return <span className="strip" aria-hidden />;
  const by = new Map(coverage.data.items.map((c) => [c.date, c.state]));
  const dates = Array.from({ length: days }, (_, i) => shift(from, i));
  const counts = [...states, undefined].map((s) => ({ s, n: dates.filter((d) => by.get(d) === s).length })).filter(({ n }) => n > 0);
  const text = t("strip.summary", { from, to, text: counts.map(({ s, n }) => `${s ? ui(`state.${s}`) : t("strip.none")} ${n}`).join(", ") });
  return (
    <Tooltip title={text}>
      <span className="strip" role="img" aria-label={text}>
        {dates.map((d) => <Mark key={d} state={by.get(d)} />)}
      </span>
    </Tooltip>
  );
}

function Mark({ state }: { state?: State }) {
  return <span className="mark" data-state={state ?? "none"} style={state ? { background: stateColor(state) } : undefined} />;
}
