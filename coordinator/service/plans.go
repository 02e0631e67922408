package service

import (
	"cmp"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
)

// planSearch finds the plans that a filter keeps, in an order.
type planSearch struct {
	*reading
	f     server.PlanQuery
	nodes nodeSearch
	want  []v1.State // of the part of the order that is gone through; empty: all
}

func (r *reading) search(f server.PlanQuery) *planSearch {
	return &planSearch{
		reading: r, f: f, want: f.States,
		nodes: nodeSearch{reading: r, f: f.Nodes, known: map[nodeList]bool{}},
	}
}

// stateOrder is the order by state: what has to be looked after comes first.
var stateOrder = []v1.State{
	v1.StateFailed, v1.StateRunning, v1.StateWaitingTime, v1.StateNotRunning, v1.StateFrozen, v1.StateSucceeded,
}

// from gives plans in order, each with the rest of a cursor that names it, from
// behind the one that such a rest names (empty: the first). Nothing is asked of
// them yet but what the order needs.
func (s *planSearch) from(at string) (iter.Seq2[string, *state.Plan], error) {
	switch s.f.Sort {
	case "", v1.BackfillSortMinusCreated:
		below, err := idBelow(at)
		return s.newest("", below), err
	case v1.BackfillSortState:
		return s.byState(at)
	default:
		return s.sorted(at)
	}
}

// newest gives the plans below an id (0: all), the newest first.
func (s *planSearch) newest(prefix string, below uint64) iter.Seq2[string, *state.Plan] {
	return func(yield func(string, *state.Plan) bool) {
		if below == 1 {
			return
		}
		s.st.Plans(below, func(p *state.Plan) bool { return yield(prefix+strconv.FormatUint(p.ID, 10), p) })
	}
}

// byState goes through all plans once for each state.
func (s *planSearch) byState(at string) (iter.Seq2[string, *state.Plan], error) {
	order := stateOrder
	below := uint64(0)
	if at != "" {
		word, rest, _ := strings.Cut(at, ".")
		k := slices.Index(order, v1.State(word))
		if k < 0 {
			return nil, badCursor()
		}
		var err error
		if below, err = idBelow(rest); err != nil {
			return nil, err
		}
		order = order[k:]
	}
	return func(yield func(string, *state.Plan) bool) {
		for k, word := range order {
			if len(s.f.States) > 0 && !slices.Contains(s.f.States, word) {
				continue
			}
			s.want = []v1.State{word}
			if k > 0 {
				below = 0
			}
			for key, p := range s.newest(string(word)+".", below) {
				if !yield(key, p) {
					return
				}
			}
		}
	}, nil
}

// sorted puts all plans that the counters and the names let pass in an order of
// their own.
func (s *planSearch) sorted(at string) (iter.Seq2[string, *state.Plan], error) {
	byName := s.f.Sort != v1.BackfillSortCreated
	down := strings.HasPrefix(string(s.f.Sort), "-")
	type item struct {
		name string
		p    *state.Plan
	}
	compare := func(a, b item) int {
		c := cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.p.ID, b.p.ID))
		if down {
			return -c
		}
		return c
	}
	var after *item
	if at != "" {
		id, name, _ := strings.Cut(at, ".")
		n, err := strconv.ParseUint(id, 10, 63)
		if err != nil {
			return nil, badCursor()
		}
		after = &item{name, &state.Plan{Plan: &plan.Plan{ID: n}}}
	}
	var list []item
	s.st.Plans(0, func(p *state.Plan) bool {
		one := item{p: p}
		if byName {
			one.name = p.Name
		}
		if after == nil || compare(*after, one) < 0 {
			list = append(list, one)
		}
		return s.glance()
	})
	slices.SortFunc(list, compare)
	return func(yield func(string, *state.Plan) bool) {
		for _, one := range list {
			if !yield(strconv.FormatUint(one.p.ID, 10)+"."+one.name, one.p) {
				return
			}
		}
	}, nil
}

