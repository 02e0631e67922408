// Where each view is. Views are loaded when they are first shown; the address carries their state.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";

import { Broken, NotFound } from "./Lost.tsx";
import { Shell } from "./Shell.tsx";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const at = <P extends string>(path: P, load: Parameters<typeof lazyRouteComponent>[0]) => createRoute({ getParentRoute: () => root, path, component: lazyRouteComponent(load) });

const tree = root.addChildren([
  createRoute({ getParentRoute: () => root, path: "/", beforeLoad: () => { throw redirect({ to: "/nodes" }); } }),
  at("/nodes", () => import("../views/nodes/NodeList.tsx")),
  at("/nodes/$node", () => import("../views/nodes/NodePage.tsx")),
  at("/graph", () => import("../views/graph/Graph.tsx")),
  at("/backfills", () => import("../views/backfills/BackfillList.tsx")),
  at("/backfills/new", () => import("../views/wizard/Wizard.tsx")),
  at("/backfills/$backfill", () => import("../views/backfills/BackfillPage.tsx")),
  at("/schedule", () => import("../views/schedule/Schedule.tsx")),
  at("/fleet", () => import("../views/fleet/Fleet.tsx")),
  at("/cluster", () => import("../views/cluster/Cluster.tsx")),
  at("/audit", () => import("../views/cluster/Audit.tsx")),
  at("/settings", () => import("../views/settings/Settings.tsx")),
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
