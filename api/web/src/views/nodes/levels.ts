// The nodes above or below one, level by level: the level is the shortest way.
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { api, data, type Node, type Schema } from "../../app/api.ts";

export type Level = { id: string; name?: string }[];

export function useLevels(node: Node, way: "up" | "down", depth: number | undefined): { levels?: Level[]; error: Error | null; retry: () => void } {
  const query = way === "up" ? { root: [node.id], up: depth, down: 0 } : { root: [node.id], up: 0, down: depth };
  const graph = useQuery({ queryKey: ["graph", "around", query], queryFn: () => data(api.GET("/v1/graph", { params: { query } })) });
  const levels = useMemo(() => {
    if (!graph.data?.nodes.some((n) => n.id === node.id)) return undefined;
    const found = levelsOf(graph.data, node.id, way);
    // A need of a previous cycle is no edge of the graph; what it needs is said all the same.
    const previous = way === "up" ? (node.upstreams ?? []).filter((u) => u.previous && !found[0]?.some((n) => n.id === u.node)).map((u) => ({ id: u.node })) : [];
    return previous.length ? [[...(found[0] ?? []), ...previous], ...found.slice(1)] : found;
  }, [graph.data, node, way]);
  return { levels, error: graph.error, retry: () => void graph.refetch() };
}

export function levelsOf({ nodes, edges }: Schema<"Graph">, root: string, way: "up" | "down"): Level[] {
  const next: number[][] = nodes.map(() => []);
  for (let i = 0; i + 1 < edges.length; i += 2) {
    const [upper, lower] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    next[way === "up" ? lower : upper]?.push(way === "up" ? upper : lower);
  }
  const levels: Level[] = [];
  const start = nodes.findIndex((n) => n.id === root);
  const met = new Set([start]);
  for (let front = [start]; ; ) {
    front = front.flatMap((n) => (next[n] ?? []).filter((m) => !met.has(m) && met.add(m)));
    if (front.length === 0) return levels;
    levels.push(front.flatMap((n) => nodes[n] ?? []));
  }
}
