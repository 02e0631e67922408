import { Skeleton } from "antd";
import type { ReactNode } from "react";

import { Failure } from "./Failure.tsx";
import type { Pages } from "./pages.ts";
import { VirtualTable, type VirtualTableProps } from "./VirtualTable.tsx";

type Props<T> = Pick<VirtualTableProps<T>, "label" | "columns" | "rowKey" | "selection"> & { pages: Pages<T>; empty: ReactNode; below?: number };

/** A table of what comes in pages, or what is in its way. `below` is how much of the window is taken above it. */
export function Listing<T>({ pages, empty, below = 220, ...table }: Props<T>) {
  if (pages.error && !pages.items.length) return <Failure error={pages.error} retry={pages.retry} />;
  if (pages.pending) return <Skeleton active />;
  if (!pages.items.length) return <div className="panel" style={{ padding: 32 }}>{empty}</div>;
  return <VirtualTable {...table} items={pages.items} more={pages.more} style={{ maxHeight: `max(240px, calc(100vh - ${below}px))` }} />;
}
