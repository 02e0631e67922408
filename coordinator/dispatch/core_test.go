package dispatch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// bench is a Core with a log of its own: turn by turn, as Server drives it.
type bench struct {
	t     *testing.T
	core  *Core
	st    *state.State
	index uint64
	now   time.Time
	conns Conn
	sent  map[Conn][]*wire.LeaderMessage
	ended map[Conn]string
}

var noon = time.Date(2021, 8, 24, 12, 0, 0, 0, time.UTC)

const today = calendar.Date(18863) // 2021-08-24

func newBench(t *testing.T, nodes ...*wire.Node) *bench {
	b := &bench{t: t, st: state.New(), now: noon, sent: map[Conn][]*wire.LeaderMessage{}, ended: map[Conn]string{}}
	b.lead()
	b.write(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}}})
	return b
}

// lead begins a leadership with what the log says.
func (b *bench) lead() { b.core = NewCore(DefaultTerms, schedule.Settings{}, b.st, b.now) }

func (b *bench) apply(c *wire.Command) (state.Result, uint64) {
	b.t.Helper()
	b.index++
	c = proto.CloneOf(c)
	c.NowMs = b.now.UnixMilli()
	next, r := b.st.Apply(b.index, c)
	if r.Err != nil {
		b.t.Fatal(r.Err)
	}
	b.st = next
	return r, b.index
}

// write is an entry that is not a turn.
func (b *bench) write(c *wire.Command) *wire.Answer {
	b.t.Helper()
	r, _ := b.apply(c)
	b.send(b.core.Observe(b.st, r.Changes, b.now))
	return r.Answer
}

func (b *bench) submit(days int32, r *wire.Request) uint64 {
	b.t.Helper()
	if r.Mode == wire.Request_MODE_UNSPECIFIED {
		r.Mode = wire.Request_CURRENT
	}
	r.Groups, r.Dates = 10, []*wire.DateRange{{From: int32(today) - days, To: int32(today) - 1}}
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-100, today+10))
	zone.Name = "UTC"
	return b.write(&wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: r, Today: int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{zone},
	}}}).Plan
}

func operate(k wire.Operate_Kind, targets ...*wire.Target) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: k, Targets: targets}}}
}

func stop(id uint64) *wire.Command {
	return operate(wire.Operate_STOP, &wire.Target{Plan: id})
}

// turns runs turns until there is nothing to do; between is done between each
// turn and its entry.
func (b *bench) turns(between ...func()) {
	b.t.Helper()
	for range 10 {
		turn := b.core.Turn(b.now)
		if turn == nil {
			b.send(b.core.Verified())
			b.send(b.core.Committed(b.st, nil, nil, b.now))
			if !b.core.Busy() {
				return
			}
			continue
		}
		for _, f := range between {
			f()
		}
		between = nil
		r, _ := b.apply(&wire.Command{Body: &wire.Command_Turn{Turn: turn}})
		b.send(b.core.Verified())
		b.send(b.core.Committed(b.st, r.Changes, r.Refused, b.now))
	}
	b.t.Fatal("the turns do not come to an end")
}

func (b *bench) send(messages []Message) {
	for _, m := range messages {
		if m.Close != "" {
			b.ended[m.To] = m.Close
			continue
		}
		b.sent[m.To] = append(b.sent[m.To], m.Body)
	}
}

// take gives what was sent on a stream since it was last asked, by kind.
func (b *bench) take(c Conn) (welcome *wire.Welcome, work []*wire.Work, stops []*wire.StopWork, acks []*wire.Ack) {
	for _, m := range b.sent[c] {
		if m.GetWelcome() != nil {
			welcome = m.GetWelcome()
		}
		if m.GetAck() != nil {
			acks = append(acks, m.GetAck())
		}
		work = append(work, m.GetAssign().GetWork()...)
		stops = append(stops, m.GetAssign().GetStops()...)
	}
	delete(b.sent, c)
	return welcome, work, stops, acks
}

// hello connects an agent with two slots.
func (b *bench) hello(id, incarnation string, held ...*wire.AttemptRef) Conn {
	return b.helloAs(&wire.Agent{Id: id, Incarnation: incarnation}, held...)
}

