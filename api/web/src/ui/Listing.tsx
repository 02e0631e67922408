// Lists that are read page by page, as far as somebody scrolls.
import { useInfiniteQuery, type QueryKey } from "@tanstack/react-query";
import { Skeleton } from "antd";
import { useMemo, type ReactNode } from "react";

import { Failure } from "./Failure.tsx";
import { VirtualTable, type VirtualTableProps } from "./VirtualTable.tsx";

export interface Pages<T> {
  items: T[];
  loading: boolean;
  error: unknown;
  retry: () => void;
  more?: { load: () => void; loading: boolean };
}

/** The items of a list, page after page. `read` is given where to go on, nothing for the first. */
export function usePages<T>(queryKey: QueryKey, read: (cursor: string | undefined) => Promise<{ items: T[]; next?: string }>, enabled = true): Pages<T> {
  const { data, isPending, error, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery({
    queryKey, enabled, queryFn: ({ pageParam }) => read(pageParam || undefined), initialPageParam: "", getNextPageParam: (page) => page.next,
  });
  const items = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data]);
  const more = useMemo(() => (hasNextPage ? { load: () => void fetchNextPage(), loading: isFetchingNextPage } : undefined), [hasNextPage, isFetchingNextPage, fetchNextPage]);
  return { items, loading: enabled && isPending, error, retry: () => void refetch(), more };
}

type Props<T> = Pick<VirtualTableProps<T>, "label" | "columns" | "rowKey" | "selection"> & { pages: Pages<T>; empty: ReactNode; below?: number };

/** A table of them, or what is in its way. `below` is how much of the window is taken above it. */
export function Listing<T>({ pages, empty, below = 220, ...table }: Props<T>) {
  if (pages.error && !pages.items.length) return <Failure error={pages.error} retry={pages.retry} />;
  if (pages.loading) return <Skeleton active />;
  if (!pages.items.length) return <div className="panel" style={{ padding: 32 }}>{empty}</div>;
  return <VirtualTable {...table} items={pages.items} more={pages.more} style={{ maxHeight: `max(240px, calc(100vh - ${below}px))` }} />;
}
