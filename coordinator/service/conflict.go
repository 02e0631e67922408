package service

import (
	"fmt"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// conflictReason tells one side of a conflict between a backfill and the
// schedule (RULES R5.6): what runs or goes first, and how often the backfill
// has made way.
func (s *Service) conflictReason(r *reading, p *state.Plan, at plan.Place, b schedule.Block) *v1.Reason {
	q, ok := r.st.Plan(b.Plan)
	if !ok {
		return r.waitsFor(p, v1.ReasonCodeConflict, "the node", b)
	}
	out := &v1.Reason{Code: v1.ReasonCodeConflict, Instance: plan.FormatInstance(b.Plan, b.Instance), Backfill: plan.FormatID(b.Plan)}
	node := p.Nodes[at.Node].Spec.Id
	if p.Auto {
		out.Text = fmt.Sprintf("%s runs node %s: %s; %s", planText(q), node, describe(q, b.Instance), s.way(r, out, q, b.Instance))
		return out
	}
	goes := "is ready and goes first"
	if q.Status(b.Instance) == state.Running {
		goes = "runs"
	}
	out.Text = fmt.Sprintf("the schedule has node %s: %s %s", node, describe(q, b.Instance), goes)
	if yields := p.Yields(p.Instance(at)); yields > 0 {
		out.Used, out.Limit = yields, s.Settings.Yields
		out.Text += fmt.Sprintf("; this one has made way %d of %d times", yields, s.Settings.Yields)
	}
	return out
}

// way says whether a running attempt of a backfill makes way for the schedule.
func (s *Service) way(r *reading, out *v1.Reason, q *state.Plan, i uint64) string {
	yields, limit := q.Yields(i), s.Settings.Yields
	l, running := r.st.Lease(q.ID, i)
	switch {
	case running && l.Yielding:
		out.Used, out.Limit = yields+1, limit
		return fmt.Sprintf("it is being stopped to make way, for the %s of %d times", ordinal(yields+1), limit)
	case running && (l.Stopping || l.Draining):
		return "it is being stopped"
	case q.Request.OnConflict == wire.Request_WAIT:
		return "onConflict is wait, so that it ends first"
	case yields >= limit:
		out.Used, out.Limit = yields, limit
		return fmt.Sprintf("it has made way %d of %d times and ends first now", yields, limit)
	default:
		out.Used, out.Limit = yields, limit
		return fmt.Sprintf("it makes way as soon as that gives a slot, %d of %d times so far", yields, limit)
	}
}

// waiting is the auto instance that waits for a running attempt of a backfill;
// nil when none does. The conflict is shown on both (RULES R5.6).
func (s *Service) waiting(r *reading, p *state.Plan, at plan.Place) (out *v1.Reason) {
	i := p.Instance(at)
	if p.Auto || p.Status(i) != state.Running || p.Request.OnConflict == wire.Request_ALLOW {
		return nil
	}
	node := p.Nodes[at.Node].Spec.Id
	r.st.AutoPlans(func(q *state.Plan) {
		n, ok := q.NodeIndex(node)
		if !ok || out != nil {
			return
		}
		for pos := range q.Dates {
			from, to := q.NodeRange(pos, n)
			for k := from; k < to && out == nil; k++ {
				if !q.Status(k).Waits() || !r.spend() {
					continue
				}
				place, _ := q.Locate(k)
				if b := schedule.Check(r.st, q, place, r.nowMs); b.Kind == schedule.Conflict && b.Plan == p.ID && b.Instance == i {
					out = &v1.Reason{Code: v1.ReasonCodeConflict, Instance: plan.FormatInstance(q.ID, k), Backfill: plan.FormatID(q.ID)}
					out.Text = fmt.Sprintf("the schedule's %s waits for this one: %s", describe(q, k), s.way(r, out, p, i))
				}
			}
		}
	})
	return out
}
