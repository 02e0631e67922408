package sim

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// hold is what a person was told: nothing of the plan starts any more.
type hold struct {
	kind  wire.Operate_Kind
	index uint64 // of the entry, by the answer
}

// holds says whether an operation keeps whole plans from starting anything.
func holds(m *wire.Command) bool {
	o := m.GetOperate()
	return o != nil && (o.Kind == wire.Operate_PAUSE || o.Kind == wire.Operate_STOP && len(o.Targets[0].Instances) == 0)
}

// do asks for an operation. From the answer to a pause or a stop on, nothing of
// the plan may start (RULES R9), unless somebody has asked for it meanwhile or
// has no answer yet: that may be a fact later.
func (c *client) do(m *wire.Command) {
	id, kind := m.GetOperate().Targets[0].Plan, m.GetOperate().Kind
	starts := kind == wire.Operate_RESUME || kind == wire.Operate_RERUN || kind == wire.Operate_RERUN_FAILED
	if starts {
		delete(c.held, id)
		c.asks[id]++
		c.unanswered[id]++
	}
	asks := c.asks[id]
	c.request(m, func(r state.Result, index uint64) {
		if starts {
			c.unanswered[id]--
		}
		if holds(m) && r.Err == nil && asks == c.asks[id] && c.unanswered[id] == 0 {
			c.held[id] = hold{kind, index}
			c.w.report.Holds++
		}
	})
}

// granted is told of every new lease.
func (c *client) granted(id, n, index uint64) {
	if h, held := c.held[id]; held && index > h.index {
		c.w.violated("R9", "b%d.%d is leased at entry %d, after %s of the plan was acknowledged at %d", id, n, index, h.kind, h.index)
	}
}

// remembers checks that a coordinator still has what was accepted up to where
// it is, and not forgotten (RULES R13.1, R10.1).
func (c *client) remembers(at *coordinator) {
	kept := c.accepted[:0]
	for _, a := range c.accepted {
		gone := c.w.model.expired[a.plan]
		if !slices.ContainsFunc(c.w.log.all, func(o *coordinator) bool { return gone == 0 || o.snapped < gone }) {
			continue // nobody can come back to a time when it was there
		}
		kept = append(kept, a)
		if p, ok := at.st.Plan(a.plan); a.index <= at.applied && (gone == 0 || at.applied < gone) && (!ok || p.Name != a.name) {
			c.w.violated("R13.1", "%s does not have backfill %s, accepted as b%d at %d", at.id, a.name, a.plan, a.index)
		}
	}
	c.accepted = kept
}

// operate does something to some plan.
func (c *client) operate() {
	w := c.w
	if w.oneIn(8) && (w.Days == 0 || w.oneIn(6)) {
		c.request(c.nodes(), ignore)
		return
	}
	if len(w.model.order) == 0 {
		return
	}
	p := pick(w, w.model.order)
	for range 4 { // mostly such as have something to do
		if facts, ok := w.log.truth().Plan(p.id); ok && facts.Unfinished() {
			break
		}
		p = pick(w, w.model.order)
	}
	switch k := w.rnd.IntN(40); {
	case k < 3:
		c.do(operation(p.id, wire.Operate_STOP))
	case k < 6:
		c.do(operation(p.id, wire.Operate_PAUSE))
	case k < 12:
		c.do(operation(p.id, wire.Operate_RESUME))
	case k < 16:
		c.do(operation(p.id, wire.Operate_RERUN_FAILED))
	case k < 18:
		c.do(operation(p.id, pick(w, []wire.Operate_Kind{wire.Operate_FREEZE, wire.Operate_UNFREEZE, wire.Operate_UNFREEZE})))
	case k < 20:
		m := operation(p.id, pick(w, []wire.Operate_Kind{wire.Operate_FREEZE, wire.Operate_UNFREEZE, wire.Operate_UNFREEZE}))
		d := pick(w, p.dates)
		m.GetOperate().Targets[0].Dates = []*wire.DateRange{{From: d, To: d + 1}}
		c.do(m)
	case k < 25:
		c.edit(p)
	default:
		c.single(p)
	}
}

