// What is loaded first and is small: it has everything that the address needs loaded side by
// side, rather than one thing after the other asking for the next.
import "./app/theme.css";
import "./app/frame.css";

import { language, look, systemIsDark } from "./app/stored.ts";
import { loadFor, loadRest } from "./app/views.ts";

const dark = look.get() === "system" ? systemIsDark.matches : look.get() === "dark";
document.documentElement.dataset["look"] = dark ? "dark" : "light";
document.documentElement.lang = language.get() === "zh" ? "zh-CN" : "en";

loadFor(location);
void import("./app/start.tsx").then(({ start }) => {
  start();
  loadRest();
});
