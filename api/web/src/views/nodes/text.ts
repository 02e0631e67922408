import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Cycle tasks",
};

export const zh: Same<typeof en> = {
  title: "周期任务",
};
