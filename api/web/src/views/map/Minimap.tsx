import { useEffect, useRef, type PointerEvent } from "react";
import { useTranslation } from "react-i18next";

import { useDark } from "../../app/preferences.ts";
import { mapColours, type MapState, type Picture } from "./picture.ts";
import { clamp, type View } from "./view.ts";

const [width, height] = [168, 96];

/** The whole plan, small, with what is shown; a brush over it chooses that, a click moves it. */
export function Minimap({ picture, view, all, hidden, look }: { picture: Picture | undefined; view: View; all: { nodes: number; dates: number }; hidden: ReadonlySet<MapState>; look: (view: View) => void }) {
  const { t } = useTranslation("map");
  const canvas = useRef<HTMLCanvasElement>(null);
  const brush = useRef<{ x: number; y: number }>(undefined);
  const dark = useDark();
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const pen = canvas.current?.getContext("2d");
      if (!pen) return;
      const style = getComputedStyle(document.documentElement);
      pen.clearRect(0, 0, width, height);
      pen.imageSmoothingEnabled = false;
      if (picture) pen.drawImage(picture.image(mapColours(), hidden), 0, 0, width, height);
      pen.strokeStyle = style.getPropertyValue("--text").trim();
      pen.lineWidth = 2;
      pen.strokeRect(
        (view.dates.from / all.dates) * width + 1, (view.nodes.from / all.nodes) * height + 1,
        Math.max(3, (view.dates.count / all.dates) * width - 2), Math.max(3, (view.nodes.count / all.nodes) * height - 2),
      );
    });
    return () => cancelAnimationFrame(frame);
  }, [picture, view, all, hidden, dark]);
  const choose = (event: PointerEvent) => {
    const from = brush.current;
    if (!from) return;
    const { offsetX: x, offsetY: y } = event.nativeEvent;
    const [w, h] = [Math.abs(x - from.x), Math.abs(y - from.y)];
    if (Math.max(w, h) < 4) {
      const middle = (axis: { count: number }, at: number, n: number) => clamp({ from: at * n - axis.count / 2, count: axis.count }, n);
      look({ nodes: middle(view.nodes, y / height, all.nodes), dates: middle(view.dates, x / width, all.dates) });
      return;
    }
    look({
      nodes: clamp({ from: (Math.min(y, from.y) / height) * all.nodes, count: (h / height) * all.nodes }, all.nodes),
      dates: clamp({ from: (Math.min(x, from.x) / width) * all.dates, count: (w / width) * all.dates }, all.dates),
    });
  };
  return (
    <canvas
      ref={canvas} role="img" aria-label={t("minimap")} title={t("minimap")} width={width} height={height}
      style={{ border: "1px solid var(--line)", borderRadius: 4, cursor: "crosshair", touchAction: "none", background: "var(--ground)" }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        brush.current = { x: event.nativeEvent.offsetX, y: event.nativeEvent.offsetY };
      }}
      onPointerMove={(event) => {
        const from = brush.current;
        if (from && Math.hypot(event.nativeEvent.offsetX - from.x, event.nativeEvent.offsetY - from.y) >= 4) choose(event);
      }}
      onPointerUp={(event) => {
        choose(event);
        brush.current = undefined;
      }}
    />
  );
}
