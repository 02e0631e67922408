package state

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run the random logs of this seed only")
	nSeeds  = flag.Uint64("seeds", 40, "how many random logs to run")
	nSteps  = flag.Int("steps", 250, "entries of each random log")
)

// TestR13_7_TwinsAndModelAgree feeds random logs to two state machines. One is
// snapshotted and restored now and then; both must have the same hash after
// every entry (RULES R13.7), and say what the model says. Edits that are
// dropped, and later entries, must not change a State that somebody holds.
func TestR13_7_TwinsAndModelAgree(t *testing.T) {
	first, last := uint64(1), *nSeeds
	if *oneSeed != 0 {
		first, last = *oneSeed, *oneSeed
	}
	var grants atomic.Int64
	t.Cleanup(func() {
		if logs := last - first + 1; *oneSeed == 0 && grants.Load() < int64(logs)*int64(*nSteps)/8 {
			t.Errorf("only %d instances granted in %d logs: they test too little", grants.Load(), logs)
		}
	})
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Logf("reproduce with: go test ./coordinator/state -run TwinsAndModelAgree -seed %d -steps %d", seed, *nSteps)
				}
			}()
			grants.Add(int64(randomLog(t, rand.New(rand.NewPCG(seed, 1)))))
		})
	}
}

func randomLog(t *testing.T, rnd *rand.Rand) (grants int) {
	a, b, want := newMachine(t), newMachine(t), newModel()
	g := &generator{Rand: rnd, bodies: map[string]*wire.Command{}, answers: map[string]*wire.Answer{}}
	type kept struct {
		s    *State
		hash [32]byte
	}
	var held []kept
	for step := range *nSteps {
		if g.IntN(10) == 0 {
			g.dropped(a.s)
		}
		c := g.command(a.s)
		want.people.nowMs = a.now + 10 // as do will have it
		allowed, checked := want.foresees(c)
		ra, rb := a.do(c), b.do(c)
		if fault.CodeOf(ra.Err) != fault.CodeOf(rb.Err) || len(ra.Changes) != len(rb.Changes) {
			t.Fatalf("step %d: the twins answer differently: %v, %v", step, ra, rb)
		}
		if fault.Is(ra.Err, fault.Corrupt) || fault.Is(ra.Err, fault.Internal) {
			t.Fatalf("step %d: %v", step, ra.Err)
		}
		again := g.checkKey(t, c, ra)
		if checked && !again && allowed != (ra.Err == nil) {
			t.Fatalf("step %d: %v: got %v, expected it to be allowed: %v", step, c, ra.Err, allowed)
		}
		if !again {
			want.people.audits(a.index, c, ra)
		}
		if ra.Err == nil && !again {
			if err := want.apply(a.index, c, a.s, ra); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			grants += len(c.GetTurn().GetGrants()) - len(ra.Refused)
		}
		want.check(t, a.s)
		if g.IntN(20) == 0 {
			b.s = restored(t, b.s)
			want.check(t, b.s)
		}
		hash := a.s.Hash()
		if hash != b.s.Hash() {
			t.Fatalf("step %d: the twins differ after %v", step, c)
		}
		if step%10 == 0 {
			held = append(held, kept{a.s, hash})
		}
	}
	for _, k := range held {
		if k.s.Hash() != k.hash {
			t.Fatalf("the state after entry %d was changed by later ones", k.s.Index())
		}
	}
	return grants
}

// generator makes commands that are mostly sensible for a state, and sometimes
// not at all.
type generator struct {
	*rand.Rand
	nodes   int
	keys    []string
	bodies  map[string]*wire.Command
	answers map[string]*wire.Answer
}

func (g *generator) oneIn(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *generator, all []T) T { return all[g.IntN(len(all))] }

var agentIDs = []string{"a1", "a2", "a3"}

