import { api, data, type Schema } from "../../app/api.ts";

export type AuditRecord = Schema<"AuditRecord">;

/** What the audit is asked for. */
export interface AuditQuery {
  actor?: string;
  operation?: string;
  target?: string;
  code?: string;
  contains?: string;
  at_from?: string;
  at_to?: string;
}

export async function readAudit(query: AuditQuery, limit: number, cursor?: string): Promise<Schema<"AuditPage">> {
  const page = await data(api.GET("/v1/audit", { params: { query: { ...query, cursor, limit } }, headers: { Accept: "application/json" } }));
  if (typeof page === "string") throw new Error("the audit came in another form than it was asked for"); // it has a form of lines, too
  return page;
}
