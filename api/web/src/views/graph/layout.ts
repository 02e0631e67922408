import { layered, type Sizes } from "./layered.ts";

/** A node's box, in the drawing's own units: pixels at the scale 1. */
export const box = { width: 204, height: 46 };
/** What a group's frame adds around its nodes. */
const frame = { side: 18, head: 40 };

export interface Input {
  count: number;
  /** Pairs of an upstream and what waits for it; upstreams have lower numbers. */
  edges: Int32Array;
  /** The group of each node, from 0; none: not grouped. */
  groups?: Int32Array;
}

export interface GroupBox {
  group: number;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  x: Float32Array;
  y: Float32Array;
  width: number;
  height: number;
  boxes: GroupBox[];
}

const sizes: Sizes = { width: () => box.width, height: () => box.height, gapX: 84, gapY: 14 };

export function layout({ count, edges, groups }: Input, milliseconds = 1500): Layout {
  if (!groups) return { ...layered(count, edges, sizes, milliseconds), boxes: [] };
  const members = membersOf(groups);
  const inside = edgesInside(edges, groups, members);
  const drawings = members.map((of, g) => layered(of.length, inside[g] ?? [], sizes, milliseconds / members.length));
  // Groups may need each other in circles: those whose nodes come first, on average, stand first.
  const mean = members.map((of) => of.reduce((sum, v) => sum + v, 0) / Math.max(1, of.length));
  const order = members.map((_, g) => g).sort((a, b) => (mean[a] ?? 0) - (mean[b] ?? 0));
  const rank = new Int32Array(order.length);
  order.forEach((g, i) => (rank[g] = i));
  const width = (i: number) => (drawings[order[i] ?? 0]?.width ?? 0) + 2 * frame.side;
  const height = (i: number) => (drawings[order[i] ?? 0]?.height ?? 0) + frame.side + frame.head;
  const outer = layered(order.length, edgesBetween(edges, groups, rank), { width, height, gapX: 120, gapY: 40 }, 300);
  const out: Layout = { x: new Float32Array(count), y: new Float32Array(count), width: outer.width, height: outer.height, boxes: [] };
  order.forEach((g, i) => {
    const [x, y] = [outer.x[i] ?? 0, outer.y[i] ?? 0];
    out.boxes.push({ group: g, x, y, width: width(i), height: height(i) });
    members[g]?.forEach((v, m) => {
      out.x[v] = x + frame.side + (drawings[g]?.x[m] ?? 0);
      out.y[v] = y + frame.head + (drawings[g]?.y[m] ?? 0);
    });
  });
  return out;
}

function membersOf(groups: Int32Array): number[][] {
  const members: number[][] = [];
  groups.forEach((g, v) => (members[g] ??= []).push(v));
  return Array.from(members, (m) => m ?? []);
}

/** The edges within each group, by places in it. */
function edgesInside(edges: Int32Array, groups: Int32Array, members: number[][]): number[][] {
  const place = new Int32Array(groups.length);
  for (const of of members) of.forEach((v, i) => (place[v] = i));
  const inside: number[][] = members.map(() => []);
  for (let i = 0; i < edges.length; i += 2) {
    const [a, b] = [edges[i] ?? 0, edges[i + 1] ?? 0];
    if (groups[a] === groups[b]) inside[groups[a] ?? 0]?.push(place[a] ?? 0, place[b] ?? 0);
  }
  return inside;
}

/** What group waits for what other, once each, and only forwards. */
function edgesBetween(edges: Int32Array, groups: Int32Array, rank: Int32Array): number[] {
  const seen = new Set<number>();
  for (let i = 0; i < edges.length; i += 2) {
    const [a, b] = [rank[groups[edges[i] ?? 0] ?? 0] ?? 0, rank[groups[edges[i + 1] ?? 0] ?? 0] ?? 0];
    if (a < b) seen.add(a * rank.length + b);
  }
  return [...seen].flatMap((key) => [Math.floor(key / rank.length), key % rank.length]);
}