// idBelow reads the id behind which a list that goes down goes on; 0: at its
// start.
func idBelow(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 63)
	if err != nil || id == 0 {
		return 0, badCursor()
	}
	return id, nil
}

// keeps says whether a plan passes the filter, its state apart.
func (s *planSearch) keeps(p *state.Plan) bool {
	f := &s.f
	switch {
	case f.Kind == v1.PlanFilterAuto && !p.Auto, f.Kind == v1.PlanFilterBackfill && p.Auto:
		return false
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, p.ID):
		return false
	case len(f.CreatedBy) > 0 && !slices.Contains(f.CreatedBy, p.Actor), f.Creator != "" && f.Creator != p.Actor:
		return false
	case f.CreatedFrom != nil && p.AcceptedMs < f.CreatedFrom.UnixMilli(), f.CreatedTo != nil && p.AcceptedMs > f.CreatedTo.UnixMilli():
		return false
	case f.Contains != "" && !matches(f.Contains, plan.FormatID(p.ID), p.Name):
		return false
	}
	return s.between(p) && s.nodes.in(p)
}

// between says whether a plan has a date within the filter's. Most plans have no
// gap, and those that have one are looked through.
func (s *planSearch) between(p *state.Plan) bool {
	from, to := s.f.From, s.f.To
	if from == nil && to == nil {
		return true
	}
	first, last := p.Dates[0], p.Dates[len(p.Dates)-1]
	first, last = min(first, last), max(first, last) // the last one runs first in a descending plan
	switch {
	case from != nil && last < *from, to != nil && first > *to:
		return false
	case within(first, from, to), within(last, from, to):
		return true
	}
	s.glances -= len(p.Dates)/16 + 1
	return slices.ContainsFunc(p.Dates, func(d calendar.Date) bool { return within(d, from, to) })
}

// spent says that so much was looked at that a page ends.
func (r *reading) spent() bool { return r.left <= 0 || r.glances <= 0 }

// summaries pages through plans.
func (r *reading) summaries(list string, page server.Page, f server.PlanQuery) ([]v1.BackfillSummary, server.Next, error) {
	list = plansList(list, f)
	at, err := after(page, list)
	if err != nil {
		return nil, "", err
	}
	s := r.search(f)
	plans, err := s.from(at)
	if err != nil {
		return nil, "", err
	}
	var out []v1.BackfillSummary
	last, shownLast := "", ""
	for key, p := range plans {
		if last != "" && (r.spent() || !r.spend()) {
			return out, cursor(list, last), nil
		}
		last = key
		if !s.keeps(p) || !r.maybe(p, s.want) {
			continue
		}
		looks := min(lineLooksMost, max(lineLooksLeast, r.left/(page.Limit-len(out)+1)))
		own := &reading{st: r.st, nowMs: r.nowMs, left: looks / 2}
		m := own.motion(p)
		shown := m.plan()
		own.left += looks / 2 // for counting, whatever the state took
		if len(s.want) == 0 || slices.Contains(s.want, shown) {
			if len(out) == page.Limit {
				return out, cursor(list, shownLast), nil
			}
			shownLast = key
			out = append(out, own.summary(m, shown, m.TimedIn(0, len(p.Dates))))
		}
		r.left -= looks - own.left
	}
	return out, "", nil
}

// plansList names a list of plans; the whole list in its own order is called as
// ever.
func plansList(list string, f server.PlanQuery) string {
	sort := string(f.Sort)
	f.Sort = ""
	if sort == string(v1.BackfillSortMinusCreated) {
		sort = ""
	}
	if sort == "" && reflect.DeepEqual(f, server.PlanQuery{Kind: f.Kind}) && (f.Kind == v1.PlanFilterBackfill || list != "backfill") {
		return list
	}
	return listName(list, sort, f)
}