func (g *generator) command(s *State) *wire.Command {
	var c *wire.Command
	k := g.IntN(100)
	switch {
	case s.Index() < 2 || k < 5:
		c = g.apply()
	case s.Index() < 6 || k < 10:
		c = g.submit()
	case k < 14:
		c = operate(g.plan(s), wire.Operate_Kind(g.IntN(4)))
	case k < 22:
		c = operate(g.Uint64N(s.nextPlan+1), wire.Operate_RESUME)
	case k < 32:
		c = g.rerun(s)
	case k < 35:
		c = &wire.Command{Body: &wire.Command_PutServer{PutServer: &wire.PutServer{Id: pick(g, agentIDs), Version: fmt.Sprint(g.IntN(9))}}}
	case k < 36:
		c = &wire.Command{Body: &wire.Command_RemoveServer{RemoveServer: &wire.RemoveServer{Id: pick(g, agentIDs)}}}
	case k < 47:
		c = g.operate(s)
	case k < 50:
		c = g.person(s)
	case k < 54:
		c = generate(today + calendar.Date(g.IntN(5)) - 3)
	case k < 58:
		c = editPlan(g.edit(s))
	case k < 60:
		c = expire(g.Uint64N(s.nextPlan+1), g.Uint64N(s.nextPlan+1))
	case k < 62:
		c = group(&wire.PutResourceGroup{
			Name: pick(g, []string{"default", "big"}), ReserveForAuto: uint32(g.IntN(12)), BackfillMaxShare: uint32(g.IntN(120)),
			Description: pick(g, []string{"", "for all", fmt.Sprintf("%5000d", 1)}), LogKeepMs: int64(g.IntN(4)-1) * 3_600_000,
		})
	case k < 65:
		c = g.agents(s)
	case k < 66:
		c = g.joinToken(s)
	case k < 68:
		c = g.source()
	case k < 69:
		c = g.person(s)
	default:
		return turn(g.turn(s))
	}
	if c = g.shown(s, c); g.oneIn(2) {
		c = g.key(c)
	}
	return c
}

// key puts a command under an idempotency key: a new one, its own again, or
// one that was used for something else.
func (g *generator) key(c *wire.Command) *wire.Command {
	id := fmt.Sprint("key", len(g.keys))
	if len(g.keys) > 0 && g.oneIn(4) {
		id = pick(g, g.keys)
		if g.oneIn(2) {
			old := g.bodies[id]
			return &wire.Command{Actor: old.Actor, RequestId: id, RequestHash: old.RequestHash, Body: old.Body}
		}
	}
	c.RequestId, c.RequestHash = id, HashRequest(c)
	if _, used := g.bodies[id]; !used {
		g.keys, g.bodies[id] = append(g.keys, id), c
	}
	return c
}

// checkKey: the same key and body give the same answer, another body is a
// conflict. It says whether the request was answered before.
func (g *generator) checkKey(t *testing.T, c *wire.Command, r Result) bool {
	t.Helper()
	if c.RequestId == "" {
		return false
	}
	before, answered := g.answers[c.RequestId]
	same := answered && bytes.Equal(g.bodies[c.RequestId].RequestHash, c.RequestHash)
	switch {
	case !answered && r.Err == nil && r.Answer != nil:
		g.answers[c.RequestId], g.bodies[c.RequestId] = r.Answer, c
	case same && (r.Err != nil || r.Answer.Index != before.Index || r.Answer.Plan != before.Plan || len(r.Changes) > 0):
		t.Fatalf("key %s: answered %v %v, before %v", c.RequestId, r.Answer, r.Err, before)
	case answered && !same && !fault.Is(r.Err, fault.Conflict):
		t.Fatalf("key %s was taken for another body: %v %v", c.RequestId, r.Answer, r.Err)
	}
	return answered
}

func (g *generator) apply() *wire.Command {
	hourly := daily("b", "a")
	hourly.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 0, To: 3 * 3600, Every: 60}
	hourly.DependsOnSelf = true
	c, d := daily("c", "b"), daily("d", "c")
	c.Retries, d.Retries, d.RetryDelayMs = 1, 2, 1000
	d.Upstreams[0].Window, d.Upstreams[0].From = true, -2
	c.Slots, c.ExitCodes = 3, []*wire.ExitCode{{Code: 40, Meaning: wire.ExitCode_FAIL}, {Code: 41, Meaning: wire.ExitCode_SKIP}, {Code: 42}}
	if g.oneIn(4) {
		d.Requires, d.Slots = []*wire.Assignment{{Name: "gpu", Value: "true"}}, uint32(g.IntN(4))
	}
	if g.oneIn(4) {
		d.Type, d.Source = "sql", pick(g, sourceNames)
	}
	all := []*wire.Node{daily("a"), hourly, c, d}
	g.nodes++
	for _, n := range all {
		n.Auto = g.oneIn(2)
		n.Mode = wire.Node_Mode(max(0, g.IntN(8)-5))
	}
	switch g.IntN(8) {
	case 0:
		all[0].Upstreams = []*wire.Upstream{{Node: "d"}} // a circle
	case 1:
		all = append(all, daily("e", "nowhere"))
	case 2:
		return &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{pick(g, []string{"d", "e", "a"})}}}}
	case 3:
		all = append(all, daily("e", "d"))
	default:
		all[g.IntN(4)].Code = fmt.Sprint("echo ", g.nodes)
	}
	return apply(all...)
}

