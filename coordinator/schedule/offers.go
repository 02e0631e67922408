package schedule

import (
	"container/heap"

	"backfleet/coordinator/state"
)

// Offer is what one agent could take of one resource group.
type Offer struct {
	Agent   string
	Slots   int // that it has
	Free    int // of them, that nothing uses or is about to
	Ahead   int // how many more it may hold beyond its slots
	AheadMs int // how much work these may be, by recent durations
}

// Offers is what all agents could take, by resource group. Who keeps it says
// what changes, so that a turn costs nothing for agents that have nothing to
// say. Fill takes from it: what it took is to be set anew afterwards.
type Offers struct {
	groups map[string]*offered
}

// offered is one group's.
type offered struct {
	use    state.GroupUse
	agents map[string]*offer
	free   freeHeap
	ahead  aheadHeap
}

type offer struct {
	Offer
	inFree, inAhead int // where it stands in the heaps, from 1; 0: in none
}

// NewOffers is empty.
func NewOffers() *Offers { return &Offers{groups: map[string]*offered{}} }

func (o *Offers) of(group string) *offered {
	g := o.groups[group]
	if g == nil {
		g = &offered{agents: map[string]*offer{}}
		o.groups[group] = g
	}
	return g
}

// Use is what the group's slots are used for, which whoever sets the offers
// keeps as state.State.GroupUse would count it.
func (o *Offers) Use(group string) *state.GroupUse { return &o.of(group).use }

// Set says what an agent could take of a group now; nothing forgets it there.
func (o *Offers) Set(group string, is Offer) {
	g := o.of(group)
	a := g.agents[is.Agent]
	if a == nil {
		a = &offer{}
		g.agents[is.Agent] = a
	}
	a.Offer = is
	g.settle(a)
	if a.inFree+a.inAhead == 0 {
		delete(g.agents, is.Agent)
	}
}

// settle puts an agent where it belongs in the heaps.
func (g *offered) settle(a *offer) {
	place(&g.free, a, a.inFree, a.Free > 0)
	place(&g.ahead, a, a.inAhead, a.Ahead > 0 && a.AheadMs > 0)
}

func place(h heap.Interface, a *offer, at int, belongs bool) {
	switch {
	case at > 0 && belongs:
		heap.Fix(h, at-1)
	case at > 0:
		heap.Remove(h, at-1)
	case belongs:
		heap.Push(h, a)
	}
}

// freeHeap has the agent with the most free slots first.
type freeHeap []*offer

func (h freeHeap) Len() int { return len(h) }
func (h freeHeap) Less(i, j int) bool {
	if h[i].Free != h[j].Free {
		return h[i].Free > h[j].Free
	}
	return h[i].Agent < h[j].Agent
}

func (h freeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].inFree, h[j].inFree = i+1, j+1
}

func (h *freeHeap) Push(x any) {
	*h = append(*h, x.(*offer))
	(*h)[len(*h)-1].inFree = len(*h)
}

func (h *freeHeap) Pop() any {
	a := popLast((*[]*offer)(h))
	a.inFree = 0
	return a
}

// aheadHeap has the agent first that has the most room for each of its slots.
type aheadHeap []*offer

func (h aheadHeap) Len() int { return len(h) }
func (h aheadHeap) Less(i, j int) bool {
	if a, b := h[i].AheadMs*h[j].Slots, h[j].AheadMs*h[i].Slots; a != b {
		return a > b
	}
	return h[i].Agent < h[j].Agent
}

func (h aheadHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].inAhead, h[j].inAhead = i+1, j+1
}

func (h *aheadHeap) Push(x any) {
	*h = append(*h, x.(*offer))
	(*h)[len(*h)-1].inAhead = len(*h)
}

func (h *aheadHeap) Pop() any {
	a := popLast((*[]*offer)(h))
	a.inAhead = 0
	return a
}
