// Lists that come in pages: all that were loaded are one list, read again together.
import { useInfiniteQuery, type QueryKey } from "@tanstack/react-query";
import { useMemo } from "react";

export interface PageOf<T> {
  items: T[];
  next?: string;
  incomplete?: boolean;
}

export interface Pages<T> {
  items: T[];
  /** For VirtualTable; absent when there is no more. */
  more?: { load: () => void; loading: boolean };
  /** The last page ended early: there may be more although it came to little. */
  incomplete: boolean;
  /** Nothing was shown yet. */
  pending: boolean;
  /** What is shown is of other filters; the answer to these is under way. */
  old: boolean;
  error: Error | null;
  retry: () => void;
}

/** A list by its cursor. The first word of the key says by which events it becomes stale. */
export function usePages<T>(queryKey: QueryKey, load: (cursor: string | undefined, signal: AbortSignal) => Promise<PageOf<T>>): Pages<T> {
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) => load(pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next || undefined,
  });
  const pages = query.data?.pages;
  const items = useMemo(() => pages?.flatMap((page) => page.items) ?? [], [pages]);
  const { fetchNextPage } = query;
  return {
    items,
    // A list that is being read again is not cut short by loading its end.
    more: query.hasNextPage ? { load: () => void fetchNextPage({ cancelRefetch: false }), loading: query.isFetchingNextPage } : undefined,
    incomplete: pages?.at(-1)?.incomplete ?? false,
    pending: query.isPending,
    old: query.isPlaceholderData,
    error: query.error,
    retry: () => void query.refetch(),
  };
}
