package schedule

import (
	"math"

	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Slots are the free slots of one agent in one resource group.
type Slots struct {
	Agent string
	Free  int
}

// Grants takes what starts now, given the free slots of each resource group,
// and nothing ahead. The agent with the most free slots gets the next instance.
func (s *Scheduler) Grants(free map[string][]Slots) []*wire.Grant {
	o := NewOffers()
	for _, group := range s.groups {
		if len(s.pools[group].levels) == 0 || len(free[group]) == 0 {
			continue
		}
		*o.Use(group) = s.st.GroupUse(group)
		for _, a := range free[group] {
			o.Set(group, Offer{Agent: a.Agent, Free: a.Free})
		}
	}
	return s.Fill(o, math.MaxInt)
}

// Fill takes what starts now, up to a number of instances. First all free slots
// are given out, the next always to the agent with the most of them. What is
// then still first in line goes ahead to agents that will have a slot for it in
// a moment: only what is short, by what its node has taken lately, and only as
// long as that is so for whoever is first. Nobody is passed over.
func (s *Scheduler) Fill(o *Offers, most int) []*wire.Grant {
	s.refill()
	g := granting{s: s, most: most, granted: map[*tracker]int{}, cycles: map[cycle]struct{}{}}
	for _, group := range s.groups {
		if of := o.groups[group]; of != nil && len(s.pools[group].levels) > 0 {
			g.group(group, of)
		}
	}
	for _, w := range g.late { // what it waits for is granted, and a fact soon
		s.elsewhere[w.key] = append(s.elsewhere[w.key], w.waiter)
	}
	return g.out
}

// granting is one call of Fill. The facts do not know yet what it has granted
// so far.
type granting struct {
	s       *Scheduler
	most    int
	granted map[*tracker]int
	cycles  map[cycle]struct{} // of nodes that several plans have
	nodes   map[string]given   // of nodes that backfill and schedule both may have
	late    []late
	room    int                           // how many more backfill instances the resource group may start
	fits    func(t *tracker, i item) bool // whether the first in line may be taken; nil: whatever it is
	unfit   bool                          // the first in line may not
	out     []*wire.Grant
}

// given is what the call has granted of a node.
type given struct {
	key  cycle
	auto bool
}

// late is an instance whose cycle was granted to another plan.
type late struct {
	key cycle
	waiter
}

// may says whether a plan can be given a slot now.
func (g *granting) may(t *tracker) bool {
	return (t.auto || g.room > 0) && g.s.below(t, g.granted[t])
}

// below says whether a plan with so many grants under way is below its
// maxRunning (RULES R4.8).
func (s *Scheduler) below(t *tracker, granted int) bool {
	p := s.planOf(t)
	limit := int(p.Request.MaxRunning)
	return limit == 0 || p.Active()+granted < limit
}

// room is how many more backfill instances a resource group may run now. What
// is held ahead takes slots as soon as there are any, so where backfills may
// not have all slots it counts as theirs. Where they may, what they hold ahead
// is bounded by their agents' slots alone.
func (s *Scheduler) room(group string, use state.GroupUse) (slots, ahead int) {
	limit := BackfillLimit(use.Slots, s.st.ResourceGroup(group))
	if limit >= use.Slots {
		return limit - use.Backfills, math.MaxInt
	}
	return limit - use.Backfills - use.Ahead, limit - use.Backfills - use.Ahead
}

func (g *granting) group(group string, of *offered) {
	slots, ahead := g.s.room(group, of.use)
	g.room, g.fits, g.unfit = slots, nil, false
	for len(of.free) > 0 && len(g.out) < g.most {
		t, instance, pace, ok := g.next(g.s.pools[group])
		if !ok {
			return
		}
		a := of.free[0]
		a.Free--
		if _, short := pace.Short(); !short {
			a.AheadMs = 0 // its slot may not be free again for long
		}
		of.settle(a)
		ahead -= g.give(t, &wire.Grant{Plan: t.id, Instance: instance, Agent: a.Agent, ResourceGroup: group})
	}
	g.room, g.unfit = ahead, false
	for len(of.ahead) > 0 && len(g.out) < g.most {
		a := of.ahead[0]
		g.fits = func(t *tracker, i item) bool {
			at, _ := g.s.planOf(t).Locate(i.instance)
			ms, short := g.s.Pace(t.p, at.Node).Short()
			return short && ms <= a.AheadMs
		}
		t, instance, pace, ok := g.next(g.s.pools[group])
		if !ok {
			return
		}
		ms, _ := pace.Short()
		a.Ahead, a.AheadMs = a.Ahead-1, a.AheadMs-ms
		of.settle(a)
		g.give(t, &wire.Grant{Plan: t.id, Instance: instance, Agent: a.Agent, ResourceGroup: group, Ahead: true})
	}
}

// give grants, and says how many backfill instances it was.
func (g *granting) give(t *tracker, to *wire.Grant) int {
	g.granted[t]++
	g.out = append(g.out, to)
	if t.auto {
		return 0
	}
	g.room--
	return 1
}

// next takes who is given the next slot: a backfill instance that has waited
// too long, once in a while, or who is first in line (RULES R7.5, R7.3).
func (g *granting) next(q *pool) (*tracker, uint64, *Pace, bool) {
	s := g.s
	if !q.patience || s.nowMs-q.patientMs >= s.set.PatienceMs {
		t, instance, pace, ok := g.take(func() (*tracker, item, bool) { return q.popLongest(s.nowMs-s.set.PatienceMs, g.may, g.fit) })
		if ok {
			q.patience, q.patientMs = true, s.nowMs
		}
		if ok || g.unfit {
			return t, instance, pace, ok
		}
	}
	return g.take(func() (*tracker, item, bool) { return q.pop(g.may, g.fit) })
}

// fit asks whether the first in line may be taken.
func (g *granting) fit(t *tracker, i item) bool {
	if g.fits == nil || g.fits(t, i) {
		return true
	}
	g.unfit = true
	return false
}

// take pops the next instance that can still start: an upstream may have been
// asked to run again since it was queued.
func (g *granting) take(pop func() (*tracker, item, bool)) (*tracker, uint64, *Pace, bool) {
	s := g.s
	for {
		t, it, ok := pop()
		if !ok {
			return nil, 0, nil, false
		}
		delete(t.queued, it.instance)
		t.ready--
		p := s.planOf(t)
		at, _ := p.Locate(it.instance)
		shared := s.shared(t, p, at.Node)
		if !(s.stands(p, at, it.instance) && !shared) && s.sees().check(p, at).Kind != Nothing {
			s.consider(t, p, it.instance)
			continue
		}
		if shared && !s.sees().alone(p, at) {
			key := cycleOf(p, it.instance)
			if _, taken := g.cycles[key]; taken {
				g.late = append(g.late, late{key, waiter{t, it.instance}})
				continue
			}
			g.cycles[key] = struct{}{}
		}
		if shared && p.Request.OnConflict != wire.Request_ALLOW {
			// What goes ahead needs no free slot, so that backfill and schedule may
			// both be ready for a node (RULES R5.6).
			id := p.Nodes[at.Node].Spec.Id
			if first, some := g.nodes[id]; some && first.auto != t.auto {
				g.late = append(g.late, late{first.key, waiter{t, it.instance}})
				continue
			}
			if g.nodes == nil {
				g.nodes = map[string]given{}
			}
			g.nodes[id] = given{cycleOf(p, it.instance), t.auto}
		}
		return t, it.instance, s.Pace(p, at.Node), true
	}
}

// stands says that an instance of a node that no other plan has can start, as
// it could when it was queued. Everything of the plan itself that could hold it
// since is an operation, which loads the plan anew. What can without one is a
// window that closes, or an instance of another plan.
func (s *Scheduler) stands(p *state.Plan, at plan.Place, instance uint64) bool {
	if p.Request.Period != nil || !p.Status(instance).Waits() || p.Blocked(instance) {
		return false
	}
	abroad := false
	p.Abroad(at, func(plan.Need) bool { abroad = true; return false })
	return !abroad
}

// shared says whether another unfinished plan has a node, or the schedule might.
func (s *Scheduler) shared(t *tracker, p *state.Plan, node int) bool {
	if s.autos > 0 {
		return true
	}
	if t.lone == nil {
		t.lone = make([]uint64, len(p.Nodes))
	}
	if t.lone[node] == s.epoch {
		return false
	}
	for _, id := range s.st.PlansOf(p.Nodes[node].Spec.Id) {
		if id != t.id && s.plans[id] != nil {
			return true
		}
	}
	t.lone[node] = s.epoch
	return false
}
