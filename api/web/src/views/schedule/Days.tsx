import { Button } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";
import { shift } from "../../app/today.ts";
import { CountsBar, StateTag } from "../../ui/State.tsx";
import { VirtualTable, type Column } from "../../ui/VirtualTable.tsx";

interface Props {
  days: Schema<"ScheduleDay">[];
  chosen?: string;
  /** The cluster's: a day runs on the date after its own. */
  today?: string;
  choose: (date: string) => void;
  more?: { load: () => void; loading: boolean };
}

/** The days, newest first; the one that is shown is marked. */
export function Days({ days, chosen, today, choose, more }: Props) {
  const { t } = useTranslation("schedule");
  const columns = useMemo<Column<Schema<"ScheduleDay">>[]>(() => {
    const due = (date: string) => (shift(date, 1) === today ? t("due.today") : date === today ? t("due.tomorrow") : "");
    return [
      {
        key: "date", title: t("day"), width: 130, render: ({ date }) => (
          <Button type="link" size="small" aria-current={date === chosen ? "date" : undefined} aria-label={t("choose", { date })} title={due(date)} onClick={() => choose(date)} style={{ padding: 0, fontWeight: date === chosen ? 700 : 400 }}>{date}</Button>
        ),
      },
      { key: "state", title: t("state"), width: 150, render: ({ date, plan }) => <StateTag state={plan.state} note={due(date) === t("due.today") ? due(date) : undefined} /> },
      { key: "progress", title: t("progress"), width: 90, render: ({ plan }) => <CountsBar counts={plan.counts} style={{ minWidth: 60 }} /> },
    ];
  }, [t, today, chosen, choose]);
  return <VirtualTable label={t("days")} columns={columns} items={days} rowKey={(d) => d.date} more={more} style={{ flex: "0 0 clamp(240px, 26vw, 352px)" }} />;
}
