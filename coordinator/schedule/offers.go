package schedule

import (
	"container/heap"
	"slices"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// Offer is what one agent could take of one resource group.
type Offer struct {
	Agent   string
	Slots   int                // that it has
	Free    int                // of them, that nothing uses or is about to
	Ahead   int                // how many more it may hold beyond its slots
	AheadMs int                // how much work these may be, by recent durations
	Labels  []*wire.Assignment // that it has
	Light   bool               // it takes nothing that needs more slots than one
}

// Offers is what all agents could take, by resource group. Who keeps it says
// what changes, so that a turn costs nothing for agents that have nothing to
// say. Fill takes from it: what it took is to be set anew afterwards.
type Offers struct {
	groups map[string]*offered
}

// offered is one group's. Agents that could hold the same of the demands that
// are known are of one kind, and stand together; where no node asks for labels
// or for more than a slot, all are.
type offered struct {
	use     state.GroupUse
	agents  map[string]*offer
	demands []*demand // in their order
	kinds   []*kind
	byMask  map[string]*kind
}

// kind is the agents that could hold the same demands.
type kind struct {
	mask   string // a byte for each demand, 1 where they could
	free   freeHeap
	ahead  aheadHeap
	closed bool // for the call of Fill: nothing is granted ahead to them
}

type offer struct {
	Offer
	kind            *kind
	kept            bool // for one demand: it stands in no heap
	inFree, inAhead int  // where it stands in the heaps, from 1; 0: in none
}

// NewOffers is empty.
func NewOffers() *Offers { return &Offers{groups: map[string]*offered{}} }

func (o *Offers) of(group string) *offered {
	g := o.groups[group]
	if g == nil {
		g = &offered{agents: map[string]*offer{}, byMask: map[string]*kind{}}
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
	if a.kind == nil || len(g.demands) > 0 && !sameAgent(&a.Offer, &is) {
		a.Offer = Offer{}
		g.settle(a)
		a.kind = g.kindOf(&is)
	}
	a.Offer = is
	g.settle(a)
	if a.inFree+a.inAhead == 0 {
		delete(g.agents, is.Agent)
	}
}

// sameAgent says that an agent is what it was in all that decides what it could
// hold.
func sameAgent(a, b *Offer) bool {
	return a.Slots == b.Slots && a.Light == b.Light && len(a.Labels) == len(b.Labels) && (len(a.Labels) == 0 || &a.Labels[0] == &b.Labels[0])
}

// kindOf finds the kind of an agent.
func (g *offered) kindOf(a *Offer) *kind {
	var room [64]byte
	mask := room[:0]
	for _, d := range g.demands {
		could := byte(0)
		if d.heldBy(a) {
			could = 1
		}
		mask = append(mask, could)
	}
	k := g.byMask[string(mask)]
	if k == nil {
		k = &kind{mask: string(mask)}
		g.byMask[k.mask] = k
		g.kinds = append(g.kinds, k)
	}
	return k
}

// knowAtMost is how many demands that nothing in line has any more are still
// told apart, beside two for each that something has.
const knowAtMost = 64

// know has some demands told apart. Only if one of them is new are all agents
// looked at.
func (g *offered) know(asked []*demand) {
	isNew := false
	for _, d := range asked {
		_, found := slices.BinarySearchFunc(g.demands, d, (*demand).compare)
		isNew = isNew || !found
	}
	if isNew {
		all := slices.Clone(asked)
		if len(g.demands) <= knowAtMost+2*len(asked) {
			all = append(all, g.demands...)
		}
		slices.SortFunc(all, (*demand).compare)
		g.demands = slices.CompactFunc(all, func(a, b *demand) bool { return a.compare(b) == 0 })
		g.kinds, g.byMask = nil, map[string]*kind{}
		for _, a := range g.agents {
			a.inFree, a.inAhead = 0, 0
			a.kind = g.kindOf(&a.Offer)
			g.settle(a)
		}
	}
	for _, d := range asked {
		d.at, _ = slices.BinarySearchFunc(g.demands, d, (*demand).compare)
		d.known = true
	}
}

// holds says whether the agents of a kind could hold a demand.
func (k *kind) holds(d *demand) bool { return d == nil || d.known && k.mask[d.at] == 1 }

// could says whether any agent that has something to offer could hold a demand.
func (g *offered) could(d *demand) bool {
	return slices.ContainsFunc(g.kinds, func(k *kind) bool { return len(k.free)+len(k.ahead) > 0 && k.holds(d) })
}

// freest is the agent with the most free slots of those that could hold a
// demand and are kept for nobody; nil: none has a free slot.
func (g *offered) freest(d *demand) (best *offer) {
	for _, k := range g.kinds {
		if len(k.free) > 0 && k.holds(d) && (best == nil || k.free[0].freer(best)) {
			best = k.free[0]
		}
	}
	return best
}

// readiest is the agent that is next to be granted something ahead; nil: none.
func (g *offered) readiest() (best *offer) {
	for _, k := range g.kinds {
		if len(k.ahead) > 0 && !k.closed && (best == nil || k.ahead[0].readier(best)) {
			best = k.ahead[0]
		}
	}
	return best
}

// settle puts an agent where it belongs in the heaps.
func (g *offered) settle(a *offer) {
	if a.kind == nil {
		return
	}
	place(&a.kind.free, a, a.inFree, a.Free > 0 && !a.kept)
	place(&a.kind.ahead, a, a.inAhead, a.Ahead > 0 && a.AheadMs > 0 && a.Free <= 0 && !a.kept)
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

func (a *offer) freer(b *offer) bool {
	if a.Free != b.Free {
		return a.Free > b.Free
	}
	return a.Agent < b.Agent
}

func (h freeHeap) Len() int           { return len(h) }
func (h freeHeap) Less(i, j int) bool { return h[i].freer(h[j]) }

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

func (a *offer) readier(b *offer) bool {
	if x, y := a.AheadMs*b.Slots, b.AheadMs*a.Slots; x != y {
		return x > y
	}
	return a.Agent < b.Agent
}

func (h aheadHeap) Len() int           { return len(h) }
func (h aheadHeap) Less(i, j int) bool { return h[i].readier(h[j]) }

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
