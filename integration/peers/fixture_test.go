package peers

import (
	"testing"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// noon is the leader's clock, today its date.
var (
	noon  = time.Date(2024, 3, 3, 12, 0, 0, 0, time.UTC).UnixMilli()
	today = calendar.DateOf(2024, 3, 3)
)

// engine is the facts and the scheduler as a leader has them, entry by entry.
type engine struct {
	t     *testing.T
	st    *state.State
	sched *schedule.Scheduler
	index uint64
}

// newEngine has some nodes, and an agent with so many slots in the group default and in another one.
func newEngine(t *testing.T, slots, other uint32, nodes ...*wire.Node) *engine {
	e := &engine{t: t, st: state.New(), sched: schedule.New(schedule.Settings{})}
	e.sched.Load(e.st, noon)
	e.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}}})
	e.turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: "agent", Incarnation: "keeper", State: wire.Agent_READY,
		Groups: []*wire.GroupSlots{{Group: "default", Slots: slots}, {Group: "other", Slots: other}},
	}}})
	return e
}

// restart is another leader: it knows the facts, and nothing else.
func (e *engine) restart() {
	e.sched = schedule.New(schedule.Settings{})
	e.sched.Load(e.st, noon)
}

func (e *engine) must(c *wire.Command) *wire.Answer {
	e.t.Helper()
	e.index++
	c.NowMs, c.Actor = noon, "ann"
	next, r := e.st.Apply(e.index, c)
	if r.Err != nil || len(r.Refused) > 0 {
		e.t.Fatalf("refused: %v %v", r.Err, r.Refused)
	}
	e.st = next
	e.sched.Observe(next, r.Changes, noon)
	return r.Answer
}

func (e *engine) turn(t *wire.Turn) { e.must(&wire.Command{Body: &wire.Command_Turn{Turn: t}}) }

// submit accepts a backfill of a root and all below it, of the last days or of the dates that it names.
func (e *engine) submit(root string, days int32, r *wire.Request) *state.Plan {
	r.Mode, r.Root, r.Name = wire.Request_DESCENDANTS, root, root
	if r.Dates == nil {
		r.Dates = []*wire.DateRange{{From: int32(today) - days, To: int32(today) - 1}}
	}
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-500, today+100))
	zone.Name = "UTC"
	a := e.must(&wire.Command{Body: &wire.Command_Submit{Submit: &wire.Submit{Request: r, Today: int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{zone}}}})
	p, _ := e.st.Plan(a.Plan)
	return p
}

func (e *engine) operate(p *state.Plan, k wire.Operate_Kind, instances ...uint64) {
	e.t.Helper()
	e.must(&wire.Command{Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: k, Targets: []*wire.Target{{Plan: p.ID, Instances: instances}}}}})
}

// started is an instance that has got a slot: its node, and its date counted from the plan's first.
type started struct {
	node string
	pos  int
}

// start gives out all free slots.
func (e *engine) start() (out []started) {
	e.t.Helper()
	a, _ := e.st.Agent("agent")
	free := map[string][]schedule.Slots{}
	for _, g := range a.Groups {
		free[g.Group] = []schedule.Slots{{Agent: a.Id, Free: a.Free(g.Group)}}
	}
	if grants := e.sched.Grants(free); len(grants) > 0 {
		e.turn(&wire.Turn{Grants: grants})
		for _, g := range grants {
			out = append(out, e.named(g.Plan, g.Instance))
		}
	}
	return out
}

func (e *engine) named(planID, instance uint64) started {
	p, _ := e.st.Plan(planID)
	at, _ := p.Locate(instance)
	return started{p.Nodes[at.Node].Spec.Id, at.Pos}
}

// end ends what runs, if it is of those that the function names.
func (e *engine) end(o wire.Outcome, of func(started) bool) (ended int) {
	var all []*wire.Finish
	e.st.Leases(func(l *state.Lease) {
		if of(e.named(l.Plan, l.Instance)) {
			all = append(all, &wire.Finish{Plan: l.Plan, Instance: l.Instance, Fence: l.Fence, Outcome: o, StartedMs: noon, EndedMs: noon})
		}
	})
	if len(all) > 0 {
		e.turn(&wire.Turn{Finishes: all})
	}
	return len(all)
}

// work lets all that can start run and succeed, but for what a function holds, until nothing is left to do.
func (e *engine) work(holds func(started) bool) (ran []started) {
	for more := true; more; {
		some := e.start()
		ran = append(ran, some...)
		more = e.end(wire.Outcome_SUCCEEDED, func(s started) bool { return !holds(s) }) > 0
	}
	return ran
}

func all(started) bool  { return true }
func none(started) bool { return false }

func is(node string) func(started) bool { return func(s started) bool { return s.node == node } }

// number is the instance of a daily node at a position.
func (e *engine) number(p *state.Plan, node string, pos int) uint64 {
	e.t.Helper()
	i, ok := p.Find(node, p.Dates[pos], (int64(p.Dates[pos])+1)*24*3600)
	if !ok {
		e.t.Fatalf("there is no instance of %s at %d", node, pos)
	}
	return i
}

func (e *engine) status(p *state.Plan, node string, pos int) state.Status {
	now, _ := e.st.Plan(p.ID)
	return now.Status(e.number(now, node, pos))
}

func daily(id string, upstreams ...string) *wire.Node {
	n := &wire.Node{Id: id, Type: "shell", Code: "true", Baseline: "usual", Priority: 1, ResourceGroup: "default", Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY}}
	for _, u := range upstreams {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: u})
	}
	return n
}