func (b *bench) helloAs(a *wire.Agent, held ...*wire.AttemptRef) Conn {
	b.conns++
	a.Groups = []*wire.GroupSlots{{Group: "default", Slots: 2}}
	b.send(b.core.Hello(b.conns, &wire.Hello{Held: held, Ahead: true, Weights: true, Agent: a}, b.now))
	return b.conns
}

func refs(work []*wire.Work) []*wire.AttemptRef {
	var out []*wire.AttemptRef
	for _, w := range work {
		out = append(out, w.Ref)
	}
	return out
}

func (b *bench) renew(c Conn, seq uint64, held ...*wire.AttemptRef) {
	b.core.Report(c, &wire.Report{Seq: seq, Renews: true, Held: held}, b.now)
}

func ended(ref *wire.AttemptRef, o wire.Outcome) *wire.AttemptResult {
	return &wire.AttemptResult{Ref: ref, Outcome: o}
}

func (b *bench) status(id, instance uint64, want state.Status) {
	b.t.Helper()
	p, _ := b.st.Plan(id)
	if got := p.Status(instance); got != want {
		b.t.Fatalf("b%d.%d has status %d, want %d", id, instance, got, want)
	}
}

var job = &wire.Node{Id: "a", Code: "true"}

// working is an agent that was given both instances of b1.
func working(t *testing.T) (*bench, Conn, []*wire.AttemptRef) {
	t.Helper()
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.turns()
	b.submit(2, &wire.Request{Root: "a"})
	b.turns()
	welcome, work, _, _ := b.take(c)
	if welcome == nil || len(work) != 2 {
		t.Fatalf("got %v and %v, want a welcome and work for two slots", welcome, work)
	}
	return b, c, refs(work)
}

func TestHelloRegistersAndGetsTheTerms(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	if w, _, _, _ := b.take(c); w != nil {
		t.Fatal("welcomed before this coordinator is known to lead")
	}
	b.turns()
	w, _, _, _ := b.take(c)
	if w.GetLeaseMs() != 15000 || w.RenewMs != 3000 || w.MarginMs != 3000 {
		t.Fatalf("got %v, want the terms of R13.8", w)
	}
	if a, ok := b.st.Agent("x"); !ok || a.State != wire.Agent_READY {
		t.Fatalf("the agent is registered as %v", a)
	}
}

func TestHelloAgain(t *testing.T) {
	b, old, held := working(t)
	again := b.hello("x", "k1", held...)
	b.turns()
	if w, work, _, _ := b.take(again); w == nil || len(w.Unknown) > 0 || len(work) > 0 {
		t.Fatalf("got %v %v: what it holds goes on", w, work)
	}
	b.core.Report(old, &wire.Report{Seq: 9, Results: []*wire.AttemptResult{ended(held[0], wire.Outcome_FAILED)}}, b.now)
	b.core.Gone(old)
	b.turns()
	b.status(1, 0, state.Running) // nothing that comes on the former stream counts

	other := b.hello("x", "k2")
	b.turns()
	if why := b.ended[other]; !strings.Contains(why, "x") {
		t.Fatalf("another keeper's agent is taken in under the same id: %q", why)
	}
	b.core.Gone(again)
	after := b.hello("x", "k2")
	b.turns()
	w, work, _, _ := b.take(after)
	if w == nil || len(work) != 2 || work[0].Ref.Attempt != 2 || work[0].Ref.Fence <= held[0].Fence {
		t.Fatalf("got %v: the processes died with the former keeper, so they run again", work)
	}
}

func TestHelloWithWhatTheFactsDoNotKnow(t *testing.T) {
	b, c, held := working(t)
	b.core.Gone(c)
	stale := proto.CloneOf(held[0])
	stale.Fence--
	again := b.hello("x", "k1", held[0], stale)
	b.turns()
	w, work, _, _ := b.take(again)
	if len(w.GetUnknown()) != 1 || w.Unknown[0].Fence != stale.Fence {
		t.Errorf("unknown are %v, want the one with the old fence (R13.3)", w.GetUnknown())
	}
	if len(work) != 1 || work[0].Ref.Instance != held[1].Instance || work[0].Ref.Attempt != 2 {
		t.Errorf("got %v, want the one that was lost on the way", work)
	}
}

