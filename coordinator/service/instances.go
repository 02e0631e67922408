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

// walk goes through the instances of a plan that a filter on node and dates
// keeps, by number.
type walk struct {
	p    *plan.Plan
	f    server.InstanceFilter
	skip func(pos int) bool // dates that hold nothing of interest cost little
	// next passes over instances of no interest: the first of interest in a
	// half-open range, or going down the last. nil: all are.
	next func(from, to uint64) (uint64, bool)
	// from is the first number, or going down the one above the first; 0 there:
	// from the end.
	from uint64
}

// each calls visit until it returns false.
func (w *walk) each(visit func(i uint64) bool) {
	node := -1
	if w.f.Node != "" {
		n, ok := w.p.NodeIndex(w.f.Node)
		if !ok {
			return
		}
		node = n
	}
	list := w.stretches(node)
	for k := range list {
		s := &list[k]
		if w.f.Descending {
			s = &list[len(list)-1-k]
		}
		if w.skip(s.pos) {
			continue
		}
		if !w.along(s, visit) {
			return
		}
	}
}

func (w *walk) along(s *stretch, visit func(i uint64) bool) bool {
	if !w.f.Descending {
		for i := max(s.from, w.from); i < s.to; i++ {
			if w.next != nil {
				found, ok := w.next(i, s.to)
				if !ok {
					return true
				}
				i = found
			}
			if !visit(i) {
				return false
			}
		}
		return true
	}
	to := s.to
	if w.from > 0 {
		to = min(to, w.from)
	}
	for i := to; i > s.from; i-- {
		if w.next != nil {
			found, ok := w.next(s.from, i)
			if !ok {
				return true
			}
			i = found + 1
		}
		if !visit(i - 1) {
			return false
		}
	}
	return true
}

// stretch is a half-open range of numbers of one position.
type stretch struct {
	from, to uint64
	pos      int
}

