import { DeleteOutlined, ShoppingCartOutlined } from "@ant-design/icons";
import { useNavigate } from "@tanstack/react-router";
import { Badge, Button, Drawer, Input, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { NodeLink } from "../ui/links.tsx";
import { inGraph, useBasket } from "./basket.ts";

/** So many are listed; the others are found by what they are called. */
const shown = 100;

/** The chosen nodes, wherever one is. */
export default function BasketButton() {
  const { t } = useTranslation();
  const basket = useBasket();
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const configure = () => {
    setOpen(false);
    void navigate({ to: "/backfills/new" });
  };
  const graph = () => {
    setOpen(false);
    void navigate({ to: "/graph", search: inGraph(basket.nodes) as never });
  };
  return (
    <>
      <Badge count={basket.nodes.length} size="small" overflowCount={9999}>
        <Button icon={<ShoppingCartOutlined />} onClick={() => setOpen(true)}>{t("basket.title")}</Button>
      </Badge>
      <Drawer
        open={open} onClose={() => setOpen(false)} size={420} title={t("basket.count", { count: basket.nodes.length })}
        footer={
          <Space wrap>
            <Button type="primary" disabled={!basket.nodes.length} onClick={configure}>{t("basket.configure")}</Button>
            <Button disabled={!basket.nodes.length} onClick={graph}>{t("basket.graph")}</Button>
            <Button disabled={!basket.nodes.length} onClick={basket.clear}>{t("basket.clear")}</Button>
          </Space>
        }
      >
        {basket.nodes.length ? <Nodes /> : <p className="muted">{t("basket.empty")}</p>}
      </Drawer>
    </>
  );
}

function Nodes() {
  const { t } = useTranslation();
  const basket = useBasket();
  const [text, setText] = useState("");
  const found = basket.nodes.filter((n) => `${n.id} ${n.name ?? ""}`.toLowerCase().includes(text.trim().toLowerCase()));
  return (
    <>
      {basket.nodes.length > 10 ? <Input allowClear value={text} onChange={(e) => setText(e.target.value)} placeholder={t("basket.find")} aria-label={t("basket.find")} style={{ marginBottom: 8 }} /> : null}
      <ul style={{ listStyle: "none", margin: 0, padding: 0 }}>
        {found.slice(0, shown).map((node) => (
          <li key={node.id} className="row" style={{ justifyContent: "space-between", borderBottom: "1px solid var(--line)", padding: "4px 0", flexWrap: "nowrap" }}>
            <span style={{ overflow: "hidden", textOverflow: "ellipsis" }}><NodeLink id={node.id} />{node.name ? <span className="muted"> {node.name}</span> : null}</span>
            <Button type="text" icon={<DeleteOutlined />} aria-label={t("basket.remove", { node: node.id })} onClick={() => basket.remove([node.id])} />
          </li>
        ))}
      </ul>
      {found.length > shown ? <p className="muted">{t("basket.more", { count: found.length - shown })}</p> : null}
    </>
  );
}
