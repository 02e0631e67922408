package spans

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/trace"
	"backfleet/pkg/wire"
)

const today = calendar.Date(19_000)

var noon = time.UnixMilli(int64(today)*86_400_000 + 43_200_000)

// list is a Sink.
type list []Span

func (l *list) Offer(s Span) { *l = append(*l, s) }

// bench is a log of facts, and tracers that follow it.
type bench struct {
	t       *testing.T
	m       *machine.Machine
	now     time.Time
	index   uint64
	cluster trace.Cluster
	all     []*follower
}

type follower struct {
	*Tracer
	b    *bench
	told list
	feed *machine.Feed
	last *state.State
	ends context.CancelFunc
	done chan struct{}
}

func newBench(t *testing.T, ratio float64, nodes ...*wire.Node) *bench {
	b := &bench{t: t, m: machine.New(), now: noon, cluster: trace.Cluster{Generation: 77, Ratio: ratio}}
	b.write(&wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}})
	b.write(&wire.Command_Turn{Turn: &wire.Turn{Agents: []*wire.Agent{{
		Id: "x", Incarnation: "k", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: 9}},
	}}}})
	return b
}

func (b *bench) follower(self string) *follower {
	f := &follower{b: b}
	f.Tracer = New(self, func() trace.Cluster { return b.cluster }, b.m, func() time.Time { return b.now }, &f.told)
	f.runs.Store(true)
	f.feed, f.last = b.m.Follow()
	b.all = append(b.all, f)
	return f
}

// lead begins a leadership; the facts of before are known.
func (f *follower) lead(term uint64, lost time.Time) {
	ctx, cancel := context.WithCancel(f.b.t.Context())
	f.ends, f.done = cancel, make(chan struct{})
	go func() {
		defer close(f.done)
		f.Lead(ctx, term, lost)
	}()
	for leads := false; !leads; {
		f.mu.Lock()
		leads = f.leads != nil
		f.mu.Unlock()
	}
}

func (f *follower) end() {
	f.ends()
	<-f.done
}

// write makes an entry, 10 ms after the one before, and has it followed.
func (b *bench) write(body any) *wire.Answer {
	b.t.Helper()
	b.now = b.now.Add(10 * time.Millisecond)
	b.index++
	c := &wire.Command{Actor: "ann", NowMs: b.now.UnixMilli()}
	field := reflect.ValueOf(c).Elem().FieldByName("Body")
	field.Set(reflect.ValueOf(body))
	data, err := proto.Marshal(c)
	if err != nil {
		b.t.Fatal(err)
	}
	r, ok := b.m.Apply(b.index, data).(*state.Result)
	if !ok || r.Err != nil || len(r.Refused) > 0 {
		b.t.Fatalf("%T: %+v", body, r)
	}
	for _, f := range b.all {
		for _, a := range f.feed.Take() {
			f.applied(f.last, a)
			f.last = a.State
		}
	}
	return r.Answer
}

func (b *bench) submit(days int32) uint64 {
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-100, today+10))
	zone.Name = "UTC"
	return b.write(&wire.Command_Submit{Submit: &wire.Submit{
		Request: &wire.Request{Root: "a", Mode: wire.Request_CURRENT, Groups: 5, Dates: []*wire.DateRange{{From: int32(today) - days, To: int32(today) - 1}}},
		Today:   int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{zone},
	}}).Plan
}

// grant gives instances to the agent and tells who leads of the turn; the fence.
func (b *bench) grant(id uint64, instances ...uint64) uint64 {
	turn := &wire.Turn{}
	var waited []int64
	for _, i := range instances {
		turn.Grants = append(turn.Grants, &wire.Grant{Plan: id, Instance: i, Agent: "x", ResourceGroup: "default"})
		waited = append(waited, 2500)
	}
	before := b.m.State()
	b.write(&wire.Command_Turn{Turn: turn})
	for _, f := range b.all {
		f.Turned(dispatch.Turned{Turn: turn, Before: before, After: b.m.State(), Index: b.index, Waited: waited, Decided: b.now, Committed: b.now.Add(3 * time.Millisecond)})
	}
	return b.index
}

