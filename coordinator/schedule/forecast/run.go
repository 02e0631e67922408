package forecast

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"slices"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// paper is the agent that has all the slots. No real agent can have its name.
const paper = "\x00forecast"

// run is one way in which things may go.
type run struct {
	st       *state.State
	p        uint64 // the plan forecast
	sched    *schedule.Scheduler
	nowMs    int64
	slots    map[string]int
	running  map[string]int // slots that attempts use, by resource group
	own      map[string]int // those of the plan's
	peak     map[string]int
	ends     endHeap
	past     *past
	q        quantile
	steps    int
	maxSteps int
	endedMs  int64 // when the plan's last instance ended
}

// end is when an attempt will end.
type end struct {
	atMs  int64
	lease *state.Lease
}

type endHeap []end

func (h endHeap) Len() int { return len(h) }
func (h endHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(a.atMs, b.atMs), cmp.Compare(a.lease.Plan, b.lease.Plan), cmp.Compare(a.lease.Instance, b.lease.Instance)) < 0
}
func (h endHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(x any)   { *h = append(*h, x.(end)) }
func (h *endHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// newRun puts one agent on paper in the place of all that take work, with the
// slots and the labels of all. What runs on those goes on, and uses slots until
// it ends.
func newRun(st *state.State, p *state.Plan, nowMs int64, o Options, slots map[string]int, d *past, q quantile) *run {
	m := &run{
		p: p.ID, nowMs: nowMs, slots: slots, running: map[string]int{}, own: map[string]int{}, peak: map[string]int{},
		past: d, q: q, maxSteps: o.MaxSteps / quantiles, endedMs: nowMs,
	}
	e := st.Edit(st.Index()+1, nowMs)
	all := &wire.Agent{Id: paper, State: wire.Agent_READY}
	st.Agents(func(a *state.Agent) {
		if a.State == wire.Agent_READY {
			all.Labels = add(all.Labels, a.Labels)
			e.PutAgent(&wire.Agent{Id: a.Id, Incarnation: a.Incarnation, Groups: a.Groups, State: wire.Agent_DRAINING})
		}
	})
	for _, g := range slices.Sorted(maps.Keys(slots)) {
		all.Groups = append(all.Groups, &wire.GroupSlots{Group: g, Slots: uint32(max(0, slots[g]))})
	}
	e.PutAgent(all)
	m.st, _ = e.Done()
	m.sched = schedule.New(o.Settings)
	m.sched.Load(m.st, nowMs)
	m.st.Leases(func(l *state.Lease) { m.begin(l) })
	return m
}

// add gives the labels that are among some or others.
func add(labels, more []*wire.Assignment) []*wire.Assignment {
	for _, l := range more {
		if !node.Labelled(labels, []*wire.Assignment{l}) {
			labels = append(labels, l)
		}
	}
	return labels
}

// begin notes that an attempt runs, and when it will end. One that has taken
// longer than it should is taken to end soon.
func (m *run) begin(l *state.Lease) {
	p, _ := m.st.Plan(l.Plan)
	at, _ := p.Locate(l.Instance)
	takes := m.past.of(p.Nodes[at.Node].Spec.Id, m.q)
	heap.Push(&m.ends, end{max(m.nowMs, l.GrantedMs+takes), l})
	m.running[l.Group] += int(l.Weight)
	if l.Plan == m.p {
		m.own[l.Group] += int(l.Weight)
	}
}

// run follows the plan to its end. It gives 0 when that takes too many steps,
// and says why when the plan would not end.
func (m *run) run() (finishMs int64, stuck string) {
	for {
		m.sched.Tick(m.nowMs)
		for m.decide() {
			if m.steps > m.maxSteps {
				return 0, ""
			}
		}
		p, _ := m.st.Plan(m.p)
		if !p.Unfinished() && p.Succeeded() {
			return m.endedMs, ""
		}
		next, ok := m.next()
		if !ok {
			return 0, m.stuck(p)
		}
		m.nowMs = max(m.nowMs, next)
		m.finish()
	}
}

// next is when something happens by itself.
func (m *run) next() (int64, bool) {
	at, ok := m.sched.NextMs()
	if len(m.ends) > 0 && (!ok || m.ends[0].atMs < at) {
		at, ok = m.ends[0].atMs, true
	}
	return at, ok
}

// decide takes what the scheduler decides now; false when that is nothing.
func (m *run) decide() bool {
	if yields := m.sched.Yields(); len(yields) > 0 {
		m.makeWay(yields)
		return true
	}
	turn := &wire.Turn{Opens: m.sched.Opens(), DryRuns: m.sched.DryRuns(), Missed: m.sched.Missed()}
	if len(turn.Opens)+len(turn.DryRuns)+len(turn.Missed) > 0 {
		for _, d := range turn.DryRuns {
			m.steps += len(d.Instances)
			if d.Plan == m.p {
				m.endedMs = m.nowMs
			}
		}
		m.steps += len(turn.Opens) + len(turn.Missed)
		m.apply(turn)
		return true
	}
	free := map[string][]schedule.Slots{}
	for g, n := range m.slots {
		if n > m.running[g] {
			free[g] = []schedule.Slots{{Agent: paper, Free: n - m.running[g]}}
		}
	}
	m.want()
	turn = &wire.Turn{Grants: m.sched.Grants(free)}
	if len(turn.Grants) == 0 {
		return false
	}
	m.steps += len(turn.Grants)
	m.apply(turn)
	for _, g := range turn.Grants {
		if l, ok := m.st.Lease(g.Plan, g.Instance); ok {
			m.begin(l)
		}
	}
	return true
}

// makeWay ends attempts at once that yield to the schedule.
func (m *run) makeWay(yields []*wire.Yield) {
	m.apply(&wire.Turn{Yields: yields})
	turn := &wire.Turn{}
	for _, y := range yields {
		l, _ := m.st.Lease(y.Plan, y.Instance)
		m.over(l)
		turn.Finishes = append(turn.Finishes, &wire.Finish{
			Plan: y.Plan, Instance: y.Instance, Fence: y.Fence, Outcome: wire.Outcome_STOPPED, StartedMs: m.nowMs, EndedMs: m.nowMs,
		})
	}
	m.steps += len(yields)
	m.apply(turn)
}

func (m *run) apply(turn *wire.Turn) {
	e := m.st.Edit(m.st.Index()+1, m.nowMs)
	e.Turn(turn)
	st, changes := e.Done()
	m.st = st
	m.sched.Observe(st, changes, m.nowMs)
}

// finish ends the attempts whose time is over.
func (m *run) finish() {
	turn := &wire.Turn{}
	for len(m.ends) > 0 && m.ends[0].atMs <= m.nowMs {
		x := heap.Pop(&m.ends).(end)
		if now, live := m.st.Lease(x.lease.Plan, x.lease.Instance); !live || now.Fence != x.lease.Fence {
			continue // it has made way
		}
		m.over(x.lease)
		turn.Finishes = append(turn.Finishes, &wire.Finish{
			Plan: x.lease.Plan, Instance: x.lease.Instance, Fence: x.lease.Fence, Outcome: wire.Outcome_SUCCEEDED,
			StartedMs: x.lease.GrantedMs, EndedMs: m.nowMs,
		})
	}
	if len(turn.Finishes) > 0 {
		m.steps += len(turn.Finishes)
		m.apply(turn)
	}
}

// over gives back the slots of an attempt that ends now.
func (m *run) over(l *state.Lease) {
	m.running[l.Group] -= int(l.Weight)
	if l.Plan == m.p {
		m.own[l.Group] -= int(l.Weight)
		m.endedMs = m.nowMs
	}
}

// want notes how many slots the plan's instances use or could, if there were so
// many.
func (m *run) want() {
	ready := m.sched.ReadyOf(m.p)
	for g := range m.slots {
		m.peak[g] = max(m.peak[g], m.own[g]+ready[g])
	}
}

func (m *run) demand() []Demand {
	p, _ := m.st.Plan(m.p)
	var out []Demand
	for _, g := range slices.Sorted(maps.Keys(m.peak)) {
		n := capped(p, g, m.peak[g])
		if n > 0 {
			some := p.Request.Gate == wire.Request_NONE && n >= schedule.LazyReady
			out = append(out, Demand{Group: g, Slots: ours(m.st, p, g, m.slots[g]), Peak: n, AtLeast: some})
		}
	}
	return out
}

// stuck says what holds a plan in which nothing moves any more.
func (m *run) stuck(p *state.Plan) string {
	for g, n := range m.sched.ReadyOf(m.p) {
		if n > 0 && ours(m.st, p, g, m.slots[g]) == 0 {
			return fmt.Sprintf("resource group %q has no slot for it", g)
		}
	}
	for pos := range p.Dates {
		if p.DateSucceeded(pos) {
			continue
		}
		for from, to := range p.Ranges(pos) {
			for i := from; i < to; i++ {
				at, _ := p.Locate(i)
				switch status := p.Status(i); {
				case status.Frozen():
					return plan.FormatInstance(p.ID, i) + " is frozen, and holds what is behind it"
				case status.Failure():
					return plan.FormatInstance(p.ID, i) + " has failed: what is behind it waits for somebody to act"
				case status.Waits():
					if text := m.tooHeavy(p, at); text != "" {
						return text
					}
					if b := schedule.Check(m.st, p, at, m.nowMs); b.Plan != p.ID && b.Kind != schedule.Nothing {
						return plan.FormatInstance(p.ID, i) + " waits for " + blocker(p, b)
					}
				}
			}
		}
	}
	return "nothing in it moves: it waits for somebody to act"
}

// tooHeavy says that an instance needs more slots than its plan may have.
func (m *run) tooHeavy(p *state.Plan, at plan.Place) string {
	group, needs := p.ResourceGroup(at.Node), int(node.Weight(p.Nodes[at.Node].Spec))
	if most := ours(m.st, p, group, m.slots[group]); needs > most {
		return fmt.Sprintf("%s needs %d slots of resource group %q, which has %d for it", plan.FormatInstance(p.ID, p.Instance(at)), needs, group, most)
	}
	return ""
}

func blocker(p *state.Plan, b schedule.Block) string {
	if b.Plan != 0 {
		return plan.FormatInstance(b.Plan, b.Instance)
	}
	return plan.FormatID(p.ID) + " to be resumed"
}
