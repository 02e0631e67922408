import type { Same } from "../../ui/same.ts";

export const en = {
  title: "Cluster",
};

export const zh: Same<typeof en> = {
  title: "集群",
};