// finish reports an attempt that ran for the last 4 to 2 ms.
func (b *bench) finish(id, instance, fence uint64, o wire.Outcome) {
	ms := b.now.UnixMilli() + 10
	b.write(&wire.Command_Turn{Turn: &wire.Turn{Finishes: []*wire.Finish{{
		Plan: id, Instance: instance, Fence: fence, Outcome: o, StartedMs: ms - 4, EndedMs: ms - 2, Cause: "because " + o.String(),
	}}}})
}

func (s *Span) is(key string) string {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// shown is a span without its ids: where it is in the tree, and what it says.
func shown(all []Span) (out []string) {
	names := map[trace.SpanID]string{}
	for _, s := range all {
		names[s.ID] = s.Name + " " + s.is("backfleet.attempt")
	}
	for _, s := range all {
		line := s.Name
		if n := s.is("backfleet.attempt"); n != "" {
			line += " " + n
		}
		if s.Parent != (trace.SpanID{}) {
			line += " of " + strings.TrimSpace(names[s.Parent])
		}
		line += " " + s.End.Sub(s.Start).String()
		switch s.Outcome {
		case well:
			line += " ok"
		case failed:
			line += " failed: " + s.Cause
		}
		for _, l := range s.Links {
			line += fmt.Sprintf(", %s: %s", l.Why, strings.TrimSpace(names[l.ID]))
		}
		out = append(out, line)
	}
	return out
}

func want(t *testing.T, got []Span, lines ...string) {
	t.Helper()
	if g := shown(got); !slices.Equal(g, lines) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(g, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

var job = &wire.Node{Id: "a", Code: "true", Retries: 1, ExitCodes: []*wire.ExitCode{{Code: 9, Meaning: wire.ExitCode_SKIP}}}

// What became of an instance, attempt after attempt, is one trace.
func TestAttempts(t *testing.T) {
	b := newBench(t, 1, job)
	f := b.follower("c1")
	f.lead(1, time.Time{})
	id := b.submit(1)
	f.Submitted(id, "", b.now.Add(-40*time.Millisecond))
	f.Built(id, 2*time.Millisecond)
	want(t, f.told, "submit 40ms ok", "plan of submit 2ms ok")
	f.told = f.told[:1]

	b.finish(id, 0, b.grant(id, 0), wire.Outcome_FAILED)
	b.finish(id, 0, b.grant(id, 0), wire.Outcome_SUCCEEDED)
	b.write(&wire.Command_Operate{Operate: &wire.Operate{Kind: wire.Operate_RERUN, Targets: []*wire.Target{{Plan: id, Instances: []uint64{0}}}}})
	fence := b.grant(id, 0)
	b.write(&wire.Command_Turn{Turn: &wire.Turn{Losses: []*wire.Loss{{Plan: id, Instance: 0, Fence: fence, Cause: "silent"}}}})
	fence = b.grant(id, 0)
	ms := b.now.UnixMilli()
	b.write(&wire.Command_Turn{Turn: &wire.Turn{Finishes: []*wire.Finish{{
		Plan: id, Instance: 0, Fence: fence, Outcome: wire.Outcome_FAILED, StartedMs: ms + 6, EndedMs: ms + 8, ExitCode: 9,
	}}}})
	date := "date " + (today - 1).String()
	want(t, f.told,
		"submit 40ms ok",
		date+" 0s, submit: submit",
		"wait a 1 of "+date+" 2.503s",
		"handover 1 of attempt a 1 6ms", "process 1 of attempt a 1 2ms failed: because FAILED", "settle 1 of attempt a 1 2ms", "attempt a 1 of "+date+" 10ms failed: because FAILED",
		"wait a 2 of "+date+" 2.503s",
		"handover 2 of attempt a 2 6ms", "process 2 of attempt a 2 2ms ok", "settle 2 of attempt a 2 2ms", "attempt a 2 of "+date+" 10ms ok, retry: attempt a 1",
		"wait a 3 of "+date+" 2.503s",
		"process 3 of attempt a 3 10ms failed: silent", "attempt a 3 of "+date+" 10ms failed: silent, rerun: attempt a 2",
		"wait a 4 of "+date+" 2.503s",
		"handover 4 of attempt a 4 6ms", "process 4 of attempt a 4 2ms", "settle 4 of attempt a 4 2ms", "attempt a 4 of "+date+" 10ms, retry: attempt a 3",
	)
	p, _ := b.m.State().Plan(id)
	for _, s := range f.told[1:] {
		if s.Trace != b.cluster.Date(id, p.Dates[0]) {
			t.Errorf("%s is in trace %x", s.Name, s.Trace)
		}
	}
	last := f.told[len(f.told)-1]
	for key, value := range map[string]string{
		"backfleet.node": "a", "backfleet.instance": "b1.0", "backfleet.backfill": "b1", "backfleet.date": (today - 1).String(), "backfleet.resource_group": "default",
		"backfleet.priority": fmt.Sprint(p.PriorityOf(plan.Place{})), "backfleet.agent": "x", "backfleet.outcome": "skipped", "backfleet.fence": fmt.Sprint(fence), "backfleet.kind": "backfill",
	} {
		if got := last.is(key); got != value {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
}

// Of what is given back nothing ran, and of what could not be started there is no
// process; an agent's clock may be anywhere.
func TestAttemptsThatDidNotRun(t *testing.T) {
	b := newBench(t, 1, job)
	f := b.follower("c1")
	f.lead(1, time.Time{})
	id := b.submit(3)
	first := b.grant(id, 0, 1, 2)
	f.told = nil
	ms := b.now.UnixMilli()
	b.write(&wire.Command_Turn{Turn: &wire.Turn{Finishes: []*wire.Finish{
		{Plan: id, Instance: 0, Fence: first, Outcome: wire.Outcome_FAILED, EndedMs: ms + 5, Cause: "no such user"},
		{Plan: id, Instance: 1, Fence: first, Outcome: wire.Outcome_SUCCEEDED, StartedMs: ms - 9000, EndedMs: ms + 9000},
		{Plan: id, Instance: 2, Fence: first, Outcome: wire.Outcome_SUCCEEDED, StartedMs: ms + 9000, EndedMs: ms - 9000},
	}}})
	var parts []Span
	for _, s := range f.told {
		s.Parent = trace.SpanID{}
		parts = append(parts, s)
		if s.End.Before(s.Start) {
			t.Errorf("%s ends before it begins", s.Name)
		}
	}
	want(t, parts,
		"handover 1 5ms", "settle 1 5ms", "attempt a 1 10ms failed: no such user",
		"handover 1 0s", "process 1 10ms ok", "settle 1 0s", "attempt a 1 10ms ok",
		"handover 1 10ms", "process 1 0s ok", "settle 1 0s", "attempt a 1 10ms ok",
	)
}

// A leader that died may not have exported what it made last. The next one makes it
// again, the same under the same ids, and marks what goes on under it.
func TestNextLeaderTellsAgain(t *testing.T) {
	b := newBench(t, 1, job)
	one, two := b.follower("c1"), b.follower("c2")
	one.lead(1, time.Time{})
	id := b.submit(4)
	one.Submitted(id, "", b.now)
	for _, f := range b.all {
		f.Built(id, time.Millisecond)
	}
	fence := b.grant(id, 0)
	b.finish(id, 0, fence, wire.Outcome_SUCCEEDED) // long ago by then
	old := len(one.told)
	b.now = b.now.Add(kept - time.Second)
	fence = b.grant(id, 1, 2)
	b.finish(id, 1, fence, wire.Outcome_SUCCEEDED)
	b.now = b.now.Add(2 * time.Second)
	lost := b.now.Add(-time.Second)
	one.end()
	if len(two.told) > 0 {
		t.Errorf("who does not lead told %v", shown(two.told))
	}
	two.lead(2, lost)
	again := slices.Clone(two.told)
	names := map[trace.SpanID]Span{}
	for _, s := range one.told {
		names[s.ID] = s
	}
	for _, s := range again[1:] { // the failover is new
		if was, ok := names[s.ID]; !ok || was.Trace != s.Trace || was.Name != s.Name || was.Parent != s.Parent {
			t.Errorf("%s was told as %v", s.Name, was)
		}
		delete(names, s.ID)
	}
	for _, s := range one.told[old:] {
		if _, missing := names[s.ID]; missing && !strings.HasPrefix(s.Name, "date ") {
			t.Errorf("%s %s is missing", s.Name, s.is("backfleet.instance"))
		}
	}
	if again[0].Name != "failover" || again[0].End.Sub(again[0].Start) != time.Second || again[0].is("backfleet.leases") != "1" {
		t.Errorf("got %v of a second without a leader", shown(again[:1]))
	}
	two.told = nil
	b.finish(id, 2, fence, wire.Outcome_SUCCEEDED)
	n := 0
	for _, s := range two.told {
		if len(s.Links) > 0 && s.Links[0].ID == again[0].ID && len(s.Events) == 1 {
			n++
		}
	}
	if n != 2 { // the process had not begun by its own clock
		t.Errorf("%d spans say that another leader came: %v", n, shown(two.told))
	}
	two.end()
}

// Who has just started hears all entries again: what they tell is told already.
func TestOldEntriesAreNoNews(t *testing.T) {
	b := newBench(t, 1, job)
	f := b.follower("c1")
	id := b.submit(1)
	b.finish(id, 0, b.grant(id, 0), wire.Outcome_SUCCEEDED)
	late := b.follower("c2")
	late.now = func() time.Time { return b.now.Add(time.Hour) }
	late.last = f.last
	late.Built(id, time.Millisecond)
	b.finish(id, 0, b.again(id), wire.Outcome_SUCCEEDED)
	late.lead(1, time.Time{})
	if len(late.told) > 0 {
		t.Errorf("told %v", shown(late.told))
	}
}

// again has an instance run once more.
func (b *bench) again(id uint64) uint64 {
	b.write(&wire.Command_Operate{Operate: &wire.Operate{Kind: wire.Operate_RERUN, Targets: []*wire.Target{{Plan: id, Instances: []uint64{0}}}}})
	all := b.all
	b.all = b.all[:1]
	fence := b.grant(id, 0)
	for _, f := range all[1:] {
		for _, a := range f.feed.Take() {
			f.last = a.State
		}
	}
	b.all = all
	return fence
}

// A date is traced whole or not at all; each backfill's own trace is always there.
func TestDatesAreTakenWhole(t *testing.T) {
	const days = 40
	b := newBench(t, 0.3, job)
	f := b.follower("c1")
	f.lead(1, time.Time{})
	id := b.submit(days)
	f.Submitted(id, "", b.now)
	p, _ := b.m.State().Plan(id)
	for i := range uint64(days) {
		b.finish(id, i, b.grant(id, i), wire.Outcome_SUCCEEDED)
	}
	count := map[trace.ID]int{}
	for _, s := range f.told {
		count[s.Trace]++
	}
	expected := map[trace.ID]int{b.cluster.Backfill(id): 1}
	for _, d := range p.Dates {
		if trace := b.cluster.Date(id, d); b.cluster.Takes(trace) {
			expected[trace] = 6
		}
	}
	if !maps.Equal(count, expected) || len(expected) < 5 || len(expected) > 25 {
		t.Errorf("got %v, want %v", count, expected)
	}
}

// A request that came with a span is in that one's trace, if it is taken, and each
// knows the other. Anything else in the header is nothing.
func TestCallers(t *testing.T) {
	b := newBench(t, 1, job)
	f := b.follower("c1")
	f.lead(1, time.Time{})
	id := b.submit(1)
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
	for header, spans := range map[string]int{theirs + "01": 2, theirs + "00": 1, "": 1, "nonsense": 1, strings.ToUpper(theirs) + "01": 1} {
		f.told = nil
		f.Submitted(id, header, b.now)
		submit := f.told[len(f.told)-1]
		if len(f.told) != spans || submit.Trace != b.cluster.Backfill(id) || (len(submit.Links) == 1) != strings.HasPrefix(header, theirs) {
			t.Errorf("%q: %v", header, shown(f.told))
		}
		if spans == 2 {
			call := f.told[0]
			if fmt.Sprintf("%x %x", call.Trace, call.Parent) != "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331" || call.Links[0].ID != submit.ID || submit.Links[0].Trace != call.Trace {
				t.Errorf("%+v and %+v", call, submit)
			}
		}
	}
}

// What a coordinator keeps that does not lead is bounded.
func TestKeptIsBounded(t *testing.T) {
	b := newBench(t, 1, job)
	f := b.follower("c1")
	for range 3 * keptMost {
		f.put(told{at: b.now, spans: []Span{{Attributes: []attribute.KeyValue{}}}})
	}
	if len(f.kept) != keptMost || cap(f.kept) > 4*keptMost {
		t.Errorf("%d are kept, in room for %d", len(f.kept), cap(f.kept))
	}
	f.put(told{at: b.now.Add(kept + time.Second)})
	if len(f.kept) != 1 {
		t.Errorf("%d are kept: expected the newest", len(f.kept))
	}
}
