package service

import (
	"context"
	"strings"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Runs implements server.Overview. The cursor names the instance that was looked at
// last, or the plan that was gone through last.
func (s *Service) Runs(_ context.Context, id string, page server.Page) ([]v1.Run, server.Next, error) {
	r := s.read()
	if _, err := r.node(id); err != nil {
		return nil, "", err
	}
	list := listName("run", "", id)
	last, err := after(page, list)
	if err != nil {
		return nil, "", err
	}
	w := &runs{reading: r, node: id, most: page.Limit}
	below := uint64(0)
	switch {
	case strings.Contains(last, "."):
		w.plan, w.from, err = convert.ParseInstanceID(last)
		below = w.plan + 1
	case last != "":
		below, err = convert.ParsePlanID(last)
	}
	if err != nil {
		return nil, "", badCursor()
	}
	r.st.Plans(below, w.of)
	if w.last == "" {
		return w.out, "", nil
	}
	return w.out, cursor(list, w.last), nil
}

// runs gathers a page of runs of a node.
type runs struct {
	*reading
	node string
	most int
	plan uint64 // in which to go on after the instance from; 0: none
	from uint64
	out  []v1.Run
	last string // where the page ended; empty: at the end of all
}

// of goes through a plan, from its latest date to its earliest; false: the page
// ends.
func (w *runs) of(p *state.Plan) bool {
	if !w.glance() {
		w.last = plan.FormatID(p.ID + 1)
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
			hi = min(hi, w.from)
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
	switch p.Status(i) {
	case state.Succeeded, state.Failed, state.Stopped:
	default:
		w.glance()
		return true
	}
	if len(w.out) == w.most || !w.glance() || !w.spend() {
		w.last = plan.FormatInstance(p.ID, i+1)
		return false
	}
	all := w.st.Attempts(p, i)
	if len(all) == 0 {
		return true
	}
	a, place := &all[len(all)-1], plan.Place{}
	place, _ = p.Locate(i)
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
