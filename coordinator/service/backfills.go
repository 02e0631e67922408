package service

import (
	"context"
	"fmt"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// So many instances are looked at for one line of a list of plans: what the
// request has left, shared out among the lines to come, within these bounds. So
// one large plan does not blur the others.
const (
	lineLooksMost  = 2000
	lineLooksLeast = 100
)

// Backfills implements server.Reads. A page may be short and have a Next: so
// much was looked at, and there may be more.
func (s *Service) Backfills(_ context.Context, f server.PlanQuery, page server.Page) ([]v1.BackfillSummary, server.Next, error) {
	r := s.read()
	list, next, err := r.summaries("backfill", page, f)
	for i := range list {
		id, _ := plan.ParseID(list[i].ID)
		if p, ok := r.st.Plan(id); ok {
			list[i].SecondsLeft = s.secondsLeft(p, list[i].Quiet)
		}
	}
	return list, next, err
}

// secondsLeft is how long a plan still takes at the rate of now; nil when that
// cannot be told.
func (s *Service) secondsLeft(p *state.Plan, quiet bool) *float64 {
	rate := s.rates.perSecond(p.ID, s.Now())
	if rate == 0 || quiet || p.Paused || p.Stopped || p.Halted {
		return nil
	}
	c := p.Total()
	seconds := float64(c[state.Pending]+c[state.Retrying]+c[state.Again]+c[state.Running]) / rate
	return &seconds
}

// Schedule implements server.Reads.
func (s *Service) Schedule(_ context.Context, f server.PlanQuery, page server.Page) (*v1.SchedulePage, error) {
	r := s.read()
	f.Kind = v1.PlanFilterAuto
	list, next, err := r.summaries("schedule", page, f)
	if err != nil {
		return nil, err
	}
	out := &v1.SchedulePage{Items: []v1.ScheduleDay{}, Next: next}
	if d, ok := r.st.GeneratedThrough(); ok {
		out.GeneratedThrough = d.String()
	}
	for _, one := range list {
		id, _ := plan.ParseID(one.ID)
		p, _ := r.st.Plan(id)
		out.Items = append(out.Items, v1.ScheduleDay{Date: p.Dates[0].String(), Plan: one})
	}
	return out, nil
}

// maybe says whether a plan's counters let it have one of some states; none: any.
func (r *reading) maybe(p *state.Plan, want []v1.State) bool {
	c := p.Total()
	return len(want) == 0 || slices.ContainsFunc(want, func(one v1.State) bool { return mayBe(p, c, one) })
}

func mayBe(p *state.Plan, c state.Counts, want v1.State) bool {
	runs := c[state.Running] > 0
	switch want {
	case v1.StateSucceeded:
		return p.Succeeded()
	case v1.StateRunning:
		return !p.Succeeded()
	case v1.StateFailed:
		return !runs && c[state.Failed]+c[state.Stopped] > 0
	case v1.StateFrozen:
		return !runs && c.Frozen() > 0
	default:
		return !runs && !p.Succeeded()
	}
}

func kindWord(p *state.Plan) v1.PlanKind {
	if p.Auto {
		return v1.PlanKindAuto
	}
	return v1.PlanKindBackfill
}

// summary tells how a plan stands, given its state and how many of its
// instances wait for their time.
func (r *reading) summary(m *motion, shown v1.State, timed int64) v1.BackfillSummary {
	p := m.p
	out := v1.BackfillSummary{
		ID: plan.FormatID(p.ID), Kind: kindWord(p), Name: p.Name, Root: p.Request.Root, State: shown, Quiet: m.Quiet(),
		Paused: p.Paused, Stopped: p.Stopped, Halted: p.Halted,
		Counts: shownCounts(p.Total(), timed), Incomplete: r.cut,
		CreatedAt: moment(p.AcceptedMs), CreatedBy: p.Actor, ChangedAt: maybe(p.ChangedMs),
		Nodes: len(p.Nodes), Dates: len(p.Dates),
	}
	if len(p.Dates) > 0 { // in the order in which they run
		out.FirstDate, out.LastDate = slices.Min(p.Dates).String(), slices.Max(p.Dates).String()
	}
	return out
}

// Backfill implements server.LeaderReads.
func (s *Service) Backfill(_ context.Context, planID uint64) (*v1.Backfill, error) {
	r := s.read()
	p, err := r.plan(planID)
	if err != nil {
		return nil, err
	}
	m := r.motion(p)
	out := &v1.Backfill{
		Request: convert.Request(p.Request), Groups: []v1.GroupProgress{},
		Receipt: planTotals(p), Warnings: warnings(p.Warnings()),
	}
	if p.Auto {
		out.Request.Mode = v1.ModeAdvanced // of every node that is switched on
	}
	shown := m.plan()
	r.left = lookAtMost // whatever that took, the groups have their own
	timed := int64(0)
	for g := range p.Groups {
		one := m.progress(g)
		timed += one.Counts.WaitingTime // every date is in one group
		out.Groups = append(out.Groups, one)
	}
	out.Summary = r.summary(m, shown, timed)
	out.Rate.PerSecond = s.rates.perSecond(planID, s.Now())
	out.Rate.SecondsLeft = s.secondsLeft(p, out.Summary.Quiet)
	out.Summary.SecondsLeft = out.Rate.SecondsLeft
	return out, nil
}

// progress shows how far a group is.
func (m *motion) progress(g int) v1.GroupProgress {
	span := m.p.Groups[g]
	out := v1.GroupProgress{Group: g + 1, Dates: span.To - span.From}
	var total state.Counts
	current := -1
	for pos := span.From; pos < span.To; pos++ {
		c := m.p.DateCounts(pos)
		for i := range total {
			total[i] += c[i]
		}
		switch {
		case m.p.DateSucceeded(pos):
			out.DatesDone++
		case current < 0:
			current = pos
		}
	}
	out.Counts = shownCounts(total, m.TimedIn(span.From, span.To))
	out.State = m.group(g, total)
	if current >= 0 {
		out.Current = m.p.Dates[current].String()
		out.Reason = m.groupReason(current)
	}
	return out
}

// groupReason says what holds the group at its first unfinished date; empty
// when it goes on.
func (m *motion) groupReason(pos int) string {
	p := m.p
	c := p.DateCounts(pos)
	switch failed := c[state.Failed] + c[state.Stopped]; {
	case p.Stopped:
		return "the backfill is stopped"
	case p.Paused:
		return "the backfill is paused"
	case p.Halted:
		return fmt.Sprintf("the backfill was to stop after %d failed instances", p.Request.StopAfter)
	case failed > 0 && p.Request.OnFailure == wire.Request_HOLD:
		return fmt.Sprintf("%s has %s that failed", p.Dates[pos], count(uint64(failed), "instance"))
	case c.Frozen() > 0:
		return fmt.Sprintf("%s has %s that %s frozen", p.Dates[pos], count(c.Frozen(), "instance"), isAre(c.Frozen()))
	default:
		return ""
	}
}

func isAre(n uint64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// Dates implements server.Reads. A page may be short and have a Next.
func (s *Service) Dates(_ context.Context, planID uint64, f server.DateFilter, page server.Page) ([]v1.DateProgress, server.Next, error) {
	r := s.read()
	p, err := r.plan(planID)
	if err != nil {
		return nil, "", err
	}
	return r.dates(p, f, page)
}

func (r *reading) dates(p *state.Plan, f server.DateFilter, page server.Page) ([]v1.DateProgress, server.Next, error) {
	const list = "date"
	from, err := afterNumber(page, list)
	if err != nil {
		return nil, "", err
	}
	m := r.motion(p)
	var out []v1.DateProgress
	for g, span := range p.Groups {
		if f.Group != 0 && f.Group != g+1 {
			continue
		}
		for pos := max(span.From, int(min(from, uint64(len(p.Dates))))); pos < span.To; pos++ {
			if !within(p.Dates[pos], f.From, f.To) {
				continue
			}
			if m.left <= 0 {
				return out, numberCursor(list, uint64(pos-1)), nil // something was looked at, so pos is not the first
			}
			if f.State != "" && m.date(pos) != f.State {
				continue
			}
			if len(out) == page.Limit {
				return out, numberCursor(list, uint64(pos-1)), nil
			}
			out = append(out, m.dateProgress(g, pos))
		}
	}
	return out, "", nil
}

func (m *motion) dateProgress(g, pos int) v1.DateProgress {
	p := m.p
	out := v1.DateProgress{
		Date: p.Dates[pos].String(), Group: g + 1, Place: pos - p.Groups[g].From + 1, State: m.date(pos),
		Counts: shownCounts(p.DateCounts(pos), m.Timed(pos)),
	}
	out.Incomplete = m.cut
	switch {
	case p.DateSucceeded(pos):
	case m.Held(pos):
		_, _, before := p.Gate(plan.Place{Pos: pos})
		out.Reason = fmt.Sprintf("%s, the date before it in group %d, has not finished: %s", p.Dates[before], g+1, outstanding(p.DateCounts(before), p.DateSize(before)))
	default:
		out.Reason = m.groupReason(pos)
	}
	return out
}
