import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import { useDark } from "../../app/preferences.ts";
import { mapColours, mapStates, signs, type MapState } from "./picture.ts";

/** A state's colour with its sign. */
export function Swatch({ state }: { state: MapState }) {
  useDark(); // the colours are those of the look
  return (
    <span aria-hidden style={{ display: "inline-block", width: 16, textAlign: "center", borderRadius: 3, background: mapColours()[state], color: state === "waiting" || state === "dryRun" ? "var(--text)" : "var(--surface)", marginInlineEnd: 6, fontSize: 11, fontWeight: 700 }}>{signs[state]}</span>
  );
}

/** What the colours mean, and how many nodes have each. */
export function Legend({ states }: { states: Uint8Array }) {
  const { t } = useTranslation("map");
  const counts = useMemo(() => mapStates.map((_, place) => states.reduce((n, s) => n + (s === place ? 1 : 0), 0)), [states]);
  return (
    <span className="row" style={{ gap: 12 }}>
      {mapStates.map((state, i) => (counts[i] ? <span key={state}><Swatch state={state} />{t(`state.${state}`)} {counts[i]?.toLocaleString()}</span> : null))}
    </span>
  );
}
