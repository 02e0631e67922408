package schedule

import (
	"cmp"
	"math"
	"slices"

	"backfleet/pkg/wire"
)

// pool is what is ready to start in one resource group. The higher priority
// goes first, at equal priority auto before backfill; there the plans take
// turns; within a plan the due time and then the graph's order decide, which is
// the order of instance numbers (RULES R7.3).
type pool struct {
	levels    []*level // most urgent first
	oldestMs  int64    // no backfill instance has been ready since before
	patience  bool     // whether patience ever gave a slot, and
	patientMs int64    // when it last did (RULES R7.5)
}

type level struct {
	rank  rank
	turns []*line // of the plans that have something ready; the first is next
}

// rank orders levels, the larger first.
type rank struct {
	priority int32
	auto     bool
}

func (r rank) compare(o rank) int {
	switch {
	case r.priority != o.priority:
		return cmp.Compare(o.priority, r.priority)
	case r.auto == o.auto:
		return 0
	case r.auto:
		return -1
	default:
		return 1
	}
}

// line is what one plan has ready at one rank.
type line struct {
	t     *tracker
	items []item // a heap
	waits []wait // of a backfill: a heap of the same, and some that are gone
}

type item struct {
	dueMs    int64
	instance uint64
}

// wait is since when an instance has been ready.
type wait struct {
	sinceMs  int64
	instance uint64
}

func (a item) before(b item) bool {
	return a.dueMs < b.dueMs || a.dueMs == b.dueMs && a.instance < b.instance
}

func (a wait) before(b wait) bool {
	return a.sinceMs < b.sinceMs || a.sinceMs == b.sinceMs && a.instance < b.instance
}

func popLast[T any](s *[]T) T {
	last := len(*s) - 1
	x := (*s)[last]
	*s = (*s)[:last]
	return x
}

// push queues an instance that became ready at a moment.
func (q *pool) push(t *tracker, priority int32, it item, sinceMs int64) {
	r := rank{priority, t.auto}
	i, found := slices.BinarySearchFunc(q.levels, r, func(l *level, r rank) int { return l.rank.compare(r) })
	if !found {
		q.levels = slices.Insert(q.levels, i, &level{rank: r})
	}
	l := q.levels[i]
	k := slices.IndexFunc(l.turns, func(n *line) bool { return n.t.id == t.id })
	if k < 0 {
		k = len(l.turns)
		l.turns = append(l.turns, &line{t: t})
	}
	n := l.turns[k]
	n.t = t // its place in the turns outlives a reload of its plan
	heapPush(&n.items, it)
	if !t.auto {
		n.forget()
		heapPush(&n.waits, wait{sinceMs, it.instance})
		q.oldestMs = min(q.oldestMs, sinceMs)
	}
}

// forget drops what is gone from a line's waits when it is most of them.
func (n *line) forget() {
	if len(n.waits) < 2*len(n.items)+64 {
		return
	}
	n.waits = slices.DeleteFunc(n.waits, n.gone)
	heapInit(n.waits)
}

func (n *line) gone(w wait) bool {
	since, queued := n.t.queued[w.instance]
	return !queued || since != w.sinceMs
}

// longest is the instance of a line that has been ready for the longest time.
func (n *line) longest() (wait, bool) {
	for len(n.waits) > 0 && n.gone(n.waits[0]) {
		heapPop(&n.waits)
	}
	if len(n.waits) == 0 {
		return wait{}, false
	}
	return n.waits[0], true
}

// pop takes the next item of a plan that may; false when there is none, or when
// it does not fit: then nothing behind it is taken either.
func (q *pool) pop(may func(*tracker) bool, fit func(*tracker, item) bool) (*tracker, item, bool) {
	for _, l := range q.levels {
		for k, n := range l.turns {
			if !may(n.t) {
				continue
			}
			if !fit(n.t, n.items[0]) {
				return nil, item{}, false
			}
			it := heapPop(&n.items)
			l.turns = slices.Delete(l.turns, k, k+1)
			if len(n.items) > 0 {
				l.turns = append(l.turns, n) // its turn is over
			}
			return n.t, it, true
		}
	}
	return nil, item{}, false
}

