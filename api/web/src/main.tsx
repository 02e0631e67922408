import "./app/text.ts";
import "./app/theme.css";
import "dayjs/locale/zh-cn";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Root } from "./app/Root.tsx";

const place = document.getElementById("root");
if (place) {
  createRoot(place).render(
    <StrictMode>
      <Root />
    </StrictMode>,
  );
}
