package schedule

import (
	"math"
	"slices"

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
		for _, is := range free[group] {
			offer := Offer{Agent: is.Agent, Slots: is.Free, Free: is.Free}
			if a, ok := s.st.Agent(is.Agent); ok {
				offer.Labels = a.Labels
				for _, g := range a.Groups {
					if g.Group == group {
						offer.Slots = max(is.Free, int(g.Slots))
					}
				}
			}
			o.Set(group, offer)
		}
	}
	return s.Fill(o, math.MaxInt)
}

// Fill takes what starts now, up to a number of instances. First all free slots
// are given out, the next always to the agent with the most of them; who needs
// more of them, or other labels, than any agent has is passed over, and after a
// time one is kept for it (RULES R7.7 to R7.9). What is then still first in
// line goes ahead to agents that will have a slot for it in a moment: only what
// is short, by what its node has taken lately, of one slot anywhere, and only
// as long as that is so for whoever is first.
func (s *Scheduler) Fill(o *Offers, most int) []*wire.Grant {
	s.refill()
	s.waited = nil
	g := &granting{s: s, most: most, granted: map[*tracker]int{}, cycles: map[cycle]struct{}{}}
	g.ask = asker{can: g.can, fits: g.fits}
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
	out     []*wire.Grant
	ask     asker

	// Of the resource group at hand:
	pool    *pool
	of      *offered
	demands []*demand // in line, other than for one slot anywhere
	kept    []*demand // of these: an agent is kept for them
	limit   int       // how many slots backfills may have
	room    int       // how many more they may take
	ahead   bool      // all free slots are given out
	unfit   bool      // the first in line does not fit
	nobody  bool      // nobody who can be given something has waited too long
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

// below says whether a plan with so many grants under way is below its
// maxRunning (RULES R4.8).
func (s *Scheduler) below(t *tracker, granted int) bool {
	p := s.planOf(t)
	limit := int(p.Request.MaxRunning)
	return limit == 0 || p.Active()+granted < limit
}

// room is how many more slots backfills may take of a resource group now. What
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
	g.pool, g.of, g.room = g.s.pools[group], of, slots
	if g.demands = g.pool.inLine(); len(g.demands) > 0 {
		g.limit = BackfillLimit(of.use.Slots, g.s.st.ResourceGroup(group))
		of.know(g.demands)
		g.keep()
	}
	given, all := g.fill(group)
	if all || len(g.demands) > 0 {
		g.room = ahead - given
		g.fillAhead(group)
	}
	for len(g.kept) > 0 {
		g.release(g.kept[0])
	}
}

// begin has everybody asked who was passed over.
func (g *granting) begin() {
	g.unfit, g.nobody = false, false
	g.pool.begin()
}

// fill gives out the free slots. It says how many backfills have got, and
// whether that is all there were.
func (g *granting) fill(group string) (given int, all bool) {
	g.ahead = false
	g.begin()
	for g.someFree() && len(g.out) < g.most {
		x, ok := g.next()
		switch {
		case !ok && g.releaseSpare():
			continue
		case !ok:
			return given, false
		}
		a := g.agentFor(x.rank, x.demand)
		a.Free -= x.demand.slots()
		if _, short := x.pace.Short(); !short {
			a.AheadMs = 0 // its slots may not be free again for long
		}
		g.of.settle(a)
		given += g.give(x, &wire.Grant{Plan: x.t.id, Instance: x.instance, Agent: a.Agent, ResourceGroup: group})
		if d := x.demand; d != nil {
			if d.passedMs = 0; d.kept != nil {
				g.release(d)
				g.begin()
			}
		}
	}
	return given, true
}

// someFree says whether any agent has a free slot.
func (g *granting) someFree() bool {
	return g.of.freest(nil) != nil || slices.ContainsFunc(g.kept, func(d *demand) bool { return d.kept.Free > 0 })
}

// fillAhead grants ahead what comes next.
func (g *granting) fillAhead(group string) {
	g.ahead = true
	g.begin()
	for _, k := range g.of.kinds {
		k.closed = false
	}
	for _, d := range g.demands {
		if d.always && d.kept == nil && d.waiting > 0 {
			g.close(d)
		}
	}
	for g.of.readiest() != nil && len(g.out) < g.most {
		x, ok := g.next()
		if !ok {
			return
		}
		a := g.of.readiest()
		ms, _ := x.pace.Short()
		a.Ahead, a.AheadMs = a.Ahead-1, a.AheadMs-ms
		g.of.settle(a)
		g.give(x, &wire.Grant{Plan: x.t.id, Instance: x.instance, Agent: a.Agent, ResourceGroup: group, Ahead: true})
	}
}

