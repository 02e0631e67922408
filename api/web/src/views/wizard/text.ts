import type { Same } from "../../ui/same.ts";

export const en = {
  title: "New backfill",
};

export const zh: Same<typeof en> = {
  title: "新建补数据",
};
