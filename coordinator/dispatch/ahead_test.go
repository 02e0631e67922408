package dispatch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// ran is a result of an attempt that took so many milliseconds.
func ran(b *bench, ref *wire.AttemptRef, ms int64) *wire.AttemptResult {
	at := b.now.UnixMilli()
	return &wire.AttemptResult{Ref: ref, Outcome: wire.Outcome_SUCCEEDED, StartedMs: at - ms, EndedMs: at}
}

func (b *bench) report(c Conn, r *wire.Report) {
	b.core.Report(c, r, b.now)
	b.turns()
}

// quick is an agent of two slots that has run a, in ms, and a plan with more.
func quick(t *testing.T, ms int64, nodes ...*wire.Node) (b *bench, c Conn, work []*wire.Work) {
	t.Helper()
	b = newBench(t, append(nodes, job)...)
	c = b.hello("x", "k1")
	b.turns()
	b.submit(2, &wire.Request{Root: "a"})
	b.turns()
	_, first, _, _ := b.take(c)
	b.report(c, &wire.Report{Results: []*wire.AttemptResult{ran(b, first[0].Ref, ms), ran(b, first[1].Ref, ms)}})
	b.take(c)
	b.submit(90, &wire.Request{Root: "a"})
	b.turns()
	_, work, _, _ = b.take(c)
	return b, c, work
}

func TestShortWorkIsGrantedAhead(t *testing.T) {
	b, c, work := quick(t, 10)
	ahead := 0
	for i, w := range work {
		if w.Ahead {
			ahead++
		} else if i >= 2 {
			t.Errorf("work %d is not ahead, of two slots", i)
		}
	}
	if len(work) != 10 || ahead != 8 {
		t.Fatalf("%d granted, %d of them ahead; want 2 and what 80 ms bear of 10 ms each", len(work), ahead)
	}
	// One ends, one starts: one more goes ahead, in the same entry.
	b.report(c, &wire.Report{Results: []*wire.AttemptResult{ran(b, work[0].Ref, 10)}, Started: []*wire.AttemptRef{work[2].Ref}})
	if _, more, _, _ := b.take(c); len(more) != 1 || !more[0].Ahead {
		t.Fatalf("got %v, want one more ahead", more)
	}
	if l, _ := b.st.Lease(work[2].Ref.Plan, work[2].Ref.Instance); l.Ahead {
		t.Error("what has started is still taken to wait")
	}
}

func TestLongOrUnknownWorkIsNotGrantedAhead(t *testing.T) {
	if _, _, work := quick(t, 500); len(work) != 2 {
		t.Errorf("%d of 500 ms each are granted to two slots", len(work))
	}
	// What has never run is first in line, and holds up what is short behind it.
	b, c, work := quick(t, 10, &wire.Node{Id: "z", Code: "true", Baseline: "b8", Priority: 8})
	b.submit(3, &wire.Request{Root: "z"})
	var results []*wire.AttemptResult
	for _, w := range work {
		results = append(results, ran(b, w.Ref, 10))
	}
	b.report(c, &wire.Report{Results: results})
	_, next, _, _ := b.take(c)
	if slices.ContainsFunc(next, func(w *wire.Work) bool { return w.Ahead }) || len(next) != 2 {
		t.Errorf("got %v, want two, and nothing ahead of or beside what may take long", next)
	}
}

func TestAnAgentThatGaveWorkBackGetsNoneForASecond(t *testing.T) {
	b, c, work := quick(t, 10)
	back := &wire.AttemptResult{Ref: work[9].Ref, Outcome: wire.Outcome_RECALLED}
	b.report(c, &wire.Report{Results: []*wire.AttemptResult{back, ran(b, work[0].Ref, 10)}, Started: []*wire.AttemptRef{work[2].Ref}})
	b.status(work[9].Ref.Plan, work[9].Ref.Instance, state.Again)
	if _, more, _, _ := b.take(c); more != nil {
		t.Fatalf("got %v at once", more)
	}
	b.now = b.now.Add(backOff)
	b.report(c, &wire.Report{Results: []*wire.AttemptResult{ran(b, work[1].Ref, 10)}, Started: []*wire.AttemptRef{work[3].Ref}})
	if _, more, _, _ := b.take(c); len(more) == 0 {
		t.Error("nothing a second later")
	}
}

