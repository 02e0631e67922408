package spans

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	otel "go.opentelemetry.io/otel/trace"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/trace"
	"backfleet/pkg/wire"
)

// What spans are made of; ops/observe/TRACES.md lists them.

const header = "traceparent"

// submitted is the root of a backfill's own trace.
func submitted(c trace.Cluster, p *state.Plan, began, ended time.Time, traceparent string) Span {
	id := c.Backfill(p.ID)
	s := Span{
		Trace: id, ID: id.Span(trace.Submit, 0, 0), Name: "submit", Server: true, Start: began, End: later(ended, began), Outcome: well,
		Attributes: append(sizes(p), attribute.String("backfleet.root", p.Request.Root)),
	}
	if from := caller(traceparent); from.IsValid() {
		s.Links = []Link{{trace.ID(from.TraceID()), trace.SpanID(from.SpanID()), "caller"}}
	}
	return s
}

// called is the same request in the trace of who made it, if that is taken.
func called(c trace.Cluster, p *state.Plan, began, ended time.Time, traceparent string) []Span {
	from := caller(traceparent)
	if !from.IsValid() || !from.IsSampled() {
		return nil
	}
	id, own := trace.ID(from.TraceID()), c.Backfill(p.ID)
	return []Span{{
		Trace: id, ID: own.Span(trace.Call, 0, 0), Parent: trace.SpanID(from.SpanID()), Name: "POST /v1/backfills", Server: true,
		Start: began, End: later(ended, began), Outcome: well, Attributes: sizes(p),
		Links: []Link{{own, own.Span(trace.Submit, 0, 0), "backfill"}},
	}}
}

// caller reads the header that names a span of somebody else's.
func caller(traceparent string) otel.SpanContext {
	if traceparent == "" {
		return otel.SpanContext{}
	}
	return otel.SpanContextFromContext(propagation.TraceContext{}.Extract(nothing, propagation.MapCarrier{header: traceparent}))
}

func sizes(p *state.Plan) []attribute.KeyValue {
	return []attribute.KeyValue{
		backfill(p), attribute.String("backfleet.name", p.Name), attribute.Int("backfleet.nodes", len(p.Nodes)),
		attribute.Int("backfleet.dates", len(p.Dates)), attribute.Int64("backfleet.instances", int64(p.Size())),
	}
}

func backfill(p *state.Plan) attribute.KeyValue {
	return attribute.String("backfleet.backfill", plan.FormatID(p.ID))
}

// built is how long a plan took to be built; that of the schedule has no request.
func built(c trace.Cluster, p *state.Plan, began, ended time.Time) Span {
	id := c.Backfill(p.ID)
	s := Span{Trace: id, ID: id.Span(trace.Build, 0, 0), Name: "plan", Start: began, End: later(ended, began), Outcome: well, Attributes: sizes(p)}
	if !p.Auto {
		s.Parent = id.Span(trace.Submit, 0, 0)
	}
	return s
}

// date is the root of a date's trace. It lasts no time, so that it is the same whoever
// tells of it and whenever.
func date(c trace.Cluster, p *state.Plan, pos int) Span {
	id, own, at := c.Date(p.ID, p.Dates[pos]), c.Backfill(p.ID), time.UnixMilli(p.AcceptedMs)
	s := Span{
		Trace: id, ID: id.Span(trace.Date, 0, 0), Name: "date " + p.Dates[pos].String(), Start: at, End: at,
		Attributes: []attribute.KeyValue{
			backfill(p), attribute.String("backfleet.name", p.Name), attribute.String("backfleet.date", p.Dates[pos].String()),
			attribute.Int("backfleet.group", p.Group(pos)+1), attribute.Int64("backfleet.instances", int64(p.DateSize(pos))),
		},
	}
	if p.Auto {
		s.Links = []Link{{own, own.Span(trace.Build, 0, 0), "plan"}}
	} else {
		s.Links = []Link{{own, own.Span(trace.Submit, 0, 0), "submit"}}
	}
	return s
}

// place is where an instance is, if its date's trace is taken.
func place(c trace.Cluster, st *state.State, planID, instance uint64) (p *state.Plan, at plan.Place, id trace.ID, ok bool) {
	if p, ok = st.Plan(planID); !ok {
		return p, at, id, false
	}
	if at, ok = p.Locate(instance); !ok {
		return p, at, id, false
	}
	id = c.Date(planID, p.Dates[at.Pos])
	return p, at, id, c.Takes(id)
}

// of says of what instance a span is.
func of(p *state.Plan, at plan.Place, l *state.Lease) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("backfleet.node", p.Nodes[at.Node].Spec.Id), attribute.String("backfleet.instance", plan.FormatInstance(p.ID, l.Instance)),
		attribute.Int("backfleet.attempt", int(l.Attempt)),
	}
}

// claims says what an instance waits for, and with what claim to it.
func claims(p *state.Plan, at plan.Place, l *state.Lease) []attribute.KeyValue {
	kind := "backfill"
	if l.Auto {
		kind = "auto"
	}
	return append(of(p, at, l), backfill(p), attribute.String("backfleet.date", p.Dates[at.Pos].String()), attribute.String("backfleet.kind", kind),
		attribute.String("backfleet.resource_group", l.Group), attribute.Int("backfleet.priority", int(p.PriorityOf(at))),
		attribute.Int("backfleet.slots", int(max(1, l.Weight))), attribute.Bool("backfleet.ahead", l.Ahead || l.Started))
}