func TestRenewalsAreAnsweredOnlyByALeader(t *testing.T) {
	b, c, held := working(t)
	b.renew(c, 1, held...)
	if !b.core.Unverified() {
		t.Fatal("the answer would go out without a word of the others")
	}
	b.turns()
	if _, _, _, acks := b.take(c); len(acks) != 1 || acks[0].Seq != 1 || len(acks[0].Unknown) > 0 {
		t.Fatalf("got %v", acks)
	}
}

func TestLeasesEndWithoutRenewals(t *testing.T) {
	b, c, held := working(t)
	spare := b.hello("y", "k9")
	b.turns()
	b.now = b.now.Add(10 * time.Second)
	b.renew(c, 1, held...)
	b.renew(spare, 1)
	b.turns()
	b.now = b.now.Add(15 * time.Second)
	b.renew(spare, 2)
	b.turns()
	b.status(1, 0, state.Running) // to the last moment
	b.now = b.now.Add(time.Millisecond)
	b.turns()
	if a, _ := b.st.Agent("x"); a.State != wire.Agent_LOST || b.ended[c] == "" {
		t.Errorf("the agent is %s, its stream ended with %q", a.State, b.ended[c])
	}
	_, work, _, _ := b.take(spare)
	if len(work) != 2 || work[0].Ref.Attempt != 2 {
		t.Errorf("got %v, want both on the other agent", work)
	}
}

func TestR13_5_ANewLeaderGivesAFullTerm(t *testing.T) {
	b, _, _ := working(t)
	b.now = b.now.Add(14 * time.Second)
	b.lead()
	b.now = b.now.Add(15 * time.Second)
	b.turns()
	b.status(1, 0, state.Running)
	b.now = b.now.Add(time.Millisecond)
	b.turns()
	b.status(1, 0, state.Again)
}

func TestAGrantThatNeverArrivedIsLost(t *testing.T) {
	b, c, held := working(t)
	for i := range uint64(6) { // it renews, and never holds the second
		b.renew(c, i+1, held[0])
		b.turns()
		b.status(1, 1, state.Running)
		b.now = b.now.Add(2999 * time.Millisecond)
	}
	b.now = b.now.Add(100 * time.Millisecond)
	b.renew(c, 9, held[0])
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 || work[0].Ref.Instance != 1 || work[0].Ref.Attempt != 2 {
		t.Fatalf("got %v, want it handed out again", work)
	}
}

func TestR13_4_ResultsCountOnceAndAreAcknowledged(t *testing.T) {
	b, c, held := working(t)
	done := &wire.Report{Seq: 1, Results: []*wire.AttemptResult{ended(held[0], wire.Outcome_SUCCEEDED)}}
	b.core.Report(c, done, b.now)
	b.turns()
	b.core.Report(c, proto.CloneOf(done), b.now)
	b.turns()
	_, _, _, acks := b.take(c)
	if len(acks) != 2 || acks[0].Results[0].Fence != held[0].Fence || acks[1].Results[0].Fence != held[0].Fence || acks[1].Seq != 0 {
		t.Fatalf("got %v, want the result acknowledged each time, and no renewal", acks)
	}
	p, _ := b.st.Plan(1)
	if n := len(b.st.Attempts(p, 0)); n != 1 {
		t.Errorf("%d attempts are counted", n)
	}
}

func TestR13_3_AStaleResultIsFinal(t *testing.T) {
	b, c, held := working(t)
	stale := proto.CloneOf(held[0])
	stale.Fence--
	b.core.Report(c, &wire.Report{Seq: 1, Results: []*wire.AttemptResult{ended(stale, wire.Outcome_FAILED)}}, b.now)
	b.turns()
	if _, _, _, acks := b.take(c); len(acks) != 1 || acks[0].Results[0].Fence != stale.Fence {
		t.Fatalf("got %v, want it acknowledged", acks)
	}
	b.status(1, 0, state.Running)
}

