package state

import (
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Holds says whether an unfinished instance keeps later plans from its cycle
// (RULES R5.8): not when it can never start any more unless somebody acts on
// its stopped plan. A frozen auto instance holds no backfill: that a node is
// paused in the schedule is a reason to run it by hand.
func (p *Plan) Holds(instance uint64) bool {
	switch s := p.Status(instance); {
	case p.dryRun(instance):
		return false // RULES R6
	case s == Running:
		return true
	case s.Frozen():
		return !p.Auto
	default:
		return s.Waits() && (!p.Stopped || p.Named(instance))
	}
}

func (p *Plan) dryRun(instance uint64) bool {
	at, _ := p.Locate(instance)
	return p.Dry(at) != wire.DryRun_DRY_RUN_NONE
}

// Overlaps names the plans that have unfinished instances of the same nodes
// and cycles: one warning for each.
func (s *State) Overlaps(p *plan.Plan) []plan.Warning {
	var out []plan.Warning
	s.Plans(0, func(q *Plan) bool {
		c := q.Total()
		if q.ID != p.ID && meet(p.Dates, q.Dates) && q.Unfinished() && (!q.Stopped || q.Active() > 0 || q.named.Len() > 0 || c.Frozen() > 0) {
			if w, found := overlap(p, q); found {
				out = append(out, w)
			}
		}
		return true
	})
	return out
}

// meet says whether two plans' dates lie in ranges that meet. Each list is in
// one direction.
func meet(a, b []calendar.Date) bool {
	x, y := a[len(a)-1], b[len(b)-1]
	return min(a[0], x) <= max(b[0], y) && min(b[0], y) <= max(a[0], x)
}

func overlap(p *plan.Plan, q *Plan) (plan.Warning, bool) {
	var shared []int
	for pos, d := range q.Dates {
		if _, ok := p.Position(d); !ok || q.DateSucceeded(pos) {
			continue
		}
		// Looked for only now: most plans have no open date in common.
		if shared == nil {
			if shared = sharedNodes(p, q); len(shared) == 0 {
				return plan.Warning{}, false
			}
		}
		for _, n := range shared {
			id := q.Nodes[n].Spec.Id
			if i, ok := q.sameCycle(p, id, d, pos, n); ok {
				return plan.Warn("overlap", "{backfill} ({name}) has not finished {instance} of node {node} on {date}: the later backfill waits for it, cycle by cycle",
					"backfill", plan.FormatID(q.ID), "name", q.Name, "instance", plan.FormatInstance(q.ID, i), "node", id, "date", d), true
			}
		}
	}
	return plan.Warning{}, false
}

// sharedNodes lists the nodes of q that p really runs as well. Dry runs play
// no part (RULES R6).
func sharedNodes(p *plan.Plan, q *Plan) []int {
	var out []int
	for n := range q.Nodes {
		mine, ok := p.NodeIndex(q.Nodes[n].Spec.Id)
		if ok && p.Nodes[mine].DryRun == wire.DryRun_DRY_RUN_NONE && q.Nodes[n].DryRun == wire.DryRun_DRY_RUN_NONE {
			out = append(out, n)
		}
	}
	return out
}

// sameCycle finds an instance of a node and date that holds the same cycle in
// p.
func (p *Plan) sameCycle(other *plan.Plan, id string, d calendar.Date, pos, n int) (uint64, bool) {
	from, to := p.NodeRange(pos, n)
	for i := from; i < to; i++ {
		if !p.Holds(i) {
			continue
		}
		t := p.Cycle(plan.Place{Pos: pos, Node: n, Cycle: int(i - from)}).Unix
		if theirs, ok := other.Find(id, d, t); ok {
			if at, _ := other.Locate(theirs); other.Dry(at) == wire.DryRun_DRY_RUN_NONE {
				return i, true
			}
		}
	}
	return 0, false
}