func (g *generator) submit() *wire.Command {
	r := &wire.Request{
		Mode: wire.Request_Mode(1 + g.IntN(2)), Root: pick(g, []string{"a", "b", "c", "d", "e"}), Dates: days(int32(g.IntN(5))),
		Groups: int32(g.IntN(4)), Order: wire.Request_Order(g.IntN(2)), Gate: wire.Request_Gate(g.IntN(3)),
		StopAfter: int32(max(0, g.IntN(6)-3)), MaxRunning: int32(max(0, g.IntN(6)-2)), PinCode: g.oneIn(3), DryRun: g.oneIn(10),
	}
	r.OnConflict = wire.Request_OnConflict(max(0, g.IntN(5)-2))
	r.PausedNodes, r.DryRunNodes = wire.Request_Switch(g.IntN(2)), wire.Request_Switch(g.IntN(2))
	if g.oneIn(5) {
		r.Overlap = wire.Request_OVERLAP_REFUSE
	}
	if r.Mode == wire.Request_DESCENDANTS && r.Root == "a" && g.oneIn(2) {
		r.Nodes = []string{"d"} // b and c become dry runs
	}
	return submit(r)
}

// plan is the id of a plan, mostly of one in which something may start, rarely
// of one that there is not.
func (g *generator) plan(s *State) uint64 {
	id := s.nextPlan
	for range 8 {
		id = g.Uint64N(s.nextPlan)
		if p, ok := s.Plan(id); ok && p.Unfinished() && !p.Stopped && !p.Paused && !p.Halted {
			break
		}
	}
	return id
}

func (g *generator) instance(s *State, id uint64) uint64 {
	p, ok := s.Plan(id)
	if !ok || g.oneIn(30) {
		return g.Uint64()
	}
	from := g.Uint64N(p.Size())
	if !g.oneIn(4) { // one that may be started
		for i := from; i < p.Size(); i++ {
			if p.Status(i).Waits() && !p.Blocked(i) {
				return i
			}
		}
	}
	return from
}

func (g *generator) rerun(s *State) *wire.Command {
	id := g.plan(s)
	if g.oneIn(3) {
		return operate(id, wire.Operate_RERUN_FAILED)
	}
	var list []uint64
	for range 1 + g.IntN(3) {
		list = append(list, g.instance(s, id))
	}
	return rerun(id, list...)
}

func (g *generator) turn(s *State) *wire.Turn {
	t := &wire.Turn{}
	if s.agents.Len() < 3 || g.oneIn(8) {
		a := agent(pick(g, agentIDs), uint32(g.IntN(12)))
		a.State = wire.Agent_State(1 + max(0, g.IntN(9)-5))
		if g.oneIn(3) {
			a.Groups = append(a.Groups, &wire.GroupSlots{Group: "big", Slots: 4})
		}
		if g.oneIn(8) {
			a.Groups = a.Groups[1:]
		}
		if g.oneIn(2) {
			a.Labels = []*wire.Assignment{{Name: "gpu", Value: pick(g, []string{"true", "false"})}}
		}
		if g.oneIn(2) {
			a.Labels = append(a.Labels, &wire.Assignment{Name: "backfleet/sql", Value: "true"})
		}
		t.Agents = append(t.Agents, a)
	}
	s.Leases(func(l *Lease) {
		f := &wire.Finish{
			Plan: l.Plan, Instance: l.Instance, Fence: l.Fence, Outcome: wire.Outcome(g.IntN(9)),
			StartedMs: l.GrantedMs + g.Int64N(50), EndedMs: l.GrantedMs + 50, ExitCode: int32(g.IntN(300) - 20), Cause: "because",
			Metrics: g.metrics(),
		}
		if g.oneIn(2) {
			f.ExitCode = int32(38 + g.IntN(6))
		}
		if g.oneIn(2) {
			f.Outcome = wire.Outcome_SUCCEEDED
			if l.Ahead && g.oneIn(2) {
				f.Outcome = wire.Outcome_RECALLED
			}
		}
		if g.oneIn(10) {
			f.Fence -= g.Uint64N(3) // stale
		}
		switch g.IntN(6) {
		case 0:
			t.Finishes = append(t.Finishes, f, f) // reported twice
		case 1:
			t.Finishes = append(t.Finishes, f)
		case 2:
			if g.oneIn(3) {
				t.Losses = append(t.Losses, &wire.Loss{Plan: l.Plan, Instance: l.Instance, Fence: f.Fence, Cause: "silent"})
			}
		case 4:
			t.Started = append(t.Started, &wire.Started{Plan: l.Plan, Instance: l.Instance, Fence: f.Fence})
		case 3:
			t.Yields = append(t.Yields, &wire.Yield{Plan: l.Plan, Instance: l.Instance, Fence: f.Fence, ToPlan: 1, ToInstance: 2})
		}
	})
	for range g.IntN(14) {
		id := g.plan(s)
		t.Grants = append(t.Grants, &wire.Grant{
			Plan: id, Instance: g.instance(s, id), Agent: pick(g, agentIDs), Ahead: g.oneIn(3), ResourceGroup: pick(g, []string{"default", "default", "default", "default", "default", "big", "none"}),
		})
		if g.oneIn(3) {
			t.DryRuns = append(t.DryRuns, &wire.DryRuns{Plan: id, Instances: []uint64{g.instance(s, id), g.instance(s, id)}})
		}
		if g.oneIn(5) {
			t.Opens = append(t.Opens, &wire.OpenDate{Plan: id, Position: uint32(g.IntN(7))})
		}
		if g.oneIn(3) {
			t.Missed = append(t.Missed, &wire.Missed{Plan: id, Instances: []uint64{g.like(s, id, Status.Frozen), g.instance(s, id)}})
		}
		if g.oneIn(20) {
			t.Finishes = append(t.Finishes, &wire.Finish{Plan: id, Instance: g.instance(s, id), Fence: g.Uint64N(50)})
		}
	}
	return t
}

