import { useQuery } from "@tanstack/react-query";
import { useBlocker } from "@tanstack/react-router";
import { Alert, Modal, Spin } from "antd";
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { ApiError } from "../../api/client.ts";
import { api, data } from "../../app/api.ts";
import { useBasket } from "../../app/basket.ts";
import { useUrl } from "../../app/url.ts";
import { Failure } from "../../ui/Failure.tsx";
import { BackfillLink } from "../../ui/links.tsx";
import { Page } from "../../ui/Page.tsx";
import { warningText } from "../../ui/warning.ts";
import { plus } from "./dates.ts";
import { missing, requestOf, type Draft, type Finding, type Request } from "./draft.ts";
import { FormContext } from "./form.tsx";
import { address, addressIn, addressOf, begin, forget, keep, recall, word, type Address, type Kept } from "./kept.ts";
import { useLater } from "./later.ts";
import { Preview, type Previewed } from "./Preview.tsx";
import { Sections } from "./Sections.tsx";
import { SubmitBar, useSubmit } from "./Submit.tsx";
import "./wizard.css";

export default function Wizard() {
  const { t } = useTranslation("wizard");
  const [at, go] = useUrl(address);
  const cluster = useQuery({ queryKey: ["cluster"], queryFn: () => data(api.GET("/v1/cluster")) });
  const again = useQuery({ queryKey: ["backfills", at.from, "request"], queryFn: () => data(api.GET("/v1/backfills/{backfill}", { params: { path: { backfill: at.from } } })), enabled: Boolean(at.from), staleTime: Infinity });
  // The form writes the address itself. Another one, of a link or of the basket, begins a new form.
  const ours = useRef(new Set<string>());
  const here = word(at);
  const last = useRef(here);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (here === last.current) return;
    last.current = here;
    if (ours.current.has(here)) return;
    ours.current.clear();
    setTurn((n) => n + 1);
  }, [here]);
  const error = cluster.error ?? again.error;
  return (
    <Page title={t("title")}>
      {!cluster.data || (at.from && !again.data) ? (
        error ? <Failure error={error} retry={() => void Promise.all([cluster.refetch(), again.refetch()])} /> : <Spin />
      ) : (
        <Form key={turn} at={at} go={go} ours={ours.current} again={at.from ? again.data?.request : undefined} today={cluster.data.today} zone={cluster.data.zone} />
      )}
    </Page>
  );
}

interface FormOf {
  at: Address;
  go: (change: Partial<Address>) => void;
  ours: Set<string>;
  again: Request | undefined;
  today: string;
  zone: string;
}

function Form({ at, go, ours, again, today, zone }: FormOf) {
  const basket = useBasket();
  const yesterday = plus(today, -1);
  const chosen = () => basket.nodes.map((n) => n.id);
  const [kept, setKept] = useState<Kept>(() => recall(at) ?? begin(at, again, chosen(), yesterday));
  const leaving = useRef(false);
  const request = useMemo(() => requestOf(kept.draft), [kept.draft]);
  useEffect(() => {
    if (leaving.current) return;
    keep(kept);
    const to = addressOf(kept.draft, kept.from);
    if (word(to) === word(at)) return;
    ours.add(word(to));
    go(to);
  }, [kept]); // not when the address changes: then another form begins
  const previewed = usePreview(kept.draft, request);
  const submission = useSubmit(() => {
    leaving.current = true;
    forget();
    if (kept.basket) basket.clear();
  });
  const set = (change: Partial<Draft>) => {
    submission.reset();
    setKept((before) => ({ ...before, draft: { ...before.draft, ...change }, touched: true }));
  };
  const findings = findingsIn(previewed, submission.error);
  const restart = () => {
    submission.reset();
    setKept(begin(addressIn({}), undefined, chosen(), yesterday));
  };
  return (
    <FormContext value={{ draft: kept.draft, set, findings, yesterday, zone }}>
      {kept.from ? <Again from={kept.from} /> : null}
      <div className="wz">
        <form onSubmit={(e) => e.preventDefault()}><Sections /></form>
        <Preview request={request} previewed={previewed} />
      </div>
      <SubmitBar request={request} previewed={previewed} submission={submission} restart={restart} />
      <Leave touched={() => kept.touched && !leaving.current} ours={ours} />
    </FormContext>
  );
}

/** The cluster's answer to the newest request that stayed the same for a moment. */
function usePreview(draft: Draft, request: Request): Previewed {
  const now = JSON.stringify(request);
  const asked = useLater(now, 400);
  const lacks = missing(draft);
  const query = useQuery({
    queryKey: ["preview", asked], enabled: !lacks.length, placeholderData: undefined, refetchInterval: false, staleTime: 10_000, retry: false,
    queryFn: ({ signal }) => data(api.POST("/v1/backfills/preview", { params: { query: { limit: 1 } }, body: JSON.parse(asked) as Request, signal })),
  });
  const [answer, setAnswer] = useState<Previewed["answer"]>();
  useEffect(() => {
    if (query.data) setAnswer({ request: JSON.parse(asked) as Request, preview: query.data });
  }, [query.data, asked]);
  return { answer, fresh: now === asked && query.data !== undefined && answer?.preview === query.data && !lacks.length, error: lacks.length ? null : query.error, missing: lacks };
}

function findingsIn({ answer, fresh, error }: Previewed, refused: Error | null): Finding[] {
  const problem = [refused, error].find((e) => e instanceof ApiError)?.problem;
  const wrong = problem?.errors?.length ? problem.errors : problem?.field ? [{ field: problem.field, message: problem.detail }] : [];
  const warnings = (fresh && answer?.preview.warnings) || [];
  return [...wrong.map((e) => ({ field: e.field ?? "", message: e.message })), ...warnings.map((w) => ({ field: w.field ?? "", message: warningText(w), warning: true }))];
}

function Again({ from }: { from: string }) {
  const { t } = useTranslation("wizard");
  return <Alert type="info" showIcon style={{ marginBottom: 12 }} title={<>{t("again")} <BackfillLink id={from} /></>} />;
}

/** Whoever has changed something is asked before the form is left for another place. */
function Leave({ touched, ours }: { touched: () => boolean; ours: Set<string> }) {
  const { t } = useTranslation("wizard");
  const blocker = useBlocker({
    withResolver: true,
    enableBeforeUnload: false, // a reload loses nothing
    shouldBlockFn: ({ current, next }) => {
      const to = word(addressIn(next.search));
      return touched() && (next.pathname !== current.pathname || (to !== word(addressIn(current.search)) && !ours.has(to)));
    },
  });
  return (
    <Modal open={blocker.status === "blocked"} title={t("leave.title")} okText={t("leave.yes")} cancelText={t("leave.no")} onOk={() => blocker.proceed?.()} onCancel={() => blocker.reset?.()}>
      {t("leave.text")}
    </Modal>
  );
}
