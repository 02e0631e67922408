import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Settings",
};

export const zh: Same<typeof en> = {
  title: "设置",
};
