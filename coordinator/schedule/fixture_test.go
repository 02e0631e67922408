package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// noon is the leader's clock at the start of every test, today its date.
var (
	noon  = time.Date(2021, 8, 24, 12, 0, 0, 0, time.UTC).UnixMilli()
	today = calendar.DateOf(2021, 8, 24)
)

// facts is a log of its own, and a scheduler that follows it entry by entry.
type facts struct {
	t     testing.TB
	st    *state.State
	sched *Scheduler
	index uint64
	now   int64
}

func newFacts(t testing.TB, nodes ...*wire.Node) *facts {
	f := &facts{t: t, st: state.New(), sched: New(Settings{}), now: noon - 5*dayMs} // since when the schedule has them
	f.sched.Load(f.st, f.now)
	f.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}}})
	f.now = noon
	f.agent("a", 1000, 1000)
	return f
}

// agent registers an agent with so many slots, and labels.
func (f *facts) agent(id string, slots, big uint32, has ...string) {
	f.t.Helper()
	f.turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: id, Incarnation: "k", State: wire.Agent_READY, Labels: labels(has...), Groups: []*wire.GroupSlots{{Group: "default", Slots: slots}, {Group: "big", Slots: big}},
	}}})
}

func utc() *wire.Zone {
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-5000, today+100))
	zone.Name = "UTC"
	return zone
}

// generate makes the schedule's plan of a date, and gives its id.
func (f *facts) generate(d int32) uint64 {
	f.t.Helper()
	return f.must(&wire.Command{Body: &wire.Command_Generate{Generate: &wire.Generate{
		Date: d, Today: int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{utc()},
	}}}).Plan
}

func (f *facts) do(c *wire.Command) state.Result {
	f.index++
	c.NowMs = f.now
	next, r := f.st.Apply(f.index, c)
	f.st = next
	f.sched.Observe(next, r.Changes, f.now)
	return r
}

func (f *facts) must(c *wire.Command) *wire.Answer {
	f.t.Helper()
	r := f.do(c)
	if r.Err != nil || len(r.Refused) > 0 {
		f.t.Fatalf("refused: %v %v", r.Err, r.Refused)
	}
	return r.Answer
}

func (f *facts) turn(t *wire.Turn) {
	f.t.Helper()
	f.must(&wire.Command{Body: &wire.Command_Turn{Turn: t}})
}

// submit accepts a backfill of the dates that end yesterday, and gives its id.
func (f *facts) submit(days int32, r *wire.Request) uint64 {
	f.t.Helper()
	return f.must(f.submission(days, r)).Plan
}

func (f *facts) submission(days int32, r *wire.Request) *wire.Command {
	if r.Mode == wire.Request_MODE_UNSPECIFIED {
		r.Mode = wire.Request_DESCENDANTS
	}
	if r.Dates == nil {
		r.Dates = []*wire.DateRange{{From: int32(today) - days, To: int32(today) - 1}}
	}
	return &wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: r, Today: int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{utc()},
	}}}
}

// operate does something to a plan, or to instances of it.
func (f *facts) operate(id uint64, k wire.Operate_Kind, instances ...uint64) {
	f.t.Helper()
	f.must(operation(&wire.Operate{Kind: k, Targets: []*wire.Target{{Plan: id, Instances: instances}}}))
}

func operation(o *wire.Operate) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_Operate{Operate: o}}
}

func (f *facts) rerun(id uint64, list ...uint64) {
	f.t.Helper()
	f.operate(id, wire.Operate_RERUN, list...)
}

func (f *facts) grant(id, instance uint64) {
	f.t.Helper()
	p, _ := f.st.Plan(id)
	at, _ := p.Locate(instance)
	f.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: instance, Agent: "a", ResourceGroup: p.ResourceGroup(at.Node)}}})
}

func (f *facts) finish(id, instance uint64, o wire.Outcome) {
	f.t.Helper()
	l, ok := f.st.Lease(id, instance)
	if !ok {
		f.t.Fatalf("b%d.%d has no lease", id, instance)
	}
	f.turn(&wire.Turn{Finishes: []*wire.Finish{{Plan: id, Instance: instance, Fence: l.Fence, Outcome: o, StartedMs: f.now, EndedMs: f.now}}})
}

// run grants an instance and ends it.
func (f *facts) run(id, instance uint64, o wire.Outcome) {
	f.t.Helper()
	f.grant(id, instance)
	f.finish(id, instance, o)
}

func (f *facts) check(id, instance uint64) Block {
	p, _ := f.st.Plan(id)
	at, _ := p.Locate(instance)
	return Check(f.st, p, at, f.now)
}

// name is a plan's instance.
type name struct{ plan, instance uint64 }

// grants takes what starts with some free slots of the group default, in
// order, without making it a fact.
func (f *facts) grants(slots int) []name {
	var out []name
	for _, g := range f.sched.Grants(map[string][]Slots{"default": {{Agent: "a", Free: slots}}}) {
		out = append(out, name{g.Plan, g.Instance})
	}
	return out
}

// ready is all that could start now, by a scheduler's queues.
func ready(s *Scheduler, nowMs int64) (queued, dry []name) {
	s.refill()
	startable := func(n name) bool {
		p, _ := s.st.Plan(n.plan)
		at, _ := p.Locate(n.instance)
		return Check(s.st, p, at, nowMs).Kind == Nothing
	}
	for _, q := range s.pools {
		for _, l := range q.levels {
			for _, n := range l.turns {
				for _, p := range n.parts {
					for _, it := range p.items {
						queued = append(queued, name{n.t.id, it.instance})
					}
				}
			}
		}
	}
	for t := range s.dry {
		for _, i := range t.dry {
			dry = append(dry, name{t.id, i})
		}
	}
	clean := func(all []name) []name {
		all = slices.DeleteFunc(all, func(n name) bool { return !startable(n) })
		slices.SortFunc(all, func(a, b name) int { return cmp.Or(cmp.Compare(a.plan, b.plan), cmp.Compare(a.instance, b.instance)) })
		return slices.Compact(all)
	}
	return clean(queued), clean(dry)
}

func daily(id string, upstreams ...string) *wire.Node {
	n := &wire.Node{Id: id, Code: "true", Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY}}
	for _, u := range upstreams {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: u})
	}
	return n
}

func onItself(n *wire.Node) *wire.Node {
	n.DependsOnSelf = true
	return n
}

func prior(n *wire.Node, priority int32) *wire.Node {
	n.Baseline, n.Priority = fmt.Sprint("b", priority), priority
	return n
}

// auto has the schedule run a node.
func auto(n *wire.Node) *wire.Node {
	n.Auto = true
	return n
}
