// The instances of a group of failures. The API tells what they have in common; here those that
// have it are looked up.
import { api, data, type Schema } from "../../app/api.ts";

/** As many as one operation takes. */
const most = 10_000;

export async function gather(backfill: string, group: Schema<"FailureGroup">, signal: AbortSignal): Promise<string[]> {
  const like = likeness(group);
  const node = group.nodes <= group.nodeIds.length ? group.nodeIds : undefined;
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await data(api.GET("/v1/backfills/{backfill}/instances", { params: { path: { backfill }, query: { state: ["failed"], node, date_from: group.firstDate, date_to: group.lastDate, limit: 1000, cursor } }, signal }));
    for (const instance of page.items) {
      if (like(instance.cause ?? "")) found.push(instance.id);
    }
    cursor = page.next || undefined;
  } while (cursor && found.length < most);
  return found.slice(0, most);
}

/** Whether a cause is of a group: the same but for what stands as `…`, and for its end, which is cut. */
function likeness({ cause: common, exitCode }: Schema<"FailureGroup">): (cause: string) => boolean {
  // Groups may differ in nothing but the exit code, which their cause does not say.
  const cause = exitCode === undefined ? common : common.replace("exit code …", `exit code ${exitCode}`);
  if (cause === "") return (other) => other === "";
  const parts = cause.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const form = new RegExp(`^${parts.join("[^]*?")}`);
  return (other) => form.test(other);
}
