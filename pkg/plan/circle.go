package plan

import (
	"sort"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// checkCircle refuses a plan that could never finish (RULES R5.7). Nodes are
// acyclic and windows reach back only, so order, gate and dependencies can
// wait for each other in one way alone: descending, under gate day, a window
// reaches into a later position of the same group.
func (p *Plan) checkCircle() error {
	if p.Request.Order != wire.Request_DESCENDING || p.Request.Gate != wire.Request_DAY {
		return nil
	}
	for i := range p.Nodes {
		for _, e := range p.Nodes[i].Up {
			if e.Window == nil {
				continue
			}
			if a, b, ok := p.reaches(i, e); ok {
				n, u := p.Nodes[i].Spec.Id, p.Nodes[e.Node].Spec.Id
				return fault.Field("order", "the backfill could never finish: %s on %s waits for %s on %s (its window of dates), "+
					"which comes after it in the group and waits for all of %s (gate day): use ascending order, gate node, or more groups",
					n, a, u, b, a)
			}
		}
	}
	return nil
}

// reaches finds two dates of one group, both with instances, of which the
// first waits for the second through a window of node n.
func (p *Plan) reaches(n int, e Edge) (a, b calendar.Date, found bool) {
	for _, g := range p.Groups {
		for pos := g.From; pos < g.To; pos++ {
			d := p.Dates[pos]
			if p.empty(pos, n) {
				continue
			}
			// In descending order the window's dates before d are one run of
			// positions after pos.
			from, to := window(e.Window, d)
			q := pos + 1 + sort.Search(g.To-pos-1, func(i int) bool { return p.Dates[pos+1+i] <= to })
			for ; q < g.To && p.Dates[q] >= from; q++ {
				if !p.empty(q, e.Node) {
					return d, p.Dates[q], true
				}
			}
		}
	}
	return 0, 0, false
}

// empty says that a node has no instance on a position.
func (p *Plan) empty(pos, n int) bool {
	from, to := p.NodeRange(pos, n)
	return from == to
}