// waited is an instance from when it was ready to its grant; false of one that was
// refused, or is not taken.
func waited(c trace.Cluster, t dispatch.Turned, g *wire.Grant, ms int64) (told, bool) {
	l, ok := t.After.Lease(g.Plan, g.Instance)
	if !ok || l.Fence != t.Index {
		return told{}, false
	}
	p, at, id, ok := place(c, t.After, g.Plan, g.Instance)
	if !ok {
		return told{}, false
	}
	s := Span{
		Trace: id, ID: id.Span(trace.Wait, g.Instance, l.Fence), Parent: id.Span(trace.Date, 0, 0), Name: "wait " + p.Nodes[at.Node].Spec.Id,
		Start: t.Decided.Add(-time.Duration(ms) * time.Millisecond), End: later(t.Committed, t.Decided),
		Attributes: claims(p, at, l), Events: []Event{{"granted", t.Decided}},
	}
	return told{spans: []Span{s}, at: t.Committed, plan: p, pos: at.Pos}, true
}

// attempt is an attempt that an entry ended: from its grant to now, when its result is
// a fact.
func attempt(c trace.Cluster, before, after *state.State, planID, instance uint64, now time.Time) (told, bool) {
	l, ok := before.Lease(planID, instance)
	if !ok {
		return told{}, false
	}
	p, at, id, ok := place(c, after, planID, instance)
	if !ok {
		return told{}, false
	}
	all := after.Attempts(p, instance)
	n := len(all) - 1
	if n < 0 || all[n].Fence != l.Fence {
		return told{}, false
	}
	a := &all[n]
	settled := later(now, time.UnixMilli(a.SettledMs))
	root := Span{
		Trace: id, ID: id.Span(trace.Attempt, instance, l.Fence), Parent: id.Span(trace.Date, 0, 0), Name: "attempt " + p.Nodes[at.Node].Spec.Id,
		Start: time.UnixMilli(l.GrantedMs), End: settled,
		Attributes: append(claims(p, at, l), attribute.Int64("backfleet.fence", int64(l.Fence)), attribute.String("backfleet.agent", l.Agent),
			attribute.String("backfleet.outcome", strings.ToLower(a.Outcome.String()))),
	}
	root.ends(a)
	if n > 0 {
		root.Links = []Link{{id, id.Span(trace.Attempt, instance, all[n-1].Fence), again(p, instance, n)}}
	}
	return told{spans: append(within(&root, a, of(p, at, l), instance), root), at: now, plan: p, pos: at.Pos}, true
}

// within are the parts of an attempt. Moments of its agent's clock are moved between
// those of the leader's.
func within(of *Span, a *state.Attempt, attributes []attribute.KeyValue, instance uint64) []Span {
	part := func(kind trace.Kind, name string, from, to time.Time) Span {
		return Span{Trace: of.Trace, ID: of.Trace.Span(kind, instance, a.Fence), Parent: of.ID, Name: name, Start: from, End: to, Attributes: attributes}
	}
	inside := func(ms int64, least time.Time) time.Time {
		if at := time.UnixMilli(ms); at.Before(of.End) {
			return later(at, least)
		}
		return of.End
	}
	ended := inside(a.EndedMs, of.Start)
	process := part(trace.Process, "process", of.Start, ended)
	process.ends(a)
	switch {
	case a.Outcome == wire.Outcome_RECALLED: // nothing ran
		return nil
	case a.StartedMs > 0:
		started := inside(a.StartedMs, of.Start)
		ended = later(ended, started)
		process.Start, process.End = started, ended
		process.Attributes = append(attributes[:len(attributes):len(attributes)], attribute.Int("process.exit.code", int(a.ExitCode)))
		return []Span{part(trace.Handover, "handover", of.Start, started), process, part(trace.Settle, "settle", ended, of.End)}
	case a.Outcome == wire.Outcome_LOST: // it may have run, and have spans of its own
		process.Attributes = append(attributes[:len(attributes):len(attributes)], attribute.String("backfleet.times", "unknown"))
		process.End = of.End
		return []Span{process}
	default: // it was never started
		return []Span{part(trace.Handover, "handover", of.Start, ended), part(trace.Settle, "settle", ended, of.End)}
	}
}

// ends says how an attempt has ended. What gives way, is skipped or given back has
// neither failed nor done what it was for.
func (s *Span) ends(a *state.Attempt) {
	switch a.Outcome {
	case wire.Outcome_SUCCEEDED:
		s.Outcome = well
	case wire.Outcome_FAILED, wire.Outcome_TIMED_OUT, wire.Outcome_LOST, wire.Outcome_STOPPED:
		s.Outcome, s.Cause = failed, a.Cause
	default:
	}
}

// again says why there was another attempt after so many: a person asked for it, or
// it came by itself.
func again(p *state.Plan, instance uint64, attempts int) string {
	for _, m := range p.Marks(instance) {
		if o, ok := p.Operation(m.Operation); ok && int(m.Attempts) == attempts && !o.Edit {
			return strings.ToLower(o.Kind.String())
		}
	}
	return "retry"
}

// failover is the time without a leader.
func failover(c trace.Cluster, self string, term uint64, lost, now time.Time, leases int) Span {
	id := c.Failover(term)
	return Span{
		Trace: id, ID: id.Span(trace.Failover, 0, 0), Name: "failover", Start: lost, End: later(now, lost),
		Attributes: []attribute.KeyValue{
			attribute.String("backfleet.leader", self), attribute.Int64("backfleet.term", int64(term)), attribute.Int("backfleet.leases", leases),
		},
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
