package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// TestIncrementalIsAFreshLoad: after every entry of a random log the scheduler
// that followed it has the same ready as one that begins from the facts, and
// has left out nothing that such a one would decide.
func TestIncrementalIsAFreshLoad(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(200) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { randomRun(t, rand.New(rand.NewPCG(seed, 1)), seen) })
	}
	for k := Nothing; k < MaxRunning; k++ {
		if seen[fmt.Sprint(k)] == 0 {
			t.Errorf("no instance was ever held by a block of kind %d: the logs do not test it", k)
		}
	}
	for _, what := range []string{"opened", "missed", "yielded", "queued", "moving", "held"} {
		if seen[what] == 0 {
			t.Errorf("nothing was ever %s: the logs do not test it", what)
		}
	}
	t.Log(seen)
}

// randomNodes are of every kind of dependency and mode, some of them run by the
// schedule.
func randomNodes() []*wire.Node {
	a := auto(daily("a"))
	a.Schedule.At = 13 * 3600
	b := onItself(auto(daily("b", "a")))
	b.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 11 * 3600, To: 14 * 3600, Every: 60}
	b.Retries = 1
	heavy(b, 2)
	c := prior(onItself(daily("c", "a")), 5)
	c.Retries, c.RetryDelayMs, c.DependsOnChildren = 1, 40, true
	d := daily("d", "b", "c")
	d.Upstreams[0].Window, d.Upstreams[0].From = true, -2
	e := auto(prior(daily("e"), 3))
	e.ResourceGroup = "big"
	e.Upstreams = []*wire.Upstream{{Node: "a", Previous: true}}
	needs(e, "gpu", "true")
	heavy(d, 3)
	p := auto(daily("p", "a"))
	p.Mode = wire.Node_PAUSED
	q := auto(daily("q", "p"))
	q.Mode = wire.Node_DRY_RUN
	return []*wire.Node{a, b, c, d, e, p, q}
}

func randomRun(t *testing.T, r *rand.Rand, seen map[string]int) {
	f := newFacts(t, randomNodes()...)
	f.agent("a", 1+r.Uint32N(4), 1+r.Uint32N(2))
	f.agent("z", 2, 1, "gpu", "true")
	for d := range int32(r.IntN(3)) {
		f.generate(int32(today) - d)
	}
	for range 150 {
		if f.now += r.Int64N(30); r.IntN(12) == 0 {
			f.now += r.Int64N(3600_000)
		}
		f.sched.Tick(f.now)
		f.random(r)
		f.settle(r.IntN(4) > 0, seen)
		fresh := New(Settings{})
		fresh.Load(f.st, f.now)
		wantQueued, wantDry := ready(fresh, f.now)
		queued, dry := ready(f.sched, f.now)
		if !slices.Equal(queued, wantQueued) || !slices.Equal(dry, wantDry) {
			t.Fatalf("entry %d: ready are %v and dry %v, by a fresh look %v and %v", f.index, queued, dry, wantQueued, wantDry)
		}
		if o, m, y := fresh.Opens(), fresh.Missed(), fresh.Yields(); len(o)+len(m)+len(y) > 0 {
			t.Fatalf("entry %d: left out to open %v, to note as missed %v, to have make way %v", f.index, o, m, y)
		}
		seen["queued"] += len(queued)
		if r.IntN(8) == 0 {
			f.compareMotion(seen)
		}
		if p, found := f.st.Plan(1 + r.Uint64N(f.plans()+1)); found {
			seen[fmt.Sprint(f.check(p.ID, r.Uint64N(p.Size())).Kind)]++
		}
	}
}

// settle makes facts of all that the scheduler decides but grants, as the
// dispatcher does.
func (f *facts) settle(dry bool, seen map[string]int) {
	f.t.Helper()
	for {
		turn := &wire.Turn{Opens: f.sched.Opens(), Missed: f.sched.Missed(), Yields: f.sched.Yields()}
		if dry {
			turn.DryRuns = f.sched.DryRuns()
		}
		if len(turn.Opens)+len(turn.DryRuns)+len(turn.Missed)+len(turn.Yields) == 0 {
			return
		}
		seen["opened"] += len(turn.Opens)
		seen["missed"] += len(turn.Missed)
		seen["yielded"] += len(turn.Yields)
		f.turn(turn)
	}
}

