package sim

import (
	"fmt"
	"slices"

	"backfleet/agent/attempt"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// model is what the rules say, written down once more as plainly as can be: it
// follows the committed entries, expands requests row by row, and judges every
// start against them.
type model struct {
	w        *world
	nodes    map[string]*wire.Node
	plans    map[uint64]*planModel
	order    []*planModel
	answered map[string]bool             // request ids that had their effect
	asked    map[[2]int]bool             // plan and position of dates about which holdsDate is being asked
	runs     map[cycle]map[uint64]uint64 // when each plan last ran it, as an order
}

// cycle is one T of a node on a D.
type cycle struct {
	node string
	d    int32
	t    int64 // unix seconds
}

// planModel is one accepted backfill.
type planModel struct {
	id                      uint64
	req                     *wire.Request
	nodes                   map[string]*wire.Node
	dry                     map[string]bool
	dates                   []int32 // in order
	group                   []int   // by position
	keys                    []cycle // by instance number
	number                  map[cycle]uint64
	paused, stopped, halted bool
	operated                uint64 // index of the last entry by a person
	failures                int32
	named                   map[uint64]bool
	opened                  map[int]bool
	attempts                map[uint64]uint32 // finished, by instance
}

func newModel(w *world) *model {
	return &model{
		w: w, nodes: map[string]*wire.Node{}, plans: map[uint64]*planModel{}, answered: map[string]bool{},
		runs: map[cycle]map[uint64]uint64{}, asked: map[[2]int]bool{},
	}
}

func (m *model) cycleOf(i attempt.Instance) cycle { return m.plans[i.Plan].keys[i.Instance] }

// committed takes in an entry; a turn was decided from the facts after basis.
func (m *model) committed(index, basis uint64, c *wire.Command, before, after *state.State, r state.Result) {
	if c.RequestId != "" {
		if m.answered[c.RequestId] || r.Err != nil {
			return
		}
		m.answered[c.RequestId] = true
	}
	switch b := c.Body.(type) {
	case *wire.Command_ApplyNodes:
		for _, n := range b.ApplyNodes.Nodes {
			m.nodes[n.Id] = n
		}
	case *wire.Command_Submit:
		m.accept(after, r.Answer.Plan, b.Submit.Request)
	case *wire.Command_Operate:
		for _, t := range b.Operate.Targets {
			m.operate(before, b.Operate, t)
			m.plans[t.Plan].operated = index
		}
	case *wire.Command_Turn:
		for _, o := range b.Turn.Opens {
			m.open(after, o)
		}
		for _, ch := range r.Changes {
			m.changed(index, basis, c.NowMs, before, after, ch)
		}
		m.caps(after)
	}
}

func (m *model) operate(before *state.State, o *wire.Operate, t *wire.Target) {
	p := m.plans[t.Plan]
	switch o.Kind {
	case wire.Operate_STOP:
		p.stopped, p.paused, p.named = true, false, map[uint64]bool{}
	case wire.Operate_PAUSE:
		p.paused = true
	case wire.Operate_RESUME:
		p.stopped, p.paused, p.halted, p.failures, p.named = false, false, false, 0, map[uint64]bool{}
	case wire.Operate_RERUN, wire.Operate_RERUN_FAILED:
		for i := range p.keys {
			if n := uint64(i); p.stopped && (slices.Contains(t.Instances, n) || len(t.Instances) == 0 && m.status(before, p, n).Failure()) {
				p.named[n] = true
			}
		}
	}
}

func (m *model) status(st *state.State, p *planModel, n uint64) state.Status {
	facts, _ := st.Plan(p.id)
	return facts.Status(n)
}

// open judges the decision to start a date although the one before failed
// (RULES R4.5).
func (m *model) open(after *state.State, o *wire.OpenDate) {
	p := m.plans[o.Plan]
	p.opened[int(o.Position)] = true
	if p.paused || p.stopped || p.halted {
		m.w.violated("R4.5", "date %d of b%d is opened while the plan is held: what waits in it is not quiet for ever", o.Position, p.id)
	}
	if p.req.OnFailure != wire.Request_CONTINUE {
		m.w.violated("R4.5", "date %d of b%d is opened although the plan holds on failure", o.Position, p.id)
	}
	for n, k := range p.keys {
		if k.d == p.dates[o.Position-1] && m.status(after, p, uint64(n)) == state.Running {
			m.w.violated("R4.5", "date %d of b%d is opened while %v runs", o.Position, p.id, k)
		}
	}
}

// changed judges one change of an instance.
func (m *model) changed(index, basis uint64, nowMs int64, before, after *state.State, ch state.Change) {
	if ch.Kind != state.InstanceChanged {
		return
	}
	p, n := m.plans[ch.Plan], ch.Instance
	key := p.keys[n]
	if ch.From == state.Running {
		m.ended(before, after, p, n)
	}
	if ch.To == state.Running || ch.To == state.DryRun {
		// A person's act may come between a turn and its entry. It then holds
		// for the next turn, unless it stops or pauses.
		if why := m.blocked(after, p, n, nowMs, false); why.kind != "" && (why.plan == 0 || why.running || m.plans[why.plan].operated <= basis) {
			m.w.violated(why.rule, "b%d.%d %v starts at entry %d although %s", p.id, n, key, index, why)
		}
		if p.dry[key.node] != (ch.To == state.DryRun) {
			m.w.violated("R6", "b%d.%d %v: dry run %v, started as %d", p.id, n, key, p.dry[key.node], ch.To)
		}
	}
	if ch.To == state.Running {
		l, ok := after.Lease(p.id, n)
		if !ok || l.Fence != index || l.Attempt != p.attempts[n]+1 {
			m.w.violated("R13.3", "b%d.%d is granted at entry %d as %+v after %d attempts", p.id, n, index, l, p.attempts[n])
		}
	}
	if ch.To == state.Failed {
		p.failures++
		p.halted = p.halted || p.req.StopAfter > 0 && p.failures >= p.req.StopAfter
	}
	if m.runs[key] == nil {
		m.runs[key] = map[uint64]uint64{}
	}
	if ch.To == state.Running || ch.From == state.Running {
		m.runs[key][p.id] = index + 1
	} else if ch.To == state.DryRun {
		m.runs[key][p.id] = 1 // before all that really ran
	}
}

// ended judges the end of a lease: its process must have ended before, and
// what is recorded must be what happened, once (RULES R13.2, R13.4).
func (m *model) ended(before, after *state.State, p *planModel, n uint64) {
	l, _ := before.Lease(p.id, n)
	key := attempt.Key{Plan: p.id, Instance: n, Attempt: l.Attempt, Fence: l.Fence}
	if live := m.w.table.live[key.Of()]; live != nil && live.key == key {
		m.w.violated("R13.2", "the lease of %s with fence %d ends while its process runs on %s", key, key.Fence, live.k.h.id)
	}
	p.attempts[n]++
	facts, _ := after.Plan(p.id)
	all := after.Attempts(facts, n)
	if uint32(len(all)) != p.attempts[n] {
		m.w.violated("R13.4", "b%d.%d has %d finished attempts, %d are recorded", p.id, n, p.attempts[n], len(all))
		return
	}
	a := all[len(all)-1]
	if a.Fence != l.Fence {
		m.w.violated("R13.3", "%s had fence %d, recorded is %d", key, l.Fence, a.Fence)
	}
	if a.Outcome == wire.Outcome_LOST {
		m.w.report.Lost++
		return
	}
	really, ran := m.w.table.ended[key]
	if a.Outcome != really && a.Outcome != wire.Outcome_STOPPED && ran || a.Outcome == wire.Outcome_SUCCEEDED && !ran {
		m.w.violated("R13.4", "%s is recorded as %s, and ended as %s", key, a.Outcome, really)
	}
}

// caps judges slots and maxRunning (RULES R4.8, R13).
func (m *model) caps(st *state.State) {
	used, running := map[string]int{}, map[uint64]int32{}
	st.Leases(func(l *state.Lease) {
		used[l.Agent+"/"+l.Group]++
		running[l.Plan]++
	})
	st.Agents(func(a *state.Agent) {
		for _, g := range a.Groups {
			if n := used[a.Id+"/"+g.Group]; n > int(g.Slots) {
				m.w.violated("R5.1", "agent %s runs %d in %s, and has %d slots", a.Id, n, g.Group, g.Slots)
			}
		}
	})
	for _, p := range m.order {
		if p.req.MaxRunning > 0 && running[p.id] > p.req.MaxRunning {
			m.w.violated("R4.8", "b%d runs %d, and may run %d", p.id, running[p.id], p.req.MaxRunning)
		}
	}
}

// obstacle is what keeps an instance from starting.
type obstacle struct {
	rule, kind string
	plan       uint64 // of the instance in the way, when there is one
	instance   uint64
	pos        int
	running    bool // it runs, which no act of a person excuses
}

func (o obstacle) String() string {
	return fmt.Sprintf("%s (b%d.%d, position %d)", o.kind, o.plan, o.instance, o.pos)
}

// blocked finds an obstacle by the rules; kind is empty when there is none.
// With waits, retries and instances that do not wait at all count too.
func (m *model) blocked(st *state.State, p *planModel, n uint64, nowMs int64, waits bool) obstacle {
	key := p.keys[n]
	if p.stopped && !p.named[n] || !p.stopped && (p.paused || p.halted) {
		return obstacle{rule: "R9", kind: "the plan is held"}
	}
	if o := m.gated(st, p, n); o.kind != "" {
		return o
	}
	for _, up := range p.upstreams(key) {
		if u := p.number[up]; !m.status(st, p, u).Success() {
			return obstacle{rule: "R5.2", kind: "an upstream has not succeeded", plan: p.id, instance: u}
		}
	}
	if o := m.predecessor(st, p, key); o.kind != "" {
		return o
	}
	if o := m.overlap(st, p, key); o.kind != "" && !p.dry[key.node] {
		return o
	}
	if key.t*1000 > nowMs || p.req.NotBeforeMs > nowMs {
		return obstacle{rule: "R3.3", kind: "it is not due"}
	}
	if facts, _ := st.Plan(p.id); waits && facts.Status(n) == state.Retrying {
		at, _ := facts.Locate(n)
		if _, _, due := facts.Retry(at); due > nowMs {
			return obstacle{rule: "R9", kind: "its retry is not due"}
		}
	}
	return obstacle{}
}

// gated applies RULES R4.3.
func (m *model) gated(st *state.State, p *planModel, n uint64) obstacle {
	key := p.keys[n]
	pos := slices.Index(p.dates, key.d)
	if pos == 0 || p.group[pos-1] != p.group[pos] || p.opened[pos] || p.req.Gate == wire.Request_NONE {
		return obstacle{}
	}
	for i, k := range p.keys {
		if k.d == p.dates[pos-1] && (p.req.Gate == wire.Request_DAY || k.node == key.node) && !m.status(st, p, uint64(i)).Success() {
			return obstacle{rule: "R4.3", kind: "the date before has not succeeded", plan: p.id, instance: uint64(i), pos: pos}
		}
	}
	return obstacle{}
}

// predecessor applies RULES R5.4 and R5.5.
func (m *model) predecessor(st *state.State, p *planModel, key cycle) obstacle {
	n := p.nodes[key.node]
	if !n.DependsOnSelf {
		return obstacle{}
	}
	today, yesterday := cycles(n, key.d), cycles(n, key.d-1)
	pre := yesterday[len(yesterday)-1]
	if i := slices.Index(today, key); i > 0 {
		pre = today[i-1]
	}
	pos, was := slices.Index(p.dates, key.d), slices.Index(p.dates, pre.d)
	if was >= 0 && was <= pos && p.group[was] == p.group[pos] {
		if u := p.number[pre]; !m.status(st, p, u).Success() {
			return obstacle{rule: "R5.4", kind: "the cycle before has not succeeded", plan: p.id, instance: u}
		}
		return obstacle{}
	}
	var newest *planModel
	for _, q := range m.order {
		if q.dry[pre.node] && !m.status(st, q, q.number[pre]).Success() {
			continue // has never really run
		}
		if when := m.runs[pre][q.id]; q != p && when > 0 && (newest == nil || when > m.runs[pre][newest.id]) {
			newest = q
		}
	}
	if newest == nil {
		return obstacle{}
	}
	l, runs := st.Lease(newest.id, newest.number[pre])
	if runs && l.Fence == st.Index() {
		return obstacle{} // granted by the same entry: neither was before the other
	}
	if !m.status(st, newest, newest.number[pre]).Success() {
		return obstacle{rule: "R5.5", kind: "the cycle before has not succeeded elsewhere", plan: newest.id, instance: newest.number[pre]}
	}
	return obstacle{}
}

// overlap applies RULES R5.8.
func (m *model) overlap(st *state.State, p *planModel, key cycle) obstacle {
	for _, q := range m.order {
		n, ok := q.number[key]
		if !ok || q == p || q.dry[key.node] {
			continue
		}
		s := m.status(st, q, n)
		if s == state.Running || q.id < p.id && s.Waits() && (!q.stopped || q.named[n]) {
			return obstacle{rule: "R5.8", kind: "the same cycle is another plan's first", plan: q.id, instance: n, running: s == state.Running}
		}
	}
	return obstacle{}
}