// popLongest takes the backfill instance that has been ready for the longest
// time, if that is since a moment or earlier, whatever its priority; of several
// the least urgent, since the others have better prospects. It is nobody's turn.
func (q *pool) popLongest(sinceMs int64, may func(*tracker) bool, fit func(*tracker, item) bool) (*tracker, item, bool) {
	if q.oldestMs > sinceMs {
		return nil, item{}, false
	}
	var of *level
	var at int
	var best wait
	q.oldestMs = math.MaxInt64
	for _, l := range q.levels {
		for k, n := range l.turns {
			w, ok := n.longest()
			if !ok {
				continue
			}
			q.oldestMs = min(q.oldestMs, w.sinceMs)
			if w.sinceMs <= sinceMs && (of == nil || w.sinceMs <= best.sinceMs) && may(n.t) {
				of, at, best = l, k, w
			}
		}
	}
	if of == nil {
		return nil, item{}, false
	}
	n := of.turns[at]
	if !fit(n.t, item{instance: best.instance}) {
		return nil, item{}, false
	}
	heapPop(&n.waits)
	k := slices.IndexFunc(n.items, func(it item) bool { return it.instance == best.instance })
	it := heapRemove(&n.items, k)
	if len(n.items) == 0 {
		of.turns = slices.Delete(of.turns, at, at+1)
	}
	return n.t, it, true
}

// clear empties a plan's lines and keeps their places in the turns.
func (q *pool) clear(planID uint64) {
	for _, l := range q.levels {
		for _, n := range l.turns {
			if n.t.id == planID {
				n.items, n.waits = nil, nil
			}
		}
	}
}

// prune takes empty lines out.
func (q *pool) prune() {
	for _, l := range q.levels {
		l.turns = slices.DeleteFunc(l.turns, func(n *line) bool { return len(n.items) == 0 })
	}
}

// place is how many items would start before one, by the present queues: those
// of a higher rank, those before it in its own plan, and as many of every
// other plan at its rank, since the plans take turns. Plans that may not start
// anything are passed over; full says that backfills have all the slots that
// they may have, so that auto instances of any rank go first.
func (q *pool) place(t *tracker, instance uint64, may func(*tracker) bool, full bool) (before int, found bool) {
	for i, l := range q.levels {
		for _, n := range l.turns {
			if n.t != t {
				continue
			}
			k := slices.IndexFunc(n.items, func(it item) bool { return it.instance == instance })
			if k < 0 {
				continue
			}
			own := 0
			for _, it := range n.items {
				if it.before(n.items[k]) {
					own++
				}
			}
			for _, other := range l.turns {
				if other != n && may(other.t) {
					before += min(own, len(other.items))
				}
			}
			if full && !t.auto {
				before += items(q.levels[i+1:], func(t *tracker) bool { return t.auto })
			}
			return before + own, true
		}
		before += items(q.levels[i:i+1], may)
	}
	return 0, false
}

// items counts what some plans have ready at some levels.
func items(levels []*level, of func(*tracker) bool) (count int) {
	for _, l := range levels {
		for _, n := range l.turns {
			if of(n.t) {
				count += len(n.items)
			}
		}
	}
	return count
}

// BackfillLimit is how many slots of a resource group backfills may use
// together (RULES R7.5): what is not reserved for auto instances, within their
// share, but one at least where not everything is reserved.
func BackfillLimit(slots int, g *wire.PutResourceGroup) int {
	open := slots - int(g.ReserveForAuto)
	if open <= 0 {
		return 0
	}
	if share := int(g.BackfillMaxShare); share > 0 {
		return max(1, min(open, slots*share/100))
	}
	return open
}

// timer is an instance that becomes ready by itself.
type timer struct {
	atMs     int64
	t        *tracker
	instance uint64
	parked   bool
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].atMs < h[j].atMs }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any          { return popLast((*[]timer)(h)) }
