// The ways to backfill from a node, as a menu.
import { useNavigate } from "@tanstack/react-router";
import { Dropdown, type MenuProps } from "antd";
import type { ReactElement } from "react";
import { useTranslation } from "react-i18next";

import { inGraph, useBasket } from "../../app/basket.ts";
import { useMay } from "../../app/me.ts";
import { useWizard } from "./modes.ts";

const ways = ["current", "descendants", "massive", "chain", "advanced"] as const;

export default function NodeMenu({ node, children, further = [] }: { node: { id: string; name?: string }; children: ReactElement; further?: NonNullable<MenuProps["items"]> }) {
  const { t } = useTranslation("nodes");
  const basket = useBasket();
  const may = useMay()("submitBackfill");
  const wizard = useWizard();
  const navigate = useNavigate();
  const start = (mode: (typeof ways)[number]) => {
    if (mode !== "advanced") return wizard({ root: node.id, mode });
    basket.add([node]);
    wizard({ mode });
  };
  const inside = basket.has(node.id);
  const items: MenuProps["items"] = [
    { key: "backfill", type: "group", label: t("backfill"), children: ways.map((mode) => ({ key: mode, label: t(`backfillAs.${mode}`), disabled: !may, title: may ? undefined : t("mayNot"), onClick: () => start(mode) })) },
    { type: "divider" },
    { key: "basket", label: t(inside ? "outOf" : "into"), onClick: () => (inside ? basket.remove([node.id]) : basket.add([node])) },
    { key: "graph", label: t("inGraph"), onClick: () => void navigate({ to: "/graph", search: inGraph([node]) as never }) },
    ...further,
  ];
  return <Dropdown trigger={["click"]} menu={{ items }}>{children}</Dropdown>;
}
