package service

import (
	"cmp"
	"context"
	"slices"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/params"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// walk calls visit for the instances of a plan that a filter on node and dates
// keeps, by number, from one on, until visit returns false. Dates that skip
// says hold nothing of interest cost little.
func walk(p *plan.Plan, f server.InstanceFilter, from uint64, skip func(pos int) bool, visit func(i uint64) bool) {
	node := -1
	if f.Node != "" {
		n, ok := p.NodeIndex(f.Node)
		if !ok {
			return
		}
		node = n
	}
	for _, s := range stretches(p, f, from, node, skip) {
		for i := max(s.from, from); i < s.to; i++ {
			if !visit(i) {
				return
			}
		}
	}
}

// stretch is a half-open range of numbers.
type stretch struct{ from, to uint64 }

// stretches lists the numbers of the dates that a filter keeps. They come in
// order unless the plan was extended: then a date has several, between those of
// others.
func stretches(p *plan.Plan, f server.InstanceFilter, from uint64, node int, skip func(pos int) bool) []stretch {
	var out []stretch
	sorted := true
	add := func(lo, hi uint64) {
		if lo == hi || hi <= from {
			return
		}
		sorted = sorted && (len(out) == 0 || out[len(out)-1].from < lo)
		out = append(out, stretch{lo, hi})
	}
	for pos, d := range p.Dates {
		switch {
		case !within(d, f.From, f.To) || skip(pos):
		case node >= 0:
			add(p.NodeRange(pos, node))
		default:
			for lo, hi := range p.Ranges(pos) {
				add(lo, hi)
			}
		}
	}
	if !sorted {
		slices.SortFunc(out, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	}
	return out
}

func within(d calendar.Date, from, to *calendar.Date) bool {
	return (from == nil || d >= *from) && (to == nil || d <= *to)
}

// mayHave says whether counts leave room for an instance of a state.
func mayHave(c state.Counts, want v1.State) bool {
	waits := c[state.Pending] + c[state.Retrying] + c[state.Again]
	switch want {
	case v1.StateRunning:
		return c[state.Running] > 0
	case v1.StateSucceeded:
		return c.Success() > 0
	case v1.StateFailed:
		return c[state.Failed]+c[state.Stopped] > 0
	case v1.StateFrozen:
		return c.Frozen() > 0
	case v1.StateNotRunning, v1.StateWaitingTime:
		return waits > 0
	default:
		return true
	}
}

// is says whether an instance has a state, by its status alone where that
// tells.
func (r *reading) is(p *state.Plan, i uint64, want v1.State) bool {
	status := p.Status(i)
	switch {
	case want == "":
		return true
	case !status.Waits():
		return statusWord(status) == want
	case want != v1.StateNotRunning && want != v1.StateWaitingTime:
		return false
	}
	place, _ := p.Locate(i)
	shown, _ := schedule.Instance(r.st, p, place, r.nowMs)
	return shownWords[shown] == want
}

// Instances implements server.Reads. A page may be short, even empty, and have
// a Next: so much was looked at, and there may be more.
func (s *Service) Instances(_ context.Context, planID uint64, f server.InstanceFilter, page server.Page) ([]v1.Instance, server.Next, error) {
	const list = "instance"
	r := s.read()
	p, err := r.plan(planID)
	if err != nil {
		return nil, "", err
	}
	from, err := afterNumber(page, list)
	if err != nil {
		return nil, "", err
	}
	if f.Node != "" {
		n, ok := p.NodeIndex(f.Node)
		if !ok || f.State != "" && !mayHave(p.NodeCounts(n), f.State) {
			return nil, "", nil
		}
	}
	m := r.motion(p)
	skip := func(pos int) bool {
		c := p.DateCounts(pos)
		if !mayHave(c, f.State) {
			return true
		}
		return f.State == v1.StateWaitingTime && c[state.Retrying] == 0 && (!m.DueLater(pos) || m.Held(pos))
	}
	var out []v1.Instance
	var next server.Next
	var last uint64
	walk(p.Plan, f, from, skip, func(i uint64) bool {
		if !r.spend() {
			next = numberCursor(list, i-1)
			return false
		}
		if !r.is(p, i, f.State) {
			return true
		}
		if len(out) == page.Limit {
			next = numberCursor(list, last)
			return false
		}
		last = i
		out = append(out, r.instance(p, i))
		return true
	})
	return out, next, nil
}

// instance describes an instance as lists show it.
func (r *reading) instance(p *state.Plan, i uint64) v1.Instance {
	place, _ := p.Locate(i)
	shown, _ := schedule.Instance(r.st, p, place, r.nowMs)
	status := p.Status(i)
	out := v1.Instance{
		ID: plan.FormatInstance(p.ID, i), Backfill: plan.FormatID(p.ID), Kind: kindWord(p), Node: p.Nodes[place.Node].Spec.Id,
		Date: p.Dates[place.Pos].String(), ScheduledTime: scheduled(p.Plan, place),
		Group: p.Group(place.Pos) + 1, State: shownWords[shown], DryRun: dryRunWords[dry(p, place, status)],
		Priority: int(p.PriorityOf(place)), SetToSuccess: status == state.SetToSuccess, Forced: p.Forced(i),
	}
	if status == state.Pending {
		return out
	}
	attempts := r.attempts(p, i)
	out.Attempts = len(attempts)
	if status.Failure() {
		out.Cause = ended(p, i, len(attempts))
	}
	if out.Attempts == 0 {
		return out
	}
	newest := attempts[out.Attempts-1]
	out.Agent, out.StartedAt, out.EndedAt = newest.Agent, newest.StartedAt, newest.EndedAt
	for k := len(attempts) - 1; k >= 0 && out.Cause == ""; k-- {
		out.Cause = attempts[k].Cause
	}
	return out
}

// dry says why an instance is a dry run. What ran before its date or node was
// dropped is none.
func dry(p *state.Plan, at plan.Place, status state.Status) wire.DryRun {
	d := p.Dry(at)
	if d == wire.DryRun_DROPPED && status != state.DryRun && !status.Waits() && !status.Frozen() {
		return wire.DryRun_DRY_RUN_NONE
	}
	return d
}

// scheduled is T with the node's own offset from UTC.
func scheduled(p *plan.Plan, at plan.Place) time.Time {
	c := p.Cycle(at)
	zone := p.Nodes[at.Node].Zone
	return time.Unix(c.Unix, 0).In(time.FixedZone("", int(zone.OffsetAt(c.Unix))))
}

// attempts lists the attempts of an instance, the live one last.
func (r *reading) attempts(p *state.Plan, i uint64) []v1.Attempt {
	var out []v1.Attempt
	for _, a := range r.st.Attempts(p, i) {
		t := v1.Attempt{
			Number: int(a.Number), State: outcomeWords[a.Outcome], Agent: a.Agent, Fence: a.Fence, CodeVersion: a.Version,
			GrantedAt: maybe(a.GrantedMs), StartedAt: maybe(a.StartedMs), EndedAt: maybe(a.EndedMs), Cause: a.Cause,
		}
		if a.Outcome == wire.Outcome_SUCCEEDED || a.Outcome == wire.Outcome_FAILED {
			code := int(a.ExitCode)
			t.ExitCode = &code
		}
		out = append(out, t)
	}
	if l, ok := r.st.Lease(p.ID, i); ok {
		out = append(out, v1.Attempt{
			Number: int(l.Attempt), State: v1.AttemptStateRunning, Agent: l.Agent, Fence: l.Fence, CodeVersion: l.Version,
			GrantedAt: maybe(l.GrantedMs), Cause: l.Cause,
		})
	}
	return out
}

// Instance implements server.LeaderReads.
func (s *Service) Instance(ctx context.Context, planID, number uint64) (*v1.InstanceDetail, error) {
	r := s.read()
	p, err := r.plan(planID)
	if err != nil {
		return nil, err
	}
	place, ok := p.Locate(number)
	if !ok {
		return nil, noInstance(p, number)
	}
	n := &p.Nodes[place.Node]
	out := &v1.InstanceDetail{
		Instance: r.instance(p, number), NodeName: n.Spec.Name, Due: moment(p.DueMs(place)), Zone: n.Zone.Name,
		ResourceGroup: p.ResourceGroup(place.Node), Values: []v1.Assignment{}, Attempts: r.attempts(p, number),
	}
	if out.Attempts == nil {
		out.Attempts = []v1.Attempt{}
	}
	values, err := p.Values(place)
	if err != nil {
		s.Logger.Warn("the values of an instance cannot be rendered", "instance", out.Instance.ID, "error", err)
	}
	out.Values = append(out.Values, assignments(values)...)
	r.acts(p, place, number, out)
	_, block := schedule.Instance(r.st, p, place, r.nowMs)
	before, inLine := 0, false
	if block.Kind == schedule.Nothing {
		err := s.Inspect(ctx, func(sch *schedule.Scheduler) { before, inLine = sch.Place(planID, number) })
		if err != nil {
			return nil, err
		}
	}
	out.Reason = s.reason(r, p, place, block)
	out.Conflict = s.waiting(r, p, place)
	if inLine && out.Reason.Code == v1.ReasonCodeSlot {
		out.Reason.Place = before + 1
		out.Reason.Text += ", " + ordinal(before+1) + " in line"
	}
	return out, nil
}

func assignments(list []params.Assignment) []v1.Assignment {
	out := make([]v1.Assignment, 0, len(list))
	for _, a := range list {
		out = append(out, v1.Assignment{Name: a.Name, Value: a.Value})
	}
	return out
}
