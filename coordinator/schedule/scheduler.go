package schedule

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// Scheduler keeps what follows from the facts and would be costly to find
// anew each time: which instances are ready, and what each other open one
// waits for. It holds no facts of its own and can be thrown away and loaded
// again at any moment. It is not safe for concurrent use.
type Scheduler struct {
	st        *state.State
	nowMs     int64
	plans     map[uint64]*tracker
	order     []uint64 // of the unfinished plans, for a fixed order of work
	pools     map[string]*pool
	groups    []string // names of pools, sorted
	timers    timerHeap
	elsewhere map[cycle][]waiter
	dry       map[*tracker]struct{}
	settling  map[uint64]struct{} // plans under onFailure continue whose dates may have become quiet
}

// cycle is one T of a node, which instances of several plans may stand for.
type cycle struct {
	node string
	unix int64
}

type waiter struct {
	t        *tracker
	instance uint64
}

// New is an empty scheduler; call Load.
func New() *Scheduler { return &Scheduler{} }

// Load forgets everything and begins from the facts.
func (s *Scheduler) Load(st *state.State, nowMs int64) {
	*s = Scheduler{
		st: st, nowMs: nowMs, plans: map[uint64]*tracker{}, pools: map[string]*pool{},
		elsewhere: map[cycle][]waiter{}, dry: map[*tracker]struct{}{}, settling: map[uint64]struct{}{},
	}
	var ids []uint64
	st.Plans(0, func(p *state.Plan) bool {
		ids = append(ids, p.ID)
		return true
	})
	slices.Reverse(ids)
	for _, id := range ids {
		s.load(id)
	}
}

// Observe takes in the facts after an entry and what it changed.
func (s *Scheduler) Observe(st *state.State, changes []state.Change, nowMs int64) {
	s.st, s.nowMs = st, max(s.nowMs, nowMs)
	var reload []uint64
	for _, c := range changes {
		switch c.Kind {
		case state.PlanAccepted, state.PlanChanged, state.PlanHalted:
			reload = append(reload, c.Plan)
		case state.InstanceChanged:
			s.instanceChanged(c)
		case state.DateOpened:
			if t, p, ok := s.tracked(c.Plan); ok {
				s.advance(t, p, p.Group(int(c.Instance)), -1)
				s.unsettle(p) // nothing may be able to start in it
			}
		}
	}
	slices.Sort(reload)
	for _, id := range slices.Compact(reload) {
		s.load(id)
	}
	if len(reload) > 0 {
		s.wakeAll()
	}
}

// Reload begins anew with some plans, after their facts turned out otherwise
// than foreseen. What waits for another plan may have been told of a change
// that never came about, and is looked at again.
func (s *Scheduler) Reload(st *state.State, planIDs ...uint64) {
	s.st = st
	if len(planIDs) == 0 {
		return
	}
	for _, id := range planIDs {
		s.load(id)
	}
	s.wakeAll()
}

func (s *Scheduler) tracked(id uint64) (*tracker, *state.Plan, bool) {
	t, ok := s.plans[id]
	if !ok {
		return nil, nil, false
	}
	p, ok := s.st.Plan(id)
	return t, p, ok
}

// load makes a plan's tracker from the facts.
func (s *Scheduler) load(id uint64) {
	if old, ok := s.plans[id]; ok {
		s.unload(old)
	}
	p, ok := s.st.Plan(id)
	if !ok || !p.Unfinished() {
		return
	}
	t := newTracker(p)
	s.plans[id] = t
	i, _ := slices.BinarySearch(s.order, id)
	s.order = slices.Insert(s.order, i, id)
	for g := range p.Groups {
		s.advance(t, p, g, -1)
		s.openBeyond(t, p, g)
	}
	p.EachNamed(func(i uint64) { s.consider(t, p, i) })
	s.unsettle(p)
}

func (s *Scheduler) unload(t *tracker) {
	for _, q := range s.pools {
		q.drop(t)
	}
	delete(s.plans, t.id)
	delete(s.dry, t)
	delete(s.settling, t.id)
	s.order = slices.DeleteFunc(s.order, func(x uint64) bool { return x == t.id })
}

func (s *Scheduler) instanceChanged(c state.Change) {
	if t, p, ok := s.tracked(c.Plan); ok {
		s.trackedChanged(t, p, c)
	}
	// Others wait for it even when it was the plan's last and the plan is no
	// longer tracked.
	if p, ok := s.st.Plan(c.Plan); ok && len(s.elsewhere) > 0 {
		s.wake(cycleOf(p, c.Instance))
	}
}

