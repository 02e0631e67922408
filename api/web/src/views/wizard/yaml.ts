// A request for the command line: as a file that `backfleet backfill submit -f` reads as the
// same request, and as one command for a shell.
import { yaml } from "../../ui/yaml.ts";
import { order, type Request } from "./draft.ts";

/** Its fields in the contract's order. */
export const yamlOf = (request: Request): string => yaml(Object.fromEntries(order.map((field) => [field, request[field]])));

export const commandOf = (request: Request): string => `backfleet backfill submit -f - <<'REQUEST'\n${yamlOf(request)}REQUEST\n`;
