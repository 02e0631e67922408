package state

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func (p *modelPlan) waits(i uint64) bool {
	return p.status[i] == Pending || p.status[i] == Again || p.status[i] == Retrying
}

func (p *modelPlan) frozen(i uint64) bool { return p.status[i] == Frozen || p.status[i] == Missed }

func (p *modelPlan) failed(i uint64) bool { return p.status[i] == Failed || p.status[i] == Stopped }

func (p *modelPlan) any(is func(uint64) bool) bool {
	for i := range p.p.Size() {
		if is(i) {
			return true
		}
	}
	return false
}

func (p *modelPlan) unfinished() bool {
	return p.any(func(i uint64) bool { return p.waits(i) || p.frozen(i) || p.status[i] == Running })
}

func (p *modelPlan) dateOf(i uint64) int32 {
	at, _ := p.p.Locate(i)
	return int32(p.p.Dates[at.Pos])
}

// foresees says whether a command must be allowed; false when that is not for
// the model to say.
func (m *model) foresees(c *wire.Command) (allowed, known bool) {
	if allowed, known := m.people.foresees(c); known {
		return allowed, true
	}
	if x := c.GetExpire(); x != nil {
		return m.allowsExpiry(x), true
	}
	if o := c.GetOperateAgents(); o != nil {
		return m.allowsAgents(o), true
	}
	if allowed, known := m.modelSources.foresees(c); known {
		return allowed, true
	}
	o := c.GetOperate()
	if o == nil || o.Kind == wire.Operate_KIND_UNSPECIFIED {
		return false, o != nil
	}
	return m.allows(o), true
}

// allows says whether an operation is possible as a whole (RULES R9).
func (m *model) allows(o *wire.Operate) bool {
	for _, t := range o.Targets {
		p := m.plans[t.Plan]
		if p == nil {
			return false
		}
		for _, i := range t.Instances {
			if i >= p.p.Size() || !m.allowsOn(o, ref{t.Plan, i}) {
				return false
			}
		}
		for _, r := range t.Dates {
			within := func(i uint64) bool { return p.dateOf(i) >= r.From && p.dateOf(i) <= r.To }
			if !p.any(func(i uint64) bool {
				return within(i) && m.allowsOn(o, ref{t.Plan, i})
			}) {
				return false
			}
		}
		if len(t.Instances)+len(t.Dates) == 0 && !m.allowsWhole(t.Plan, o) {
			return false
		}
	}
	return true
}

// allowsOn says whether an operation is possible on an instance. One that was
// granted ahead waits, and can only be frozen, unfrozen and stopped.
func (m *model) allowsOn(o *wire.Operate, k ref) bool {
	l := m.leases[k]
	switch {
	case l == nil || !l.ahead:
		return m.plans[k.plan].allows(o, k.instance)
	case o.Kind == wire.Operate_FREEZE:
		return !l.stopping && !l.freezing
	case o.Kind == wire.Operate_UNFREEZE:
		return !l.stopping && l.freezing
	}
	return o.Kind == wire.Operate_STOP
}

func (p *modelPlan) allows(o *wire.Operate, i uint64) bool {
	switch o.Kind {
	case wire.Operate_STOP:
		return p.waits(i) || p.status[i] == Running
	case wire.Operate_RERUN:
		st := p.status[i]
		return st == Pending || st == Succeeded || st == DryRun || st == SetToSuccess || p.failed(i) || p.waits(i) && p.stopped && !p.named[i]
	case wire.Operate_SET_TO_SUCCESS:
		return p.failed(i)
	case wire.Operate_UNFREEZE:
		return p.frozen(i)
	case wire.Operate_REMOVE_UPSTREAM:
		at, _ := p.p.Locate(i)
		spec := p.p.Nodes[at.Node].Spec
		depends := spec.Id == o.Upstream && spec.DependsOnSelf
		for _, u := range spec.Upstreams {
			depends = depends || u.Node == o.Upstream
		}
		return p.waits(i) && depends && !slices.Contains(p.removed[i], o.Upstream)
	default:
		return p.waits(i)
	}
}

func (m *model) allowsWhole(id uint64, o *wire.Operate) bool {
	p := m.plans[id]
	switch o.Kind {
	case wire.Operate_STOP:
		return p.unfinished()
	case wire.Operate_PAUSE:
		return p.unfinished() && !p.stopped
	case wire.Operate_RESUME:
		return p.unfinished() || p.stopped || p.halted
	case wire.Operate_RERUN_FAILED:
		return p.any(p.failed)
	case wire.Operate_FREEZE, wire.Operate_UNFREEZE:
		return p.any(func(i uint64) bool { return m.allowsOn(o, ref{id, i}) })
	}
	return false
}

