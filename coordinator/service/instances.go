package service

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"strings"
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
	// nodes are those of interest, in order, unless all are. Going from one to the
	// next costs a glance, if glance is set; who visits finds out that none is left.
	nodes  []int
	all    bool
	glance func() bool
	// next passes over instances of no interest: the first of interest in a
	// half-open range, or going down the last. nil: all are.
	next func(from, to uint64) (uint64, bool)
	// from is the first number, or going down the one above the first; 0 there:
	// from the end. By date it is the first of the date of since.
	from  uint64
	since uint64
}

// newWalk goes through what a filter keeps of a plan, from a number on.
func newWalk(p *plan.Plan, f server.InstanceFilter, from uint64, skip func(pos int) bool) *walk {
	w := &walk{p: p, f: f, from: from, skip: skip}
	w.nodes, w.all = chosen(p, f.Nodes)
	return w
}

func (w *walk) descending() bool { return w.f.Sort == v1.InstanceSortMinusNumber }

// each calls visit until it returns false.
func (w *walk) each(visit func(i uint64) bool) {
	if !w.all && len(w.nodes) == 0 {
		return
	}
	list := w.stretches()
	for k := range list {
		s := list[k]
		if w.descending() {
			s = list[len(list)-1-k]
		}
		if w.skip(s.pos) {
			continue
		}
		if w.all && !w.along(&s, visit) || !w.all && !w.acrossNodes(s, visit) {
			return
		}
	}
}