func (s *Scheduler) trackedChanged(t *tracker, p *state.Plan, c state.Change) {
	if c.To.Success() {
		waiting := t.waiters[c.Instance]
		delete(t.waiters, c.Instance)
		at, _ := p.Locate(c.Instance)
		if p.Request.Gate == wire.Request_NODE || p.DateSucceeded(at.Pos) {
			g := p.Group(at.Pos)
			s.advance(t, p, g, at.Node)
			for pos := at.Pos + 1; pos < p.Groups[g].To; pos++ {
				s.openIfBeyond(t, p, pos, at.Node)
				if from, to := p.Range(pos); from < to {
					break // the next date that has instances
				}
			}
		}
		for _, w := range waiting {
			s.consider(t, p, w)
		}
	}
	if c.To.Waits() {
		s.consider(t, p, c.Instance)
	}
	if c.To != state.Running {
		s.unsettle(p)
	}
	if !p.Unfinished() {
		s.unload(t)
	}
}

// unsettle has the dates of a plan under onFailure continue looked at again.
func (s *Scheduler) unsettle(p *state.Plan) {
	if p.Request.OnFailure == wire.Request_CONTINUE {
		s.settling[p.ID] = struct{}{}
	}
}

func cycleOf(p *state.Plan, instance uint64) cycle {
	at, _ := p.Locate(instance)
	return cycle{p.Nodes[at.Node].Spec.Id, p.Cycle(at).Unix}
}

// waitElsewhere lists an instance under the cycle of another plan's instance
// that blocks it. It is looked at again when any plan's instance of that cycle
// changes.
func (s *Scheduler) waitElsewhere(t *tracker, b Block, instance uint64) {
	p, _ := s.st.Plan(b.Plan)
	key := cycleOf(p, b.Instance)
	s.elsewhere[key] = append(s.elsewhere[key], waiter{t, instance})
}

func (s *Scheduler) wake(key cycle) {
	waiting := s.elsewhere[key]
	delete(s.elsewhere, key)
	for _, w := range waiting {
		if t, p, ok := s.tracked(w.t.id); ok && t == w.t {
			s.consider(t, p, w.instance)
			s.unsettle(p) // it may wait for ever now, and its date be quiet
		}
	}
}

// wakeAll looks again at everything that waits for another plan: an operation
// on a plan may have freed it.
func (s *Scheduler) wakeAll() {
	keys := slices.SortedFunc(maps.Keys(s.elsewhere), func(a, b cycle) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.unix, b.unix))
	})
	for _, k := range keys {
		s.wake(k)
	}
}

func (s *Scheduler) pool(group string) *pool {
	q, ok := s.pools[group]
	if !ok {
		q = &pool{}
		s.pools[group] = q
		i, _ := slices.BinarySearch(s.groups, group)
		s.groups = slices.Insert(s.groups, i, group)
	}
	return q
}

func (s *Scheduler) addTimer(t timer) { heap.Push(&s.timers, t) }

// Tick moves time on: what has become due is looked at again.
func (s *Scheduler) Tick(nowMs int64) {
	s.nowMs = max(s.nowMs, nowMs)
	for len(s.timers) > 0 && s.timers[0].atMs <= s.nowMs {
		d := heap.Pop(&s.timers).(timer)
		if t, p, ok := s.tracked(d.t.id); ok && t == d.t {
			s.consider(t, p, d.instance)
		}
	}
}

// NextMs is when Tick has something to do next; false when never.
func (s *Scheduler) NextMs() (int64, bool) {
	if len(s.timers) == 0 {
		return 0, false
	}
	return s.timers[0].atMs, true
}

// DryRuns takes the dry runs that may succeed now.
func (s *Scheduler) DryRuns() []*wire.DryRuns {
	s.refill()
	var out []*wire.DryRuns
	for _, id := range s.order {
		t := s.plans[id]
		if _, ok := s.dry[t]; ok {
			out = append(out, &wire.DryRuns{Plan: id, Instances: t.dry})
			t.dry = nil
		}
	}
	clear(s.dry)
	return out
}

