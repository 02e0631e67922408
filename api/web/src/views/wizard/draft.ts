// What the form holds: the request as the contract has it, with the fields of all modes, so
// that one may change one's mind; and what of it is asked for.
import type { Schema } from "../../app/api.ts";

export type Request = Schema<"BackfillRequest">;
export type Mode = Schema<"Mode">;
export const modes: readonly Mode[] = ["current", "descendants", "massive", "advanced", "chain"];

export type Draft = Request;
export type FieldName = keyof Request;

/** Fields that mean something in some modes only (RULES R2). */
const ofModes: Partial<Record<FieldName, readonly Mode[]>> = {
  root: ["current", "descendants", "massive", "chain"],
  end: ["chain"],
  nodes: ["descendants", "advanced"],
  filters: ["advanced"],
  workspaces: ["massive"],
  whitelist: ["massive"],
  blacklist: ["massive"],
  withoutRoot: ["descendants", "massive"],
  nameFilter: ["descendants"],
  maxLevel: ["descendants"],
};

export const means = (field: FieldName, mode: Mode): boolean => ofModes[field]?.includes(mode) ?? true;

/** The contract's order, in which files have the fields, too. */
export const order: readonly FieldName[] = [
  "name", "mode", "root", "end", "nodes", "filters", "workspaces", "whitelist", "blacklist", "withoutRoot", "nameFilter", "maxLevel", "dates", "timeOfDay", "groups", "order", "gate",
  "onFailure", "stopAfter", "maxRunning", "runFutureEarly", "dryRun", "pinCode", "resourceGroup", "params", "overlap", "notBefore", "onConflict", "period", "zone", "pausedNodes",
  "dryRunNodes", "priority", "fields", "notify",
];

/** What fields say when they are left out: then they need not be said. */
const silent: Partial<Request> = { groups: 1, order: "ascending", gate: "day", onFailure: "hold", overlap: "wait", onConflict: "yield", pausedNodes: "run", dryRunNodes: "run" };

/** Whether anything at all stands in a row of a list; one that was just added has nothing. */
export const said = (row: object): boolean => Object.values(row).some((v) => (Array.isArray(v) ? v.length > 0 : v !== undefined && v !== ""));

/** What the form asks for. What means nothing in its mode, or says nothing, is left out. */
export function requestOf(draft: Draft): Request {
  const out: Record<string, unknown> = {};
  for (const field of order) {
    if (!means(field, draft.mode) || (field === "zone" && !draft.period)) continue;
    const value = tidy(draft[field]);
    if (value !== undefined && value !== silent[field]) out[field] = value;
  }
  return { ...out, mode: draft.mode, dates: draft.dates };
}

function tidy(value: Draft[FieldName]): unknown {
  if (value === "" || value === 0 || value === false) return undefined;
  if (!Array.isArray(value)) return value;
  const rows = value.filter((row) => typeof row === "string" || said(row)).map((row) => (typeof row === "string" ? row : withoutEmpty(row)));
  return rows.length ? rows : undefined;
}

const withoutEmpty = (row: object): object => Object.fromEntries(Object.entries(row).filter(([key, v]) => v !== undefined && (v !== "" || key === "value")));

/** The fields without which there is nothing to ask about. */
export function missing(draft: Draft): FieldName[] {
  const out: FieldName[] = [];
  if (means("root", draft.mode) && !draft.root) out.push("root");
  if (draft.mode === "chain" && !draft.end) out.push("end");
  if (draft.mode === "advanced" && !draft.nodes?.length && !draft.filters?.some(said)) out.push("nodes");
  if (!draft.dates.length) out.push("dates");
  return out;
}

/** What is told of fields: the place of a message is the field's path, or below it. */
export interface Finding {
  field: string;
  message: string;
  warning?: boolean;
}

export const findingsOf = (findings: readonly Finding[], field: string): Finding[] => findings.filter((f) => f.field === field || f.field.startsWith(`${field}.`) || f.field.startsWith(`${field}[`));