// acrossNodes goes through what the nodes of interest have of a stretch.
func (w *walk) acrossNodes(s stretch, visit func(i uint64) bool) bool {
	var parts []stretch
	for k, n := range w.nodes {
		if k > 0 && w.glance != nil {
			w.glance()
		}
		lo, hi := w.p.NodeRange(s.pos, n)
		if lo, hi = max(lo, s.from), min(hi, s.to); lo < hi {
			parts = append(parts, stretch{lo, hi, s.pos})
		}
	}
	slices.SortFunc(parts, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	if w.descending() {
		slices.Reverse(parts)
	}
	for i := range parts {
		if !w.along(&parts[i], visit) {
			return false
		}
	}
	return true
}

func (w *walk) along(s *stretch, visit func(i uint64) bool) bool {
	if !w.descending() {
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
// several, between those of others. One node has one of each date.
func (w *walk) stretches() []stretch {
	if w.f.Sort == v1.InstanceSortDate {
		return w.byDate()
	}
	var out []stretch
	sorted := true
	w.eachRange(func(lo, hi uint64, pos int) {
		beyond := hi <= w.from
		if w.descending() {
			beyond = w.from > 0 && lo >= w.from
		}
		if beyond {
			return
		}
		sorted = sorted && (len(out) == 0 || out[len(out)-1].from < lo)
		out = append(out, stretch{lo, hi, pos})
	})
	if !sorted {
		slices.SortFunc(out, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	}
	return out
}

// byDate is stretches in the order of data timestamps. What is behind the cursor
// is of an earlier date than the instance that it names, or of its date and of a
// lower number; from is then no bound any more.
func (w *walk) byDate() []stretch {
	last := calendar.Date(-1 << 30)
	if at, ok := w.p.Locate(w.since); ok && w.from > 0 {
		last = w.p.Dates[at.Pos]
	}
	var out []stretch
	w.eachRange(func(lo, hi uint64, pos int) {
		d := w.p.Dates[pos]
		if d == last {
			lo = max(lo, w.from)
		}
		if d >= last && lo < hi {
			out = append(out, stretch{lo, hi, pos})
		}
	})
	slices.SortFunc(out, func(a, b stretch) int {
		return cmp.Or(cmp.Compare(w.p.Dates[a.pos], w.p.Dates[b.pos]), cmp.Compare(a.from, b.from))
	})
	w.from = 0
	return out
}

// eachRange calls add for the numbers of each date that the filter keeps.
func (w *walk) eachRange(add func(from, to uint64, pos int)) {
	for pos, d := range w.p.Dates {
		switch {
		case !within(d, w.f.From, w.f.To):
		case !w.all && len(w.nodes) == 1:
			if lo, hi := w.p.NodeRange(pos, w.nodes[0]); lo < hi {
				add(lo, hi, pos)
			}
		default:
			for lo, hi := range w.p.Ranges(pos) {
				if lo < hi {
					add(lo, hi, pos)
				}
			}
		}
	}
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

// is says whether an instance has one of some states (none: any), by its status
// alone where that tells. known: there was a look left where it does not.
func (r *reading) is(p *state.Plan, i uint64, want []v1.State) (is, known bool) {
	if len(want) == 0 {
		return true, true
	}
	status := p.Status(i)
	other := v1.StateRunning // what it may be beside Not Running
	switch {
	case status.Waits():
		other = v1.StateWaitingTime
	case status != state.Running:
		return slices.Contains(want, statusWord(status)), true
	}
	one, two := slices.Contains(want, v1.StateNotRunning), slices.Contains(want, other)
	if one == two {
		return one, true
	}
	if !r.spend() {
		return false, false
	}
	place, _ := p.Locate(i)
	shown, _ := r.shown(p, place, i)
	return slices.Contains(want, shown), true
}

// by says whether one of some agents holds or held the newest attempt of an
// instance; none: anybody may. known: as of is.
func (r *reading) by(p *state.Plan, i uint64, agents []string) (by, known bool) {
	switch {
	case len(agents) == 0:
		return true, true
	case p.Status(i) == state.Pending:
		return false, true
	case !r.spend():
		return false, false
	}
	if l, ok := r.st.Lease(p.ID, i); ok {
		return slices.Contains(agents, l.Agent), true
	}
	all := r.st.Attempts(p, i)
	return len(all) > 0 && slices.Contains(agents, all[len(all)-1].Agent), true
}

// mayHaveAny is mayHave for some states; none: any.
func mayHaveAny(c state.Counts, want []v1.State, ahead bool) bool {
	return len(want) == 0 || slices.ContainsFunc(want, func(one v1.State) bool { return mayHave(c, one, ahead) })
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
	list := instancesList(f)
	from, since, err := instanceCursor(page, list, f.Sort == v1.InstanceSortMinusNumber)
	if err != nil {
		return nil, "", err
	}
	ahead := slices.Contains(f.States, v1.StateNotRunning) && r.ahead(p)
	w := newWalk(p.Plan, f, from, r.holdsNone(p, f, ahead))
	w.glance, w.since = r.glance, since
	w.nodes = slices.DeleteFunc(w.nodes, func(n int) bool { return !mayHaveAny(p.NodeCounts(n), f.States, ahead) })
	if len(f.States) > 0 || len(f.Agents) > 0 || f.Failure != "" {
		w.next = r.passOver(p, f, ahead)
	}
	var out []v1.Instance
	var next server.Next
	var shown uint64
	w.each(func(i uint64) bool {
		is, known := false, r.glance()
		if known {
			is, known = r.is(p, i, f.States)
		}
		if is && known {
			is, known = r.by(p, i, f.Agents)
		}
		if is && known {
			is, known = r.ofFailure(p, i, f.Failure)
		}
		switch {
		case !known:
			next = numberCursor(list, i) + atIt
			return false
		case is && len(out) == page.Limit:
			next = numberCursor(list, shown)
			return false
		case is:
			shown = i
			out = append(out, r.instance(p, i))
		}
		return true
	})
	return out, next, nil
}

// atIt ends a cursor that names what the next page begins with, since there was
// no look left for it.
const atIt = "~"

// instanceCursor gives where a walk begins, and the number that the cursor names.
func instanceCursor(page server.Page, list string, down bool) (from, named uint64, err error) {
	text, at := strings.CutSuffix(page.Cursor, atIt)
	from, err = afterNumber(server.Page{Cursor: text}, list)
	if err != nil || from == 0 {
		return 0, 0, err
	}
	named = from - 1
	if at != down { // up: at what is named; down: below what is not
		from--
	}
	return from, named, nil
}

// instancesList names a list of instances; the whole list in its own order is
// called as ever.
func instancesList(f server.InstanceFilter) string {
	sort := map[v1.InstanceSort]string{v1.InstanceSortMinusNumber: "instance-down", v1.InstanceSortDate: "instance-date"}[f.Sort]
	f.Sort = ""
	if reflect.DeepEqual(f, server.InstanceFilter{}) {
		return cmp.Or(sort, "instance")
	}
	return listName(cmp.Or(sort, "instance"), "", f)
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
		never := state.Status(st) == state.Pending && len(f.Agents) > 0 // had an attempt
		fails := f.Failure == "" || failing.Has(state.Status(st))
		if mayHaveAny(one, f.States, ahead) && !never && fails {
			in = in.With(state.Status(st))
		}
	}
	if f.Sort == v1.InstanceSortMinusNumber {
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

// holdsNone says of which positions the counts tell that nothing there has one of
// the states, or has ever had an agent.
func (r *reading) holdsNone(p *state.Plan, f server.InstanceFilter, ahead bool) func(pos int) bool {
	want := f.States
	if len(want) == 0 && len(f.Agents) == 0 && f.Failure == "" {
		return func(int) bool { return false }
	}
	m := r.motion(p)
	timed := len(want) == 1 && want[0] == v1.StateWaitingTime
	return func(pos int) bool {
		c := p.DateCounts(pos)
		never := len(f.Agents) > 0 && uint64(c[state.Pending]) == p.DateSize(pos)
		fails := f.Failure == "" || c[state.Failed]+c[state.Stopped]+c[state.Retrying] > 0
		if never || !fails || !mayHaveAny(c, want, ahead) {
			return true
		}
		return timed && c[state.Retrying] == 0 && (!m.DueLater(pos) || m.Held(pos))
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
	out.Operations = r.chances(p, place)
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
