// The log of an attempt: as it grows, however long, from any part of it.
import { CopyOutlined, DownloadOutlined, ExclamationCircleOutlined, VerticalAlignBottomOutlined, VerticalAlignTopOutlined } from "@ant-design/icons";
import { useMutation } from "@tanstack/react-query";
import { Button, Checkbox, Input, Select, Switch, Tooltip } from "antd";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";

import { api, data } from "../../../app/api.ts";
import { Stored, useStored } from "../../../app/preferences.ts";
import { Failure, Teach } from "../../../ui/Failure.tsx";
import { say, sayFailure } from "../../../ui/say.ts";
import { usePlace } from "../place.ts";
import type { Detail } from "../read.ts";
import { newest } from "../read.ts";
import { bytes } from "../say.ts";
import { plain } from "./ansi.tsx";
import { Feed } from "./feed.ts";
import { Found, finder, type Search } from "./Found.tsx";
import { Lines, type Target } from "./Lines.tsx";
import "./log.css";

const yes = (initial: boolean, name: string) => new Stored(`backfleet.log.${name}`, initial, (v) => (typeof v === "boolean" ? v : undefined));
const timesShown = yes(false, "times");
const wrapped = yes(false, "wrap");

export function LogTab({ detail }: { detail: Detail }) {
  const { t } = useTranslation("instance");
  const { at } = usePlace();
  const last = newest(detail)?.number ?? 0;
  const attempt = detail.attempts.some((a) => a.number === at.attempt) ? at.attempt : last;
  if (!attempt) return <Teach title={t("log.none")}>{t("log.noneHint")}</Teach>;
  return <LogView key={`${detail.instance.id}#${attempt}`} detail={detail} attempt={attempt} last={last} />;
}

function LogView({ detail, attempt, last }: { detail: Detail; attempt: number; last: number }) {
  const { t } = useTranslation("instance");
  const { at, go } = usePlace();
  const id = detail.instance.id;
  const feed = useMemo(() => new Feed(id, attempt), [id, attempt]);
  useSyncExternalStore(feed.subscribe, feed.snapshot);
  const [follow, setFollow] = useState(true);
  const [target, setTarget] = useState<Target>();
  const [times, setTimes] = useStored(timesShown);
  const [wrap, setWrap] = useStored(wrapped);
  const [options, setOptions] = useState({ regex: false, exact: false });
  const search: Search = { text: at.find, ...options };
  useEffect(() => {
    void feed.end();
    return () => feed.close();
  }, [feed]);

  const toEnd = () => {
    setTarget(undefined);
    setFollow(true);
    if (feed.phase === "part" || feed.error) void feed.end();
  };
  const toStart = () => {
    setFollow(false);
    setTarget({ offset: 0 });
    if (!feed.fromStart) void feed.start();
  };
  const jump = (offset: number) => {
    setFollow(false);
    setTarget({ offset });
    if (feed.indexOf(offset) < 0) void feed.around(offset);
  };
  return (
    <div style={{ display: "flex", flexDirection: "column", gap: 8, height: "100%", minHeight: 0 }}>
      <div className="row">
        <Select
          size="small" aria-label={t("log.attempt")} value={attempt} style={{ minWidth: 200 }} onChange={(number) => go({ attempt: number === last ? 0 : number })}
          options={[...detail.attempts].reverse().map((a) => ({ value: a.number, label: `${t("attempts.number", { number: a.number })} · ${t(`attemptState.${a.state}`)}${a.number === last ? ` · ${t("log.newest")}` : ""}` }))}
        />
        <label className="row"><Switch size="small" checked={follow} onChange={(on) => (on ? toEnd() : setFollow(false))} aria-label={t("log.follow")} />{t("log.follow")}</label>
        <Checkbox checked={times} onChange={(e) => setTimes(e.target.checked)}>{t("log.times")}</Checkbox>
        <Checkbox checked={wrap} onChange={(e) => setWrap(e.target.checked)}>{t("log.wrap")}</Checkbox>
        <span style={{ flex: 1 }} />
        <Tooltip title={t("log.toStart")}><Button size="small" icon={<VerticalAlignTopOutlined />} aria-label={t("log.toStart")} onClick={toStart} /></Tooltip>
        <ToError instance={id} attempt={attempt} jump={jump} />
        <Tooltip title={t("log.toEnd")}><Button size="small" icon={<VerticalAlignBottomOutlined />} aria-label={t("log.toEnd")} onClick={toEnd} /></Tooltip>
        <CopyLines feed={feed} />
        <Button size="small" icon={<DownloadOutlined />} href={`/v1/instances/${encodeURIComponent(id)}/logs/download?attempt=${attempt}${times ? "&timestamps=true" : ""}`} download>{t("log.download")}</Button>
      </div>
      <div className="row">
        <Input.Search
          size="small" key={at.find} defaultValue={at.find} allowClear placeholder={t("log.find")} aria-label={t("log.find")} style={{ flex: "1 1 240px", maxWidth: 420 }}
          onSearch={(find) => go({ find })}
        />
        <Checkbox checked={options.regex} onChange={(e) => setOptions({ ...options, regex: e.target.checked })}>{t("log.regex")}</Checkbox>
        <Checkbox checked={options.exact} onChange={(e) => setOptions({ ...options, exact: e.target.checked })}>{t("log.exact")}</Checkbox>
        <span style={{ flex: 1 }} />
        <Standing feed={feed} />
      </div>
      {search.text ? <Found instance={id} attempt={attempt} search={search} target={target?.offset} jump={jump} /> : null}
      {feed.error ? <Failure error={feed.error} retry={toEnd} /> : null}
      <Lines feed={feed} follow={follow} setFollow={setFollow} times={times} wrap={wrap} target={target} find={finder(search)} label={t("log.label", { id, attempt })} />
    </div>
  );
}

