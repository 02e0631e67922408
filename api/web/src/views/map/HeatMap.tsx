/** Node × date of a backfill or a day of the schedule, each cell a state. */
export default function HeatMap({ backfill }: { backfill: string }) {
  return <div data-backfill={backfill} />;
}
