package service

import (
	"context"
	"slices"
	"sync"
	"weak"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
)

// urgency is what a cell of a map says, the most urgent first. What waits is not
// told apart by what it waits for: that takes a check of the rules for each.
var urgency = []v1.MapState{
	v1.MapStateFailed, v1.MapStateRunning, v1.MapStateRetrying, v1.MapStateFrozen, v1.MapStateWaiting, v1.MapStateSucceeded, v1.MapStateDryRun,
}

// urgent are the places of statuses in urgency.
var urgent = state.Ranks{
	state.Failed: 0, state.Stopped: 0, state.Running: 1, state.Retrying: 2, state.Frozen: 3, state.Missed: 3, state.Pending: 4, state.Again: 4,
	state.Succeeded: 5, state.SetToSuccess: 5, state.DryRun: 6,
}

// Map implements server.Overview.
func (s *Service) Map(_ context.Context, planID uint64, asked server.MapWindow) (*v1.BackfillMap, error) {
	p, err := s.read().plan(planID)
	if err != nil {
		return nil, err
	}
	w := state.Window{NodeFrom: asked.NodeFrom, DateFrom: asked.DateFrom}
	if w.Nodes, err = part("node", asked.NodeFrom, asked.NodeCount, len(p.Nodes)); err != nil {
		return nil, err
	}
	if w.Dates, err = part("date", asked.DateFrom, asked.DateCount, len(p.Dates)); err != nil {
		return nil, err
	}
	w.Rows, w.Columns = min(w.Nodes, asked.Rows), min(w.Dates, asked.Columns)
	return s.maps.of(p, w, func() *v1.BackfillMap { return draw(p, w) }), nil
}

func draw(p *state.Plan, w state.Window) *v1.BackfillMap {
	out := &v1.BackfillMap{
		Backfill: plan.FormatID(p.ID), Nodes: len(p.Nodes), Dates: len(p.Dates),
		NodeFrom: w.NodeFrom, NodeCount: w.Nodes, DateFrom: w.DateFrom, DateCount: w.Dates, Rows: w.Rows, Columns: w.Columns,
		RowNodes: make([]string, w.Rows), ColumnDates: make([]v1.Date, w.Columns), ColumnGroups: make([]int, w.Columns),
		Legend: urgency, Cells: p.Map(w, &urgent),
	}
	for r := range out.RowNodes {
		out.RowNodes[r] = p.Nodes[w.Row(r)].Spec.Id
	}
	for c := range out.ColumnDates {
		pos := w.Column(c)
		out.ColumnDates[c], out.ColumnGroups[c] = p.Dates[pos].String(), p.Group(pos)+1
	}
	return out
}

// drawn are the maps that were drawn last. A plan is another value as soon as
// anything of it has changed, so that one that stands still is drawn once for all who
// look at it again and again.
type drawn struct {
	mu   sync.Mutex
	maps []drawnMap // the newest last
}

type drawnMap struct {
	of  weak.Pointer[state.Plan] // not kept alive by this
	w   state.Window
	out *v1.BackfillMap
}

const drawnMost = 4

func (d *drawn) of(p *state.Plan, w state.Window, draw func() *v1.BackfillMap) *v1.BackfillMap {
	of := weak.Make(p)
	d.mu.Lock()
	for _, m := range d.maps {
		if m.of == of && m.w == w {
			d.mu.Unlock()
			return m.out
		}
	}
	d.mu.Unlock()
	out := draw()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.maps) == drawnMost {
		d.maps = slices.Delete(d.maps, 0, 1)
	}
	d.maps = append(d.maps, drawnMap{of, w, out})
	return out
}

// part is how much of a plan's nodes or dates a window has.
func part(what string, from, count, all int) (int, error) {
	switch {
	case from >= all:
		return 0, fault.Field(what+"From", "the backfill has %d %ss, numbered from 0: expected less than that", all, what)
	case count == 0 || count > all-from:
		return all - from, nil
	default:
		return count, nil
	}
}
