import { Spin } from "antd";
import { useEffect, useRef, useState, type KeyboardEvent, type MouseEvent, type PointerEvent, type RefObject } from "react";
import { useTranslation } from "react-i18next";

import { useDark } from "../../app/preferences.ts";
import { mapColours } from "../map/picture.ts";
import { useSize } from "../map/useSize.ts";
import { Board, small, type Rectangle } from "./board.ts";
import type { Layout } from "./layout.ts";
import { neighbours, type Groups, type Model } from "./model.ts";
import type { Ink, Scene } from "./paint.ts";

export interface GraphCanvasProps {
  model: Model;
  groups: Groups | undefined;
  look: Omit<Scene, "faces" | "edges" | "layout" | "ink">;
  /** The node that keys start from. */
  at: number | undefined;
  board: RefObject<Board | null>;
  choose: (nodes: number[], more: boolean) => void;
  hover: (node: number | undefined) => void;
  open: (node: number) => void;
  menu: (node: number, x: number, y: number) => void;
  tick: (group: number) => void;
}

function inks(): Ink {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return { ...mapColours(), surface: of("surface"), ground: of("ground"), line: of("line"), text: of("text"), muted: of("muted"), accent: of("accent") };
}

export function GraphCanvas(props: GraphCanvasProps) {
  const { t } = useTranslation("graph");
  const { model, groups, look, board } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const minimap = useRef<HTMLCanvasElement>(null);
  const [place, size] = useSize();
  const [layout, setLayout] = useState<Layout>();
  const dark = useDark();
  useEffect(() => {
    if (!canvas.current || !minimap.current) return;
    const made = new Board(canvas.current, minimap.current, setLayout);
    board.current = made;
    return () => {
      board.current = null;
      made.close();
    };
  }, [board]);
  useEffect(() => {
    if (size) board.current?.resize(size);
  }, [board, size]);
  useEffect(() => board.current?.set(model, groups), [board, model, groups]);
  useEffect(() => {
    // A frame later the page's own colours have changed as well.
    const frame = requestAnimationFrame(() => board.current?.look({ ...look, ink: inks() }));
    return () => cancelAnimationFrame(frame);
  }, [board, look, layout, dark]);

  const from = useRef<{ x: number; y: number }>(undefined);
  const under = useRef<number>(undefined);
  const rectangle = (event: PointerEvent): Rectangle | undefined => {
    const { offsetX: x, offsetY: y } = event.nativeEvent;
    const start = from.current;
    return start && { x: Math.min(x, start.x), y: Math.min(y, start.y), width: Math.abs(x - start.x), height: Math.abs(y - start.y) };
  };
  const move = (event: PointerEvent<HTMLCanvasElement>) => {
    const b = board.current;
    if (!b) return;
    if (from.current) {
      b.rectangle = rectangle(event);
      b.show();
      return;
    }
    if (event.buttons) return;
    const { offsetX: x, offsetY: y } = event.nativeEvent;
    const node = b.nodeAt(x, y);
    event.currentTarget.style.cursor = node !== undefined || b.checkBoxAt(x, y) !== undefined ? "pointer" : "grab";
    if (node === under.current) return;
    under.current = node;
    props.hover(node);
  };
  const up = (event: PointerEvent) => {
    const b = board.current;
    const chosen = rectangle(event);
    from.current = undefined;
    if (!b || !chosen) return;
    b.rectangle = undefined;
    b.show();
    if (chosen.width + chosen.height > 6) props.choose(b.nodesIn(chosen), event.ctrlKey || event.metaKey);
  };
  const click = (event: MouseEvent) => {
    const { offsetX: x, offsetY: y } = event.nativeEvent;
    const group = board.current?.checkBoxAt(x, y);
    if (group !== undefined) return props.tick(group);
    const node = board.current?.nodeAt(x, y);
    if (!event.shiftKey) props.choose(node === undefined ? [] : [node], event.ctrlKey || event.metaKey);
  };
  const menu = (event: MouseEvent) => {
    event.preventDefault();
    const node = board.current?.nodeAt(event.nativeEvent.offsetX, event.nativeEvent.offsetY);
    if (node !== undefined) props.menu(node, event.clientX, event.clientY);
  };
  return (
    <div ref={place} className="panel" style={{ position: "relative", flex: 1, minWidth: 0, minHeight: 0, padding: 0, overflow: "hidden" }} data-laid={layout?.x.length ?? -1} data-layout-ms={Math.round(board.current?.painter.took.layout ?? 0)}>
      <canvas
        ref={canvas} role="application" className="drawing" aria-label={t("label")} tabIndex={0} style={{ position: "absolute", inset: 0, width: "100%", height: "100%", touchAction: "none", cursor: "grab" }}
        onPointerDown={(event) => {
          if (!event.shiftKey || event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          from.current = { x: event.nativeEvent.offsetX, y: event.nativeEvent.offsetY };
        }}
        onPointerMove={move} onPointerUp={up} onClick={click} onContextMenu={menu}
        onPointerLeave={() => {
          under.current = undefined;
          props.hover(undefined);
        }}
        onDoubleClick={(event) => {
          const node = board.current?.nodeAt(event.nativeEvent.offsetX, event.nativeEvent.offsetY);
          if (node !== undefined) props.open(node);
        }}
        onKeyDown={(event) => {
          if (board.current && key(event, board.current, props)) event.preventDefault();
        }}
      />
      {layout ? null : <Spin style={{ position: "absolute", insetInlineStart: "50%", top: "40%" }} />}
      <canvas
        ref={minimap} role="img" aria-label={t("minimap")} title={t("minimap")} width={small.width} height={small.height}
        style={{ position: "absolute", insetInlineEnd: 8, bottom: 8, border: "1px solid var(--line)", borderRadius: 4, background: "var(--surface)", cursor: "crosshair", touchAction: "none" }}
        onPointerDown={(event) => board.current?.lookAt(event.nativeEvent.offsetX, event.nativeEvent.offsetY)}
        onPointerMove={(event) => event.buttons === 1 && board.current?.lookAt(event.nativeEvent.offsetX, event.nativeEvent.offsetY)}
      />
    </div>
  );
}

/** What a key does; whether it does anything. */
function key(event: KeyboardEvent, board: Board, { model, at, choose, open, menu }: GraphCanvasProps): boolean {
  const { layout } = board;
  if (!layout || !board.isSettled) return false;
  const here = at ?? board.nodeAt(board.placeOf(0).x + 1, board.placeOf(0).y + 1) ?? 0;
  const near = (nodes: number[]) => nodes.sort((a, b) => Math.abs((layout.y[a] ?? 0) - (layout.y[here] ?? 0)) - Math.abs((layout.y[b] ?? 0) - (layout.y[here] ?? 0)))[0];
  const go = (node: number | undefined) => {
    if (node === undefined) return;
    choose([node], event.shiftKey);
    board.reveal(node);
  };
  const beside = (way: 1 | -1) => {
    let best: number | undefined;
    layout.x.forEach((x, v) => {
      const gap = ((layout.y[v] ?? 0) - (layout.y[here] ?? 0)) * way;
      if (x === layout.x[here] && gap > 0 && (best === undefined || gap < ((layout.y[best] ?? 0) - (layout.y[here] ?? 0)) * way)) best = v;
    });
    return best;
  };
  switch (event.key) {
    case "ArrowLeft": go(at === undefined ? here : near(neighbours(model.ups, here))); break;
    case "ArrowRight": go(at === undefined ? here : near(neighbours(model.downs, here))); break;
    case "ArrowUp": go(at === undefined ? here : beside(-1)); break;
    case "ArrowDown": go(at === undefined ? here : beside(1)); break;
    case " ": choose([here], true); break;
    case "Enter": open(here); break;
    case "Escape": choose([], false); break;
    case "m": case "ContextMenu": {
      const place = board.placeOf(here);
      const corner = (event.target as HTMLElement).getBoundingClientRect();
      menu(here, corner.left + Math.max(0, place.x) + 20, corner.top + Math.max(0, place.y) + 20);
      break;
    }
    case "+": case "=": board.by(1.5); break;
    case "-": case "_": board.by(1 / 1.5); break;
    case "f": case "0": case "Home": board.fit(); break;
    default: return false;
  }
  return true;
}
