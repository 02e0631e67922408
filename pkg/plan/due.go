package plan

import (
	"backfleet/pkg/calendar"
)

// DueMs is the moment (unix milliseconds) before which an instance does not
// start (RULES R3.3, R3.5).
func (p *Plan) DueMs(at Place) int64 {
	n := &p.Nodes[at.Node]
	due := p.Cycle(at).Unix * 1000
	if due > p.AcceptedMs && p.Request.RunFutureEarly {
		due = min(due, n.Zone.Instant(calendar.Wall{Date: p.Dates[at.Pos] + 1})*1000) // the clocks may skip midnight
	}
	return max(due, p.Request.NotBeforeMs)
}

// Priority is an instance's priority: the baseline's from yesterday on, a
// lower one for older data (RULES R7.2). "Yesterday" is the node's, at the
// moment of acceptance.
func (p *Plan) Priority(at Place) int32 {
	n := &p.Nodes[at.Node]
	if p.Dates[at.Pos] >= p.yesterday(n.Zone) {
		return n.Spec.Priority
	}
	return Downgrade(n.Spec.Priority)
}

// yesterday is the day before the plan's acceptance.
func (p *Plan) yesterday(z *calendar.Zone) calendar.Date {
	return z.WallAt(p.AcceptedMs/1000).Date - 1
}

// Downgrade is the priority of data older than yesterday (RULES R7.2).
func Downgrade(baseline int32) int32 {
	switch baseline {
	case 8, 7:
		return 3
	case 5, 3:
		return 2
	default:
		return 1
	}
}

// ResourceGroup is where an instance of a node runs (RULES R7.4).
func (p *Plan) ResourceGroup(node int) string {
	if g := p.Request.ResourceGroup; g != "" {
		return g
	}
	return p.Nodes[node].Spec.ResourceGroup
}