// dropped tries a turn on a state and forgets it.
func (g *generator) dropped(s *State) {
	e := s.Edit(s.Index()+1, s.NowMs()+5)
	e.Turn(g.turn(s))
	if g.oneIn(2) {
		e.Done()
	}
}

// like is an instance of a plan that has a status, if there is one.
func (g *generator) like(s *State, id uint64, is func(Status) bool) uint64 {
	p, ok := s.Plan(id)
	if !ok || g.oneIn(30) {
		return g.Uint64N(40)
	}
	from := g.Uint64N(p.Size())
	for n := range p.Size() {
		if i := (from + n) % p.Size(); is(p.Status(i)) {
			return i
		}
	}
	return from
}

// operate makes operations of all kinds that are mostly possible.
func (g *generator) operate(s *State) *wire.Command {
	o := &wire.Operate{Kind: wire.Operate_Kind(1 + g.IntN(11))}
	is := Status.Waits
	switch o.Kind {
	case wire.Operate_SET_TO_SUCCESS:
		is = Status.Failure
	case wire.Operate_UNFREEZE:
		is = Status.Frozen
	case wire.Operate_RERUN:
		is = func(st Status) bool { return st.Success() || st.Failure() }
	case wire.Operate_REMOVE_UPSTREAM:
		o.Upstream = pick(g, []string{"a", "b", "b", "c"})
	case wire.Operate_SET_PRIORITY:
		o.Priority = pick(g, []int32{1, 2, 3, 5, 7, 8})
	}
	f := forms[o.Kind]
	for range 1 + g.IntN(3) {
		t := &wire.Target{Plan: 1 + g.Uint64N(s.nextPlan)}
		switch k := g.IntN(4); {
		case f.dates && k == 0:
			from := int32(today) - 2 - g.Int32N(4)
			t.Dates = append(t.Dates, &wire.DateRange{From: from, To: from + g.Int32N(3)})
		case f.plan && (k == 1 || !f.instances):
		default:
			for range 1 + g.IntN(3) {
				t.Instances = append(t.Instances, g.like(s, t.Plan, is))
			}
		}
		o.Targets = append(o.Targets, t)
	}
	return &wire.Command{Actor: "bob", Why: "drawn", Body: &wire.Command_Operate{Operate: o}}
}

// edit changes a plan in one or two ways.
func (g *generator) edit(s *State) *wire.EditPlan {
	e := &wire.EditPlan{Plan: g.plan(s)}
	dates := func() []*wire.DateRange {
		from := int32(today) - 2 - g.Int32N(7)
		return []*wire.DateRange{{From: from, To: from + g.Int32N(3)}}
	}
	for range 1 + g.IntN(2) {
		switch g.IntN(7) {
		case 0:
			e.Groups = proto.Int32(g.Int32N(5))
		case 1:
			e.MaxRunning = proto.Int32(g.Int32N(4))
		case 2:
			e.Priority = proto.Int32(pick(g, []int32{0, 1, 8, 4}))
		case 3:
			e.AddDates = dates()
		case 4:
			e.DropDates = dates()
		case 5:
			e.AddNodes = []string{pick(g, []string{"a", "b", "c", "d", "e"})}
		case 6:
			e.DropNodes = []string{pick(g, []string{"a", "b", "c", "d", "e"})}
		}
	}
	return e
}
