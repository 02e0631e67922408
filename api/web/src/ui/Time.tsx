import { Tooltip } from "antd";
import dayjs from "dayjs";
import relativeTime from "dayjs/plugin/relativeTime";
import { useEffect, useReducer } from "react";
import { useTranslation } from "react-i18next";

dayjs.extend(relativeTime);

/** A moment, in the browser's zone. */
export function Moment({ at, relative = false }: { at?: string; relative?: boolean }) {
  const { t, i18n } = useTranslation("ui");
  if (!at) return <span className="muted">–</span>;
  const time = dayjs(at);
  const exact = time.format("YYYY-MM-DD HH:mm:ss");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return (
    <Tooltip title={t("inZone", { time: exact, zone })}>
      <time dateTime={at} className="nowrap">{relative ? time.locale(i18n.language === "zh" ? "zh-cn" : "en").fromNow() : exact}</time>
    </Tooltip>
  );
}

/** Milliseconds as people say them: 830 ms, 12.4 s, 3 min 5 s, 2 h 4 min, 3 d 1 h. */
export function span(ms: number): string {
  const s = ms / 1000;
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  const parts: [number, string][] = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [Math.floor(s) % 60, "s"]];
  const from = parts.findIndex(([n]) => n > 0);
  return parts.slice(from, from + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

/** From a beginning to an end, or until now while there is none. */
export function Span({ from, to }: { from?: string; to?: string }) {
  const [, tick] = useReducer((n: number) => n + 1, 0);
  const runs = Boolean(from && !to);
  useEffect(() => {
    if (!runs) return;
    const timer = setInterval(tick, 1000);
    return () => clearInterval(timer);
  }, [runs]);
  if (!from) return <span className="muted">–</span>;
  return <span className="nowrap">{span(Math.max(0, dayjs(to).diff(from)))}</span>;
}
