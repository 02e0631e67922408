package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"backfleet/pkg/wire"
)

// TestIncrementalIsAFreshLoad: after every entry of a random log the scheduler
// that followed it has the same ready as one that begins from the facts.
func TestIncrementalIsAFreshLoad(t *testing.T) {
	for seed := range uint64(120) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { randomRun(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func randomRun(t *testing.T, r *rand.Rand) {
	sub := daily("b", "a")
	sub.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 0, To: 2 * 3600, Every: 60}
	window := daily("d", "b", "c")
	window.Upstreams[0].Window, window.Upstreams[0].From = true, -2
	c := onItself(daily("c", "a"))
	c.Retries, c.RetryDelayMs, sub.Retries = 1, 40, 1
	f := newFacts(t, daily("a"), onItself(sub), prior(c, 5), window)
	steps := 0
	for range 150 {
		f.now += r.Int64N(30)
		f.sched.Tick(f.now)
		f.random(r)
		for { // as the dispatcher does
			turn := &wire.Turn{Opens: f.sched.Opens()}
			if r.IntN(4) > 0 {
				turn.DryRuns = f.sched.DryRuns()
			}
			if len(turn.Opens)+len(turn.DryRuns) == 0 {
				break
			}
			f.turn(turn)
		}
		fresh := New(Settings{})
		fresh.Load(f.st, f.now)
		wantQueued, wantDry := ready(fresh, f.now)
		queued, dry := ready(f.sched, f.now)
		if !slices.Equal(queued, wantQueued) || !slices.Equal(dry, wantDry) {
			t.Fatalf("entry %d: ready are %v and dry %v, by a fresh look %v and %v", f.index, queued, dry, wantQueued, wantDry)
		}
		steps += len(queued)
	}
	if steps == 0 {
		t.Error("nothing was ever ready: the log tests nothing")
	}
}

// random makes one thing happen.
func (f *facts) random(r *rand.Rand) {
	plans := uint64(0)
	if p, found := f.st.Plan(1); found && p != nil {
		for plans = 1; ; plans++ {
			if _, more := f.st.Plan(plans + 1); !more {
				break
			}
		}
	}
	id := 1 + r.Uint64N(plans+1)
	switch k := r.IntN(40); {
	case plans == 0 || plans < 6 && k == 0:
		f.submit(1+r.Int32N(4), &wire.Request{
			Root: []string{"a", "b", "c"}[r.IntN(3)], Groups: 1 + r.Int32N(3), Gate: wire.Request_Gate(r.IntN(3)), OnFailure: wire.Request_OnFailure(r.IntN(2)),
			DryRun: r.IntN(8) == 0, MaxRunning: max(0, r.Int32N(6)-3), StopAfter: max(0, r.Int32N(9)-5), NotBeforeMs: f.now + r.Int64N(100),
		})
	case k < 3:
		f.do(operation(&wire.Operate{Kind: wire.Operate_Kind(1 + r.IntN(2)), Targets: []*wire.Target{{Plan: id}}}))
	case k < 9:
		f.do(operation(&wire.Operate{Kind: resumed, Targets: []*wire.Target{{Plan: id}}}))
	case k < 11:
		f.do(operation(&wire.Operate{Kind: wire.Operate_RERUN_FAILED, Targets: []*wire.Target{{Plan: id}}}))
	case k < 13:
		if p, found := f.st.Plan(id); found {
			f.do(operation(&wire.Operate{Kind: wire.Operate_RERUN, Targets: []*wire.Target{{Plan: id, Instances: []uint64{r.Uint64N(p.Size()), r.Uint64N(p.Size())}}}}))
		}
	case k < 26:
		n := 1 + r.IntN(12)
		f.do(&wire.Command{Body: &wire.Command_Turn{Turn: &wire.Turn{Grants: f.sched.Grants(map[string][]Slots{"default": {{Agent: "a", Free: n}}})}}})
	default:
		f.endSome(r)
	}
}

// endSome ends some attempts in one entry, or all.
func (f *facts) endSome(r *rand.Rand) {
	turn, few := &wire.Turn{}, 1+r.IntN(4)
	for id := uint64(1); id <= 6; id++ {
		p, found := f.st.Plan(id)
		for i := uint64(0); found && i < p.Size(); i++ {
			if l, live := f.st.Lease(id, i); live && r.IntN(few) == 0 {
				o := []wire.Outcome{ok, ok, ok, failed, wire.Outcome_LOST, wire.Outcome_STOPPED}[r.IntN(6)]
				turn.Finishes = append(turn.Finishes, &wire.Finish{Plan: id, Instance: i, Fence: l.Fence, Outcome: o, EndedMs: f.now})
			}
		}
	}
	f.do(&wire.Command{Body: &wire.Command_Turn{Turn: turn}})
}
