import type { Schema } from "../../app/api.ts";
import { ties, type Ties } from "./layered.ts";

export type GraphNode = Schema<"GraphNode">;
export type Grouping = "off" | "workspace" | "owner" | "priority";
export const groupings: readonly Grouping[] = ["off", "workspace", "owner", "priority"];

/** The graph as it is walked: nodes by number, upstreams first. */
export interface Model {
  nodes: GraphNode[];
  edges: Int32Array;
  ups: Ties;
  downs: Ties;
  index: Map<string, number>;
  /** What was asked for: models of one question are one graph at different times. */
  question: string;
}

export function modelOf(graph: Schema<"Graph">, question: string): Model {
  const edges = Int32Array.from(graph.edges);
  const count = graph.nodes.length;
  return { nodes: graph.nodes, edges, ups: ties(count, edges, true), downs: ties(count, edges), index: new Map(graph.nodes.map((n, i) => [n.id, i])), question };
}

export function neighbours(of: Ties, node: number): number[] {
  return Array.from(of.item.subarray(of.start[node] ?? 0, of.start[node + 1] ?? 0));
}

/** All that can be reached from some nodes, without these. */
export function reach(of: Ties, from: Iterable<number>): Set<number> {
  const seen = new Set<number>();
  const open = [...from];
  for (let v = open.pop(); v !== undefined; v = open.pop()) {
    for (const next of neighbours(of, v)) {
      if (seen.has(next)) continue;
      seen.add(next);
      open.push(next);
    }
  }
  return seen;
}

export interface Groups {
  by: Grouping;
  names: string[];
  /** The group of each node. */
  of: Int32Array;
  members: number[][];
}

/** Nodes by a property; who lacks it is a group as well, with an empty name. */
export function groupsOf(model: Model, by: Grouping): Groups | undefined {
  if (by === "off") return undefined;
  const value = (n: GraphNode) => (by === "priority" ? String(n.priority) : (n[by] ?? ""));
  const names = [...new Set(model.nodes.map(value))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const place = new Map(names.map((name, i) => [name, i]));
  const of = Int32Array.from(model.nodes, (n) => place.get(value(n)) ?? 0);
  const members: number[][] = names.map(() => []);
  of.forEach((g, v) => members[g]?.push(v));
  return { by, names, of, members };
}
