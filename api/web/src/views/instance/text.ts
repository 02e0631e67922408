import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Instance",
};

export const zh: Same<typeof en> = {
  title: "实例",
};
