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
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if p.descending() {
		if who := p.which(func(n int) bool { return p.Nodes[n].Spec.DependsOnSelf }); who != "" {
			say("%s depends on itself: in descending order a date does not wait for the one before it in this backfill, only for what ran outside it (RULES R5.5)", who)
		}
		if who := p.which(p.needsPlanned); who != "" {
			say("%s needs the previous cycle of another node: in descending order its dates still wait for the earlier ones (RULES R5.3)", who)
		}
	}
	future := 0
	for _, d := range p.Dates {
		if d >= p.Generated {
			future++
		}
	}
	if future > 0 && !p.Request.RunFutureEarly && !p.Auto {
		say("%d of %d dates lie in the future: their instances wait for their scheduled time", future, len(p.Dates))
	}
	if g := p.Request.Groups; int(g) > len(p.Dates) {
		say("%d groups for %d dates: one group for each date", g, len(p.Dates))
	}
	if w := p.crossing(); w != "" {
		out = append(out, w)
	}
	virtual := func(n int) bool { return p.DryNode(n) == wire.DryRun_VIRTUAL }
	runs := func(n int) bool { return p.DryNode(n) == wire.DryRun_DRY_RUN_NONE }
	if who := p.which(virtual); who != "" && p.which(runs) == "" {
		say("nothing of it runs: %s is virtual and there for the order alone; choose what comes after it as well (RULES R6)", who)
	}
	if who := p.which(p.neverOccurs); who != "" {
		say("%s is not scheduled on any of the dates, so that all its instances are dry runs: D is the day before the scheduled one (RULES R1.3)", who)
	}
	if who := p.which(p.FrozenNode); who != "" && !p.Auto {
		say("%s is paused and stays so: its instances are frozen and hold what comes after them (RULES R6)", who)
	}
	if who := p.which(func(n int) bool { return p.Nodes[n].DryRun == wire.DryRun_NOT_PERMITTED }); who != "" {
		say("%s may not be run by who asks, so that its instances are dry runs (RULES R2.9)", who)
	}
	if p.Auto {
		if c := p.circleOfDate(); c != nil {
			say("these instances can never start: %s: take a previous-cycle dependency out of one of their nodes (RULES R5.7)", c)
		}
	}
	return out
}

// which names the nodes of which something is true; empty when there are none.
func (p *Plan) which(is func(n int) bool) string {
	first, n := 0, 0
	for i := range p.Nodes {
		if is(i) {
			if n == 0 {
				first = i
			}
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return "node " + p.Nodes[first].Spec.Id
	default:
		return fmt.Sprintf("node %s (and %d more)", p.Nodes[first].Spec.Id, n-1)
	}
}

// needsPlanned says whether a node needs previous cycles of a node of the plan.
func (p *Plan) needsPlanned(n int) bool {
	for i := range p.Nodes[n].prior {
		if p.Nodes[n].prior[i].node >= 0 {
			return true
		}
	}
	return false
}

// neverOccurs says whether no date is a day of a node's schedule.
func (p *Plan) neverOccurs(n int) bool {
	s := p.Nodes[n].Schedule
	if everyDay(s) || p.DryNode(n) != wire.DryRun_DRY_RUN_NONE || p.Auto {
		return false
	}
	for _, d := range p.Dates {
		if s.Occurs(d) {
			return false
		}
	}
	return true
}

// crossing warns of groups that windows of dates or previous cycles chain
// together: a group that cannot pass its first date before the one before it is
// almost done.
func (p *Plan) crossing() string {
	if p.descending() || p.Request.Gate != wire.Request_DAY {
		return ""
	}
	for _, g := range p.Groups[1:] {
		d := p.Dates[g.From]
		for i := range p.Nodes {
			up, pos := p.reachesInto(i, d, g.From)
			if up >= 0 {
				return fmt.Sprintf("node %s on %s waits for %s on %s, in the group before: such dependencies make the groups run one after another (gate node lets the nodes early in the graph run ahead)",
					p.Nodes[i].Spec.Id, d, p.Nodes[up].Spec.Id, p.Dates[pos])
			}
		}
	}
	return ""
}

// reachesInto finds a node and a position before another that a node waits for
// on a date; -1 when there is none.
func (p *Plan) reachesInto(n int, d calendar.Date, before int) (up, pos int) {
	for _, e := range p.Nodes[n].Up {
		if e.Window == nil {
			continue
		}
		from, to := window(e.Window, d)
		if pos = sort.Search(before, func(i int) bool { return p.Dates[i] >= from }); pos < before && p.Dates[pos] <= to {
			return e.Node, pos
		}
	}
	if pos, ok := p.Position(d - 1); ok && p.needsPlanned(n) {
		for i := range p.Nodes[n].prior {
			if up := p.Nodes[n].prior[i].node; up >= 0 {
				return up, pos
			}
		}
	}
	return -1, 0
}

// DefaultName is the first part of a backfill's default name, for the nodes that
// it has; the number of that day is appended in the log (RULES R11).
func (p *Plan) DefaultName() string {
	base := p.Request.Root
	switch p.Request.Mode {
	case wire.Request_CHAIN:
		base += ".." + p.Request.End
	case wire.Request_ADVANCED:
		first, chosen := "", 0
		for i := range p.Nodes {
			if n := &p.Nodes[i]; n.DryRun == wire.DryRun_DRY_RUN_NONE || n.DryRun == wire.DryRun_REQUESTED {
				if chosen++; first == "" || n.Spec.Id < first {
					first = n.Spec.Id
				}
			}
		}
		base = first
		if chosen > 1 {
			base += fmt.Sprintf("+%d", chosen-1)
		}
	}
	return base + "_" + p.Generated.Compact() + "_"
}
