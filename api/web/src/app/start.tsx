import "./text.ts";
import "dayjs/locale/zh-cn";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Root } from "./Root.tsx";

/** Draws the page in the place of what stands there while it is loaded. */
export function start(): void {
  const place = document.getElementById("root");
  if (!place) return;
  createRoot(place).render(
    <StrictMode>
      <Root />
    </StrictMode>,
  );
}
