package schedule

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Settings are what an operator may set. The zero value of a field stands for
// its default.
type Settings struct {
	PatienceMs int64 // how long a ready backfill instance waits before it goes first (RULES R7.5); 60,000
	Yields     int   // how often an instance gives way to the schedule (RULES R5.6); 3
}

// Scheduler keeps what follows from the facts and would be costly to find
// anew each time: which instances are ready, and what each other open one
// waits for. It holds no facts of its own and can be thrown away and loaded
// again at any moment. It is not safe for concurrent use.
type Scheduler struct {
	set       Settings
	st        *state.State
	nowMs     int64
	look      *look // at st, at nowMs
	plans     map[uint64]*tracker
	order     []uint64 // of the unfinished plans, for a fixed order of work
	pools     map[string]*pool
	groups    []string // names of pools, sorted
	timers    timerHeap
	elsewhere map[cycle][]waiter
	contests  map[string]*contest // by node
	hinges    map[string]*hinge   // by the name of a spot
	yielding  map[string]struct{} // nodes with auto instances that backfills keep waiting
	dry       map[*tracker]struct{}
	missed    map[*tracker]struct{}
	budget    int              // of facts without a slot that may still be noted before the next Tick
	unsettled bool             // dates may have become quiet, in any plan: plans wait for each other
	paces     map[string]*Pace // by node
	seeds     int              // how many of them may still be begun before the next Tick
	version   uint64           // counts the facts that were looked at
	epoch     uint64           // counts what may have given plans other nodes, from 1
	autos     int              // of the plans: the schedule's own
	lazy      int              // of the plans: without gates
	anchors   *anchors         // those found last
	failing   int              // of the plans: those whose dates may open after a failure
	waited    []int64          // see Waited
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
func New(set Settings) *Scheduler {
	set.PatienceMs, set.Yields = cmp.Or(set.PatienceMs, 60_000), cmp.Or(set.Yields, 3)
	return &Scheduler{set: set, paces: map[string]*Pace{}}
}

// Load forgets everything and begins from the facts.
func (s *Scheduler) Load(st *state.State, nowMs int64) {
	*s = Scheduler{
		set: s.set, st: st, nowMs: nowMs, budget: maxNoted, plans: map[uint64]*tracker{}, pools: map[string]*pool{},
		elsewhere: map[cycle][]waiter{}, contests: map[string]*contest{}, hinges: map[string]*hinge{}, yielding: map[string]struct{}{},
		dry: map[*tracker]struct{}{}, missed: map[*tracker]struct{}{}, paces: s.paces, seeds: seeds, version: s.version + 1, epoch: s.epoch + 1,
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
	s.unsettled = true
}

// sees is a look at the facts as they are now.
func (s *Scheduler) sees() *look {
	if s.look == nil || s.look.st != s.st || s.look.nowMs != s.nowMs {
		s.look = newLook(s.st, s.nowMs)
	}
	return s.look
}

// Observe takes in the facts after an entry and what it changed.
func (s *Scheduler) Observe(st *state.State, changes []state.Change, nowMs int64) {
	s.follow(st)
	s.nowMs = max(s.nowMs, nowMs)
	var reload []uint64
	for _, c := range changes {
		switch c.Kind {
		case state.PlanAccepted: // it goes behind all others, and frees nobody
			s.load(c.Plan)
			s.unsettled = true
		case state.PlanChanged, state.PlanHalted, state.PlanExpired:
			reload = append(reload, c.Plan)
		case state.InstanceChanged:
			s.instanceChanged(c)
		case state.DateOpened:
			if t, p, ok := s.tracked(c.Plan); ok {
				s.advance(t, p, p.Group(int(c.Instance)), -1)
				s.unsettled = true // nothing may be able to start in it
			}
		}
	}
	s.reload(reload)
}

// Reload begins anew with some plans, after their facts turned out otherwise
// than foreseen. What waits for another plan may have been told of a change
// that never came about, and is looked at again.
func (s *Scheduler) Reload(st *state.State, planIDs ...uint64) {
	s.follow(st)
	s.reload(planIDs)
}

func (s *Scheduler) follow(st *state.State) {
	if s.st != st {
		s.st = st
		s.version++
	}
}

func (s *Scheduler) reload(planIDs []uint64) {
	slices.Sort(planIDs)
	for _, id := range slices.Compact(planIDs) {
		s.load(id)
	}
	if len(planIDs) > 0 {
		s.wakeAll()
		s.unsettled = true
	}
	s.turnHinges()
}

func (s *Scheduler) tracked(id uint64) (*tracker, *state.Plan, bool) {
	t, ok := s.plans[id]
	if !ok {
		return nil, nil, false
	}
	p := s.planOf(t)
	return t, p, p != nil
}

// planOf is the plan of a tracker as it stands; nil when it is forgotten.
func (s *Scheduler) planOf(t *tracker) *state.Plan {
	if t.version != s.version {
		t.p, _ = s.st.Plan(t.id)
		t.version = s.version
	}
	return t.p
}

// load makes a plan's tracker from the facts. What stays ready keeps its place
// in the turns and the time for which it has waited.
func (s *Scheduler) load(id uint64) {
	old := s.plans[id]
	if old != nil {
		s.forget(old)
	}
	if p, ok := s.st.Plan(id); ok && p.Unfinished() {
		t := newTracker(p, s.anchorsOf(p))
		if old != nil {
			t.since = old.queued
		}
		s.plans[id] = t
		s.count(t, 1)
		i, _ := slices.BinarySearch(s.order, id)
		s.order = slices.Insert(s.order, i, id)
		for g := range p.Groups {
			s.advance(t, p, g, -1)
			s.openBeyond(t, p, g)
		}
		p.EachNamed(func(i uint64) { s.consider(t, p, i) })
		p.EachForced(func(i uint64) { s.consider(t, p, i) })
		if p.Request.Gate == wire.Request_NONE {
			s.openLazily(t, p)
		}
		t.since = nil
	}
	if old != nil {
		s.prune()
	}
}

// count keeps in step how many plans there are of a kind.
func (s *Scheduler) count(t *tracker, by int) {
	s.epoch++
	if t.auto {
		s.autos += by
	}
	if t.lazy {
		s.lazy += by
	}
	if t.failing {
		s.failing += by
	}
}

func (s *Scheduler) unload(t *tracker) {
	s.forget(t)
	s.prune()
}

func (s *Scheduler) prune() {
	for _, q := range s.pools {
		q.prune()
	}
}

// forget takes a tracker out of everything but the turns.
func (s *Scheduler) forget(t *tracker) {
	for _, q := range s.pools {
		q.clear(t.id)
	}
	if t.timed > 0 {
		s.timers = slices.DeleteFunc(s.timers, func(d timer) bool { return d.t == t })
		heap.Init(&s.timers)
	}
	gone := func(w waiter) bool { return w.t == t }
	for id, c := range s.contests {
		c.autos, c.backfills = slices.DeleteFunc(c.autos, gone), slices.DeleteFunc(c.backfills, gone)
		if len(c.autos)+len(c.backfills) == 0 {
			delete(s.contests, id)
		}
	}
	delete(s.plans, t.id)
	s.count(t, -1)
	delete(s.dry, t)
	delete(s.missed, t)
	s.order = slices.DeleteFunc(s.order, func(x uint64) bool { return x == t.id })
}

func (s *Scheduler) instanceChanged(c state.Change) {
	if t, p, ok := s.tracked(c.Plan); ok {
		s.trackedChanged(t, p, c)
	}
	s.unsettled = s.unsettled || c.To != state.Running
	if len(s.elsewhere)+len(s.contests) == 0 {
		return
	}
	// Others wait for it even when it was the plan's last and the plan is no
	// longer tracked.
	if p, ok := s.st.Plan(c.Plan); ok {
		key := cycleOf(p, c.Instance)
		s.wake(key)
		s.contested(key.node)
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
				if !empty(p, pos) {
					break // the next date that has instances
				}
			}
		}
		for _, w := range waiting {
			s.consider(t, p, w)
		}
		s.followed(t, p, at)
	}
	if c.To.Waits() || c.To == state.Frozen { // frozen while it waited at an agent
		s.consider(t, p, c.Instance)
	}
	if !p.Unfinished() {
		s.unload(t)
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
	q, _ := s.st.Plan(b.Plan)
	key := cycleOf(q, b.Instance)
	s.elsewhere[key] = append(s.elsewhere[key], waiter{t, instance})
}

func (s *Scheduler) wake(key cycle) {
	waiting := s.elsewhere[key]
	delete(s.elsewhere, key)
	s.considerAll(waiting)
}

// considerAll looks again at instances of any plan, as far as their trackers
// are still in use.
func (s *Scheduler) considerAll(waiting []waiter) {
	for _, w := range waiting {
		if t, p, ok := s.tracked(w.t.id); ok && t == w.t {
			s.consider(t, p, w.instance)
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
	for _, id := range sortedKeys(s.contests) {
		s.contested(id)
	}
}

// sortedKeys is a fixed order of work.
func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
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

// addTimer has an instance looked at again at a moment.
func (s *Scheduler) addTimer(t *tracker, b Block, instance uint64) {
	parked := b.Kind == Window
	heap.Push(&s.timers, timer{b.AtMs, t, instance, parked})
	t.timed++
	if parked {
		t.parked++
	}
}

// Tick moves time on: what has become due is looked at again.
func (s *Scheduler) Tick(nowMs int64) {
	s.nowMs, s.budget, s.seeds = max(s.nowMs, nowMs), maxNoted, seeds
	for len(s.timers) > 0 && s.timers[0].atMs <= s.nowMs {
		d := heap.Pop(&s.timers).(timer)
		d.t.timed--
		if d.parked {
			d.t.parked--
		}
		if t, p, ok := s.tracked(d.t.id); ok && t == d.t {
			s.consider(t, p, d.instance)
		}
	}
}

// NextMs is when Tick has something to do next; false when never.
func (s *Scheduler) NextMs() (int64, bool) {
	if s.budget == 0 && len(s.dry)+len(s.missed) > 0 {
		return s.nowMs, true
	}
	if len(s.timers) == 0 {
		return 0, false
	}
	return s.timers[0].atMs, true
}

// maxNoted bounds how many dry runs and missed starts are noted between two
// Ticks, so that a turn stays small. NextMs asks for the next Tick at once when
// there are more.
const maxNoted = 20_000

// noted takes from a list as much as the budget allows.
func (s *Scheduler) noted(list *[]uint64) []uint64 {
	n := min(len(*list), s.budget)
	s.budget -= n
	taken := (*list)[:n:n]
	*list = (*list)[n:]
	return taken
}

// DryRuns takes the dry runs that may succeed now.
func (s *Scheduler) DryRuns() []*wire.DryRuns {
	s.refill()
	if len(s.dry) == 0 {
		return nil
	}
	var out []*wire.DryRuns
	for _, id := range s.order {
		t := s.plans[id]
		if _, ok := s.dry[t]; !ok {
			continue
		}
		list := s.noted(&t.dry)
		if len(t.dry) == 0 {
			delete(s.dry, t)
		}
		if list = s.stillNothing(t, list); len(list) > 0 {
			out = append(out, &wire.DryRuns{Plan: id, Instances: list})
		}
	}
	return out
}

// stillNothing keeps the instances that nothing blocks, and has the others
// looked at again.
func (s *Scheduler) stillNothing(t *tracker, list []uint64) []uint64 {
	p, _ := s.st.Plan(t.id)
	return slices.DeleteFunc(list, func(i uint64) bool {
		at, _ := p.Locate(i)
		if s.sees().check(p, at).Kind == Nothing {
			return false
		}
		s.consider(t, p, i)
		return true
	})
}

// Missed takes the frozen instances that could have started by now (RULES R9).
func (s *Scheduler) Missed() []*wire.Missed {
	if len(s.missed) == 0 {
		return nil
	}
	var out []*wire.Missed
	for _, id := range s.order {
		t := s.plans[id]
		if _, ok := s.missed[t]; !ok {
			continue
		}
		list := s.noted(&t.missed)
		if len(t.missed) == 0 {
			delete(s.missed, t)
		}
		if len(list) > 0 {
			out = append(out, &wire.Missed{Plan: id, Instances: list})
		}
	}
	return out
}

// Opens decides which dates start although the one before them has failed:
// those before which everything is quiet (RULES R4.5). In a plan that is held
// nothing moves, which does not mean that its dates have come to an end.
func (s *Scheduler) Opens() []*wire.OpenDate {
	if !s.unsettled {
		return nil
	}
	if s.unsettled = false; s.failing == 0 {
		return nil
	}
	out := s.opensOf(func(p *state.Plan) func(int) bool { return NewMotion(s.st, p, s.nowMs, nil).QuietDate })
	if len(out) == 0 {
		// Dates may wait in a circle for dates behind their own gates, of several
		// plans too. Not before all others are open: they might end the wait.
		out = s.opensOf(func(p *state.Plan) func(int) bool {
			return func(pos int) bool { return quietButForGates(s.st, p, pos, s.nowMs) }
		})
	}
	return out
}

// opensOf goes through the plans in which dates may open after a failure.
func (s *Scheduler) opensOf(quiet func(*state.Plan) func(pos int) bool) []*wire.OpenDate {
	var out []*wire.OpenDate
	for _, id := range s.order {
		t := s.plans[id]
		if !t.failing {
			continue
		}
		p := s.planOf(t)
		if p.Paused || p.Stopped || p.Halted {
			continue
		}
		out = append(out, s.opens(p, quiet(p))...)
	}
	return out
}

// opens lists the first date of each group that only quiet ones hold.
func (s *Scheduler) opens(p *state.Plan, quiet func(pos int) bool) []*wire.OpenDate {
	var out []*wire.OpenDate
	for _, span := range p.Groups {
		succeeded := true // all dates before
		for pos := span.From; pos < span.To; pos++ {
			if !succeeded && !p.IsOpened(pos) {
				if holders := holders(p, pos); len(holders) > 0 {
					if !slices.ContainsFunc(holders, func(h int) bool { return !quiet(h) }) {
						out = append(out, &wire.OpenDate{Plan: p.ID, Position: uint32(pos)})
					}
					break
				}
			}
			succeeded = succeeded && p.DateSucceeded(pos)
		}
	}
	return out
}

// holders are the positions behind which the gate keeps something of a
// position: not always the one before it, which may have no instances, or none
// of a node.
func holders(p *state.Plan, pos int) []int {
	switch p.Request.Gate {
	case wire.Request_DAY:
		if from, to, before := p.Gate(plan.Place{Pos: pos}); from < to && !p.DateSucceeded(before) {
			return []int{before}
		}
	case wire.Request_NODE:
		var out []int
		for n := range p.Nodes {
			from, to, before := p.Gate(plan.Place{Pos: pos, Node: n})
			if _, waits := p.FirstUnsuccessful(from, to); waits && !slices.Contains(out, before) {
				out = append(out, before)
			}
		}
		return out
	}
	return nil
}

// refill opens dates of plans without gates that have little ready.
func (s *Scheduler) refill() {
	if s.lazy == 0 {
		return
	}
	for _, id := range s.order {
		if t := s.plans[id]; t.lazy {
			s.openLazily(t, s.planOf(t))
		}
	}
}

// Place is how many ready instances would start before one that waits for a
// slot, by the present queues; false when it does not.
func (s *Scheduler) Place(planID, instance uint64) (before int, ok bool) {
	t, p, ok := s.tracked(planID)
	if !ok {
		return 0, false
	}
	at, ok := p.Locate(instance)
	if !ok {
		return 0, false
	}
	group := p.ResourceGroup(at.Node)
	q, ok := s.pools[group]
	if !ok {
		return 0, false
	}
	slots, _ := s.room(group, s.st.GroupUse(group))
	return q.place(t, instance, func(t *tracker) bool { return s.below(t, 0) }, slots <= 0)
}

// Ready is how many instances wait for a slot, by resource group.
func (s *Scheduler) Ready() map[string]int {
	out := map[string]int{}
	for _, g := range s.groups {
		if n := items(s.pools[g].levels, func(*tracker) bool { return true }); n > 0 {
			out[g] = n
		}
	}
	return out
}

// ReadyBy is how many instances wait for a slot, by resource group and priority.
func (s *Scheduler) ReadyBy() map[string]map[int32]int {
	out := map[string]map[int32]int{}
	for _, g := range s.groups {
		by := map[int32]int{}
		for _, l := range s.pools[g].levels {
			if n := items([]*level{l}, func(*tracker) bool { return true }); n > 0 {
				by[l.rank.priority] += n
			}
		}
		out[g] = by
	}
	return out
}

// ReadyOf is how many slots would be taken by the instances of a plan that wait
// for some, by resource group.
func (s *Scheduler) ReadyOf(planID uint64) map[string]int {
	out := map[string]int{}
	for _, g := range s.groups {
		for _, l := range s.pools[g].levels {
			for _, n := range l.turns {
				for _, p := range n.parts {
					if n.t.id == planID && len(p.items) > 0 {
						out[g] += len(p.items) * p.demand.slots()
					}
				}
			}
		}
	}
	return out
}