func TestR9_APauseCallsBackWhatWaitsAtTheAgent(t *testing.T) {
	b, c, work := quick(t, 10)
	id := work[0].Ref.Plan
	b.write(operate(wire.Operate_PAUSE, &wire.Target{Plan: id}))
	b.turns()
	_, more, stops, _ := b.take(c)
	if more != nil || len(stops) != 8 || !stops[0].Recall {
		t.Fatalf("work %v, stops %v; want the eight ahead called back", more, stops)
	}
	var results []*wire.AttemptResult
	for _, s := range stops[1:] { // one has just started
		results = append(results, &wire.AttemptResult{Ref: s.Ref, Outcome: wire.Outcome_RECALLED})
	}
	b.report(c, &wire.Report{Results: results, Started: []*wire.AttemptRef{stops[0].Ref}})
	b.st.Leases(func(l *state.Lease) {
		if l.Ahead {
			t.Errorf("b%d.%d still waits at its agent", l.Plan, l.Instance)
		}
	})
	if n := b.st.LeaseCount(); n != 3 {
		t.Errorf("%d leases, want the two that ran and the one that started", n)
	}
	// The stop that comes after a recall is told as well.
	b.write(stop(id))
	b.turns()
	if _, _, stops, _ = b.take(c); len(stops) != 3 || stops[0].Recall {
		t.Errorf("told of %v, want all three ended", stops)
	}
	// Recalled by the leader, the agent is to blame for nothing.
	if b.core.workers["x"].patient.After(b.now) {
		t.Error("the agent is given nothing ahead for what it was asked to give back")
	}
}

// fleet is a random one, which the test keeps for its agents.
type fleet struct {
	*bench
	r     *rand.Rand
	conns []Conn
	held  map[Conn][]*wire.Work // in the order of the agent's line
	runs  map[Conn]int          // how many of held, from the first, run
	took  map[string]int64
	seen  map[string]int
}

// TestAheadKeepsItsBounds: whatever ends, starts, is paused, stopped or given
// back, in no entry does an agent hold more ahead than it may, or anything
// beside what may take long; and what the Core counts is what the facts count.
func TestAheadKeepsItsBounds(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { newFleet(t, seed, seen).run() })
	}
	for _, what := range []string{"ahead", "recalled", "gave back", "bounded", "long", "capped"} {
		if seen[what] == 0 {
			t.Errorf("never %s: the runs do not test it", what)
		}
	}
	t.Log(seen)
}

func newFleet(t *testing.T, seed uint64, seen map[string]int) *fleet {
	f := &fleet{
		r: rand.New(rand.NewPCG(seed, 4)), held: map[Conn][]*wire.Work{}, runs: map[Conn]int{}, seen: seen,
		took: map[string]int64{"p": 1, "q": 7, "r": 30, "s": 4000},
	}
	var nodes []*wire.Node
	for id := range f.took {
		nodes = append(nodes, &wire.Node{Id: id, Code: "true"})
	}
	slices.SortFunc(nodes, func(a, b *wire.Node) int { return int(a.Id[0]) - int(b.Id[0]) })
	f.bench = newBench(t, nodes...)
	if seed%3 == 0 {
		f.write(&wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: &wire.PutResourceGroup{Name: "default", BackfillMaxShare: 70}}})
	}
	for i := range 3 {
		f.conns = append(f.conns, f.hello(fmt.Sprint("x", i), "k"))
	}
	f.turns()
	return f
}

func (f *fleet) run() {
	for range 120 {
		f.now = f.now.Add(time.Duration(f.r.IntN(40)) * time.Millisecond)
		f.happens()
		f.step()
	}
}

func (f *fleet) happens() {
	plans := uint64(0)
	f.st.Plans(0, func(p *state.Plan) bool { plans = p.ID; return false })
	id := 1 + f.r.Uint64N(plans+1)
	p, ok := f.st.Plan(id)
	switch k := f.r.IntN(20); {
	case plans < 12 && (k < 3 || plans == 0):
		f.submit(1+f.r.Int32N(60), &wire.Request{Root: string(rune('p' + f.r.IntN(4))), Gate: wire.Request_NONE, MaxRunning: max(0, f.r.Int32N(60)-40)})
	case k == 3 && ok && !p.Paused && !p.Stopped && p.Unfinished():
		f.write(operate(wire.Operate_PAUSE, &wire.Target{Plan: id}))
	case k < 6 && ok && (p.Paused || p.Stopped) && p.Unfinished():
		f.write(operate(wire.Operate_RESUME, &wire.Target{Plan: id}))
	default:
		for _, c := range f.conns {
			f.works(c)
		}
	}
}