// give grants, and says how many slots of backfills it was.
func (g *granting) give(x taken, to *wire.Grant) int {
	g.granted[x.t]++
	g.out = append(g.out, to)
	g.s.waited = append(g.s.waited, max(0, g.s.nowMs-x.sinceMs))
	if x.t.auto {
		return 0
	}
	g.room -= x.demand.slots()
	return x.demand.slots()
}

// can says whether an instance of a plan with a rank and a demand can be given
// something, as far as it does not depend on the instance.
func (g *granting) can(t *tracker, r rank, d *demand) bool {
	switch {
	case !g.s.below(t, g.granted[t]):
		return false
	case g.ahead && d != nil:
		if t.auto || d.weight <= g.limit {
			g.passAhead(d)
		}
		return false
	case g.ahead:
		return (t.auto || g.room > 0) && g.of.readiest() != nil
	case !t.auto && !g.roomFor(r, d), g.agentFor(r, d) == nil:
		d.passed(g.s.nowMs)
		return false
	}
	return true
}

// agentFor is the agent that gets an instance: of those that have enough free
// slots for it the one with the most, if need be one that is kept for it, or
// for somebody to whom it does not give way; nil: there is none.
func (g *granting) agentFor(r rank, d *demand) *offer {
	if a := g.of.freest(d); a != nil && a.Free >= d.slots() {
		return a
	}
	var best *offer
	for _, x := range g.kept {
		if a := x.kept; a.Free >= d.slots() && !x.bars(r, d) && a.kind.holds(d) && (best == nil || a.freer(best)) {
			best = a
		}
	}
	return best
}

// roomFor says whether a backfill instance is within what backfills may have of
// the resource group, less what is kept for others: as much as is free at their
// agents, since what ends there makes room in both.
func (g *granting) roomFor(r rank, d *demand) bool {
	room := g.room
	for _, x := range g.kept {
		if !x.head.auto && x.bars(r, d) {
			room -= min(x.weight, x.kept.Free)
		}
	}
	return room >= d.slots()
}

// next takes who is given something next: a backfill instance that has waited
// too long, once in a while, or who is first in line (RULES R7.5, R7.3).
func (g *granting) next() (taken, bool) {
	s, q := g.s, g.pool
	if !g.nobody && (!q.patience || s.nowMs-q.patientMs >= s.set.PatienceMs) {
		x, ok := g.take(func() (taken, bool) { return q.popLongest(s.nowMs-s.set.PatienceMs, g.ask) })
		if ok {
			q.patience, q.patientMs = true, s.nowMs
		}
		if ok || g.unfit {
			return x, ok
		}
		g.nobody = true
	}
	return g.take(func() (taken, bool) { return q.pop(g.ask) })
}

// fits asks whether the first in line may be taken: ahead, if it is short.
func (g *granting) fits(t *tracker, i item) bool {
	if !g.ahead {
		return true
	}
	at, _ := g.s.planOf(t).Locate(i.instance)
	ms, short := g.s.Pace(t.p, at.Node).Short()
	a := g.of.readiest() // nil: all were closed since it was asked whether it can
	g.unfit = !short || a == nil || ms > a.AheadMs
	return !g.unfit
}

// take pops the next instance that can still start: an upstream may have been
// asked to run again since it was queued.
func (g *granting) take(pop func() (taken, bool)) (taken, bool) {
	s := g.s
	for {
		x, ok := pop()
		if !ok {
			return taken{}, false
		}
		t := x.t
		x.sinceMs = t.queued[x.instance]
		delete(t.queued, x.instance)
		t.ready--
		p := s.planOf(t)
		at, _ := p.Locate(x.instance)
		shared := s.shared(t, p, at.Node)
		if !(s.stands(p, at, x.instance) && !shared) && s.sees().check(p, at).Kind != Nothing {
			s.consider(t, p, x.instance)
			continue
		}
		if shared && !s.sees().alone(p, at) {
			key := cycleOf(p, x.instance)
			if _, taken := g.cycles[key]; taken {
				g.late = append(g.late, late{key, waiter{t, x.instance}})
				continue
			}
			g.cycles[key] = struct{}{}
		}
		if shared && p.Request.OnConflict != wire.Request_ALLOW {
			// What goes ahead needs no free slot, so that backfill and schedule may
			// both be ready for a node (RULES R5.6).
			id := p.Nodes[at.Node].Spec.Id
			if first, some := g.nodes[id]; some && first.auto != t.auto {
				g.late = append(g.late, late{first.key, waiter{t, x.instance}})
				continue
			}
			if g.nodes == nil {
				g.nodes = map[string]given{}
			}
			g.nodes[id] = given{cycleOf(p, x.instance), t.auto}
		}
		x.pace = s.Pace(p, at.Node)
		return x, true
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
