package service

import (
	"cmp"
	"context"
	"strings"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Runs implements server.Overview.
func (s *Service) Runs(_ context.Context, id string, page server.Page) ([]v1.Run, server.Next, error) {
	return s.read().runs(id, page)
}

// runs is a page of them. Its cursor names the instance or the plan that the page
// after begins with.
func (r *reading) runs(id string, page server.Page) ([]v1.Run, server.Next, error) {
	if _, err := r.node(id); err != nil {
		return nil, "", err
	}
	list := listName("run", "", id)
	first, err := after(page, list)
	if err != nil {
		return nil, "", err
	}
	w := &runs{reading: r, node: id, most: page.Limit}
	below := uint64(0)
	if first != "" {
		planID, _, within := strings.Cut(first, ".")
		if within {
			w.plan, w.from, err = convert.ParseInstanceID(first)
		}
		id, errPlan := convert.ParsePlanID(planID)
		if cmp.Or(err, errPlan) != nil {
			return nil, "", badCursor()
		}
		below = id + 1
	}
	r.st.Plans(below, w.of)
	if w.next == "" {
		return w.out, "", nil
	}
	return w.out, cursor(list, w.next), nil
}

// runs gathers a page of runs of a node.
type runs struct {
	*reading
	node string
	most int
	plan uint64 // that begins with the instance from; 0: none
	from uint64
	out  []v1.Run
	next string // what the page after begins with; empty: there is none
}

// of goes through a plan, from its latest date to its earliest; false: the page
// ends.
func (w *runs) of(p *state.Plan) bool {
	if !w.glance() {
		w.next = plan.FormatID(p.ID)
		return false
	}
	n, ok := p.NodeIndex(w.node)
	if !ok {
		return true
	}
	c := p.NodeCounts(n)
	if c[state.Succeeded]+c[state.Failed]+c[state.Stopped] == 0 {
		return true
	}
	at, resumed := p.Locate(w.from)
	resumed = resumed && w.plan == p.ID
	step, pos := -1, len(p.Dates)-1
	if p.Request.Order == wire.Request_DESCENDING {
		step, pos = 1, 0
	}
	if resumed {
		pos = at.Pos
	}
	for ; pos >= 0 && pos < len(p.Dates); pos += step {
		w.glance()
		lo, hi := p.NodeRange(pos, n)
		if resumed && pos == at.Pos {
			hi = min(hi, w.from+1)
		}
		for i := hi; i > lo; i-- {
			if !w.one(p, i-1) {
				return false
			}
		}
	}
	return true
}

// one adds an instance if it is a run; false: the page ends before it.
func (w *runs) one(p *state.Plan, i uint64) bool {
	is := false
	switch p.Status(i) {
	case state.Succeeded, state.Failed, state.Stopped:
		is = true
	}
	if !w.glance() || is && (len(w.out) == w.most || !w.spend()) {
		w.next = plan.FormatInstance(p.ID, i)
		return false
	}
	if !is {
		return true
	}
	all := w.st.Attempts(p, i)
	if len(all) == 0 {
		return true
	}
	a := &all[len(all)-1]
	place, _ := p.Locate(i)
	run := v1.Run{
		Instance: plan.FormatInstance(p.ID, i), Backfill: plan.FormatID(p.ID), Kind: kindWord(p), Date: p.Dates[place.Pos].String(),
		ScheduledTime: scheduled(p.Plan, place), State: outcomeWords[a.Outcome], StartedAt: maybe(a.StartedMs), EndedAt: maybe(a.EndedMs),
		Attempts: len(all),
	}
	if a.StartedMs > 0 {
		run.Seconds = float64(a.EndedMs-a.StartedMs) / 1000
	}
	w.out = append(w.out, run)
	return true
}
