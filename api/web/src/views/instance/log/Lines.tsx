// The lines that are in sight, of those that are held.
import { useVirtualizer } from "@tanstack/react-virtual";
import dayjs from "dayjs";
import { useLayoutEffect, useRef, useSyncExternalStore, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { bytes } from "../say.ts";
import { Ansi } from "./ansi.tsx";
import { gapOf, type Feed, type Line } from "./feed.ts";

const height = 20;
/** So near to an end of what is held, more is read. */
const near = 400;

/** The line to go to and to mark, by its offset; a new one each time one goes there. */
export interface Target {
  offset: number;
}

interface Shown {
  feed: Feed;
  follow: boolean;
  setFollow: (on: boolean) => void;
  times: boolean;
  wrap: boolean;
  target?: Target;
  find?: RegExp;
  label: string;
}

export function Lines({ feed, follow, setFollow, times, wrap, target, find, label }: Shown): ReactNode {
  const version = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const box = useRef<HTMLDivElement>(null);
  const was = useRef({ top: 0, shift: 0, went: undefined as Target | undefined });
  const rows = useVirtualizer({
    count: feed.count, getScrollElement: () => box.current, estimateSize: () => height, overscan: 30,
    getItemKey: (index) => feed.at(index)?.offset ?? index,
  });
  feed.pinned = follow;

  // Lines put in front of what is seen do not move it.
  useLayoutEffect(() => {
    const moved = feed.shift - was.current.shift;
    was.current.shift = feed.shift;
    const element = box.current;
    if (!element || !moved || follow) return;
    if (wrap) rows.scrollToIndex(Math.max(0, moved), { align: "start" });
    else element.scrollTop += moved * height;
    was.current.top = element.scrollTop;
  }, [feed, version, follow, wrap, rows]);

  useLayoutEffect(() => {
    if (follow && feed.count) rows.scrollToIndex(feed.count - 1, { align: "end" });
  }, [feed, version, follow, wrap, rows]);

  // Once to each target, as soon as it is held.
  useLayoutEffect(() => {
    if (!target || was.current.went === target) return;
    const index = feed.indexOf(target.offset);
    if (index < 0) return;
    was.current.went = target;
    rows.scrollToIndex(index, { align: target.offset === 0 ? "start" : "center" });
  }, [feed, version, target, rows]);

  const scrolled = () => {
    const element = box.current;
    if (!element) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    const up = element.scrollTop < was.current.top - 2;
    was.current.top = element.scrollTop;
    if (up && below > height && follow) setFollow(false);
    else if (!up && below < 2 && !follow && feed.phase === "following") setFollow(true);
    if (element.scrollTop < near && !follow) void feed.earlier();
    if (below < near) void feed.later();
  };
  return (
    <div ref={box} className={`log mono${wrap ? " log-wrap" : ""}`} tabIndex={0} role="log" aria-live="off" aria-label={label} onScroll={scrolled}>
      <div style={{ height: rows.getTotalSize(), position: "relative", width: wrap ? "100%" : "max-content", minWidth: "100%" }}>
        {rows.getVirtualItems().map((row) => {
          const line = feed.at(row.index);
          return line ? (
            <div key={row.key} ref={wrap ? rows.measureElement : undefined} data-index={row.index} className={classOf(line, target)} style={{ transform: `translateY(${row.start}px)` }}>
              <One line={line} times={times} find={find} />
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
}

function classOf(line: Line, target: Target | undefined): string {
  return `log-line${gapOf(line) ? " log-gap" : line.stream === "stderr" ? " log-err" : ""}${line.offset === target?.offset ? " log-at" : ""}`;
}

function One({ line, times, find }: { line: Line; times: boolean; find?: RegExp }) {
  const { t } = useTranslation("instance");
  const gap = gapOf(line);
  if (gap) return <><span className="log-sign" aria-hidden>✂</span><span title={line.text}>{gap.what === "cleared" ? t("log.cleared", { size: bytes(gap.count) }) : t("log.dropped", { count: gap.count, text: line.text })}</span></>;
  return (
    <>
      <span className="log-sign" title={t(`log.stream.${line.stream}`)} aria-label={line.stream === "stderr" ? t("log.stream.stderr") : undefined}>{line.stream === "stderr" ? "err" : ""}</span>
      {times ? <time className="log-time" dateTime={line.time}>{dayjs(line.time).format("HH:mm:ss.SSS")}</time> : null}
      <span><Ansi text={line.text} find={find} />{line.partial ? <span className="log-sign" title={t("log.partial")}>↩</span> : null}</span>
    </>
  );
}