// random makes one thing happen.
func (f *facts) random(r *rand.Rand) {
	plans := f.plans()
	id := 1 + r.Uint64N(plans+1)
	switch k := r.IntN(60); {
	case plans == 0 || plans < 8 && k < 2:
		f.do(f.submission(1+r.Int32N(4), f.randomRequest(r))) // refused if it could never finish
	case k < 18:
		f.do(f.randomOperation(r, id))
	case k < 20:
		f.do(f.randomEdit(r, id))
	case k == 20:
		f.generate(int32(today) - 2 + r.Int32N(4))
	case k == 21:
		f.do(&wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: &wire.PutResourceGroup{
			Name: "default", ReserveForAuto: r.Uint32N(2), BackfillMaxShare: r.Uint32N(2) * 50,
		}}})
	case k == 22:
		f.agent([]string{"a", "z"}[r.IntN(2)], r.Uint32N(5), r.Uint32N(3), "gpu", []string{"true", "false"}[r.IntN(2)])
	case k == 23:
		f.do(&wire.Command{Body: &wire.Command_Expire{Expire: &wire.Expire{Plans: []uint64{id}}}})
	case k < 44:
		f.grantSome(r)
	default:
		f.endSome(r)
	}
}

// plans is the newest plan's id.
func (f *facts) plans() (newest uint64) {
	f.st.Plans(0, func(p *state.Plan) bool { newest = p.ID; return false })
	return newest
}

func (f *facts) randomRequest(r *rand.Rand) *wire.Request {
	req := &wire.Request{
		Root: []string{"a", "b", "c", "e", "p"}[r.IntN(5)], Groups: 1 + r.Int32N(3), Gate: wire.Request_Gate(r.IntN(3)), OnFailure: wire.Request_OnFailure(r.IntN(2)),
		DryRun: r.IntN(8) == 0, MaxRunning: max(0, r.Int32N(6)-3), StopAfter: max(0, r.Int32N(9)-5), NotBeforeMs: f.now + r.Int64N(100),
		OnConflict: wire.Request_OnConflict(r.IntN(3)), PausedNodes: wire.Request_Switch(r.IntN(2)), DryRunNodes: wire.Request_Switch(r.IntN(2)),
		Order: wire.Request_Order(r.IntN(5) / 4),
	}
	if r.IntN(4) == 0 {
		req.Period = &wire.Period{Start: r.Int32N(24) * 3600, End: r.Int32N(24)*3600 + 1800}
	}
	if r.IntN(6) == 0 {
		req.ResourceGroup = "big"
	}
	return req
}

func (f *facts) randomOperation(r *rand.Rand, id uint64) *wire.Command {
	o := &wire.Operate{Kind: wire.Operate_Kind(1 + r.IntN(11)), Targets: []*wire.Target{{Plan: id}}}
	switch r.IntN(4) {
	case 0:
		o.Kind = resumed
	case 1:
		o.Kind = wire.Operate_RERUN_FAILED
	}
	p, found := f.st.Plan(id)
	if !found || o.Kind == resumed || o.Kind == paused || o.Kind == wire.Operate_RERUN_FAILED || o.Kind == stopped && r.IntN(2) == 0 {
		return operation(o)
	}
	if (o.Kind == wire.Operate_FREEZE || o.Kind == wire.Operate_UNFREEZE) && r.IntN(2) == 0 {
		d := int32(p.Dates[r.IntN(len(p.Dates))])
		o.Targets[0].Dates = []*wire.DateRange{{From: d, To: d}}
		return operation(o)
	}
	switch o.Kind {
	case wire.Operate_SET_PRIORITY:
		o.Priority = []int32{1, 2, 8}[r.IntN(3)]
	case wire.Operate_REMOVE_UPSTREAM:
		o.Upstream = []string{"a", "b", "c", "p"}[r.IntN(4)]
	}
	for range 1 + r.IntN(2) {
		o.Targets[0].Instances = append(o.Targets[0].Instances, r.Uint64N(p.Size()))
	}
	return operation(o)
}

