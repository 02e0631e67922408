// Package spans makes spans of what becomes a fact, and exports them as OTLP. It
// works beside the turns, from facts that never change, and is handed what it tells of
// by queues that drop rather than have anybody wait.
package spans

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/trace"
)

// Span is one, as it is exported.
type Span struct {
	Trace      trace.ID
	ID, Parent trace.SpanID // Parent: none of a root
	Name       string
	Server     bool // it answers somebody's request
	Start, End time.Time
	Attributes []attribute.KeyValue
	Links      []Link
	Events     []Event
	Outcome    outcome
	Cause      string // of a failure
}

// Link names a span that another one has to do with, and how.
type Link struct {
	Trace trace.ID
	ID    trace.SpanID
	Why   string
}

// Event is a moment of a span.
type Event struct {
	Name string
	At   time.Time
}

type outcome uint8

const (
	unsaid outcome = iota
	well
	failed
)

// Sink takes spans. It must not wait.
type Sink interface{ Offer(Span) }

// Facts gives the state and every entry after it.
type Facts interface {
	Follow() (*machine.Feed, *state.State)
	State() *state.State
}

// kept is how long a coordinator that does not lead keeps what it would tell of: who
// leads may end with what it has not exported yet. Of what is kept there may be so much.
const (
	kept     = 10 * time.Second
	keptMost = 4096
)

// rootsMost is how many traces' roots are remembered as told.
const rootsMost = 1 << 16

// Tracer follows the facts. What it makes goes out while this coordinator leads; else
// it waits, in case this one leads soon. Its methods may be called from anywhere.
type Tracer struct {
	self    string
	cluster func() trace.Cluster
	facts   Facts
	now     func() time.Time
	sink    Sink
	runs    atomic.Bool

	mu    sync.Mutex
	leads *leadership // nil: another does
	kept  []told
	roots map[trace.ID]struct{}
}

// leadership is what spans say of it.
type leadership struct {
	since time.Time
	link  []Link // to its failover; none where there was none
}

// told is spans that belong together, and since when they are known.
type told struct {
	spans []Span
	at    time.Time
	// The date whose trace they are of; nil: they are of another kind of trace.
	plan *state.Plan
	pos  int
}

// New makes the Tracer of a coordinator; Run and Lead do the work. Cluster is asked as
// ids are made.
func New(self string, cluster func() trace.Cluster, facts Facts, now func() time.Time, sink Sink) *Tracer {
	return &Tracer{self: self, cluster: cluster, facts: facts, now: now, sink: sink, roots: map[trace.ID]struct{}{}}
}

// Run tells of what becomes a fact until ctx ends.
func (t *Tracer) Run(ctx context.Context) {
	feed, before := t.facts.Follow()
	defer feed.Close()
	t.runs.Store(true)
	for {
		select {
		case <-ctx.Done():
			return
		case <-feed.Ready():
		}
		for _, a := range feed.Take() {
			if !a.Reset {
				t.applied(before, a)
			}
			before = a.State
		}
	}
}

// applied tells of what an entry ended. One of long ago is only heard of again: its
// coordinator has just started.
func (t *Tracer) applied(before *state.State, a machine.Applied) {
	c, now := t.cluster(), t.now()
	if now.Sub(time.UnixMilli(a.State.NowMs())) > kept {
		return
	}
	for _, ch := range a.Changes {
		switch {
		case ch.Kind == state.PlanAccepted:
			t.accepted(c, a.State, ch.Plan, now)
		case ch.Kind == state.InstanceChanged && ch.From == state.Running:
			if out, ok := attempt(c, before, a.State, ch.Plan, ch.Instance, now); ok {
				t.put(out)
			}
		}
	}
}

