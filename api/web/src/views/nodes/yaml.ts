// JSON's values as YAML that people read: blocks for texts of several lines, quotes only where a
// word would mean something else.
const bare = /^[A-Za-z_][\w ./-]*$/;
const taken = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n"]);

export function yaml(value: object): string {
  return block(value, 0) + "\n";
}

function block(value: object, indent: number): string {
  const pad = " ".repeat(indent);
  if (Array.isArray(value)) return value.map((item: unknown) => `${pad}- ${isFull(item) ? block(item, indent + 2).trimStart() : scalar(item, indent)}`).join("\n");
  return Object.entries(value).flatMap(([key, item]: [string, unknown]) => (item === undefined ? [] : [isFull(item) ? `${pad}${scalar(key, 0)}:\n${block(item, indent + 2)}` : `${pad}${scalar(key, 0)}: ${scalar(item, indent)}`])).join("\n");
}

const isFull = (value: unknown): value is object => typeof value === "object" && value !== null && Object.keys(value).length > 0;

function scalar(value: unknown, indent: number): string {
  if (Array.isArray(value)) return "[]";
  if (typeof value === "object" && value !== null) return "{}";
  if (typeof value !== "string") return String(value);
  if (readsAsBlock(value)) return lines(value, indent + 2);
  return bare.test(value) && !value.endsWith(" ") && !taken.has(value.toLowerCase()) ? value : JSON.stringify(value);
}

/** A block keeps no control characters, and its first line must not begin with a space. */
const readsAsBlock = (text: string) => /\n./.test(text) && !/^\s|[^\n\t\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]/.test(text) && !text.endsWith("\n\n");

function lines(text: string, indent: number): string {
  const body = text.endsWith("\n") ? text.slice(0, -1) : text;
  return `${text.endsWith("\n") ? "|" : "|-"}\n${body.split("\n").map((line) => (line ? " ".repeat(indent) + line : "")).join("\n")}`;
}
