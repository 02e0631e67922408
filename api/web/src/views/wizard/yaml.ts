// A request as a file that `backfleet backfill submit -f` reads as the same request.
import { order, type Request } from "./draft.ts";

/** What means itself where it stands bare; all else is quoted, as JSON does, which YAML reads. */
const bare = /^[A-Za-z_][\w./-]*$/;
const words = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n"]);
const date = /^\d{4}-\d{2}-\d{2}(\.\.\d{4}-\d{2}-\d{2})?$/;

function scalar(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return date.test(value) || (bare.test(value) && !words.has(value.toLowerCase())) ? value : JSON.stringify(value);
}

const inline = (value: unknown): string => (Array.isArray(value) ? `[${value.map(inline).join(", ")}]` : scalar(value));

const map = (value: object): string => `{${Object.entries(value).map(([k, v]) => `${k}: ${inline(v)}`).join(", ")}}`;

export function yamlOf(request: Request): string {
  const lines: string[] = [];
  for (const field of order) {
    const value = request[field];
    if (value === undefined) continue;
    if (Array.isArray(value)) lines.push(`${field}:`, ...value.map((v) => `  - ${typeof v === "string" ? scalar(v) : map(v)}`));
    else lines.push(`${field}: ${typeof value === "object" ? map(value) : scalar(value)}`);
  }
  return lines.join("\n") + "\n";
}

/** The same, as one command for a shell. */
export const commandOf = (request: Request): string => `backfleet backfill submit -f - <<'REQUEST'\n${yamlOf(request)}REQUEST\n`;
