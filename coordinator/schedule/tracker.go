package schedule

import (
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// tracker is what the scheduler remembers of one plan. Only instances whose
// gate is open are in it, so dates to come cost nothing. Each waiting one is
// listed under the one thing that blocks it, and looked at again when that
// thing changes.
type tracker struct {
	id      uint64
	next    []int               // gate day, none: next position to open, by group
	byNode  [][]int32           // gate node: the same, by group and node
	waiters map[uint64][]uint64 // instance of this plan → those it blocks
	queued  map[uint64]struct{} // in a pool
	dry     []uint64            // dry runs that may succeed now
	ready   int
}

// lazyReady is how many ready instances a plan without gates keeps at hand
// before it opens the next date.
const lazyReady = 1024

func newTracker(p *state.Plan) *tracker {
	t := &tracker{id: p.ID, next: make([]int, len(p.Groups)), waiters: map[uint64][]uint64{}, queued: map[uint64]struct{}{}}
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
			if from, to := p.Range(pos); !p.DateSucceeded(pos) {
				s.open(t, p, pos, from, to)
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
				from, to := p.NodeRange(pos, i)
				s.open(t, p, pos, from, to)
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
			from, to := p.Range(pos)
			s.open(t, p, pos, from, to)
		}
	case wire.Request_NODE:
		first, end := n, n+1
		if n < 0 {
			first, end = 0, len(p.Nodes)
		}
		for i := first; i < end; i++ {
			if pos > int(t.byNode[g][i]) && !s.held(p, plan.Place{Pos: pos, Node: i}) {
				from, to := p.NodeRange(pos, i)
				s.open(t, p, pos, from, to)
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
	for more := true; more && t.ready < lazyReady; {
		more = false
		for g, span := range p.Groups {
			if pos := t.next[g]; pos < span.To {
				t.next[g]++
				more = true
				from, to := p.Range(pos)
				s.open(t, p, pos, from, to)
			}
		}
	}
}

func (s *Scheduler) open(t *tracker, p *state.Plan, pos int, from, to uint64) {
	for i := from; i < to; i++ {
		if p.Status(i).Waits() {
			s.consider(t, p, i)
		}
	}
}

// consider puts an instance where it belongs: under what blocks it, among the
// timers, among the dry runs, or in the queue of its resource group.
func (s *Scheduler) consider(t *tracker, p *state.Plan, instance uint64) {
	if _, ok := t.queued[instance]; ok {
		return
	}
	at, ok := p.Locate(instance)
	if !ok {
		return
	}
	switch b := Check(s.st, p, at, s.nowMs); b.Kind {
	case Nothing:
		if p.Nodes[at.Node].DryRun != wire.DryRun_DRY_RUN_NONE {
			t.dry = append(t.dry, instance)
			s.dry[t] = struct{}{}
			return
		}
		t.queued[instance] = struct{}{}
		t.ready++
		s.pool(p.ResourceGroup(at.Node)).push(t, p.Priority(at), item{p.DueMs(at), instance})
	case Upstream:
		t.waiters[b.Instance] = append(t.waiters[b.Instance], instance)
	case Predecessor, Overlap:
		if b.Plan == t.id {
			t.waiters[b.Instance] = append(t.waiters[b.Instance], instance)
			return
		}
		s.waitElsewhere(t, b, instance)
	case Due, Retry:
		s.addTimer(timer{b.AtMs, t, instance})
	}
	// Anything else goes away with an operation on the plan, which loads it
	// anew, or with its gate, which considers it again.
}
