package schedule

import (
	"container/heap"
	"slices"
)

// pool is what is ready to start in one resource group. The higher priority
// goes first; at equal priority the plans take turns; within a plan the due
// time and then the graph's order decide, which is the order of instance
// numbers (RULES R7.3).
type pool struct {
	levels []*level // highest priority first
}

type level struct {
	priority int32
	turns    []*line // of the plans that have something ready; the first is next
}

// line is what one plan has ready at one priority.
type line struct {
	t     *tracker
	items itemHeap
}

type item struct {
	dueMs    int64
	instance uint64
}

type itemHeap []item

func (h itemHeap) Len() int { return len(h) }
func (h itemHeap) Less(i, j int) bool {
	if h[i].dueMs != h[j].dueMs {
		return h[i].dueMs < h[j].dueMs
	}
	return h[i].instance < h[j].instance
}
func (h itemHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *itemHeap) Push(x any)   { *h = append(*h, x.(item)) }
func (h *itemHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (q *pool) push(t *tracker, priority int32, it item) {
	i, found := slices.BinarySearchFunc(q.levels, priority, func(l *level, p int32) int { return int(p - l.priority) })
	if !found {
		q.levels = slices.Insert(q.levels, i, &level{priority: priority})
	}
	l := q.levels[i]
	k := slices.IndexFunc(l.turns, func(n *line) bool { return n.t == t })
	if k < 0 {
		k = len(l.turns)
		l.turns = append(l.turns, &line{t: t})
	}
	heap.Push(&l.turns[k].items, it)
}

// pop takes the next item of a plan that may; false when there is none.
func (q *pool) pop(may func(*tracker) bool) (*tracker, item, bool) {
	for _, l := range q.levels {
		for k, n := range l.turns {
			if !may(n.t) {
				continue
			}
			it := heap.Pop(&n.items).(item)
			l.turns = slices.Delete(l.turns, k, k+1)
			if len(n.items) > 0 {
				l.turns = append(l.turns, n) // its turn is over
			}
			return n.t, it, true
		}
	}
	return nil, item{}, false
}

// drop forgets all that a plan has ready.
func (q *pool) drop(t *tracker) {
	for _, l := range q.levels {
		l.turns = slices.DeleteFunc(l.turns, func(n *line) bool { return n.t == t })
	}
}

// place is how many items would start before one, by the present queues: those
// of higher priority, those before it in its own plan, and as many of every
// other plan at its level, since the plans take turns.
func (q *pool) place(t *tracker, instance uint64) (before int, found bool) {
	for _, l := range q.levels {
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
				if it.dueMs < n.items[k].dueMs || it.dueMs == n.items[k].dueMs && it.instance < instance {
					own++
				}
			}
			for _, other := range l.turns {
				if other != n {
					before += min(own, len(other.items))
				}
			}
			return before + own, true
		}
		for _, n := range l.turns {
			before += len(n.items)
		}
	}
	return 0, false
}

// timer is an instance that becomes ready by itself.
type timer struct {
	atMs     int64
	t        *tracker
	instance uint64
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].atMs < h[j].atMs }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