// single draws an operation on some instances, mostly such as allow it.
func (c *client) single(p *planModel) {
	w, st := c.w, c.w.log.truth()
	kind := pick(w, []wire.Operate_Kind{
		wire.Operate_STOP, wire.Operate_RERUN, wire.Operate_SET_TO_SUCCESS, wire.Operate_FREEZE, wire.Operate_UNFREEZE,
		wire.Operate_FORCE_RUN, wire.Operate_REMOVE_UPSTREAM, wire.Operate_SET_PRIORITY,
	})
	allowed := func(s state.Status) bool {
		switch kind {
		case wire.Operate_STOP:
			return s == state.Running || s.Waits()
		case wire.Operate_RERUN:
			return s == state.Pending || s.Success() || s.Failure()
		case wire.Operate_SET_TO_SUCCESS:
			return s.Failure()
		case wire.Operate_UNFREEZE:
			return s.Frozen()
		default:
			return s.Waits()
		}
	}
	var able, list []uint64
	for n := range p.keys {
		if allowed(statusOf(st, p, n)) || w.oneIn(100) {
			able = append(able, uint64(n))
		}
	}
	if len(able) == 0 {
		return
	}
	for range 1 + w.rnd.IntN(3) {
		list = append(list, pick(w, able))
	}
	slices.Sort(list)
	list = slices.Compact(list)
	cmd := operation(p.id, kind, list...)
	switch o := cmd.GetOperate(); kind {
	case wire.Operate_SET_PRIORITY:
		o.Priority = pick(w, []int32{1, 2, 3, 5, 7, 8})
	case wire.Operate_REMOVE_UPSTREAM:
		n := p.nodes[p.keys[list[0]].node]
		o.Upstream, o.Targets[0].Instances = n.Id, list[:1]
		if len(n.Upstreams) > 0 {
			o.Upstream = pick(w, n.Upstreams).Node
		}
	}
	c.do(cmd)
}

// statusOf is an instance's status, if its plan is still there.
func statusOf(st *state.State, p *planModel, n int) state.Status {
	facts, ok := st.Plan(p.id)
	if !ok {
		return state.Running
	}
	return facts.Status(uint64(n))
}

// edit draws a change of a running backfill.
func (c *client) edit(p *planModel) {
	w := c.w
	e := &wire.EditPlan{Plan: p.id, Today: int32(c.today())}
	facts, ok := w.log.truth().Plan(p.id)
	if !ok || p.auto {
		return
	}
	switch w.rnd.IntN(6) {
	case 0:
		e.Groups = proto.Int32(int32(1 + w.rnd.IntN(4)))
	case 1:
		e.MaxRunning = proto.Int32(int32(w.rnd.IntN(4)))
	case 2:
		e.ResourceGroup = proto.String(pick(w, []string{"", "big", "default"}))
		e.Priority = proto.Int32(pick(w, []int32{0, 2, 8}))
	case 3:
		d := slices.Min(p.dates) - 1 - int32(w.rnd.IntN(3))
		e.AddDates = []*wire.DateRange{{From: d, To: d + int32(w.rnd.IntN(2))}}
	case 4:
		d := pick(w, p.dates)
		e.DropDates = []*wire.DateRange{{From: d, To: d}}
	default:
		id := fmt.Sprint("n", w.rnd.IntN(6))
		if p.nodes[id] != nil {
			e.DropNodes = []string{id}
		} else {
			e.AddNodes = []string{id}
		}
	}
	var err error
	if e.Zones, err = plan.EditZones(facts.Plan, e, w.log.truth().Graph(), calendar.Date(e.Today), load(w)); err != nil {
		return
	}
	c.request(&wire.Command{Body: &wire.Command_EditPlan{EditPlan: e}}, ignore)
}

