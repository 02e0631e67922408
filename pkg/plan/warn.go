package plan

import (
	"fmt"
	"sort"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// Warnings are what a submitter should know although it is no error.
func (p *Plan) Warnings() []string {
	var out []string
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Spec.DependsOnSelf && p.Request.Order == wire.Request_DESCENDING {
			out = append(out, fmt.Sprintf("node %s depends on itself: in descending order a date does not wait for the one before it in this backfill, only for what ran outside it (RULES R5.5)", n.Spec.Id))
		}
	}
	future := 0
	for _, d := range p.Dates {
		if d >= p.Generated {
			future++
		}
	}
	if future > 0 && !p.Request.RunFutureEarly {
		out = append(out, fmt.Sprintf("%d of %d dates lie in the future: their instances wait for their scheduled time", future, len(p.Dates)))
	}
	if g := p.Request.Groups; int(g) > len(p.Dates) {
		out = append(out, fmt.Sprintf("%d groups for %d dates: one group for each date", g, len(p.Dates)))
	}
	if w := p.crossing(); w != "" {
		out = append(out, w)
	}
	return out
}

// crossing warns of groups that windows of dates chain together: a group that
// cannot pass its first date before the one before it is almost done.
func (p *Plan) crossing() string {
	if p.Request.Order != wire.Request_ASCENDING || p.Request.Gate != wire.Request_DAY {
		return ""
	}
	for _, g := range p.Groups[1:] {
		for i := range p.Nodes {
			for _, e := range p.Nodes[i].Up {
				if e.Window == nil {
					continue
				}
				d := p.Dates[g.From]
				from, _ := window(e.Window, d)
				pos := sort.Search(g.From, func(i int) bool { return p.Dates[i] >= from })
				if pos < g.From {
					return fmt.Sprintf("node %s on %s waits for %s on %s, in the group before: such windows make the groups run one after another (gate node lets the nodes early in the graph run ahead)",
						p.Nodes[i].Spec.Id, d, p.Nodes[e.Node].Spec.Id, p.Dates[pos])
				}
			}
		}
	}
	return ""
}

// DefaultName is the first part of a backfill's default name; the number of
// that day is appended in the log (RULES R11).
func DefaultName(req *wire.Request, today calendar.Date) string {
	return req.Root + "_" + today.Compact() + "_"
}