/** What programs begin the line with that says why they failed. */
const errors = String.raw`\b(error|exception|fatal|panic|traceback)\b`;

/** Finds the first line that looks like an error, wherever it is in the log. */
function ToError({ instance, attempt, jump }: { instance: string; attempt: number; jump: (offset: number) => void }) {
  const { t } = useTranslation("instance");
  const find = useMutation({
    mutationFn: async () => {
      for (let offset = 0; ; ) {
        const page = await data(api.GET("/v1/instances/{instance}/logs/search", { params: { path: { instance }, query: { text: errors, regex: true, ignoreCase: true, attempt, offset, limit: 1 } } }));
        const line = page.passages.flatMap((p) => p.lines).find((l) => l.match);
        if (line || !page.incomplete || page.next <= offset) return line?.offset;
        offset = page.next;
      }
    },
    onSuccess: (offset) => (offset === undefined ? say("info", t("log.noError")) : jump(offset)),
    onError: sayFailure,
  });
  return <Tooltip title={t("log.toError")}><Button size="small" icon={<ExclamationCircleOutlined />} loading={find.isPending} aria-label={t("log.toError")} onClick={() => find.mutate()} /></Tooltip>;
}

/** How much is shown of how much, and whether it grows. */
function Standing({ feed }: { feed: Feed }) {
  const { t } = useTranslation("instance");
  const first = feed.at(0)?.offset ?? 0;
  return (
    <span className="muted" role="status" data-phase={feed.phase} style={{ fontSize: 12 }}>
      {t("log.held", { count: feed.count, lines: feed.count.toLocaleString(), size: bytes(feed.size) })}
      {first > 0 && feed.size ? ` · ${t("log.fromPart", { part: Math.floor((first / feed.size) * 100) })}` : ""} · {t(`log.phase.${feed.phase}`)}
    </span>
  );
}

function CopyLines({ feed }: { feed: Feed }) {
  const { t } = useTranslation("instance");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(plain(feed.text()));
      say("success", t("log.copied", { count: feed.count }));
    } catch {
      say("warning", t("log.noCopy"));
    }
  };
  return <Tooltip title={t("log.copyHint")}><Button size="small" icon={<CopyOutlined />} aria-label={t("log.copy")} onClick={() => void copy()} /></Tooltip>;
}
