import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Graph",
};

export const zh: Same<typeof en> = {
  title: "依赖图",
};
