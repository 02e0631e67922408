import { Button } from "antd";
import { createLink, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { useInstanceDrawer } from "../app/url.ts";

export function NodeLink({ id, children }: { id: string; children?: ReactNode }) {
  return <Link to="/nodes/$node" params={{ node: id }}>{children ?? id}</Link>;
}

/** A backfill, or a day of the schedule, which is a plan as well. */
export function BackfillLink({ id, children }: { id: string; children?: ReactNode }) {
  return <Link to="/backfills/$backfill" params={{ backfill: id }}>{children ?? id}</Link>;
}

/** Opens an instance over whatever is shown. */
export function InstanceLink({ id, children }: { id: string; children?: ReactNode }) {
  const [, open] = useInstanceDrawer();
  return <Button type="link" size="small" style={{ padding: 0, height: "auto" }} onClick={() => open(id)}>{children ?? <span className="mono">{id}</span>}</Button>;
}

/** A link that looks like a button. */
export const LinkButton = createLink(Button);
