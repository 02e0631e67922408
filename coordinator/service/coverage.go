package service

import (
	"cmp"
	"context"
	"time"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

const (
	coverageMost = 1100 // days
	coverageDays = 366  // unless asked otherwise
	pastGlances  = 8    // that the past of a cycle costs
)

// coverage gathers what became of a node's dates.
type coverage struct {
	*reading
	node     *node.Node
	zone     *calendar.Zone
	from, to calendar.Date
	found    []v1.CoveredDate // by day; without a state: none
	whole    bool
}

// Coverage implements server.Overview. Plans are asked from the newest to the
// oldest, so what is left out is the oldest.
func (s *Service) Coverage(_ context.Context, id string, from, to *calendar.Date) (*v1.Coverage, error) {
	r := s.read()
	n, err := r.node(id)
	if err != nil {
		return nil, err
	}
	c := &coverage{reading: r, node: n, whole: true}
	if c.from, c.to, err = s.days(from, to); err != nil {
		return nil, err
	}
	c.zone = s.zoneOf(n, c.from, c.to)
	c.found = make([]v1.CoveredDate, c.to-c.from+1)
	r.st.Plans(0, c.plan)
	for k := range c.found {
		if c.found[k].Runs == 0 {
			c.past(c.from + calendar.Date(k))
		}
	}
	out := &v1.Coverage{Node: id, From: c.from.String(), To: c.to.String(), Items: []v1.CoveredDate{}, Incomplete: !c.whole}
	for _, one := range c.found {
		if one.State != "" {
			out.Items = append(out.Items, one)
		}
	}
	return out, nil
}

// days are those that were asked for, else the last year.
func (s *Service) days(from, to *calendar.Date) (first, last calendar.Date, err error) {
	if to != nil {
		last = *to
	} else if last, err = s.today(); err != nil {
		return 0, 0, err
	}
	first = last - coverageDays + 1
	if from != nil {
		first = *from
	}
	switch {
	case first > last:
		return 0, 0, fault.Field("date_from", "%s is after %s: expected the earlier date first", first, last)
	case last-first >= coverageMost:
		return 0, 0, fault.Field("date_from", "%s to %s are %d days: expected at most %d", first, last, last-first+1, coverageMost)
	}
	return first, last, nil
}

// plan adds what a plan has of the node; false: so much was looked at.
func (c *coverage) plan(p *state.Plan) bool {
	if c.whole = c.whole && c.glance(); !c.whole {
		return false
	}
	n, ok := p.NodeIndex(c.node.Spec.Id)
	if !ok {
		return true
	}
	first, last := p.Dates[0], p.Dates[len(p.Dates)-1]
	for d := max(c.from, min(first, last)); d <= min(c.to, max(first, last)); d++ {
		if c.whole = c.glance(); !c.whole {
			return false
		}
		pos, ok := p.Position(d)
		if !ok {
			continue
		}
		lo, hi := p.NodeRange(pos, n)
		if lo == hi {
			continue
		}
		one := &c.found[d-c.from]
		if one.Runs++; one.Runs == 1 {
			c.newest(p, lo, hi, one)
		}
	}
	return true
}

// newest tells of a date in the newest plan that has it: the most urgent of its
// cycles.
func (c *coverage) newest(p *state.Plan, lo, hi uint64, out *v1.CoveredDate) {
	found := lo
	for i := lo; i < hi; i++ {
		c.glance()
		if urgent[p.Status(i)] < urgent[p.Status(found)] {
			found = i
		}
	}
	at, _ := p.Locate(found)
	status := p.Status(found)
	out.Date, out.State = p.Dates[at.Pos].String(), statusWord(status)
	if c.spend() {
		out.State, _ = c.shown(p, at, found)
	}
	out.DryRun = dryRunWords[dry(p, at, status)]
	out.Kind, out.Backfill, out.Instance = kindWord(p), plan.FormatID(p.ID), plan.FormatInstance(p.ID, found)
}

// past tells of a date that no plan has any more by what its cycles last came to.
func (c *coverage) past(d calendar.Date) {
	one := &c.found[d-c.from]
	for i := range c.node.Schedule.Count(d, c.zone) {
		if c.glances -= pastGlances; c.glances <= 0 {
			c.whole = false
			return
		}
		o, _, ran := c.st.LastOutcome(c.node.Spec.Id, d, c.node.Schedule.Cycle(d, i, c.zone).Unix)
		switch {
		case !ran:
		case o != wire.Outcome_SUCCEEDED:
			one.Date, one.State = d.String(), v1.StateFailed
			return
		default:
			one.Date, one.State = d.String(), v1.StateSucceeded
		}
	}
}

func (r *reading) node(id string) (*node.Node, error) {
	n, ok := r.st.Node(id)
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no node %q", id)
	}
	return n.Node, nil
}

// zoneOf resolves the zone of a node's schedule for some dates; UTC where it cannot
// be loaded.
func (s *Service) zoneOf(n *node.Node, from, to calendar.Date) *calendar.Zone {
	name := cmp.Or(n.Spec.Schedule.GetZone(), s.Zone)
	if loc, err := s.LoadZone(name); err == nil {
		return calendar.ResolveZone(loc, from, to+1)
	}
	return calendar.UTC()
}

// nextRunsDays is how far ahead the next runs of a node are looked for: of one that
// runs on 29 February a few.
const nextRunsDays = 20 * 366

// NextRuns implements server.Overview.
func (s *Service) NextRuns(_ context.Context, id string, from *time.Time, count int) (*v1.NextRuns, error) {
	n, err := s.read().node(id)
	if err != nil {
		return nil, err
	}
	if from == nil {
		now := s.Now()
		from = &now
	}
	y, m, day := from.UTC().Date()
	first := calendar.DateOf(y, m, day) - 2 // T is on the day after D, in whatever zone
	zone := s.zoneOf(n, first, first+nextRunsDays)
	out := &v1.NextRuns{Node: id, Zone: zone.Name, Auto: n.Spec.Auto, Mode: convert.NodeMode(n.Spec), Items: []v1.NextRun{}}
	for d := first; d < first+nextRunsDays; d++ {
		if !n.Schedule.Occurs(d) {
			continue
		}
		for i := range n.Schedule.Count(d, zone) {
			at := n.Schedule.Cycle(d, i, zone).Unix
			if at*1000 < from.UnixMilli() {
				continue
			}
			t := time.Unix(at, 0).In(time.FixedZone("", int(zone.OffsetAt(at))))
			out.Items = append(out.Items, v1.NextRun{ScheduledTime: t, Date: d.String()})
			if len(out.Items) == count {
				return out, nil
			}
		}
	}
	return out, nil
}
