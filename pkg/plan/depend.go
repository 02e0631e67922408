package plan

import (
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// Upstreams calls yield with the half-open range of instance numbers that an
// instance waits for in each upstream and date of the plan, and with the
// upstream's index, until yield returns false (RULES R5.2, R5.3): the same date
// and windows, then previous cycles of other nodes, then that of its own node
// where it precedes in the same group (RULES R5.4, R5.5), whose index is the
// instance's own. What counts outside the plan is Abroad's.
func (p *Plan) Upstreams(at Place, yield func(up int, from, to uint64) bool) {
	n := &p.Nodes[at.Node]
	for _, e := range n.Up {
		if !p.upstream(at, e, func(from, to uint64) bool { return yield(e.Node, from, to) }) {
			return
		}
	}
	for i := range n.prior {
		if s := &n.prior[i].source; s.node >= 0 &&
			!p.previous(at, s, func(from, to uint64) bool { return yield(s.node, from, to) }, nil) {
			return
		}
	}
	if pre := p.Predecessor(at); pre.InPlan {
		yield(at.Node, pre.Instance, pre.Instance+1)
	}
}

func (p *Plan) upstream(at Place, e Edge, yield func(from, to uint64) bool) bool {
	if e.Window == nil {
		return p.sameDate(at, e.Node, yield)
	}
	d := p.Dates[at.Pos]
	from, to := window(e.Window, d)
	for day := from; day <= to; day++ {
		pos, ok := p.Position(day)
		if !ok {
			continue // outside the plan: not waited for
		}
		if day == d {
			if !p.sameDate(at, e.Node, yield) {
				return false
			}
			continue
		}
		first, end := p.NodeRange(pos, e.Node)
		if p.Nodes[e.Node].Spec.DependsOnSelf && end > first {
			first = end - 1 // its last cycle of that date stands for all of them
		}
		if first < end && !yield(first, end) {
			return false
		}
	}
	return true
}

// window is the closed range of dates of which an upstream is needed on a date
// (RULES R5.3).
func window(u *wire.Upstream, d calendar.Date) (from, to calendar.Date) {
	from, to = d+calendar.Date(u.From), d+calendar.Date(u.To)
	if u.FromMonthStart {
		from = d.MonthStart()
	}
	return from, to
}

// sameDate applies RULES R5.2.
func (p *Plan) sameDate(at Place, up int, yield func(from, to uint64) bool) bool {
	u, n := &p.Nodes[up], &p.Nodes[at.Node]
	first, end := p.NodeRange(at.Pos, up)
	if first == end {
		return true
	}
	daily := !n.Schedule.SubDaily()
	if !u.Schedule.SubDaily() || (daily && !u.Spec.DependsOnSelf) {
		return yield(first, end)
	}
	d, t := p.Dates[at.Pos], p.Cycle(at).Unix
	if daily {
		// Its cycles run one after another, so the latest at or before T that
		// the plan has stands for those before it.
		if c := u.Cycles.IndexAtOrBefore(d, t, u.Zone); c >= 0 {
			first += uint64(c)
			end = first + 1
		}
		return yield(first, end)
	}
	// The latest cycle at or before T, by the upstream's whole schedule: one
	// that the plan's time of day leaves out is outside the plan.
	i := u.Schedule.IndexAtOrBefore(d, t, u.Zone)
	if i < 0 {
		return true
	}
	c := u.Cycles.IndexAt(d, u.Schedule.Cycle(d, i, u.Zone).Unix, u.Zone)
	if c < 0 {
		return true
	}
	return yield(first+uint64(c), first+uint64(c)+1)
}

// Predecessor is the cycle just before an instance of a node that depends on
// itself (RULES R5.5).
type Predecessor struct {
	Exists   bool
	InPlan   bool   // Instance is the plan's own, and precedes in the same group
	Instance uint64 // when InPlan
	Date     calendar.Date
	Unix     int64 // T
}

// Predecessor applies RULES R5.4 and R5.5 to an instance; the zero value when
// its node does not depend on itself or nothing comes before it.
func (p *Plan) Predecessor(at Place) Predecessor {
	n := &p.Nodes[at.Node]
	if !n.Spec.DependsOnSelf {
		return Predecessor{}
	}
	d := p.Dates[at.Pos]
	i := n.Schedule.IndexAt(d, p.Cycle(at).Unix, n.Zone) - 1
	if i < 0 {
		d--
		if i = n.Schedule.Count(d, n.Zone) - 1; i < 0 {
			return Predecessor{}
		}
	}
	out := Predecessor{Exists: true, Date: d, Unix: n.Schedule.Cycle(d, i, n.Zone).Unix}
	pos, ok := p.Position(d)
	if !ok || pos > at.Pos || p.Group(pos) != p.Group(at.Pos) {
		return out
	}
	out.Instance, out.InPlan = p.find(pos, at.Node, out.Unix)
	return out
}

// Gate is the date behind which an instance has to wait, because it comes before
// its own in their group, as the range of the instances that must all have
// succeeded (RULES R4.3); empty when nothing holds it. before is that date's
// position: the last one that has instances at all (gate node: of the same
// node), so that a date whose only cycles the clocks skip does not let those
// around it overlap. Under gate day the range is the first of Ranges(before),
// all of which count.
func (p *Plan) Gate(at Place) (from, to uint64, before int) {
	first := p.Groups[p.Group(at.Pos)].From
	for before = at.Pos - 1; before >= first; before-- {
		switch p.Request.Gate {
		case wire.Request_DAY:
			from, to = p.firstRange(before)
		case wire.Request_NODE:
			from, to = p.NodeRange(before, at.Node)
		default:
			return 0, 0, before
		}
		if from < to {
			return from, to, before
		}
	}
	return 0, 0, before
}
