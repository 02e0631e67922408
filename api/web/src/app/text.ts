// What the page says, in both languages. Each view has its own words beside it; a word that
// one language lacks does not compile.
import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import * as ui from "../ui/text.ts";
import * as backfills from "../views/backfills/text.ts";
import * as cluster from "../views/cluster/text.ts";
import * as fleet from "../views/fleet/text.ts";
import * as graph from "../views/graph/text.ts";
import * as instance from "../views/instance/text.ts";
import * as map from "../views/map/text.ts";
import * as nodes from "../views/nodes/text.ts";
import * as schedule from "../views/schedule/text.ts";
import * as settings from "../views/settings/text.ts";
import * as wizard from "../views/wizard/text.ts";
import * as app from "./words.ts";
import { language } from "./preferences.ts";

const views = { app, ui, nodes, graph, map, wizard, backfills, instance, schedule, fleet, cluster, settings };

type Views = typeof views;
type Words<L extends "en" | "zh"> = { [K in keyof Views]: Views[K][L] };
const words = <L extends "en" | "zh">(l: L) => Object.fromEntries(Object.entries(views).map(([name, view]) => [name, view[l]])) as unknown as Words<L>;

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "app";
    resources: Words<"en">;
  }
}

void i18next.use(initReactI18next).init({
  resources: { en: words("en"), zh: words("zh") },
  lng: language.get(),
  fallbackLng: "en",
  defaultNS: "app",
  interpolation: { escapeValue: false }, // React does
});
const follow = () => {
  document.documentElement.lang = language.get() === "zh" ? "zh-CN" : "en";
  if (i18next.language !== language.get()) void i18next.changeLanguage(language.get());
};
language.subscribe(follow);
follow();
