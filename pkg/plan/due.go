package plan

import (
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// DueMs is the moment (unix milliseconds) before which an instance does not
// start (RULES R3.3, R3.5).
func (p *Plan) DueMs(at Place) int64 {
	n := &p.Nodes[at.Node]
	due := p.Cycle(at).Unix * 1000
	if p.Request.RunFutureEarly && due > p.block(at.Pos, at.Node).acceptedMs {
		due = min(due, n.Zone.Instant(calendar.Wall{Date: p.Dates[at.Pos] + 1})*1000) // the clocks may skip midnight
	}
	return max(due, p.Request.NotBeforeMs)
}

// Priority is an instance's priority: that of the whole plan if an operator
// gave it one, the baseline's for the schedule and from yesterday on, a lower
// one for older data (RULES R7.1, R7.2, R7.6). "Yesterday" is the node's, at
// the moment at which the instance was accepted.
func (p *Plan) Priority(at Place) int32 {
	n := &p.Nodes[at.Node]
	switch {
	case p.Auto:
		return n.Spec.Priority
	case p.Request.Priority > 0:
		return p.Request.Priority
	case p.Dates[at.Pos] >= p.block(at.Pos, at.Node).yesterday(n.Zone):
		return n.Spec.Priority
	default:
		return Downgrade(n.Spec.Priority)
	}
}

// yesterday is the day before the block's acceptance.
func (b *block) yesterday(z *calendar.Zone) calendar.Date {
	return z.WallAt(b.acceptedMs/1000).Date - 1
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

// WindowOpens is the first moment (unix milliseconds) at or after nowMs that
// lies inside the plan's execution period; nowMs itself when the period is open
// or there is none (RULES R3.4).
func (p *Plan) WindowOpens(nowMs int64) int64 {
	w := p.Request.Period
	if w == nil {
		return nowMs
	}
	today := p.periodZone.WallAt(floor(nowMs, 1000)).Date
	// Yesterday's may still be open; a year bounds the search for a window that
	// clock changes do not swallow.
	for d := today - 1; d < today+366; d++ {
		if w.Cycle == wire.Period_WEEKEND && d.Weekday() != time.Saturday && d.Weekday() != time.Sunday {
			continue
		}
		if from, to := p.window(w, d); nowMs < to && from < to {
			return max(nowMs, from)
		}
	}
	return nowMs
}

// window is the half-open time for which the period that starts on a day is
// open.
func (p *Plan) window(w *wire.Period, d calendar.Date) (fromMs, toMs int64) {
	last, end := d, calendar.Clock(w.End)
	if w.End < w.Start || w.End == midnight {
		last, end = d+1, calendar.Clock(w.End%midnight)
	}
	at := func(d calendar.Date, c calendar.Clock) int64 {
		return p.periodZone.Instant(calendar.Wall{Date: d, Clock: c}) * 1000
	}
	return at(d, calendar.Clock(w.Start)), at(last, end)
}

// midnight is the end of a day in seconds.
const midnight = 24 * 3600

// floor divides rounding down.
func floor(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}
