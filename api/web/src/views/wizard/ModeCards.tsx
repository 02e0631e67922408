import { useTranslation } from "react-i18next";

import { modes, type Mode } from "./draft.ts";
import { useForm } from "./form.tsx";

const dots = { a: [8, 20], b: [28, 9], c: [28, 31], d: [50, 9], e: [50, 31], f: [72, 20] } as const;
type Dot = keyof typeof dots;
const lines: [Dot, Dot][] = [["a", "b"], ["a", "c"], ["b", "d"], ["c", "e"], ["d", "f"], ["e", "f"]];

/** Which dots of the small graph a mode runs, and which only keep the order. */
const runs: Record<Mode, string> = { current: "a", descendants: "abcdef", massive: "abde", advanced: "bf", chain: "acef" };
const keeps: Partial<Record<Mode, string>> = { advanced: "d" };

function Picture({ mode }: { mode: Mode }) {
  const on = (d: Dot) => runs[mode].includes(d) || (keeps[mode]?.includes(d) ?? false);
  return (
    <svg viewBox="0 0 80 40" width={80} height={40} aria-hidden>
      {mode === "massive" ? <rect x={1} y={1} width={58} height={38} rx={6} fill="none" stroke="var(--muted)" strokeDasharray="3 2" /> : null}
      {lines.map(([from, to]) => <line key={from + to} x1={dots[from][0]} y1={dots[from][1]} x2={dots[to][0]} y2={dots[to][1]} stroke={on(from) && on(to) ? "var(--accent)" : "var(--muted)"} strokeOpacity={on(from) && on(to) ? 1 : 0.5} />)}
      {(Object.keys(dots) as Dot[]).map((d) => (
        <circle key={d} cx={dots[d][0]} cy={dots[d][1]} r={4.5} fill={runs[mode].includes(d) ? "var(--accent)" : "var(--surface)"} stroke={on(d) ? "var(--accent)" : "var(--muted)"} strokeDasharray={keeps[mode]?.includes(d) ? "2 2" : undefined} />
      ))}
      {mode === "massive" ? <path d="M25 28 l6 6 m0 -6 l-6 6" stroke="var(--muted)" /> : null}
    </svg>
  );
}

/** The five ways to say which nodes run. */
export function ModeCards() {
  const { t } = useTranslation("wizard");
  const { draft, set } = useForm();
  return (
    <fieldset className="wz-modes">
      <legend>{t("field.mode.label")}</legend>
      <div>
        {modes.map((mode) => (
          <label key={mode} className="wz-mode" data-on={draft.mode === mode || undefined}>
            <input type="radio" name="mode" value={mode} checked={draft.mode === mode} onChange={() => set({ mode })} aria-describedby={`mode-${mode}`} aria-label={t(`mode.${mode}.name`)} />
            <Picture mode={mode} />
            <strong>{t(`mode.${mode}.name`)}</strong>
            <span id={`mode-${mode}`} className="muted">{t(`mode.${mode}.about`)}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
