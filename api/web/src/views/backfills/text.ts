import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Backfill instances",
};

export const zh: Same<typeof en> = {
  title: "补数据实例",
};
