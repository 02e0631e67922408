import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Fleet",
};

export const zh: Same<typeof en> = {
  title: "资源",
};