func (f *facts) randomEdit(r *rand.Rand, id uint64) *wire.Command {
	edit := &wire.EditPlan{Plan: id, Today: int32(today), Zones: []*wire.Zone{utc()}}
	day := &wire.DateRange{From: int32(today) - 6 + r.Int32N(6)}
	day.To = day.From + r.Int32N(2)
	switch r.IntN(6) {
	case 0:
		edit.AddDates = []*wire.DateRange{day}
	case 1:
		edit.DropDates = []*wire.DateRange{day}
	case 2:
		edit.AddNodes = []string{[]string{"a", "b", "d", "e", "q"}[r.IntN(5)]}
	case 3:
		edit.DropNodes = []string{[]string{"a", "b", "d", "e", "q"}[r.IntN(5)]}
	case 4:
		n := r.Int32N(4)
		edit.MaxRunning = &n
		edit.AnyTime = true
	default:
		n := 1 + r.Int32N(3)
		edit.Groups = &n
	}
	return &wire.Command{Actor: "ann", Body: &wire.Command_EditPlan{EditPlan: edit}}
}

// grantSome gives out some of the free slots, or all. Nothing that the
// scheduler gives may be refused.
func (f *facts) grantSome(r *rand.Rand) {
	f.t.Helper()
	few := 1 + r.IntN(2)
	free := map[string][]Slots{}
	f.st.Agents(func(a *state.Agent) {
		for _, g := range a.Groups {
			if n := a.Free(g.Group) / few; n > 0 {
				free[g.Group] = append(free[g.Group], Slots{Agent: a.Id, Free: n})
			}
		}
	})
	f.turn(&wire.Turn{Grants: f.sched.Grants(free)})
}

// endSome ends some attempts in one entry, or all.
func (f *facts) endSome(r *rand.Rand) {
	turn, few := &wire.Turn{}, 1+r.IntN(4)
	f.st.Leases(func(l *state.Lease) {
		if r.IntN(few) == 0 {
			o := []wire.Outcome{ok, ok, ok, failed, wire.Outcome_LOST, wire.Outcome_STOPPED}[r.IntN(6)]
			turn.Finishes = append(turn.Finishes, &wire.Finish{Plan: l.Plan, Instance: l.Instance, Fence: l.Fence, Outcome: o, EndedMs: f.now})
		}
	})
	f.do(&wire.Command{Body: &wire.Command_Turn{Turn: turn}})
}

// compareMotion holds what Motion says of every instance against a search that
// begins with what moves by itself and goes on until nothing is added.
func (f *facts) compareMotion(seen map[string]int) {
	f.t.Helper()
	blocks, moving := map[name]Block{}, map[name]bool{}
	f.st.Plans(0, func(p *state.Plan) bool {
		for i := range p.Size() {
			if at, _ := p.Locate(i); p.Status(i).Waits() {
				blocks[name{p.ID, i}] = Check(f.st, p, at, f.now)
			} else if p.Status(i) == state.Running {
				moving[name{p.ID, i}] = true
			}
		}
		return true
	})
	for more := true; more; {
		more = false
		for n, b := range blocks {
			if !moving[n] && f.movesOn(n, b, moving) {
				moving[n], more = true, true
			}
		}
	}
	var motion *Motion // what it has found for one it remembers for all
	for n := range blocks {
		p, _ := f.st.Plan(n.plan)
		if motion == nil {
			motion = NewMotion(f.st, p, f.now, nil)
		}
		if got := motion.of(p).Moves(n.instance); got != moving[n] {
			f.t.Fatalf("entry %d: b%d.%d moves: %v, by a slow search %v; held by %+v", f.index, n.plan, n.instance, got, moving[n], blocks[n])
		}
		if moving[n] {
			seen["moving"]++
		} else {
			seen["held"]++
		}
	}
}

func (f *facts) movesOn(n name, b Block, moving map[name]bool) bool {
	p, _ := f.st.Plan(n.plan)
	switch b.Kind {
	case Nothing, Due, Retry, Window, Conflict:
		return true
	case Upstream, Predecessor, Overlap:
		return moving[name{b.Plan, b.Instance}]
	case Gate:
		if p.Request.OnFailure == wire.Request_CONTINUE && !p.Stopped {
			return true
		}
		at, _ := p.Locate(n.instance)
		if p.Request.Gate == wire.Request_NODE {
			first, _ := p.FirstUnsuccessful(p.NodeRange(b.Pos, at.Node))
			return moving[name{p.ID, first}]
		}
		for from, to := range p.Ranges(b.Pos) {
			for i := from; i < to; i++ {
				if moving[name{p.ID, i}] {
					return true
				}
			}
		}
	}
	return false
}