// accepted keeps what is known of a request by the facts alone. Whoever leads tells of
// it as it was answered (Submitted).
func (t *Tracer) accepted(c trace.Cluster, st *state.State, planID uint64, now time.Time) {
	p, ok := st.Plan(planID)
	if !ok || p.Auto {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leads == nil {
		t.keep(told{spans: []Span{submitted(c, p, time.UnixMilli(p.AcceptedMs), now, "")}, at: now})
	}
}

// Submitted tells of a request that has been answered. Traceparent is the header that
// came with it, if any.
func (t *Tracer) Submitted(planID uint64, traceparent string, began time.Time) {
	if p, ok := t.facts.State().Plan(planID); ok {
		c, now := t.cluster(), t.now()
		t.put(told{spans: append(called(c, p, began, now, traceparent), submitted(c, p, began, now, traceparent)), at: now})
	}
}

// Built tells how long a plan took to be built. It is called by the log as it applies
// an entry, perhaps before Run.
func (t *Tracer) Built(planID uint64, took time.Duration) {
	p, ok := t.facts.State().Plan(planID)
	if now := t.now(); ok && t.runs.Load() && now.Sub(time.UnixMilli(p.AcceptedMs)) <= kept {
		t.put(told{spans: []Span{built(t.cluster(), p, now.Add(-took), now)}, at: now})
	}
}

// Turned tells of what was granted: for how long it waited is known where it was.
func (t *Tracer) Turned(turn dispatch.Turned) {
	c := t.cluster()
	for i, g := range turn.Turn.Grants {
		if i < len(turn.Waited) {
			if out, ok := waited(c, turn, g, turn.Waited[i]); ok {
				t.put(out)
			}
		}
	}
}

// Lead is this coordinator's leadership of a term, until ctx ends. Lost is when the
// leader before was last there; zero: nobody was. What that one may not have told is
// told again, under the same ids.
func (t *Tracer) Lead(ctx context.Context, term uint64, lost time.Time) {
	l, now := &leadership{since: t.now()}, t.now()
	t.mu.Lock()
	if !lost.IsZero() {
		s := failover(t.cluster(), t.self, term, lost, now, t.facts.State().LeaseCount())
		l.link = []Link{{s.Trace, s.ID, "failover"}}
		t.sink.Offer(s)
	}
	t.leads = l
	for _, k := range t.kept {
		if now.Sub(k.at) <= kept {
			t.send(k)
		}
	}
	t.kept = nil
	t.mu.Unlock()
	<-ctx.Done()
	t.mu.Lock()
	t.leads = nil
	t.mu.Unlock()
}

func (t *Tracer) put(out told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leads == nil {
		t.keep(out)
		return
	}
	t.send(out)
}

func (t *Tracer) keep(out told) {
	old := 0
	for old < len(t.kept) && (out.at.Sub(t.kept[old].at) > kept || len(t.kept)-old >= keptMost) {
		t.kept[old] = told{}
		old++
	}
	t.kept = append(t.kept[old:], out)
}

// send offers spans, and before the first of a date its root.
func (t *Tracer) send(out told) {
	if out.plan != nil {
		if root := date(t.cluster(), out.plan, out.pos); !t.rooted(root.Trace) {
			t.sink.Offer(root)
		}
	}
	for _, s := range out.spans {
		s.survives(t.leads)
		t.sink.Offer(s)
	}
}

// rooted says whether a trace's root was told, and notes that it is now.
func (t *Tracer) rooted(id trace.ID) bool {
	if _, ok := t.roots[id]; ok {
		return true
	}
	if len(t.roots) >= rootsMost {
		clear(t.roots) // those that go on come again, as they were
	}
	t.roots[id] = struct{}{}
	return false
}

// survives marks what began under the leader before.
func (s *Span) survives(l *leadership) {
	if len(l.link) > 0 && s.Parent != (trace.SpanID{}) && s.Start.Before(l.since) && s.End.After(l.since) {
		s.Links = append(s.Links[:len(s.Links):len(s.Links)], l.link...)
		s.Events = append(s.Events[:len(s.Events):len(s.Events)], Event{"another coordinator leads", l.since})
	}
}
