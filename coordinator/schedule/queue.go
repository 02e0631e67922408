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
	levels    []*level  // most urgent first
	demands   []*demand // other than for one slot anywhere, in their order
	oldestMs  int64     // no backfill instance has been ready since before
	patience  bool      // whether patience ever gave a slot, and
	patientMs int64     // when it last did (RULES R7.5)
}

type level struct {
	rank   rank
	turns  []*line // of the plans that have something ready; the first is next
	passed int     // how many of them were passed over since begin: see there
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
	parts []*part // one for each demand
}

// part is what of a line has the same demand.
type part struct {
	demand *demand
	items  []item // a heap
	waits  []wait // of a backfill: a heap of the same, and some that are gone
}

// taken is an instance that was taken out of its line.
type taken struct {
	t        *tracker
	instance uint64
	demand   *demand
	rank     rank
	pace     *Pace
	sinceMs  int64 // when it became ready
}

// asker says whom pop may take.
type asker struct {
	// can says whether one with such a demand can be given anything; if not, the
	// next in line is asked. Who cannot, cannot until begin.
	can func(t *tracker, r rank, d *demand) bool
	// fits says whether the first who can is taken; if not, nobody is.
	fits func(t *tracker, i item) bool
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
func (q *pool) push(t *tracker, priority int32, d *demand, it item, sinceMs int64) {
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
	p := n.part(d)
	if p == nil {
		p = &part{demand: d}
		n.parts = append(n.parts, p)
	}
	heapPush(&p.items, it)
	d.count(1)
	if !t.auto {
		p.forget(t)
		heapPush(&p.waits, wait{sinceMs, it.instance})
		q.oldestMs = min(q.oldestMs, sinceMs)
	}
}

// part is what of the line has a demand; nil when it never had any.
func (n *line) part(d *demand) *part {
	for _, p := range n.parts {
		if p.demand == d {
			return p
		}
	}
	return nil
}

// size is how many instances stand in the line.
func (n *line) size() (count int) {
	for _, p := range n.parts {
		count += len(p.items)
	}
	return count
}

// forget drops what is gone from the waits when it is most of them.
func (p *part) forget(t *tracker) {
	if len(p.waits) < 2*len(p.items)+64 {
		return
	}
	p.waits = slices.DeleteFunc(p.waits, func(w wait) bool { return gone(t, w) })
	heapInit(p.waits)
}

func gone(t *tracker, w wait) bool {
	since, queued := t.queued[w.instance]
	return !queued || since != w.sinceMs
}

// longest is the instance that has been ready for the longest time.
func (p *part) longest(t *tracker) (wait, bool) {
	for len(p.waits) > 0 && gone(t, p.waits[0]) {
		heapPop(&p.waits)
	}
	if len(p.waits) == 0 {
		return wait{}, false
	}
	return p.waits[0], true
}

// begin has everybody asked again. Until the next call, who was passed over once
// is not asked any more: there is ever less to be given out.
func (q *pool) begin() {
	for _, l := range q.levels {
		l.passed = 0
	}
}

// pop takes the next of those who can be given something; false when there is
// none, or when it does not fit: then nothing behind it is taken either. Who is
// passed over keeps its turn.
func (q *pool) pop(ask asker) (taken, bool) {
	for _, l := range q.levels {
		for ; l.passed < len(l.turns); l.passed++ {
			k := l.passed
			n := l.turns[k]
			p := n.next(l.rank, ask)
			if p == nil {
				continue
			}
			if !ask.fits(n.t, p.items[0]) {
				return taken{}, false
			}
			it := heapPop(&p.items)
			p.demand.count(-1)
			l.turns = slices.Delete(l.turns, k, k+1)
			if n.size() > 0 {
				l.turns = append(l.turns, n) // its turn is over
			}
			return taken{t: n.t, instance: it.instance, demand: p.demand, rank: l.rank}, true
		}
	}
	return taken{}, false
}

// next finds the part with the first instance that can be given something.
func (n *line) next(r rank, ask asker) *part {
	var last *part
	for {
		var p *part
		for _, o := range n.parts {
			if len(o.items) > 0 && (last == nil || last.items[0].before(o.items[0])) && (p == nil || o.items[0].before(p.items[0])) {
				p = o
			}
		}
		if p == nil || ask.can(n.t, r, p.demand) {
			return p
		}
		last = p
	}
}

// longest finds, of those who can be given something, the instance of a line
// that has been ready for the longest time, if since a moment or earlier; and
// since when any has been.
func (n *line) longest(sinceMs int64, r rank, ask asker) (oldestMs int64, of *part, best wait) {
	oldestMs = math.MaxInt64
	for _, p := range n.parts {
		w, ok := p.longest(n.t)
		if !ok {
			continue
		}
		oldestMs = min(oldestMs, w.sinceMs)
		if w.sinceMs <= sinceMs && (of == nil || w.before(best)) && ask.can(n.t, r, p.demand) {
			of, best = p, w
		}
	}
	return oldestMs, of, best
}

// popLongest takes, of those who can be given something, the backfill instance
// that has been ready for the longest time, if that is since a moment or
// earlier, whatever its priority; of several the least urgent, since the others
// have better prospects. It is nobody's turn.
func (q *pool) popLongest(sinceMs int64, ask asker) (taken, bool) {
	if q.oldestMs > sinceMs {
		return taken{}, false
	}
	var of *level
	var at int
	var p *part
	var best wait
	q.oldestMs = math.MaxInt64
	for _, l := range q.levels {
		for k, n := range l.turns {
			oldest, own, w := n.longest(sinceMs, l.rank, ask)
			q.oldestMs = min(q.oldestMs, oldest)
			if own != nil && (of == nil || w.sinceMs <= best.sinceMs) {
				of, at, p, best = l, k, own, w
			}
		}
	}
	if of == nil {
		return taken{}, false
	}
	n := of.turns[at]
	if !ask.fits(n.t, item{instance: best.instance}) {
		return taken{}, false
	}
	heapPop(&p.waits)
	heapRemove(&p.items, slices.IndexFunc(p.items, func(it item) bool { return it.instance == best.instance }))
	p.demand.count(-1)
	if n.size() == 0 {
		of.turns = slices.Delete(of.turns, at, at+1)
		if at < of.passed {
			of.passed--
		}
	}
	return taken{t: n.t, instance: best.instance, demand: p.demand, rank: of.rank}, true
}

// clear empties a plan's lines and keeps their places in the turns.
func (q *pool) clear(planID uint64) {
	for _, l := range q.levels {
		for _, n := range l.turns {
			if n.t.id != planID {
				continue
			}
			for _, p := range n.parts {
				p.demand.count(-len(p.items))
			}
			n.parts = nil
		}
	}
}

// prune takes empty lines out.
func (q *pool) prune() {
	for _, l := range q.levels {
		l.turns = slices.DeleteFunc(l.turns, func(n *line) bool { return n.size() == 0 })
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
			own, found := n.before(instance)
			if !found {
				continue
			}
			for _, other := range l.turns {
				if other != n && may(other.t) {
					before += min(own, other.size())
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

// before is how many instances of the line stand before one of it.
func (n *line) before(instance uint64) (count int, found bool) {
	var own item
	for _, p := range n.parts {
		if k := slices.IndexFunc(p.items, func(it item) bool { return it.instance == instance }); k >= 0 {
			own, found = p.items[k], true
		}
	}
	for _, p := range n.parts {
		for _, it := range p.items {
			if it.before(own) {
				count++
			}
		}
	}
	return count, found
}

// items counts what some plans have ready at some levels.
func items(levels []*level, of func(*tracker) bool) (count int) {
	for _, l := range levels {
		for _, n := range l.turns {
			if of(n.t) {
				count += n.size()
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