// operate does what allows found possible: plans as a whole first, then what
// was named of each, once.
func (m *model) operate(o *wire.Operate) {
	named := map[ref]bool{}
	touched := map[uint64]bool{}
	for _, t := range o.Targets {
		p := m.plans[t.Plan]
		touched[t.Plan] = true
		for _, i := range t.Instances {
			named[ref{t.Plan, i}] = true
		}
		for i := range p.p.Size() {
			in := len(t.Instances)+len(t.Dates) == 0
			for _, r := range t.Dates {
				in = in || p.dateOf(i) >= r.From && p.dateOf(i) <= r.To
			}
			switch {
			case !in:
			case (o.Kind == wire.Operate_FREEZE || o.Kind == wire.Operate_UNFREEZE) && m.allowsOn(o, ref{t.Plan, i}),
				o.Kind == wire.Operate_RERUN_FAILED && p.failed(i):
				named[ref{t.Plan, i}] = true
			}
		}
	}
	whole := map[uint64]bool{}
	for _, t := range o.Targets {
		if len(t.Instances)+len(t.Dates) == 0 && !whole[t.Plan] {
			whole[t.Plan] = true // once, however often it is named
			m.operateWhole(t.Plan, o.Kind)
		}
	}
	for k := range named {
		m.operateOn(k, o)
	}
	for id := range touched {
		m.plans[id].lines++
	}
}

func (m *model) operateWhole(id uint64, kind wire.Operate_Kind) {
	p := m.plans[id]
	switch kind {
	case wire.Operate_STOP:
		p.stopped, p.paused, p.named = true, false, map[uint64]bool{}
		for k, l := range m.leases {
			if k.plan == id {
				l.stop()
				p.marks[k.instance]++
			}
		}
		for i, s := range p.status {
			if s == Retrying {
				p.end(i, Failed)
				p.marks[i]++
			}
		}
	case wire.Operate_PAUSE:
		p.paused = true
		m.recall(id)
	case wire.Operate_RESUME:
		p.stopped, p.paused, p.halted, p.failures, p.named = false, false, false, 0, map[uint64]bool{}
	}
}

func (m *model) operateOn(k ref, o *wire.Operate) {
	p, i := m.plans[k.plan], k.instance
	switch o.Kind {
	case wire.Operate_STOP:
		l := m.leases[k]
		switch {
		case l != nil && l.stopping:
			return
		case l != nil:
			l.stop()
		case p.waits(i):
			p.end(i, Stopped)
		}
	case wire.Operate_RERUN, wire.Operate_RERUN_FAILED:
		if p.status[i] != Pending {
			p.status[i], p.used[i], p.yields[i] = Again, 0, 0
		}
		if p.stopped {
			p.named[i] = true
		}
	case wire.Operate_SET_TO_SUCCESS:
		p.end(i, SetToSuccess)
		m.last[p.where(i)] = modelOutcome{wire.Outcome_SUCCEEDED, 0}
	case wire.Operate_FREEZE:
		if l := m.leases[k]; l != nil {
			l.freezing = true
			l.recalled = l.recalled || !l.ending()
			break
		}
		p.was[i] = p.status[i]
		p.end(i, Frozen)
	case wire.Operate_UNFREEZE:
		switch l := m.leases[k]; {
		case l != nil:
			l.freezing = false
		case p.status[i] == Missed:
			p.status[i] = Failed
		default:
			p.status[i] = p.was[i]
		}
	case wire.Operate_FORCE_RUN:
		p.forced[i] = true
	case wire.Operate_REMOVE_UPSTREAM:
		p.removed[i] = append(p.removed[i], o.Upstream)
	case wire.Operate_SET_PRIORITY:
		p.priority[i] = o.Priority
	}
	p.marks[i]++
}

func (l *modelLease) stop() { l.stopping, l.recalled, l.freezing = true, false, false }

// edit follows a change of a plan: what it drops is not frozen any more, and
// called back if it was granted ahead.
func (m *model) edit(e *wire.EditPlan, after *plan.Plan) {
	p := m.plans[e.Plan]
	for i := range p.p.Size() {
		at, _ := p.p.Locate(i)
		date := slices.ContainsFunc(e.DropDates, func(r *wire.DateRange) bool { return p.dateOf(i) >= r.From && p.dateOf(i) <= r.To })
		if !date && !slices.Contains(e.DropNodes, p.p.Nodes[at.Node].Spec.Id) || p.p.Dry(at) == wire.DryRun_DROPPED {
			continue
		}
		if p.frozen(i) {
			p.status[i] = p.was[i]
		}
		if l := m.leases[ref{e.Plan, i}]; l != nil && l.ahead && !l.stopping {
			l.freezing = false
			l.recalled = l.recalled || !l.ending()
		}
	}
	p.lines++
	p.capped = p.capped || e.MaxRunning != nil
	m.accept(after)
}

// allowsExpiry says whether plans may be forgotten (RULES R10.1).
func (m *model) allowsExpiry(x *wire.Expire) bool {
	for _, id := range x.Plans {
		if m.plans[id] == nil || m.plans[id].count(Running) > 0 {
			return false
		}
	}
	return len(x.Plans) > 0
}

