package service

import (
	"slices"
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// A request looks at so much, and says that there is more.
func TestOverviewsAreBounded(t *testing.T) {
	r := newRig(t, daily("m", everyMinute), daily("a"), daily("h", up("a"), hourly))
	from := date("2019-01-01")
	for last, whole := range map[string]bool{"2019-04-01": true, "2021-12-31": false} {
		to := date(last)
		c, err := r.Coverage(t.Context(), "m", &from, &to)
		if err != nil || c.Incomplete == whole || len(c.Items) != 0 {
			t.Errorf("to %s: %+v, %v", to, c, err)
		}
	}
	r.agent("a1", "default", 1000, wire.Agent_READY)
	ids := []uint64{}
	for _, order := range []wire.Request_Order{wire.Request_ASCENDING, wire.Request_DESCENDING} {
		id := r.submit(backfill("a", "2021-08-01..2021-08-05", ungated, func(q *wire.Request) { q.Order = order }))
		p, _ := r.m.State().Plan(id)
		var all []uint64
		for i := range p.Size() {
			if i%4 > 0 {
				all = append(all, i)
			}
		}
		r.force(id, all)
		r.run(id, wire.Outcome_FAILED, all...)
		ids = append(ids, id)
	}
	whole, _, err := r.Runs(t.Context(), "h", server.Page{Limit: 1000})
	if err != nil || len(whole) < 10 {
		t.Fatal(whole, err)
	}
	var parts []v1.Run
	for page := (server.Page{Limit: 1000}); ; {
		one := r.read()
		one.glances = 7
		items, next, err := one.runs("h", page)
		if err != nil || len(items) > 7 {
			t.Fatal(items, err)
		}
		parts = append(parts, items...)
		if page.Cursor = next; next == "" {
			break
		}
	}
	if !slices.EqualFunc(parts, whole, func(a, b v1.Run) bool { return a.Instance == b.Instance }) {
		t.Errorf("in small pages: %v\nexpected %v", parts, whole)
	}
	p, _ := r.m.State().Plan(ids[0])
	counts := p.Total()
	total := int64(counts[state.Failed])
	one := r.read()
	one.glances = 3 * failureGlances
	f, err := one.failures(p.ID, 10)
	if err != nil || !f.Incomplete || f.Instances != total || f.Items[0].Instances != 3 {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := r.Failures(t.Context(), p.ID, 10); err != nil || f.Incomplete || f.Items[0].Instances != f.Instances {
		t.Errorf("%+v, %v", f, err)
	}
}

// A plan that stands still is drawn once.
func TestAMapIsDrawnAnewWhenItsPlanHasChanged(t *testing.T) {
	r := newRig(t, daily("a"), daily("x"))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-08-01..2021-08-03", ungated))
	draw := func(rows int) *v1.BackfillMap {
		m, err := r.Map(t.Context(), id, server.MapWindow{Rows: rows, Columns: 10, DateCount: 2})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := draw(10)
	r.submit(backfill("x", "2021-08-01"))
	if draw(10) != first {
		t.Error("drawn again although nothing of it has changed")
	}
	if m, err := r.Map(t.Context(), id, server.MapWindow{Rows: 10, Columns: 1}); err != nil || len(m.Cells) != 1 {
		t.Errorf("another window: %+v, %v", m, err)
	}
	r.start(id, 0)
	if got := draw(10); got == first || urgency[got.Cells[0]] != v1.MapStateRunning || urgency[first.Cells[0]] != v1.MapStateWaiting {
		t.Errorf("%v, before %v", got.Cells, first.Cells)
	}
	for from := range 2 * drawnMost {
		if _, err := r.Map(t.Context(), id, server.MapWindow{Rows: 1, Columns: 1, DateFrom: from % 3}); err != nil || len(r.maps.maps) > drawnMost {
			t.Fatal(len(r.maps.maps), err)
		}
	}
}