func TestAFinishStartsWhatWaitsForItsSlot(t *testing.T) {
	b, c, held := working(t)
	b.submit(1, &wire.Request{Root: "a", Name: "more"}) // overlaps b1's last date
	b.turns()
	if _, work, _, _ := b.take(c); work != nil {
		t.Fatalf("%v starts without a slot", work)
	}
	before := b.index
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(held[1], wire.Outcome_SUCCEEDED)}}, b.now)
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 || work[0].Ref.Plan != 2 || work[0].Ref.Fence != before+1 {
		t.Fatalf("got %v, want b2's in the same entry", work)
	}
}

func TestR9_AStopIsToldOnceAndAgainToANewStream(t *testing.T) {
	b, c, held := working(t)
	b.write(stop(1))
	b.turns()
	b.renew(c, 1, held...)
	b.turns()
	_, _, stops, _ := b.take(c)
	if len(stops) != 2 || stops[0].GraceMs != 10000 || stops[0].Cause != "stopped by ann" {
		t.Fatalf("got %v, want both told once", stops)
	}
	b.core.Gone(c)
	again := b.hello("x", "k1", held...)
	b.turns()
	if _, _, stops, _ = b.take(again); len(stops) != 2 {
		t.Fatalf("the new stream is told of %v", stops)
	}
	b.lead()
	third := b.hello("x", "k1", held...)
	b.turns()
	if _, _, stops, _ = b.take(third); len(stops) != 2 {
		t.Fatalf("a new leader tells %v", stops)
	}
}

func TestR9_AStopBetweenATurnAndItsEntryWins(t *testing.T) {
	b := newBench(t, job, &wire.Node{Id: "z", Code: "true"})
	c := b.hello("x", "k1")
	b.turns()
	b.submit(2, &wire.Request{Root: "a"})
	b.submit(1, &wire.Request{Root: "z"})
	b.turns(func() { b.write(stop(1)) })
	_, work, _, _ := b.take(c)
	if len(work) != 1 || work[0].Ref.Plan != 2 {
		t.Fatalf("got %v: nothing of b1 may start, and b2 may", work)
	}
	b.status(1, 0, state.Pending)
}

// TestAnEntryBetweenATurnAndItsOwn: what the turn foresaw stands, also for what
// waits for another plan and is looked at again because of that entry.
func TestAnEntryBetweenATurnAndItsOwn(t *testing.T) {
	b := newBench(t, job, &wire.Node{Id: "d", Code: "true", Upstreams: []*wire.Upstream{{Node: "a"}}})
	c := b.hello("x", "k1")
	b.turns()
	b.submit(1, &wire.Request{Root: "d"})
	b.submit(1, &wire.Request{Root: "a", Mode: wire.Request_DESCENDANTS}) // its d waits for its a, then for b1's d
	b.submit(9, &wire.Request{Root: "d", Name: "other"})
	b.turns()
	_, work, _, _ := b.take(c)
	if len(work) != 2 || work[0].Ref.Plan != 1 || work[1].Ref.Plan != 2 {
		t.Fatalf("got %v, want b1's d and b2's a", work)
	}
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(work[1].Ref, wire.Outcome_SUCCEEDED)}}, b.now)
	b.turns(func() { b.write(stop(3)) })
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(work[0].Ref, wire.Outcome_SUCCEEDED)}}, b.now)
	b.turns()
	_, work, _, _ = b.take(c)
	if !slices.ContainsFunc(work, func(w *wire.Work) bool { return w.Ref.Plan == 2 }) {
		t.Fatalf("got %v, want b2's d", work)
	}
}

func TestADrainingAgentGetsNothing(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.turns()
	b.take(c)
	b.core.Report(c, &wire.Report{Seq: 1, Draining: true}, b.now)
	b.turns()
	if _, _, _, acks := b.take(c); len(acks) != 1 || acks[0].Seq != 1 {
		t.Errorf("it is told %v, and waits to hear that it is known", acks)
	}
	b.submit(1, &wire.Request{Root: "a"})
	b.turns()
	if _, work, _, _ := b.take(c); work != nil {
		t.Fatalf("a draining agent is given %v", work)
	}
}

