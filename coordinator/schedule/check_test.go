package schedule

import (
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

const (
	ok      = wire.Outcome_SUCCEEDED
	failed  = wire.Outcome_FAILED
	stopped = wire.Operate_STOP
	paused  = wire.Operate_PAUSE
	resumed = wire.Operate_RESUME
)

// TestCheck asks what keeps an instance from starting, rule by rule. Plans are
// b1, b2, …; a's and b's instances alternate by date: 0 and 1 are the first.
func TestCheck(t *testing.T) {
	a, b := daily("a"), daily("b", "a")
	checkRows(t, []row{
		{"R5.1 nothing is in the way", []*wire.Node{a, b}, func(f *facts) { f.submit(2, &wire.Request{Root: "a"}) }, 1, 0, Block{}},
		{"R5.2 an upstream has not run", []*wire.Node{a, b}, func(f *facts) { f.submit(2, &wire.Request{Root: "a"}) }, 1, 1, Block{Kind: Upstream, Plan: 1, Instance: 0}},
		{"R5.2 an upstream has succeeded", []*wire.Node{a, b}, func(f *facts) { f.run(f.submit(2, &wire.Request{Root: "a"}), 0, ok) }, 1, 1, Block{}},
		{"R8 it runs", []*wire.Node{a}, func(f *facts) { f.grant(f.submit(1, &wire.Request{Root: "a"}), 0) }, 1, 0, Block{Kind: Ended}},
		{"R8 it has failed", []*wire.Node{a}, func(f *facts) { f.run(f.submit(1, &wire.Request{Root: "a"}), 0, failed) }, 1, 0, Block{Kind: Ended}},
		{"R4.3 gate day: all of the date before", []*wire.Node{a, b}, func(f *facts) { f.run(f.submit(2, &wire.Request{Root: "a"}), 0, ok) }, 1, 2, Block{Kind: Gate, Plan: 1, Pos: 0}},
		{"R4.3 gate node: the same node of the date before", []*wire.Node{a, b}, func(f *facts) { f.run(f.submit(2, &wire.Request{Root: "a", Gate: wire.Request_NODE}), 0, ok) }, 1, 2, Block{}},
		{"R4.3 gate node holds the others", []*wire.Node{a, b}, func(f *facts) { f.run(f.submit(2, &wire.Request{Root: "a", Gate: wire.Request_NODE}), 0, ok) }, 1, 3, Block{Kind: Gate, Plan: 1, Pos: 0}},
		{"R4.3 gate none", []*wire.Node{a, b}, func(f *facts) { f.submit(2, &wire.Request{Root: "a", Gate: wire.Request_NONE}) }, 1, 2, Block{}},
		{"R4.2 another group is not held", []*wire.Node{a, b}, func(f *facts) { f.submit(2, &wire.Request{Root: "a", Groups: 2}) }, 1, 2, Block{}},
		{"R4.5 a date that was opened", []*wire.Node{a}, func(f *facts) {
			f.run(f.submit(2, &wire.Request{Root: "a", OnFailure: wire.Request_CONTINUE}), 0, failed)
			f.turn(&wire.Turn{Opens: []*wire.OpenDate{{Plan: 1, Position: 1}}})
		}, 1, 1, Block{}},
		{"R9 a stopped plan", []*wire.Node{a}, func(f *facts) { f.operate(f.submit(1, &wire.Request{Root: "a"}), stopped) }, 1, 0, Block{Kind: PlanStopped}},
		{"R9 a rerun in a stopped plan", []*wire.Node{a}, func(f *facts) { f.operate(f.submit(1, &wire.Request{Root: "a"}), stopped); f.rerun(1, 0) }, 1, 0, Block{}},
		{"R9 a paused plan", []*wire.Node{a}, func(f *facts) { f.operate(f.submit(1, &wire.Request{Root: "a"}), paused) }, 1, 0, Block{Kind: PlanPaused}},
		{"R4.5 stopAfter", []*wire.Node{a}, func(f *facts) { f.run(f.submit(2, &wire.Request{Root: "a", Groups: 2, StopAfter: 1}), 0, failed) }, 1, 1, Block{Kind: PlanHalted}},
		{"R5.4 the cycle before, in the group", []*wire.Node{onItself(daily("a"))}, func(f *facts) { f.submit(2, &wire.Request{Root: "a", Gate: wire.Request_NONE}) }, 1, 1, Block{Kind: Predecessor, Plan: 1, Instance: 0}},
		{"R5.5 in another group and never run: none", []*wire.Node{onItself(daily("a"))}, func(f *facts) { f.submit(2, &wire.Request{Root: "a", Groups: 2}) }, 1, 1, Block{}},
		{"R5.5 outside the plan, failed", []*wire.Node{onItself(daily("a"))}, func(f *facts) {
			f.run(f.submit(0, &wire.Request{Root: "a", Dates: []*wire.DateRange{{From: int32(today) - 2, To: int32(today) - 2}}}), 0, failed)
			f.submit(1, &wire.Request{Root: "a"})
		}, 2, 0, Block{Kind: Predecessor, Plan: 1, Instance: 0}},
		{"R5.5 outside the plan, the newest counts, not the one whose agent's clock is ahead", []*wire.Node{onItself(daily("a"))}, func(f *facts) {
			two := func() *wire.Request {
				return &wire.Request{Root: "a", Dates: []*wire.DateRange{{From: int32(today) - 2, To: int32(today) - 2}}}
			}
			f.submit(0, two())
			f.grant(1, 0)
			f.now += 3600_000
			f.finish(1, 0, failed)
			f.now -= 3600_000
			f.run(f.submit(0, two()), 0, ok)
			f.submit(1, &wire.Request{Root: "a"})
		}, 3, 0, Block{}},
		{"R5.8 the earlier plan goes first", []*wire.Node{a}, func(f *facts) { f.submit(1, &wire.Request{Root: "a"}); f.submit(1, &wire.Request{Root: "a"}) }, 2, 0, Block{Kind: Overlap, Plan: 1, Instance: 0}},
		{"R5.8 the earlier plan waits while the later runs", []*wire.Node{a}, func(f *facts) {
			f.submit(1, &wire.Request{Root: "a"})
			f.submit(1, &wire.Request{Root: "a"})
			f.operate(1, stopped)
			f.grant(2, 0)
			f.operate(1, resumed)
		}, 1, 0, Block{Kind: Overlap, Plan: 2, Instance: 0}},
		{"R6 dry runs do not overlap", []*wire.Node{a}, func(f *facts) {
			f.submit(1, &wire.Request{Root: "a"})
			f.submit(1, &wire.Request{Root: "a", DryRun: true})
		}, 2, 0, Block{}},
		{"R3.3 T is to come", []*wire.Node{a}, func(f *facts) {
			f.submit(0, &wire.Request{Root: "a", Dates: []*wire.DateRange{{From: int32(today), To: int32(today)}}})
		}, 1, 0, Block{Kind: Due, AtMs: noon + 12*3600_000}},
		{"R3.5 not before", []*wire.Node{a}, func(f *facts) { f.submit(1, &wire.Request{Root: "a", NotBeforeMs: noon + 5}) }, 1, 0, Block{Kind: Due, AtMs: noon + 5}},
		{"R9 a retry waits", []*wire.Node{{Id: "a", Code: "false", Retries: 2, RetryDelayMs: 70}}, func(f *facts) { f.run(f.submit(1, &wire.Request{Root: "a"}), 0, failed) }, 1, 0, Block{Kind: Retry, AtMs: noon + 70, Next: 1, Of: 2}},
	})
}

// row is a course of events, and what keeps an instance from starting after it.
type row struct {
	name     string
	nodes    []*wire.Node
	do       func(f *facts)
	plan     uint64
	instance uint64
	want     Block
}

func checkRows(t *testing.T, rows []row) {
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			f := newFacts(t, c.nodes...)
			c.do(f)
			if got := f.check(c.plan, c.instance); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestR8_Shown: the roll-up of a plan through its life.
func TestR8_Shown(t *testing.T) {
	f := newFacts(t, daily("a"), daily("b", "a"))
	id := f.submit(2, &wire.Request{Root: "a"})
	shown := func(want Shown) {
		t.Helper()
		p, _ := f.st.Plan(id)
		if got := NewMotion(f.st, p, f.now, nil).Plan(); got != want {
			t.Fatalf("the plan is shown as %d, want %d: %v", got, want, p.Total())
		}
	}
	shown(NotRunning)
	f.grant(id, 0)
	shown(Running)
	f.finish(id, 0, ok)
	shown(Running) // b can start
	f.run(id, 1, failed)
	shown(RunFailed)
	f.rerun(id, 1)
	shown(Running)
	f.run(id, 1, ok)
	f.operate(id, paused)
	shown(NotRunning)
	f.operate(id, resumed)
	f.run(id, 2, ok)
	f.run(id, 3, ok)
	shown(Succeeded)
	later := f.submit(1, &wire.Request{Root: "a", NotBeforeMs: noon + 1000})
	p, _ := f.st.Plan(later)
	if got := NewMotion(f.st, p, f.now, nil).Plan(); got != WaitingTime {
		t.Fatalf("a plan that is not due is shown as %d", got)
	}
	if p.Status(0) != state.Pending {
		t.Fatal("it must not have started")
	}
}
