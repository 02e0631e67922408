import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { mapStates, type MapState, type Picture } from "./picture.ts";
import { Swatch } from "./StateLegend.tsx";

/** What the colours mean, how often each is on the screen; each can be switched off. */
export function Legend({ picture, hidden, set }: { picture: Picture | undefined; hidden: ReadonlySet<MapState>; set: (hidden: ReadonlySet<MapState>) => void }) {
  const { t } = useTranslation("map");
  const counts = useMemo(() => picture?.counts() ?? {}, [picture]);
  const toggle = (state: MapState) => {
    const next = new Set(hidden);
    if (!next.delete(state)) next.add(state);
    set(next);
  };
  return (
    <div className="row" role="group" aria-label={t("states")} style={{ gap: 4 }}>
      {mapStates.map((state) => (
        <button
          key={state} type="button" aria-pressed={!hidden.has(state)} onClick={() => toggle(state)} title={t("states")}
          style={{ font: "inherit", color: "inherit", background: "none", border: "1px solid var(--line)", borderRadius: 4, padding: "2px 8px", cursor: "pointer", opacity: hidden.has(state) ? 0.5 : 1, textDecoration: hidden.has(state) ? "line-through" : "none" }}
        >
          <Swatch state={state} />
          {t(`state.${state}`)} <span className="muted">{(counts[state] ?? 0).toLocaleString()}</span>
        </button>
      ))}
      <span className="muted" style={{ fontSize: 12 }}>{t(picture?.exact ? "counts" : "cells")}</span>
    </div>
  );
}