func TestDefinitionsAreSentOnce(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.turns()
	b.submit(4, &wire.Request{Root: "a"})
	b.turns()
	_, work, _, _ := b.take(c)
	first := work[0].Definition
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(work[0].Ref, wire.Outcome_SUCCEEDED)}}, b.now)
	b.write(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{{Id: "a", Code: "newer"}}}}})
	b.turns()
	var defs []*wire.Definition
	for _, m := range b.sent[c] {
		defs = append(defs, m.GetAssign().GetDefinitions()...)
	}
	if len(defs) != 1 || defs[0].Id == first || defs[0].Node.Code != "newer" || defs[0].CodeVersion != 2 {
		t.Fatalf("got %v, want the newer code under another number (R1.6)", defs)
	}
}

func TestNextWakeIsTheNextLeaseEnd(t *testing.T) {
	b, c, held := working(t)
	b.now = b.now.Add(time.Second)
	b.renew(c, 1, held...)
	b.turns()
	if at, ok := b.core.NextWake(); !ok || !at.Equal(b.now.Add(15*time.Second)) {
		t.Fatalf("next wake is %s %v", at, ok)
	}
	idle := newBench(t, job)
	if at, ok := idle.core.NextWake(); ok {
		t.Fatalf("a coordinator without agents and plans wakes at %s", at)
	}
}

func TestCheckHello(t *testing.T) {
	good := func() *wire.Agent {
		return &wire.Agent{Id: "x", Incarnation: "k", Groups: []*wire.GroupSlots{{Group: "default", Slots: 1}}}
	}
	if err := checkHello(&wire.Hello{Agent: good()}); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*wire.Agent){
		"id":              func(a *wire.Agent) { a.Id = strings.Repeat("x", 129) },
		"incarnation":     func(a *wire.Agent) { a.Incarnation = "" },
		"resource groups": func(a *wire.Agent) { a.Groups = nil },
		"slots":           func(a *wire.Agent) { a.Groups[0].Slots = 0 },
		"comes once":      func(a *wire.Agent) { a.Groups = append(a.Groups, a.Groups[0]) },
		"labels":          func(a *wire.Agent) { a.Labels = make([]*wire.Assignment, 65) },
		"label":           func(a *wire.Agent) { a.Labels = []*wire.Assignment{{Name: "gpu"}, {Name: "gpu", Value: "1"}} },
		"host":            func(a *wire.Agent) { a.Host = strings.Repeat("x", 257) },
	} {
		a := good()
		change(a)
		if err := checkHello(&wire.Hello{Agent: a}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
	if checkHello(nil) == nil {
		t.Error("a report instead of a hello is taken in")
	}
}

func TestR13_8_Terms(t *testing.T) {
	if want := (Terms{Lease: 15 * time.Second, Renew: 3 * time.Second, Margin: 3 * time.Second, Grace: 10 * time.Second, Ahead: 250 * time.Millisecond}); DefaultTerms != want {
		t.Errorf("the defaults are %+v, want %+v", DefaultTerms, want)
	}
	short := Terms{Lease: 5 * time.Second}
	short.Complete()
	if want := (Terms{Lease: 5 * time.Second, Renew: time.Second, Margin: time.Second, Grace: 5 * time.Second, Ahead: 250 * time.Millisecond}); short != want {
		t.Errorf("got %+v: the grace is never longer than the lease (R13.8)", short)
	}
	var none Terms
	if none.Complete(); none != DefaultTerms {
		t.Errorf("got %+v", none)
	}
}

// TestSameEventsSameMessages: maps must not decide what is sent.
func TestSameEventsSameMessages(t *testing.T) {
	run := func() (out []string) {
		b := newBench(t, job)
		b.submit(9, &wire.Request{Root: "a"})
		for _, id := range []string{"z", "y", "x"} {
			b.hello(id, "k")
		}
		b.turns()
		b.write(stop(1))
		b.core.Gone(3)
		b.hello("x", "k") // it holds nothing any more
		turn := b.core.Turn(b.now)
		bytes, _ := proto.MarshalOptions{Deterministic: true}.Marshal(turn)
		out = append(out, string(bytes))
		for c := Conn(1); c <= b.conns; c++ {
			for _, m := range b.sent[c] {
				bytes, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
				out = append(out, string(bytes))
			}
		}
		return out
	}
	first := run()
	for range 20 {
		if !slices.Equal(first, run()) {
			t.Fatal("two runs of the same events differ")
		}
	}
}
