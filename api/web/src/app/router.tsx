// The addresses of the page; each carries the state of its view.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";

import type { ComponentType } from "react";

import { Broken, NotFound } from "./Lost.tsx";
import { Shell } from "./Shell.tsx";
import { patiently } from "./later.ts";
import { views } from "./views.ts";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const at = <P extends keyof typeof views>(path: P) => createRoute({ getParentRoute: () => root, path, component: lazyRouteComponent(() => patiently(views[path] as () => Promise<{ default: ComponentType }>)) });

const tree = root.addChildren([
  createRoute({ getParentRoute: () => root, path: "/", beforeLoad: () => { throw redirect({ to: "/nodes" }); } }),
  at("/nodes"), at("/nodes/$node"), at("/graph"), at("/backfills"), at("/backfills/new"), at("/backfills/$backfill"), at("/schedule"), at("/fleet"), at("/cluster"), at("/audit"), at("/settings"),
]);

export const router = createRouter({
  routeTree: tree,
  defaultPreload: "intent",
  defaultErrorComponent: Broken,
  scrollRestoration: true,
  // Plain words in the address: each value a string.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const query = new URLSearchParams(Object.entries(search).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
    return query.size ? `?${query}` : "";
  },
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
