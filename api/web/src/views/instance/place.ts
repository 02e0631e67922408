// Where one is in the drawer: which instance, which tab, which attempt. All of it is in the address.
import { useCallback } from "react";

import { choice, list, number, text, useUrl } from "../../app/url.ts";

export const tabs = ["why", "attempts", "code", "log", "metrics", "dependencies"] as const;
export type Tab = (typeof tabs)[number];

const fields = {
  instance: text(),
  instanceTab: choice<Tab>(tabs, "why"),
  /** Whose log is shown; 0 is the newest, also when there is a newer one. */
  attempt: number(0),
  compare: list(),
  find: text(),
};
const fresh = { instanceTab: "why" as Tab, attempt: 0, compare: [] as string[], find: "" };

export function usePlace() {
  const [at, go] = useUrl(fields);
  /** Goes to another instance, or, with an empty id, away. The tab stays, what is of one instance does not. */
  const open = useCallback((instance: string, tab?: Tab) => go({ ...fresh, instance, instanceTab: instance ? (tab ?? at.instanceTab) : "why" }, true), [go, at.instanceTab]);
  return { at, go, open };
}
