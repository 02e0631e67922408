// The canvas: draws the pictures where the view says, and turns wheel, drag and keys into a new view.
import { useEffect, useRef, type PointerEvent } from "react";

import { useDark } from "../../app/preferences.ts";
import { draw, margin, under, type Cell, type Ink, type Scene } from "./draw.ts";
import { mapColours } from "./picture.ts";
import { pan, reveal, zoom, type Size, type View } from "./view.ts";

export interface MapCanvasProps {
  scene: Scene;
  all: { nodes: number; dates: number };
  size: Size;
  label: string;
  describedBy: string;
  look: (view: View) => void;
  /** Under the pointer or reached by keys; nothing when the pointer leaves. */
  point: (cell: Cell | undefined, at: { x: number; y: number } | undefined) => void;
  open: (cell: Cell) => void;
  openNode: (node: number) => void;
}

function inks(): Ink {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return { ...mapColours(), surface: of("surface"), ground: of("ground"), line: of("line"), text: of("text"), muted: of("muted"), accent: of("accent") };
}

export function MapCanvas(props: MapCanvasProps) {
  const { size, all } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  // What handlers and frames see is the newest, without being set up anew for each.
  const now = useRef(props);
  now.current = props;
  const dark = useDark();

  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const pen = canvas.current?.getContext("2d", { alpha: false });
      if (!pen) return;
      const dots = devicePixelRatio;
      const [width, height] = [Math.round(size.width * dots), Math.round(size.height * dots)];
      if (pen.canvas.width !== width || pen.canvas.height !== height) Object.assign(pen.canvas, { width, height });
      pen.setTransform(dots, 0, 0, dots, 0, 0);
      draw(pen, size, props.scene, inks());
    });
    return () => cancelAnimationFrame(frame);
  }, [props.scene, size, dark]);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    // React listens to wheels passively: the page would scroll as well.
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      const { scene, size, all, look } = now.current;
      const x = event.offsetX - margin.left;
      const y = event.offsetY - margin.top;
      const factor = Math.exp(Math.max(-1, Math.min(1, (event.deltaY || event.deltaX) * (event.deltaMode ? 0.05 : 0.002))));
      const { nodes, dates } = scene.view;
      look({
        nodes: event.shiftKey || y < 0 ? nodes : zoom(nodes, all.nodes, factor, y / (size.height - margin.top)),
        dates: event.altKey || x < 0 ? dates : zoom(dates, all.dates, factor, x / (size.width - margin.left)),
      });
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, []);

  const drag = useRef<{ x: number; y: number; view: View; moved: boolean }>(undefined);
  const cellAt = (x: number, y: number): Cell | undefined => {
    const { node, date } = under(props.scene.view, size, x, y);
    return node === undefined || date === undefined || node >= all.nodes || date >= all.dates ? undefined : { node, date };
  };
  const move = (event: PointerEvent<HTMLCanvasElement>) => {
    const { offsetX: x, offsetY: y } = event.nativeEvent;
    const from = drag.current;
    if (!from) {
      const cell = cellAt(x, y);
      props.point(cell, cell ? { x, y } : undefined);
      event.currentTarget.style.cursor = cell ? "crosshair" : y > margin.top ? "pointer" : "default";
      return;
    }
    if (!from.moved && Math.hypot(x - from.x, y - from.y) < 4) return;
    from.moved = true;
    const { nodes, dates } = from.view;
    props.look({
      nodes: pan(nodes, all.nodes, ((from.y - y) / (size.height - margin.top)) * nodes.count),
      dates: pan(dates, all.dates, ((from.x - x) / (size.width - margin.left)) * dates.count),
    });
  };
  const up = (event: PointerEvent<HTMLCanvasElement>) => {
    const from = drag.current;
    drag.current = undefined;
    if (!from || from.moved) return;
    const { offsetX: x, offsetY: y } = event.nativeEvent;
    const cell = cellAt(x, y);
    const { node } = under(props.scene.view, size, x, y);
    if (cell) props.open(cell);
    else if (node !== undefined && node < all.nodes && x < margin.left) props.openNode(node);
  };
  return (
    <canvas
      ref={canvas} role="application" aria-label={props.label} aria-describedby={props.describedBy} tabIndex={0}
      style={{ width: size.width, height: size.height, display: "block", touchAction: "none", borderRadius: 6 }}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        drag.current = { x: event.nativeEvent.offsetX, y: event.nativeEvent.offsetY, view: props.scene.view, moved: false };
      }}
      onPointerMove={move}
      onPointerUp={up}
      onPointerCancel={() => (drag.current = undefined)}
      onPointerLeave={() => props.point(undefined, undefined)}
      onKeyDown={(event) => {
        if (key(event.key, event.shiftKey, props)) event.preventDefault();
      }}
    />
  );
}

/** What a key does; whether it does anything. */
function key(name: string, fast: boolean, { scene, all, look, point, open, openNode }: MapCanvasProps): boolean {
  const { nodes, dates } = scene.view;
  const here = scene.cursor ?? { node: Math.floor(nodes.from + nodes.count / 2), date: Math.floor(dates.from + dates.count / 2) };
  const stepNode = fast ? Math.max(10, Math.round(nodes.count / 10)) : 1;
  const stepDate = fast ? Math.max(10, Math.round(dates.count / 10)) : 1;
  const go = (node: number, date: number) => {
    const cell = { node: Math.min(all.nodes - 1, Math.max(0, node)), date: Math.min(all.dates - 1, Math.max(0, date)) };
    point(cell, undefined);
    look({ nodes: reveal(nodes, all.nodes, cell.node), dates: reveal(dates, all.dates, cell.date) });
  };
  const closer = (factor: number) =>
    look({
      nodes: zoom(nodes, all.nodes, factor, (here.node + 0.5 - nodes.from) / nodes.count),
      dates: zoom(dates, all.dates, factor, (here.date + 0.5 - dates.from) / dates.count),
    });
  switch (name) {
    case "ArrowUp": go(here.node - stepNode, here.date); break;
    case "ArrowDown": go(here.node + stepNode, here.date); break;
    case "ArrowLeft": go(here.node, here.date - stepDate); break;
    case "ArrowRight": go(here.node, here.date + stepDate); break;
    case "PageUp": go(here.node - Math.ceil(nodes.count), here.date); break;
    case "PageDown": go(here.node + Math.ceil(nodes.count), here.date); break;
    case "+": case "=": closer(0.5); break;
    case "-": case "_": closer(2); break;
    case "Home": look({ nodes: { from: 0, count: all.nodes }, dates: { from: 0, count: all.dates } }); break;
    case "Enter": case " ": open(here); break;
    case "n": openNode(here.node); break;
    default: return false;
  }
  return true;
}
