// The page's one client. Reads see the page's own writes, whichever coordinator answers.
import { createClient, data, type components } from "../api/client.ts";

export const api = createClient();
export { data };

/** The contract's messages: `Schema<"Instance">`. */
export type Schema<K extends keyof components["schemas"]> = components["schemas"][K];
export type State = Schema<"State">;
export type Instance = Schema<"Instance">;
export type Node = Schema<"Node">;
export type BackfillSummary = Schema<"BackfillSummary">;