// works has an agent report what became of what it holds.
func (f *fleet) works(c Conn) {
	report := &wire.Report{}
	held, runs := f.held[c], f.runs[c]
	if runs > 0 && f.r.IntN(3) > 0 {
		n := 1 + f.r.IntN(runs)
		for _, w := range held[:n] {
			report.Results = append(report.Results, ran(f.bench, w.Ref, f.took[f.node(w)]))
		}
		held, runs = held[n:], runs-n
	}
	if len(held) > runs && f.r.IntN(25) == 0 { // it waited too long
		last := held[len(held)-1]
		held = held[:len(held)-1]
		report.Results = append(report.Results, &wire.AttemptResult{Ref: last.Ref, Outcome: wire.Outcome_RECALLED})
		f.seen["gave back"]++
	}
	for ; runs < min(2, len(held)); runs++ {
		if held[runs].Ahead {
			report.Started = append(report.Started, held[runs].Ref)
		}
	}
	f.held[c], f.runs[c] = held, runs
	f.core.Report(c, report, f.now)
}

func (f *fleet) node(w *wire.Work) string {
	p, _ := f.st.Plan(w.Ref.Plan)
	at, _ := p.Locate(w.Ref.Instance)
	return p.Nodes[at.Node].Spec.Id
}

func (f *fleet) step() {
	f.t.Helper()
	f.turns(f.check)
	f.check()
	for _, c := range f.conns {
		_, work, stops, _ := f.take(c)
		f.held[c] = append(f.held[c], work...)
		report := &wire.Report{}
		for _, s := range stops {
			k := slices.IndexFunc(f.held[c], func(w *wire.Work) bool { return proto.Equal(w.Ref, s.Ref) })
			if k >= f.runs[c] && s.Recall {
				f.held[c] = slices.Delete(f.held[c], k, k+1)
				report.Results = append(report.Results, &wire.AttemptResult{Ref: s.Ref, Outcome: wire.Outcome_RECALLED})
				f.seen["recalled"]++
			}
		}
		if len(report.Results) > 0 {
			f.core.Report(c, report, f.now)
			f.turns()
			_, more, _, _ := f.take(c)
			f.held[c] = append(f.held[c], more...)
		}
	}
	f.check()
	f.nothingUnstartedOfAPause()
}

// check holds the facts, and what the Core counts, against the bounds.
func (f *fleet) check() {
	f.t.Helper()
	use := f.st.GroupUse("default")
	limit := schedule.BackfillLimit(use.Slots, f.st.ResourceGroup("default"))
	if limit < use.Slots {
		if use.Backfills+use.Ahead > limit {
			f.t.Fatalf("entry %d: %d run and %d wait at agents of backfills, which may have %d slots", f.index, use.Backfills, use.Ahead, limit)
		}
		f.seen["bounded"]++
	}
	f.st.Plans(0, func(p *state.Plan) bool {
		if n := int(p.Request.MaxRunning); n > 0 && p.Active() > n {
			f.t.Fatalf("entry %d: b%d runs %d of %d", f.index, p.ID, p.Active(), n)
		} else if n > 0 && p.Active() == n {
			f.seen["capped"]++
		}
		return true
	})
	ahead, ms := map[string]int{}, map[string]int{}
	long := map[string]uint64{} // the newest fence of an attempt that may take long
	newest := map[string]uint64{}
	f.st.Leases(func(l *state.Lease) {
		p, _ := f.st.Plan(l.Plan)
		at, _ := p.Locate(l.Instance)
		took := f.took[p.Nodes[at.Node].Spec.Id]
		if took > schedule.ShortMs {
			long[l.Agent] = max(long[l.Agent], l.Fence)
			f.seen["long"]++
		}
		if l.Ahead {
			ahead[l.Agent]++
			ms[l.Agent] += int(took)
			newest[l.Agent] = max(newest[l.Agent], l.Fence)
			f.seen["ahead"]++
			if took > schedule.ShortMs {
				f.t.Fatalf("entry %d: b%d.%d takes %d ms and waits at its agent", f.index, l.Plan, l.Instance, took)
			}
		}
	})
	for agent, n := range ahead {
		if n > state.MaxAhead || ms[agent] > 2*budgetMs {
			f.t.Fatalf("entry %d: %s holds %d ahead, of %d ms", f.index, agent, n, ms[agent])
		}
		if long[agent] > 0 && newest[agent] >= long[agent] {
			f.t.Fatalf("entry %d: %s was given something ahead beside what takes long", f.index, agent)
		}
	}
}

