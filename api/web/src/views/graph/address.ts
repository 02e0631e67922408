import { choice, list, text, type Codec } from "../../app/url.ts";
import { groupings } from "./model.ts";

/** How many levels: a number, or all. */
const levels: Codec<string> = { parse: (t) => (t === "all" || /^\d+$/.test(t) ? t : undefined), format: (v) => v, initial: "1" };

/** `plan` is `auto`, `none` or a backfill's id; `chosen` are the selected nodes, while they are few. */
export const address = { node: list(), up: levels, down: levels, owner: list(), workspace: list(), group: choice(groupings, "off"), plan: text("auto"), date: text(), chosen: list() };
