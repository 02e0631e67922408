package schedule

import (
	"fmt"

	"backfleet/coordinator/state"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// checkConflict applies RULES R5.6. A backfill keeps off a node that the
// schedule runs or could start. An auto instance that could start waits for the
// backfill instances of its node that run; whether these give way is decided by
// Yields.
func (l *look) checkConflict(p *state.Plan, at plan.Place) (out Block) {
	switch {
	case isDry(p, at):
		return Block{}
	case !p.Auto:
		if p.Request.OnConflict == wire.Request_ALLOW {
			return Block{}
		}
		return l.contender(p.Nodes[at.Node].Spec.Id).block
	}
	l.backfills(p.Nodes[at.Node].Spec.Id, func(q *state.Plan, lease *state.Lease) bool {
		out = Block{Kind: Conflict, Plan: q.ID, Instance: lease.Instance}
		return false
	})
	return out
}

// contender finds an auto instance of a node that runs, or could start if
// backfills let it and has a free slot in its resource group.
func (l *look) contender(nodeID string) contender {
	if c, ok := l.against[nodeID]; ok {
		return c
	}
	var out contender
	asked := false
	for _, q := range l.schedule() {
		if n, ok := q.NodeIndex(nodeID); ok && out.block.Kind == Nothing {
			asked = true
			out = l.contenderOf(q, n)
		}
	}
	if asked {
		if l.against == nil {
			l.against = map[string]contender{}
		}
		l.against[nodeID] = out
	}
	return out
}

// schedule is the plans of the schedule in which something may run or start
// now: dates that are generated ahead cost nothing.
func (l *look) schedule() []*state.Plan {
	if l.listed {
		return l.autos
	}
	l.listed = true
	l.st.AutoPlans(func(q *state.Plan) {
		const zones = dayMs // T is on the day after D, in some zone
		begun := l.nowMs > int64(q.Dates[0]+1)*dayMs-zones
		q.EachForced(func(uint64) { begun = true })
		if begun || q.Active() > 0 {
			l.autos = append(l.autos, q)
		}
	})
	return l.autos
}

func (l *look) contenderOf(q *state.Plan, n int) (out contender) {
	c := q.NodeCounts(n)
	waits := c[state.Pending]+c[state.Retrying]+c[state.Again] > 0
	at := spotOf(q, n)
	waits = waits && l.hasRoom(at)
	if c[state.Running] == 0 && !waits {
		return contender{}
	}
	forced := false
	q.EachForced(func(uint64) { forced = true })
	for pos := range q.Dates {
		from, to := q.NodeRange(pos, n)
		for i := from; i < to; i++ {
			status := q.Status(i)
			if status == state.Running {
				return contender{block: Block{Kind: Conflict, Plan: q.ID, Instance: i}}
			}
			if !waits || !status.Waits() || out.spot != nil {
				continue
			}
			place := plan.Place{Pos: pos, Node: n, Cycle: int(i - from)}
			switch b := l.checkApart(q, place, i, status); {
			case b.Kind == Nothing && !isDry(q, place):
				out = contender{block: Block{Kind: Conflict, Plan: q.ID, Instance: i}, spot: &spot{at.group, at.spec}}
			case b.Kind == Due && c[state.Running] == 0 && !forced:
				return out // so are the cycles behind it
			}
		}
	}
	return out
}

// spot is where a node's instances get their slots.
type spot struct {
	group string
	spec  *wire.Node
}

func spotOf(p *state.Plan, n int) spot { return spot{p.ResourceGroup(n), p.Nodes[n].Spec} }

// name is the same for all that ask the same of the same resource group.
func (s spot) name() string {
	if Plain(s.spec) {
		return s.group
	}
	return fmt.Sprintf("%s\x00%d\x00%s", s.group, node.Weight(s.spec), node.LabelText(node.Requires(s.spec)))
}

// hasRoom says whether an instance would get its slots now: of one that asks
// for nothing else, whether the resource group has a free one.
func (l *look) hasRoom(at spot) bool {
	name := at.name()
	room, known := l.room[name]
	if !known {
		if Plain(at.spec) {
			use := l.st.GroupUse(at.group)
			room = use.Used < use.Slots
		} else {
			room = FitOf(l.st, at.group, at.spec).Now()
		}
		if l.room == nil {
			l.room = map[string]bool{}
		}
		l.room[name] = room
	}
	return room
}

// frees says whether the end of a lease would give an instance its slots.
func (l *look) frees(lease *state.Lease, at spot) bool {
	if lease.Group != at.group || Plain(at.spec) {
		return lease.Group == at.group
	}
	a, ok := l.st.Agent(lease.Agent)
	if !ok || a.State != wire.Agent_READY || lease.Ahead || !node.Labelled(a.Labels, node.Requires(at.spec)) {
		return false
	}
	for i, g := range a.Groups {
		if g.Group == at.group { // it may have fewer slots than it uses
			return int(g.Slots)-int(a.Used[i])+int(lease.Weight) >= int(node.Weight(at.spec))
		}
	}
	return false
}

// backfills calls f for every attempt of a node in a backfill that does not
// run beside the schedule, until f returns false.
func (l *look) backfills(nodeID string, f func(q *state.Plan, lease *state.Lease) bool) {
	more := true
	for _, id := range l.st.PlansOf(nodeID) {
		q, ok := l.st.Plan(id)
		if !ok || q.Active() == 0 || q.Request.OnConflict == wire.Request_ALLOW {
			continue
		}
		n, ok := q.NodeIndex(nodeID)
		if c := q.NodeCounts(n); !ok || c[state.Running] == 0 {
			continue
		}
		l.st.LeasesOf(id, func(lease *state.Lease) {
			if at, ok := q.Locate(lease.Instance); ok && more && at.Node == n {
				more = f(q, lease)
			}
		})
		if !more {
			return
		}
	}
}

// contest is who waits for a node that backfill and schedule both want.
type contest struct {
	autos, backfills []waiter
}

// contend lists an instance under its node. It is looked at again when an
// instance of the node changes, or when the resource group in which the auto
// instance could get a slot fills up or has room again.
func (s *Scheduler) contend(t *tracker, p *state.Plan, at plan.Place, instance uint64) {
	id := p.Nodes[at.Node].Spec.Id
	c := s.contests[id]
	if c == nil {
		c = &contest{}
		s.contests[id] = c
	}
	if t.auto {
		c.autos = append(c.autos, waiter{t, instance})
		s.yielding[id] = struct{}{}
		s.hinge(spotOf(p, at.Node), id)
		return
	}
	c.backfills = append(c.backfills, waiter{t, instance})
	t.parked++
	if by := s.sees().contender(id); by.spot != nil {
		s.hinge(*by.spot, id)
	}
}

// hinge notes that a contest turns on whether there is room at a spot.
func (s *Scheduler) hinge(at spot, nodeID string) {
	name := at.name()
	h := s.hinges[name]
	if h == nil {
		h = &hinge{at: at, free: s.sees().hasRoom(at), nodes: map[string]struct{}{}}
		s.hinges[name] = h
	}
	h.nodes[nodeID] = struct{}{}
}

type hinge struct {
	at    spot
	free  bool // when last looked at
	nodes map[string]struct{}
}

// turnHinges looks again at the contests of spots that have filled up or have
// room again. Where an instance asks for more than one slot anywhere, whose end
// would make room for it may have changed as well.
func (s *Scheduler) turnHinges() {
	for _, name := range sortedKeys(s.hinges) {
		h := s.hinges[name]
		if Plain(h.at.spec) && h.free == s.sees().hasRoom(h.at) {
			continue
		}
		delete(s.hinges, name)
		for _, id := range sortedKeys(h.nodes) {
			s.contested(id)
		}
	}
}

// contested looks again at those who wait for a node. As long as an auto
// instance keeps backfills off it, these need not be asked one by one.
func (s *Scheduler) contested(nodeID string) {
	c := s.contests[nodeID]
	if c == nil {
		return
	}
	waiting := c.autos
	c.autos = nil
	if by := s.sees().contender(nodeID); by.block.Kind == Nothing {
		for _, w := range c.backfills {
			w.t.parked--
		}
		waiting = append(waiting, c.backfills...)
		c.backfills = nil
	} else if by.spot != nil {
		s.hinge(*by.spot, nodeID)
	}
	if len(c.backfills) == 0 {
		delete(s.contests, nodeID)
	}
	s.considerAll(waiting)
}

// Yields takes the attempts of backfills that stop now so that an auto instance
// of their node can start (RULES R5.6): those of plans that yield and have not
// done so too often, where the auto instance gets a slot by it.
func (s *Scheduler) Yields() []*wire.Yield {
	var out []*wire.Yield
	for _, id := range sortedKeys(s.yielding) {
		if c := s.contests[id]; c != nil {
			out = s.yieldTo(out, id, c)
		}
	}
	clear(s.yielding)
	return out
}

func (s *Scheduler) yieldTo(out []*wire.Yield, nodeID string, c *contest) []*wire.Yield {
	given := map[[2]uint64]bool{} // one auto instance is enough
	for _, w := range c.autos {
		t, p, ok := s.tracked(w.t.id)
		if !ok || t != w.t {
			continue
		}
		at, _ := p.Locate(w.instance)
		if s.sees().check(p, at).Kind != Conflict {
			continue
		}
		to := spotOf(p, at.Node)
		free := s.sees().hasRoom(to)
		s.sees().backfills(nodeID, func(q *state.Plan, l *state.Lease) bool {
			if q.Request.OnConflict == wire.Request_YIELD && q.Yields(l.Instance) < s.set.Yields &&
				!l.Ending() && (free || s.sees().frees(l, to)) && !given[[2]uint64{l.Plan, l.Instance}] {
				given[[2]uint64{l.Plan, l.Instance}] = true
				out = append(out, &wire.Yield{Plan: l.Plan, Instance: l.Instance, Fence: l.Fence, ToPlan: p.ID, ToInstance: w.instance})
			}
			return true
		})
	}
	return out
}