// stretches lists the numbers of the dates that the filter keeps, from the
// cursor on. They come in order unless the plan was extended: then a date has
// several, between those of others.
func (w *walk) stretches(node int) []stretch {
	var out []stretch
	sorted := true
	add := func(lo, hi uint64, pos int) {
		beyond := hi <= w.from
		if w.f.Descending {
			beyond = w.from > 0 && lo >= w.from
		}
		if lo == hi || beyond {
			return
		}
		sorted = sorted && (len(out) == 0 || out[len(out)-1].from < lo)
		out = append(out, stretch{lo, hi, pos})
	}
	for pos, d := range w.p.Dates {
		switch {
		case !within(d, w.f.From, w.f.To):
		case node >= 0:
			lo, hi := w.p.NodeRange(pos, node)
			add(lo, hi, pos)
		default:
			for lo, hi := range w.p.Ranges(pos) {
				add(lo, hi, pos)
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

// mayHave says whether counts leave room for an instance of a state. What runs
// for the counts may wait at its agent (ahead).
func mayHave(c state.Counts, want v1.State, ahead bool) bool {
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
	case v1.StateNotRunning:
		return waits > 0 || ahead && c[state.Running] > 0
	case v1.StateWaitingTime:
		return waits > 0
	default:
		return true
	}
}

// ahead says whether something of a plan waits at an agent that it was granted
// to ahead of a free slot.
func (r *reading) ahead(p *state.Plan) (found bool) {
	if p.Active() > 0 {
		r.st.LeasesOf(p.ID, func(l *state.Lease) { found = found || l.Ahead })
	}
	return found
}

// shown is the state shown of an instance, and what keeps it from starting. An
// instance that waits at an agent has a lease, and does not run (RULES R8).
func (r *reading) shown(p *state.Plan, at plan.Place, i uint64) (v1.State, schedule.Block) {
	shown, b := schedule.Instance(r.st, p, at, r.nowMs)
	if shown == schedule.Running && r.queued(p, i) != nil {
		return v1.StateNotRunning, b
	}
	return shownWords[shown], b
}

// queued is the lease of an instance that waits at its agent for a slot; nil
// for every other.
func (r *reading) queued(p *state.Plan, i uint64) *state.Lease {
	if l, ok := r.st.Lease(p.ID, i); ok && l.Ahead {
		return l
	}
	return nil
}

// is says whether an instance has a state, by its status alone where that
// tells. known: there was a look left where it does not.
func (r *reading) is(p *state.Plan, i uint64, want v1.State) (is, known bool) {
	status := p.Status(i)
	switch {
	case want == "":
		return true, true
	case !status.Waits() && status != state.Running:
		return statusWord(status) == want, true
	case status == state.Running && want != v1.StateRunning && want != v1.StateNotRunning:
		return false, true
	case status.Waits() && want != v1.StateNotRunning && want != v1.StateWaitingTime:
		return false, true
	case !r.spend():
		return false, false
	}
	place, _ := p.Locate(i)
	shown, _ := r.shown(p, place, i)
	return shown == want, true
}

// Instances implements server.Reads. A page may be short, even empty, and have
// a Next: so much was looked at, and there may be more.
func (s *Service) Instances(_ context.Context, planID uint64, f server.InstanceFilter, page server.Page) ([]v1.Instance, server.Next, error) {
	r := s.read()
	p, err := r.plan(planID)
	if err != nil {
		return nil, "", err
	}
	return r.instances(p, f, page)
}

func (r *reading) instances(p *state.Plan, f server.InstanceFilter, page server.Page) ([]v1.Instance, server.Next, error) {
	list, past := "instance", uint64(1) // what a page begins with lies past what is named
	if f.Descending {
		list, past = "instance-down", 0
	}
	from, err := afterNumber(page, list)
	if err != nil {
		return nil, "", err
	}
	if from > 0 {
		from += past - 1
	}
	ahead := f.State == v1.StateNotRunning && r.ahead(p)
	if n, ok := p.NodeIndex(f.Node); f.Node != "" && (!ok || f.State != "" && !mayHave(p.NodeCounts(n), f.State, ahead)) {
		return nil, "", nil
	}
	var out []v1.Instance
	var next server.Next
	var last uint64
	w := &walk{p: p.Plan, f: f, from: from, skip: r.holdsNone(p, f.State, ahead)}
	if f.State != "" {
		w.next = r.passOver(p, f, ahead)
	}
	w.each(func(i uint64) bool {
		is, known := false, r.glance()
		if known {
			is, known = r.is(p, i, f.State)
		}
		switch {
		case !known && f.Descending:
			next = numberCursor(list, i+1)
			return false
		case !known:
			next = numberCursor(list, i-1) // something was looked at, so i is not the first
			return false
		case !is:
			return true
		case len(out) == page.Limit:
			next = numberCursor(list, last)
			return false
		}
		last = i
		out = append(out, r.instance(p, i))
		return true
	})
	return out, next, nil
}

// passStretch is how many statuses are read for one glance where only those of a
// set are of interest.
const passStretch = 16

// passOver finds the next instance whose status leaves room for a state. Where
// the glances end it gives what comes then, so that the page ends there.
func (r *reading) passOver(p *state.Plan, f server.InstanceFilter, ahead bool) func(from, to uint64) (uint64, bool) {
	var in state.Statuses
	for st := range (state.Counts{}) {
		var one state.Counts
		one[st] = 1
		if mayHave(one, f.State, ahead) {
			in = in.With(state.Status(st))
		}
	}
	if f.Descending {
		return func(from, to uint64) (uint64, bool) {
			for to > from {
				begin := max(from, to-min(to, passStretch))
				if i, ok := p.Previous(begin, to, in); ok {
					return i, true
				}
				if !r.glance() {
					return begin, true
				}
				to = begin
			}
			return 0, false
		}
	}
	return func(from, to uint64) (uint64, bool) {
		for from < to {
			end := min(to, from+passStretch)
			if i, ok := p.Next(from, end, in); ok {
				return i, true
			}
			if !r.glance() {
				return end - 1, true
			}
			from = end
		}
		return 0, false
	}
}

// holdsNone says of which positions the counts tell that nothing there has a
// state.
func (r *reading) holdsNone(p *state.Plan, want v1.State, ahead bool) func(pos int) bool {
	if want == "" {
		return func(int) bool { return false }
	}
	m := r.motion(p)
	return func(pos int) bool {
		c := p.DateCounts(pos)
		if !mayHave(c, want, ahead) {
			return true
		}
		return want == v1.StateWaitingTime && c[state.Retrying] == 0 && (!m.DueLater(pos) || m.Held(pos))
	}
}

// instance describes an instance as lists show it.
func (r *reading) instance(p *state.Plan, i uint64) v1.Instance {
	place, _ := p.Locate(i)
	shown, _ := r.shown(p, place, i)
	status := p.Status(i)
	out := v1.Instance{
		ID: plan.FormatInstance(p.ID, i), Backfill: plan.FormatID(p.ID), Kind: kindWord(p), Node: p.Nodes[place.Node].Spec.Id,
		Date: p.Dates[place.Pos].String(), ScheduledTime: scheduled(p.Plan, place),
		Group: p.Group(place.Pos) + 1, State: shown, DryRun: dryRunWords[dry(p, place, status)],
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
	for k := len(attempts) - 1; k >= 0 && len(out.Metrics) == 0; k-- {
		out.Metrics = attempts[k].Metrics
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
			GrantedAt: maybe(a.GrantedMs), StartedAt: maybe(a.StartedMs), EndedAt: maybe(a.EndedMs), Cause: a.Cause, Metrics: metrics(a.Metrics),
		}
		if a.Outcome == wire.Outcome_SUCCEEDED || a.Outcome == wire.Outcome_SKIPPED || a.Outcome == wire.Outcome_FAILED {
			code := int(a.ExitCode)
			t.ExitCode = &code
		}
		out = append(out, t)
	}
	if l, ok := r.st.Lease(p.ID, i); ok {
		word := v1.AttemptStateRunning
		if l.Ahead {
			word = v1.AttemptStateQueued
		}
		out = append(out, v1.Attempt{
			Number: int(l.Attempt), State: word, Agent: l.Agent, Fence: l.Fence, CodeVersion: l.Version,
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
	_, block := r.shown(p, place, number)
	before, inLine := 0, false
	if block.Kind == schedule.Nothing {
		err := s.Inspect(ctx, func(sch *schedule.Scheduler) { before, inLine = sch.Place(planID, number) })
		if err != nil {
			return nil, err
		}
	}
	if out.Reason = s.reason(r, p, place, block); out.Reason == nil {
		out.Reason = r.queuedReason(p, number)
	}
	out.Conflict = s.waiting(r, p, place)
	if inLine && out.Reason.Code == v1.ReasonCodeSlot {
		out.Reason.Place = before + 1
		out.Reason.Text += ", " + ordinal(before+1) + " in line"
	}
	return out, nil
}

func metrics(list []*wire.Metric) (out []v1.Assignment) {
	for _, m := range list {
		out = append(out, v1.Assignment{Name: m.Name, Value: m.Value})
	}
	return out
}

func assignments(list []params.Assignment) []v1.Assignment {
	out := make([]v1.Assignment, 0, len(list))
	for _, a := range list {
		out = append(out, v1.Assignment{Name: a.Name, Value: a.Value})
	}
	return out
}