// interfere has somebody, now and then, think better of what waits at an agent.
func (c *client) interfere(l *state.Lease) {
	if c.w.calm || !c.w.oneIn(c.w.many(25, 4)) {
		return
	}
	id, n := l.Plan, l.Instance
	c.w.after(c.w.between(0, 20*time.Millisecond), func() {
		switch c.w.rnd.IntN(5) {
		case 0:
			c.do(operation(id, wire.Operate_FREEZE, n))
		case 1:
			c.do(operation(id, wire.Operate_STOP, n))
		case 2:
			c.do(operation(id, wire.Operate_STOP))
		default:
			c.do(operation(id, wire.Operate_PAUSE))
		}
		c.w.after(c.w.between(10*time.Millisecond, 20*time.Second), func() { c.do(operation(id, wire.Operate_RESUME)) })
	})
}

// drain has an agent drained, with a deadline or without, and resumed later. Now
// and then somebody forgets one instead that is away.
func (c *client) drain() {
	w := c.w
	o := &wire.OperateAgents{Kind: wire.OperateAgents_DRAIN, Agents: []string{pick(w, w.hosts).id}}
	of := func(o *wire.OperateAgents) *wire.Command {
		return &wire.Command{Body: &wire.Command_OperateAgents{OperateAgents: o}}
	}
	if w.oneIn(5) {
		o.Kind = wire.OperateAgents_FORGET
		c.request(of(o), ignore)
		return
	}
	if !w.oneIn(4) {
		o.DeadlineMs = w.epoch.Add(w.now + w.between(0, 5*time.Second)*w.slow).UnixMilli()
	}
	c.draining++
	c.request(of(o), func(r state.Result, _ uint64) {
		if r.Err != nil {
			c.draining--
			return
		}
		w.report.Drains++
		w.after(w.between(time.Second, 40*time.Second)*w.slow, func() {
			c.request(of(&wire.OperateAgents{Kind: wire.OperateAgents_RESUME, Agents: o.Agents}), func(state.Result, uint64) { c.draining-- })
		})
	})
}

// mend is somebody who looks after what has failed, once a day; in a crowd every
// few seconds, and after what is held.
func (c *client) mend() {
	st := c.w.log.truth()
	for _, p := range c.w.model.order {
		facts, ok := st.Plan(p.id)
		if !ok || c.w.oneIn(4) {
			continue
		}
		t := facts.Total()
		if t[state.Failed]+t[state.Stopped] > 0 && (p.auto || c.w.oneIn(2)) {
			c.do(operation(p.id, wire.Operate_RERUN_FAILED))
		}
		if p.auto && t.Frozen() > 0 {
			c.do(operation(p.id, wire.Operate_UNFREEZE))
		}
		if (p.auto || c.w.Crowd) && (facts.Paused || facts.Stopped || facts.Halted) {
			c.do(operation(p.id, wire.Operate_RESUME))
		}
	}
}

func ignore(state.Result, uint64) {}

func operation(id uint64, kind wire.Operate_Kind, list ...uint64) *wire.Command {
	return &wire.Command{Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: kind, Targets: []*wire.Target{{Plan: id, Instances: list}}}}}
}

// again lets a fleet at rest go on once more: most plans are resumed, what was
// frozen is not any more, and what failed runs again, and succeeds. A season's
// schedule comes to an end before. False when all is done.
func (c *client) again() bool {
	w := c.w
	c.stage++
	switch {
	case c.stage == 1:
		c.calmed = true
		for _, p := range w.model.order {
			if w.oneIn(5) {
				continue
			}
			steps := []wire.Operate_Kind{wire.Operate_UNFREEZE, wire.Operate_RESUME, wire.Operate_RERUN_FAILED}
			var next func(state.Result, uint64)
			next = func(state.Result, uint64) {
				if len(steps) > 0 {
					k := steps[0]
					steps = steps[1:]
					delete(c.held, p.id)
					c.request(operation(p.id, k), next)
				}
			}
			next(state.Result{}, 0)
		}
		return true
	default:
		return false
	}
}

// retire switches the schedule off, once nobody asks for anything else.
func (c *client) retire() {
	if c.busy() {
		c.w.after(time.Minute, c.retire)
		return
	}
	a := &wire.ApplyNodes{}
	for i := range 6 {
		if n := c.w.model.nodes[fmt.Sprint("n", i)]; n != nil {
			n = proto.CloneOf(n)
			n.Auto = false
			a.Nodes = append(a.Nodes, n)
		}
	}
	c.request(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: a}}, ignore)
}