// nothingUnstartedOfAPause: every agent has answered.
func (f *fleet) nothingUnstartedOfAPause() {
	f.t.Helper()
	f.st.Leases(func(l *state.Lease) {
		if p, _ := f.st.Plan(l.Plan); p.Paused && l.Ahead {
			f.t.Fatalf("entry %d: b%d.%d still waits at %s, though its plan is paused", f.index, l.Plan, l.Instance, l.Agent)
		}
	})
}

// TestOffersAreWhatTheFactsCount: kept change by change, they are what a look at
// every agent gives.
func TestOffersAreWhatTheFactsCount(t *testing.T) {
	for seed := range uint64(20) {
		f := newFleet(t, seed, map[string]int{})
		for i := range 60 {
			f.now = f.now.Add(time.Duration(f.r.IntN(40)) * time.Millisecond)
			f.happens()
			if i%20 == 10 { // one goes and comes back with nothing
				c := f.conns[0]
				f.core.Gone(c)
				f.turns()
				delete(f.held, c)
				f.runs[c] = 0
				f.conns[0] = f.hello("x0", "k")
			}
			f.step()
			f.core.settle(f.st, f.now, true)
			if got, want := *f.core.offers.Use("default"), f.st.GroupUse("default"); got != want {
				t.Fatalf("seed %d, entry %d: counted %+v, in the facts %+v", seed, f.index, got, want)
			}
			n := 0
			for _, w := range f.core.workers {
				sum := 0
				for _, g := range w.grips {
					if l, ok := f.st.Lease(g.plan, g.number); !ok || l.Fence != g.fence || l.Agent != w.id || l.Ahead != g.ahead {
						t.Fatalf("seed %d, entry %d: b%d.%d is held as %+v, in the facts %+v", seed, f.index, g.plan, g.number, g, l)
					}
					sum += g.ms
				}
				n += len(w.grips)
				if len(w.loads) > 0 && w.loads[0].aheadMs != sum {
					t.Fatalf("seed %d, entry %d: %s is counted to hold %d ms ahead, and holds %d", seed, f.index, w.id, w.loads[0].aheadMs, sum)
				}
			}
			if n != f.st.LeaseCount() || n != len(f.core.grips) {
				t.Fatalf("seed %d, entry %d: %d leases are known of %d", seed, f.index, n, f.st.LeaseCount())
			}
		}
	}
}

// How much goes ahead follows from how long slots are taken, not from how long
// processes run: an agent that forks more slowly than its slots ask would let it
// wait too long, and give it back.
func TestWhatGoesAheadFollowsHowLongSlotsAreTaken(t *testing.T) {
	for _, c := range []struct {
		slotMs int64
		want   int // of 30 ms each, for 100 ms of two slots
	}{{30, 6}, {60, 3}, {15, 6}, {1200, 0}} {
		b := newBench(t, job)
		conn := b.hello("x", "k1")
		b.turns()
		b.submit(2, &wire.Request{Root: "a"})
		b.turns()
		_, first, _, _ := b.take(conn)
		var results []*wire.AttemptResult
		for _, w := range first {
			r := ran(b, w.Ref, 30)
			r.SlotMs = c.slotMs
			results = append(results, r)
		}
		b.report(conn, &wire.Report{Results: results})
		b.take(conn)
		b.submit(90, &wire.Request{Root: "a"})
		b.turns()
		_, work, _, _ := b.take(conn)
		ahead := 0
		for _, w := range work {
			if w.Ahead {
				ahead++
			}
		}
		if len(work) != 2+ahead || ahead != c.want {
			t.Errorf("slots taken for %d ms: %d granted, %d of them ahead; want 2 and %d", c.slotMs, len(work), ahead, c.want)
		}
	}
}
