import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { useUrl } from "../../app/url.ts";
import { address } from "./address.ts";
import type { Model } from "./model.ts";

/** As many chosen nodes as an address may well carry. */
const most = 40;

/** The chosen nodes, in the order of choosing; also in the address while they are few. */
export function useChosen(model: Model): { chosen: ReadonlySet<number>; last: number | undefined; choose: (nodes: number[], more: boolean) => void } {
  const [at, go] = useUrl(address);
  const [ids, setIds] = useState<string[]>(at.chosen);
  const written = useRef(at.chosen.join());
  useEffect(() => {
    // The address was changed from elsewhere: a search, a link, back.
    if (at.chosen.join() === written.current) return;
    written.current = at.chosen.join();
    setIds(at.chosen);
  }, [at.chosen]);
  const chosen = useMemo(() => new Set(ids.flatMap((id) => model.index.get(id) ?? [])), [ids, model]);
  const choose = useCallback(
    (nodes: number[], more: boolean) => {
      const names = nodes.flatMap((v) => model.nodes[v]?.id ?? []);
      // A single one that is added to the chosen a second time is taken out.
      const single = more && names.length === 1 ? names[0] : undefined;
      const next = single !== undefined && ids.includes(single) ? ids.filter((id) => id !== single) : [...new Set([...(more ? ids : []), ...names])];
      const inAddress = next.length <= most ? next : [];
      written.current = inAddress.join();
      setIds(next);
      go({ chosen: inAddress });
    },
    [ids, model, go],
  );
  return { chosen, last: [...chosen].at(-1), choose };
}
