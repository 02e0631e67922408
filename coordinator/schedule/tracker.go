package schedule

import (
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// tracker is what the scheduler remembers of one plan. Only instances whose
// gate is open are in it, so dates to come cost nothing; of those, none whose
// anchor has not succeeded. Each other waiting one is listed under the one
// thing that blocks it, and looked at again when that thing changes.
type tracker struct {
	id      uint64
	next    []int               // gate day, none: next position to open, by group
	byNode  [][]int32           // gate node: the same, by group and node
	waiters map[uint64][]uint64 // instance of this plan → those it blocks
	anchors *anchors
	auto    bool
	queued  map[uint64]int64 // in a pool, and since when ready
	since   map[uint64]int64 // the same before a reload, while it goes on
	dry     []uint64         // dry runs that may succeed now
	missed  []uint64         // frozen ones that could have started
	ready   int
	timed   int         // timers
	parked  int         // instances that a window or the schedule holds back
	lazy    bool        // it has no gates
	failing bool        // its dates may open after a failure
	p       *state.Plan // as it stands at version: see planOf
	version uint64
	paces   []*Pace  // of its nodes, as far as they were asked for
	lone    []uint64 // by node: the epoch in which no other plan was found to have it
}

// LazyReady is how many ready instances a plan without gates keeps at hand
// before it opens the next date.
const LazyReady = 1024

// lazyParked is how many instances a plan without gates has wait for its window,
// for the schedule or to be noted before it opens no further date.
const lazyParked = 16 * LazyReady

func newTracker(p *state.Plan, a *anchors) *tracker {
	t := &tracker{
		id: p.ID, next: make([]int, len(p.Groups)), waiters: map[uint64][]uint64{}, auto: p.Auto, queued: map[uint64]int64{},
		lazy: p.Request.Gate == wire.Request_NONE, anchors: a,
	}
	t.failing = !t.lazy && p.Request.OnFailure == wire.Request_CONTINUE
	for g, span := range p.Groups {
		t.next[g] = span.From
	}
	if p.Request.Gate == wire.Request_NODE {
		t.byNode = make([][]int32, len(p.Groups))
		for g, span := range p.Groups {
			t.byNode[g] = make([]int32, len(p.Nodes))
			for n := range p.Nodes {
				t.byNode[g][n] = int32(span.From)
			}
		}
	}
	return t
}

// advance opens every position whose gate has opened in a group; node is the
// one that changed, or -1 for any.
func (s *Scheduler) advance(t *tracker, p *state.Plan, g, n int) {
	span := p.Groups[g]
	switch p.Request.Gate {
	case wire.Request_DAY:
		for t.next[g] < span.To && !s.held(p, plan.Place{Pos: t.next[g]}) {
			pos := t.next[g]
			t.next[g]++
			if !p.DateSucceeded(pos) {
				s.openDate(t, p, pos)
			}
		}
	case wire.Request_NODE:
		first, end := n, n+1
		if n < 0 {
			first, end = 0, len(p.Nodes)
		}
		for i := first; i < end; i++ {
			cursor := &t.byNode[g][i]
			for int(*cursor) < span.To && !s.held(p, plan.Place{Pos: int(*cursor), Node: i}) {
				pos := int(*cursor)
				*cursor++
				s.openNode(t, p, pos, i)
			}
		}
	}
}

// openBeyond opens the positions behind a gate that is shut whose own gate is
// open: a rerun can undo a date after those behind it have succeeded, and each
// is held by the one directly before it alone (RULES R4.3).
func (s *Scheduler) openBeyond(t *tracker, p *state.Plan, g int) {
	span := p.Groups[g]
	for pos := span.From + 1; pos < span.To; pos++ {
		if c := p.DateCounts(pos - 1); c.Success() > 0 || p.IsOpened(pos) {
			s.openIfBeyond(t, p, pos, -1)
		}
	}
}

// openIfBeyond opens a position, or one node of it, if its gate is open and the
// cursor has not come so far.
func (s *Scheduler) openIfBeyond(t *tracker, p *state.Plan, pos, n int) {
	g := p.Group(pos)
	switch p.Request.Gate {
	case wire.Request_DAY:
		if pos > t.next[g] && !p.DateSucceeded(pos) && !s.held(p, plan.Place{Pos: pos}) {
			s.openDate(t, p, pos)
		}
	case wire.Request_NODE:
		first, end := n, n+1
		if n < 0 {
			first, end = 0, len(p.Nodes)
		}
		for i := first; i < end; i++ {
			if pos > int(t.byNode[g][i]) && !s.held(p, plan.Place{Pos: pos, Node: i}) {
				s.openNode(t, p, pos, i)
			}
		}
	}
}

func (s *Scheduler) held(p *state.Plan, at plan.Place) bool {
	_, holds := gateHolds(p, at)
	return holds
}

// openLazily opens dates of a plan without gates while it has little ready.
func (s *Scheduler) openLazily(t *tracker, p *state.Plan) {
	for more := true; more && t.ready < LazyReady && t.parked+len(t.dry)+len(t.missed) < lazyParked; {
		more = false
		for g, span := range p.Groups {
			if pos := t.next[g]; pos < span.To {
				t.next[g]++
				more = true
				s.openDate(t, p, pos)
			}
		}
	}
}

func (s *Scheduler) openDate(t *tracker, p *state.Plan, pos int) {
	for n := range p.Nodes {
		s.openNode(t, p, pos, n)
	}
}

// openNode opens a node's part of a position.
func (s *Scheduler) openNode(t *tracker, p *state.Plan, pos, n int) {
	from, to := p.NodeRange(pos, n)
	switch {
	case from == to:
	case t.anchored(p, pos, n):
		s.freed(t, p, n, from, to)
	default:
		s.open(t, p, from, to)
	}
}

// empty says that no node of the plan has a cycle on a position.
func empty(p *state.Plan, pos int) bool {
	for range p.Ranges(pos) {
		return false
	}
	return true
}

func (s *Scheduler) open(t *tracker, p *state.Plan, from, to uint64) {
	for i := from; i < to; i++ {
		if status := p.Status(i); status.Waits() || status == state.Frozen {
			s.consider(t, p, i)
		}
	}
}

// consider puts an instance where it belongs: under what blocks it, among the
// timers, among the dry runs, or in the queue of its resource group. A frozen
// one is watched in the same way until it could have started.
func (s *Scheduler) consider(t *tracker, p *state.Plan, instance uint64) {
	if _, ok := t.queued[instance]; ok {
		return
	}
	at, ok := p.Locate(instance)
	if !ok {
		return
	}
	if p.Status(instance) == state.Frozen {
		if b := s.sees().checkMissed(p, at, instance); b.Kind != Nothing {
			s.watch(t, p, at, instance, b)
			return
		}
		t.missed = append(t.missed, instance)
		s.missed[t] = struct{}{}
		return
	}
	b := s.sees().check(p, at)
	switch {
	case b.Kind != Nothing:
		s.watch(t, p, at, instance, b)
	case isDry(p, at):
		t.dry = append(t.dry, instance)
		s.dry[t] = struct{}{}
	default:
		since, known := t.since[instance]
		if !known {
			since = s.nowMs
		}
		t.queued[instance] = since
		t.ready++
		q := s.pool(p.ResourceGroup(at.Node))
		q.push(t, p.PriorityOf(at), q.demandOf(p.Nodes[at.Node].Spec), item{p.DueMs(at), instance}, since)
	}
}

// watch lists an instance under what blocks it.
func (s *Scheduler) watch(t *tracker, p *state.Plan, at plan.Place, instance uint64, b Block) {
	switch b.Kind {
	case Upstream, Predecessor, Overlap:
		if b.Plan == t.id {
			if up, _ := p.Locate(b.Instance); up.Pos != at.Pos || int32(up.Node) != t.anchors.anchor[at.Node] {
				t.waiters[b.Instance] = append(t.waiters[b.Instance], instance)
			}
			return
		}
		s.waitElsewhere(t, b, instance)
	case Due, Retry, Window:
		s.addTimer(t, b, instance)
	case Conflict:
		s.contend(t, p, at, instance)
	}
	// Anything else goes away with an operation on the plan, which loads it
	// anew, or with its gate, which considers it again.
}
