import { useNavigate } from "@tanstack/react-router";
import { Dropdown, type MenuProps } from "antd";
import { useTranslation } from "react-i18next";

import { useBasket } from "../../app/basket.ts";
import { useMay } from "../../app/me.ts";
import type { GraphNode } from "./model.ts";

export interface NodeMenuProps {
  node: GraphNode;
  place: { x: number; y: number };
  /** Ids of the chosen nodes. */
  chosen: string[];
  close: () => void;
  chain: () => void;
  select: (way: "ups" | "downs") => void;
  center: () => void;
}

/** What can be done with a node, where it was clicked. */
export function NodeMenu({ node, place, chosen, close, chain, select, center }: NodeMenuProps) {
  const { t } = useTranslation("graph");
  const navigate = useNavigate();
  const basket = useBasket();
  const may = useMay()("submitBackfill");
  const submit = (search: Record<string, string>) => void navigate({ to: "/backfills/new", search: search as never });
  const actions: Record<string, () => void> = {
    current: () => submit({ mode: "current", root: node.id }),
    descendants: () => submit({ mode: "descendants", root: node.id }),
    massive: () => submit({ mode: "massive", root: node.id }),
    advanced: () => submit({ mode: "advanced", nodes: chosen.map(encodeURIComponent).join(",") }),
    chain,
    open: () => void navigate({ to: "/nodes/$node", params: { node: node.id } }),
    selectUp: () => select("ups"),
    selectDown: () => select("downs"),
    center,
    toBasket: () => basket.add([node]),
    fromBasket: () => basket.remove([node.id]),
  };
  const items: MenuProps["items"] = [
    {
      type: "group", key: "backfill", label: `${t("backfill")}: ${node.id}`,
      children: [
        { key: "current", label: t("current"), disabled: !may }, { key: "descendants", label: t("descendants"), disabled: !may }, { key: "massive", label: t("massive"), disabled: !may },
        { key: "chain", label: t("chain"), disabled: !may },
        ...(chosen.length > 1 ? [{ key: "advanced", label: t("advanced", { count: chosen.length }), disabled: !may }] : []),
      ],
    },
    { type: "divider" },
    { key: "open", label: t("open") },
    { key: "center", label: t("center") },
    { key: "selectUp", label: t("selectUp") },
    { key: "selectDown", label: t("selectDown") },
    basket.has(node.id) ? { key: "fromBasket", label: t("fromBasket") } : { key: "toBasket", label: t("toBasket") },
  ];
  return (
    <Dropdown
      open autoFocus trigger={["click"]} onOpenChange={(open) => open || close()}
      menu={{ items, "aria-label": t("menu", { node: node.id }), onClick: ({ key }) => { close(); actions[key]?.(); } }}
    >
      <span aria-hidden style={{ position: "fixed", left: place.x, top: place.y, width: 1, height: 1 }} />
    </Dropdown>
  );
}
