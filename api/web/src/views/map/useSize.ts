import { useMemo, useState } from "react";

import type { Size } from "./view.ts";

/** The size of an element, as it changes: `const [place, size] = useSize()`, `<div ref={place}>`. */
export function useSize(): [(element: HTMLDivElement | null) => (() => void) | undefined, Size | undefined] {
  const [size, setSize] = useState<Size>();
  const place = useMemo(() => (element: HTMLDivElement | null) => {
    if (!element) return;
    const watch = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  return [place, size];
}