func (m *model) checkInstance(t testing.TB, p *Plan, want *modelPlan, i uint64, at plan.Place) {
	t.Helper()
	if p.Forced(i) != want.forced[i] || p.Yields(i) != want.yields[i] || len(p.Marks(i)) != want.marks[i] {
		t.Fatalf("instance %d.%d: forced %v, %d yields, %d marks, expected %v, %d, %d",
			p.ID, i, p.Forced(i), p.Yields(i), len(p.Marks(i)), want.forced[i], want.yields[i], want.marks[i])
	}
	priority, given := want.priority[i]
	if !given {
		priority = p.Priority(at)
	}
	if p.PriorityOf(at) != priority || !slices.Equal(p.RemovedOf(i), want.removed[i]) {
		t.Fatalf("instance %d.%d: priority %d without %v, expected %d without %v", p.ID, i, p.PriorityOf(at), p.RemovedOf(i), priority, want.removed[i])
	}
}

// checkRest compares what is not about one plan.
func (m *model) checkRest(t testing.TB, s *State) {
	t.Helper()
	n := 0
	s.Plans(0, func(p *Plan) bool {
		if m.plans[p.ID] == nil {
			t.Fatalf("R10.1: plan %d is there, and should be gone", p.ID)
		}
		if n++; len(p.Operations()) != m.plans[p.ID].lines {
			t.Fatalf("plan %d has %d lines in its log, expected %d", p.ID, len(p.Operations()), m.plans[p.ID].lines)
		}
		return true
	})
	if n != len(m.plans) {
		t.Fatalf("%d plans, expected %d", n, len(m.plans))
	}
	m.checkSchedule(t, s)
	for c, want := range m.last {
		if o, v, ok := s.LastOutcome(c.node, c.d, c.unix); !ok || o != want.outcome || v != want.version {
			t.Fatalf("R2.7: %v came to %s of version %d (%v), expected %+v", c, o, v, ok, want)
		}
	}
	for _, name := range []string{"default", "big", "none"} {
		want := m.groups[name]
		if want == nil {
			want = &wire.PutResourceGroup{Name: name}
		}
		if got := s.ResourceGroup(name); !proto.Equal(got, want) {
			t.Fatalf("R7.5: group %v, expected %v", got, want)
		}
		if got, want := s.GroupUse(name), m.use(name); got != want {
			t.Fatalf("R7.5: use of %s is %+v, expected %+v", name, got, want)
		}
	}
}

// checkSchedule compares which plans are the schedule's, and which a node has.
func (m *model) checkSchedule(t testing.TB, s *State) {
	t.Helper()
	if d, ok := s.GeneratedThrough(); ok != (m.newest != 0) || ok && d != m.newest {
		t.Fatalf("generated through %s (%v), expected %s", d, ok, m.newest)
	}
	open := map[uint64]bool{}
	s.AutoPlans(func(p *Plan) { open[p.ID] = true })
	of := map[string][]uint64{}
	for id, p := range m.plans {
		if p.p.Auto {
			if got, ok := s.AutoPlan(p.p.Dates[0]); !ok || got.ID != id || open[id] != p.unfinished() {
				t.Fatalf("the schedule's plan %d of %s: found %v, listed %v", id, p.p.Dates[0], ok, open[id])
			}
			continue
		}
		if open[id] {
			t.Fatalf("plan %d is not the schedule's", id)
		}
		for n := range p.p.Nodes {
			node := p.p.Nodes[n].Spec.Id
			of[node] = append(of[node], id)
		}
	}
	for _, node := range []string{"a", "b", "c", "d", "e"} {
		slices.Sort(of[node])
		if got := s.PlansOf(node); !slices.Equal(got, of[node]) {
			t.Fatalf("plans of %s are %v, expected %v", node, got, of[node])
		}
	}
	for d := today - 9; d < today+3; d++ {
		if p, ok := s.AutoPlan(d); ok && m.plans[p.ID] == nil {
			t.Fatalf("plan %d of %s should be gone", p.ID, d)
		}
	}
}

// use counts a group's slots one by one.
func (m *model) use(group string) GroupUse {
	var u GroupUse
	for id, a := range m.agents {
		if !m.ready(id) {
			continue
		}
		for _, g := range a.Groups {
			if g.Group != group {
				continue
			}
			u.Slots += int(g.Slots)
			used := 0
			for k, l := range m.leases {
				if l.agent != id || l.group != group {
					continue
				}
				if l.ahead {
					u.Ahead += m.weight(k)
					continue
				}
				used += m.weight(k)
				if !m.plans[k.plan].p.Auto {
					u.Backfills += m.weight(k)
				}
			}
			u.Used += min(used, int(g.Slots)) // it may have fewer now
		}
	}
	return u
}
