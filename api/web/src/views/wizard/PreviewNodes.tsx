import { Input, Table } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";

import type { Schema } from "../../app/api.ts";
import { NodeLink } from "../../ui/links.tsx";

type Row = Schema<"PreviewNode">;

/** The nodes of the plan by level: which were chosen, and why the others are there. */
export function PreviewNodes({ nodes }: { nodes: Row[] }) {
  const { t } = useTranslation("wizard");
  const [word, setWord] = useState("");
  const shown = useMemo(() => {
    const sought = word.trim().toLowerCase();
    return nodes.filter((n) => n.node.toLowerCase().includes(sought) || n.name.toLowerCase().includes(sought)).sort((a, b) => a.level - b.level || a.node.localeCompare(b.node));
  }, [nodes, word]);
  return (
    <>
      <Input aria-label={t("nodes.search")} placeholder={t("nodes.search")} allowClear value={word} onChange={(e) => setWord(e.target.value)} style={{ marginBottom: 8 }} />
      <Table
        virtual={shown.length > 50} scroll={{ y: 420, x: 520 }} size="small" rowKey="node" pagination={false} dataSource={shown}
        expandable={{ rowExpandable: (n) => Boolean(n.units?.length), expandedRowRender: (n) => <Units units={n.units ?? []} /> }}
        columns={[
          { title: t("nodes.level"), dataIndex: "level", width: 60 },
          { title: t("nodes.node"), dataIndex: "node", ellipsis: true, render: (_, n) => <><NodeLink id={n.node} />{n.name && n.name !== n.node ? <span className="muted"> {n.name}</span> : null}</> },
          { title: t("nodes.runs"), width: 190, ellipsis: true, render: (_, n) => (n.dryRun ? <span className="muted">{t("nodes.dry", { why: t(`dryRunReason.${n.dryRun}`) })}</span> : t(n.chosen ? "nodes.chosen" : "nodes.between")) },
          { title: t("nodes.instances"), dataIndex: "instances", width: 90, align: "right", render: (count: number) => count.toLocaleString() },
        ]}
      />
    </>
  );
}

function Units({ units }: { units: Schema<"PreviewUnit">[] }) {
  const { t } = useTranslation("wizard");
  return <ul className="wz-list">{units.map((u) => <li key={u.unit}><code>{u.unit}</code> {t(u.runs ? "nodes.unitRuns" : "nodes.unitStays")} <span className="muted">{u.why}</span></li>)}</ul>;
}
