import { DeleteOutlined, ShoppingCartOutlined } from "@ant-design/icons";
import { Link, useNavigate } from "@tanstack/react-router";
import { Badge, Button, Drawer, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { NodeLink } from "../ui/links.tsx";
import { useBasket } from "./basket.ts";

/** The chosen nodes, wherever one is. */
export function BasketButton() {
  const { t } = useTranslation();
  const basket = useBasket();
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const configure = () => {
    setOpen(false);
    void navigate({ to: "/backfills/new" });
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
            <Link to="/graph" search={{ node: basket.nodes.map((n) => n.id).join(",") } as never} onClick={() => setOpen(false)}><Button disabled={!basket.nodes.length}>{t("basket.graph")}</Button></Link>
            <Button disabled={!basket.nodes.length} onClick={basket.clear}>{t("basket.clear")}</Button>
          </Space>
        }
      >
        {basket.nodes.length ? (
          <ul style={{ listStyle: "none", margin: 0, padding: 0 }}>
            {basket.nodes.map((node) => (
              <li key={node.id} className="row" style={{ justifyContent: "space-between", borderBottom: "1px solid var(--line)", padding: "4px 0", flexWrap: "nowrap" }}>
                <span style={{ overflow: "hidden", textOverflow: "ellipsis" }}><NodeLink id={node.id} />{node.name ? <span className="muted"> {node.name}</span> : null}</span>
                <Button type="text" icon={<DeleteOutlined />} aria-label={t("basket.remove", { node: node.id })} onClick={() => basket.remove([node.id])} />
              </li>
            ))}
          </ul>
        ) : (
          <p className="muted">{t("basket.empty")}</p>
        )}
      </Drawer>
    </>
  );
}