// Opens decides which dates start although the one before them has failed:
// those before which everything is quiet (RULES R4.5). In a plan that is held
// nothing moves, which does not mean that its dates have come to an end.
func (s *Scheduler) Opens() []*wire.OpenDate {
	var out []*wire.OpenDate
	for _, id := range s.order {
		if _, ok := s.settling[id]; !ok {
			continue
		}
		p, _ := s.st.Plan(id)
		if p.Paused || p.Stopped || p.Halted {
			continue
		}
		m := NewMotion(s.st, p, s.nowMs, nil)
		open := s.opens(p, m.QuietDate)
		if len(open) == 0 {
			// Dates may wait in a circle for dates behind their own gates.
			open = s.opens(p, func(pos int) bool { return quietButForGates(s.st, p, pos, s.nowMs) })
		}
		out = append(out, open...)
	}
	clear(s.settling)
	return out
}

// opens lists the first date of each group that is held by a quiet one.
func (s *Scheduler) opens(p *state.Plan, quiet func(pos int) bool) []*wire.OpenDate {
	var out []*wire.OpenDate
	for _, span := range p.Groups {
		for pos := span.From; pos+1 < span.To; pos++ {
			if p.DateSucceeded(pos) || p.IsOpened(pos+1) {
				continue
			}
			if quiet(pos) {
				out = append(out, &wire.OpenDate{Plan: p.ID, Position: uint32(pos + 1)})
			}
			break
		}
	}
	return out
}

// refill opens dates of plans without gates that have little ready.
func (s *Scheduler) refill() {
	for _, id := range s.order {
		if p, _ := s.st.Plan(id); p.Request.Gate == wire.Request_NONE {
			s.openLazily(s.plans[id], p)
		}
	}
}

// Slots are the free slots of one agent in one resource group.
type Slots struct {
	Agent string
	Free  int
}

// Grants takes what starts now, given the free slots of each resource group.
// The agent with the most free slots gets the next instance.
func (s *Scheduler) Grants(free map[string][]Slots) []*wire.Grant {
	s.refill()
	var out []*wire.Grant
	granted := map[*tracker]int{}
	may := func(t *tracker) bool {
		p, _ := s.st.Plan(t.id)
		limit := int(p.Request.MaxRunning)
		return limit == 0 || p.Active()+granted[t] < limit
	}
	for _, group := range s.groups {
		slots := slotHeap(free[group])
		heap.Init(&slots)
		for len(slots) > 0 && slots[0].Free > 0 {
			t, instance, ok := s.take(s.pools[group], may)
			if !ok {
				break
			}
			granted[t]++
			out = append(out, &wire.Grant{Plan: t.id, Instance: instance, Agent: slots[0].Agent, ResourceGroup: group})
			slots[0].Free--
			heap.Fix(&slots, 0)
		}
	}
	return out
}

// take pops the next instance that can still start: an upstream may have been
// asked to run again since it was queued.
func (s *Scheduler) take(q *pool, may func(*tracker) bool) (*tracker, uint64, bool) {
	for {
		t, it, ok := q.pop(may)
		if !ok {
			return nil, 0, false
		}
		delete(t.queued, it.instance)
		t.ready--
		p, _ := s.st.Plan(t.id)
		at, _ := p.Locate(it.instance)
		if Check(s.st, p, at, s.nowMs).Kind == Nothing {
			return t, it.instance, true
		}
		s.consider(t, p, it.instance)
	}
}

// Place is how many ready instances would start before one that waits for a
// slot; false when it does not.
func (s *Scheduler) Place(planID, instance uint64) (before int, ok bool) {
	t, p, ok := s.tracked(planID)
	if !ok {
		return 0, false
	}
	at, ok := p.Locate(instance)
	if !ok {
		return 0, false
	}
	q, ok := s.pools[p.ResourceGroup(at.Node)]
	if !ok {
		return 0, false
	}
	return q.place(t, instance)
}

// Ready is how many instances wait for a slot, by resource group.
func (s *Scheduler) Ready() map[string]int {
	out := map[string]int{}
	for _, g := range s.groups {
		for _, l := range s.pools[g].levels {
			for _, n := range l.turns {
				out[g] += len(n.items)
			}
		}
	}
	return out
}

// slotHeap has the agent with the most free slots first.
type slotHeap []Slots

func (h slotHeap) Len() int { return len(h) }
func (h slotHeap) Less(i, j int) bool {
	if h[i].Free != h[j].Free {
		return h[i].Free > h[j].Free
	}
	return h[i].Agent < h[j].Agent
}
func (h slotHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *slotHeap) Push(x any)   { *h = append(*h, x.(Slots)) }
func (h *slotHeap) Pop() any     { panic("slots are never removed") }
