import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Auto instances",
};

export const zh: Same<typeof en> = {
  title: "自动实例",
};
