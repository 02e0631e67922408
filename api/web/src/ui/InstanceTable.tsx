import type { Instance } from "../app/api.ts";

/** A table of instances with a selection and what can be done to it. */
export function InstanceTable({ items }: { items: Instance[] }) {
  return <div data-count={items.length} />;
}
