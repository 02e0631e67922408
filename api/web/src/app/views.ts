// Where each view is. A view is loaded when it is first shown, and all of them once the first
// one rests: whoever goes on does not wait.

export const views = {
  "/nodes": () => import("../views/nodes/NodeList.tsx"),
  "/backfills": () => import("../views/backfills/BackfillList.tsx"),
  "/backfills/new": () => import("../views/wizard/Wizard.tsx"),
  "/backfills/$backfill": () => import("../views/backfills/BackfillPage.tsx"),
  "/nodes/$node": () => import("../views/nodes/NodePage.tsx"),
  "/graph": () => import("../views/graph/Graph.tsx"),
  "/schedule": () => import("../views/schedule/Schedule.tsx"),
  "/fleet": () => import("../views/fleet/Fleet.tsx"),
  "/cluster": () => import("../views/cluster/Cluster.tsx"),
  "/audit": () => import("../views/cluster/Audit.tsx"),
  "/settings": () => import("../views/settings/Settings.tsx"),
} as const;

type Path = keyof typeof views;
const paths = Object.keys(views) as Path[];

export const loadDrawer = () => import("../views/instance/InstanceDrawer.tsx");

/** Begins to load what an address shows, before the router is there to ask for it. */
export function loadFor({ pathname, search }: { pathname: string; search: string }): void {
  const said = pathname === "/" ? "/nodes" : pathname;
  const path = paths.find((p) => p === said) ?? paths.find((p) => p.includes("$") && said.startsWith(p.slice(0, p.indexOf("$"))));
  // What cannot be loaded is asked for again, and said, when it is to be shown.
  if (path) views[path]().catch(() => undefined);
  if (new URLSearchParams(search).has("instance")) loadDrawer().catch(() => undefined);
}

const idle = (then: () => void) => ("requestIdleCallback" in window ? requestIdleCallback(then) : setTimeout(then, 1000));
/** Milliseconds that the first view has the line to itself, for its data. */
const rest = 3000;

/** Loads the other views, one after the other while nothing else is to be done. */
export function loadRest(): void {
  const others: (() => Promise<unknown>)[] = [loadDrawer, ...Object.values(views)];
  const next = () => {
    const load = others.shift();
    if (load) idle(() => void load().then(next, () => undefined));
  };
  setTimeout(next, rest);
}
