package service

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func auto(n *wire.Node) { n.Auto = true }

// onSchedule is a rig at noon with an agent and the schedule's instances of the
// day before, whose T was at midnight. The nodes were switched on before that.
func onSchedule(t *testing.T, slots uint32, nodes ...*wire.Node) (r *rig, day uint64) {
	t.Helper()
	r = newRig(t)
	r.pass(-13 * time.Hour)
	r.apply(nodes...)
	day = r.generate("2021-08-23")
	r.pass(13 * time.Hour)
	r.agent("a1", "default", slots, wire.Agent_READY)
	return r, day
}

// contested is a rig at noon in which a backfill's b1.0 runs node a, and the
// schedule's b2.0 became due after that.
func contested(t *testing.T, slots uint32, options ...func(*wire.Request)) (r *rig, id, day uint64) {
	t.Helper()
	r = newRig(t)
	r.pass(-13 * time.Hour)
	r.apply(daily("a", auto))
	r.agent("a1", "default", slots, wire.Agent_READY)
	name := func(q *wire.Request) { q.Name, q.Groups = "repair", 2 }
	id = r.submit(backfill("a", "2021-01-11..2021-01-12", append(options, name)...))
	day = r.generate("2021-08-23")
	r.start(id, 0)
	r.pass(13 * time.Hour)
	return r, id, day
}

// yields has the scheduler decide who makes way.
func (r *rig) yields() []*wire.Yield {
	sch := schedule.New(schedule.Settings{})
	sch.Load(r.m.State(), r.clock().UnixMilli())
	return sch.Yields()
}

func TestR5_6_AConflictIsShownOnBothSides(t *testing.T) {
	for way, then := range map[wire.Request_OnConflict]string{
		wire.Request_YIELD: "it makes way as soon as that gives a slot, 0 of 3 times so far",
		wire.Request_WAIT:  "onConflict is wait, so that it ends first",
		wire.Request_ALLOW: "",
	} {
		t.Run(way.String(), func(t *testing.T) {
			r, id, day := contested(t, 2, func(q *wire.Request) { q.OnConflict = way })
			theirs, ours, other := r.detail(day, 0), r.detail(id, 0), r.detail(id, 1)
			if way == wire.Request_ALLOW {
				if theirs.Reason.Code != v1.ReasonCodeSlot || ours.Conflict != nil || other.Reason.Code != v1.ReasonCodeSlot {
					t.Errorf("they run side by side: %+v %+v", theirs.Reason, other.Reason)
				}
				return
			}
			want := "backfill b1 (repair) runs node a: b1.0 (node a, 2021-01-11); " + then
			if got := theirs.Reason; got == nil || got.Code != v1.ReasonCodeConflict || got.Text != want || got.Instance != "b1.0" {
				t.Errorf("the schedule's:\ngot  %+v\nwant %s", got, want)
			}
			want = "the schedule's b2.0 (node a, 2021-08-23) waits for this one: " + then
			if got := ours.Conflict; ours.Reason != nil || got == nil || got.Text != want || got.Instance != "b2.0" {
				t.Errorf("the backfill's:\ngot  %+v\nwant %s", got, want)
			}
			want = "the schedule has node a: b2.0 (node a, 2021-08-23) is ready and goes first"
			if got := other.Reason; got == nil || got.Code != v1.ReasonCodeConflict || got.Text != want {
				t.Errorf("the one that does not run:\ngot  %+v\nwant %s", got, want)
			}
		})
	}
}

func TestR5_6_YieldsAreCountedUntilTheLastOfThree(t *testing.T) {
	r, id, day := contested(t, 1)
	r.Start()
	t.Cleanup(r.Stop)
	from := r.hub.newest()
	for n := 1; n <= 3; n++ {
		yields := r.yields()
		if len(yields) != 1 || yields[0].Plan != id {
			t.Fatalf("yield %d: %+v", n, yields)
		}
		r.turn(&wire.Turn{Yields: yields})
		want := "it is being stopped to make way, for the " + ordinal(n) + " of 3 times"
		for _, reason := range []*v1.Reason{r.detail(day, 0).Reason, r.detail(id, 0).Conflict} {
			if reason == nil || !strings.HasSuffix(reason.Text, want) || reason.Used != n || reason.Limit != 3 {
				t.Errorf("yield %d: %+v, want %s", n, reason, want)
			}
		}
		r.finish(id, wire.Outcome_STOPPED, "", 0)
		d := r.detail(id, 0)
		if d.Yields != n || d.Attempts[n-1].State != v1.AttemptStateYielded || d.Instance.State != v1.StateNotRunning {
			t.Errorf("after yield %d: %+v", n, d)
		}
		has(t, d.Reason.Text, "the schedule has node a: b2.0 (node a, 2021-08-23) is ready and goes first; this one has made way ", string(rune('0'+n))+" of 3 times")
		r.start(id, 0) // as if the schedule's had gone first and another were ready
	}
	if yields := r.yields(); len(yields) != 0 {
		t.Fatalf("it made way a fourth time: %+v", yields)
	}
	for _, reason := range []*v1.Reason{r.detail(day, 0).Reason, r.detail(id, 0).Conflict} {
		if reason == nil || !strings.HasSuffix(reason.Text, "it has made way 3 of 3 times and ends first now") {
			t.Errorf("after three: %+v", reason)
		}
	}
	conflicts := 0
	r.told(from, func(e *v1.Event) bool {
		if e.Type == v1.EventTypeConflict {
			conflicts++
			if e.Instance != "b1.0" || e.Other != "b2.0" || e.Node != "a" || e.Text == "" {
				t.Errorf("event: %+v", e)
			}
		}
		return conflicts < 3
	})
}

func TestR5_3_ThePreviousCycleIsNamedWithItsPlan(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", previous("a")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	one := func(name string) func(*wire.Request) {
		return func(q *wire.Request) { q.Mode, q.Name = wire.Request_CURRENT, name }
	}
	first := r.submit(backfill("a", "2021-01-10", one("first")))
	r.run(first, failed, 0)
	id := r.submit(backfill("b", "2021-01-11", one("second")))
	want := v1.Reason{Code: v1.ReasonCodePreviousCycle, Instance: "b1.0", Backfill: "b1",
		Text: "previous cycle b1.0 (node a, 2021-01-10) of backfill b1 (first), has failed"}
	if got := r.detail(id, 0).Reason; got == nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	both := r.submit(&wire.Request{Mode: wire.Request_ADVANCED, Nodes: []string{"a", "b"}, Gate: wire.Request_NONE, Dates: dates("2021-02-10..2021-02-11")})
	p, _ := r.m.State().Plan(both)
	n, _ := p.NodeIndex("b")
	i, _ := p.NodeRange(1, n)
	got := r.detail(both, i).Reason
	if got == nil || got.Code != v1.ReasonCodePreviousCycle || got.Backfill != "b3" || !strings.Contains(got.Text, "(node a, 2021-02-10) has not started") {
		t.Errorf("in the backfill: %+v", got)
	}
}

func TestR5_5_TheScheduleWaitsForItsOwnDayBefore(t *testing.T) {
	r := newRig(t)
	r.pass(-37 * time.Hour)
	r.apply(daily("a", auto, self))
	r.agent("a1", "default", 9, wire.Agent_READY)
	first, second := r.generate("2021-08-22"), r.generate("2021-08-23")
	r.pass(37 * time.Hour)
	r.run(first, failed, 0)
	if got := r.detail(second, 0).Reason; got == nil || got.Code != v1.ReasonCodeSelfDependency ||
		got.Text != "its own cycle before, b1.0 (node a, 2021-08-22) of day b1 (schedule_20210822), has failed" {
		t.Errorf("%+v", got)
	}
	repair := r.submit(backfill("a", "2021-08-22"))
	r.run(repair, ok, 0) // a repair counts
	if got := r.detail(second, 0).Reason; got == nil || got.Code != v1.ReasonCodeSlot {
		t.Errorf("after the repair: %+v", got)
	}
}

func TestR7_5_WhatBackfillsMayUseIsTheReason(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 10, wire.Agent_READY)
	if _, _, err := r.PutResourceGroup(t.Context(), write("group"), &wire.PutResourceGroup{Name: "default", ReserveForAuto: 7, BackfillMaxShare: 50}); err != nil {
		t.Fatal(err)
	}
	id := r.submit(backfill("a", "2021-01-01..2021-01-05", func(q *wire.Request) { q.Groups = 5 }))
	r.start(id, 0, 1, 2)
	got := r.detail(id, 3).Reason
	want := `waits for a slot of resource group "default" that backfills may use: 3 of 3 used (10 slots in all, 7 reserved for the schedule, backfills have at most 50 %), 1st in line`
	if got == nil || got.Code != v1.ReasonCodeSlot || got.Used != 3 || got.Limit != 3 || got.Place != 1 || got.Text != want {
		t.Errorf("got  %+v\nwant %s", got, want)
	}
}

func TestR3_4_OutsideTheWindowTheReasonSaysWhenItOpens(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-11", func(q *wire.Request) {
		q.Period, q.Zone = &wire.Period{Start: 22 * 3600, End: 6 * 3600}, "Asia/Shanghai" // 14:00 to 22:00 UTC
	}))
	d := r.detail(id, 0)
	if d.Instance.State != v1.StateWaitingTime || d.Reason.Code != v1.ReasonCodeWindow || !d.Reason.Until.Equal(r.clock().Add(2*time.Hour)) ||
		d.Reason.Text != "outside its execution period, daily 22:00 to 06:00, Asia/Shanghai: it opens at 2021-08-24 14:00:00 UTC" {
		t.Errorf("%+v %+v", d.Instance, d.Reason)
	}
	r.pass(2 * time.Hour)
	if d := r.detail(id, 0); d.Reason.Code != v1.ReasonCodeSlot {
		t.Errorf("when it is open: %+v", d.Reason)
	}
}

func TestR6_PausedNodesStayFrozenAndSayWhy(t *testing.T) {
	paused := daily("a", auto)
	paused.Mode = wire.Node_PAUSED
	r, day := onSchedule(t, 9, paused)
	id := r.submit(backfill("a", "2021-01-11", func(q *wire.Request) { q.PausedNodes = wire.Request_KEEP }))
	for planID, want := range map[uint64]string{
		day: "frozen: node a is paused, and the schedule does not run it: unfreeze it to go on",
		id:  "frozen: node a is paused, and the backfill keeps it so: unfreeze it to go on",
	} {
		d := r.detail(planID, 0)
		if d.Instance.State != v1.StateFrozen || d.Reason.Code != v1.ReasonCodeFrozen || d.Reason.Text != want {
			t.Errorf("%+v", d.Reason)
		}
	}
	normal := r.submit(backfill("a", "2021-01-12"))
	if d := r.detail(normal, 0); d.Reason.Code != v1.ReasonCodeSlot {
		t.Errorf("a backfill that runs it as a normal node: %+v", d.Reason)
	}
	r.do(operation(wire.Operate_FREEZE, normal, 0))
	if got := r.detail(normal, 0).Reason; got.By != "ann" || got.Since == nil || got.Text != "frozen by ann at 2021-08-24 12:00:00 UTC: unfreeze it to go on" {
		t.Errorf("frozen by hand: %+v", got)
	}
}

func TestR1_3_OffScheduleCyclesAreDryRunsOneByOne(t *testing.T) {
	weekly := daily("w")
	weekly.Schedule = &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1} // Mondays
	r := newRig(t, weekly)
	id := r.submit(backfill("w", "2021-08-01..2021-08-07")) // a Sunday first
	list, _, err := r.Instances(t.Context(), id, server.InstanceFilter{}, server.Page{Limit: 9})
	if err != nil || len(list) != 7 {
		t.Fatal(list, err)
	}
	for _, one := range list {
		if want := one.Date != "2021-08-01"; (one.DryRun == v1.DryRunReasonOffSchedule) != want {
			t.Errorf("%s: %q", one.Date, one.DryRun)
		}
	}
	p, err := r.Preview(t.Context(), write("p"), backfill("w", "2021-08-01..2021-08-07"), server.InstanceFilter{}, server.Page{Limit: 9})
	if err != nil || p.Totals.DryRun != 6 || p.Instances[0].DryRun != "" || p.Instances[1].DryRun != v1.DryRunReasonOffSchedule {
		t.Errorf("preview: %+v %v", p, err)
	}
}

func TestTheScheduleIsListedApart(t *testing.T) {
	r, day := onSchedule(t, 9, daily("a", auto))
	r.submit(backfill("a", "2021-01-11"))
	r.generate("2021-08-24")
	for kind, want := range map[v1.PlanFilter][]string{
		v1.PlanFilterBackfill: {"b2"}, v1.PlanFilterAuto: {"b3", "b1"}, v1.PlanFilterAll: {"b3", "b2", "b1"},
	} {
		list, _, err := r.Backfills(t.Context(), server.PlanQuery{Kind: kind}, server.Page{Limit: 9})
		var ids []string
		for _, b := range list {
			ids = append(ids, b.ID)
			if b.ID == "b2" && (b.Nodes != 1 || b.Dates != 1 || b.FirstDate != "2021-01-11" || b.LastDate != b.FirstDate) {
				t.Errorf("%+v", b)
			}
			if want := b.ID != "b2"; (b.Kind == v1.PlanKindAuto) != want {
				t.Errorf("%s is %s", b.ID, b.Kind)
			}
		}
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("%s: %v %v", kind, ids, err)
		}
	}
	days, err := r.Schedule(t.Context(), server.PlanQuery{}, server.Page{Limit: 1})
	if err != nil || days.GeneratedThrough != "2021-08-24" || len(days.Items) != 1 || days.Items[0].Date != "2021-08-24" || days.Next == "" {
		t.Fatalf("%+v %v", days, err)
	}
	more, err := r.Schedule(t.Context(), server.PlanQuery{}, server.Page{Limit: 1, Cursor: days.Next})
	if err != nil || len(more.Items) != 1 || more.Items[0].Date != "2021-08-23" || more.Items[0].Plan.Name != "schedule_20210823" {
		t.Errorf("%+v %v", more, err)
	}
	some, err := r.Schedule(t.Context(), server.PlanQuery{To: ref("2021-08-23")}, server.Page{Limit: 9})
	if err != nil || len(some.Items) != 1 {
		t.Errorf("until the 23rd: %+v %v", some, err)
	}
	if d := r.detail(day, 0); d.Instance.Kind != v1.PlanKindAuto || d.Reason.Code != v1.ReasonCodeSlot {
		t.Errorf("%+v", d)
	}
	if b, err := r.Backfill(t.Context(), day); err != nil || b.Summary.Kind != v1.PlanKindAuto || !b.Request.Mode.Valid() || b.Receipt.Generated != 1 {
		t.Errorf("shown like a backfill: %+v %v", b, err)
	}
}

func TestR10_1_WhatHasExpiredIsGoneAndTold(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-11", func(q *wire.Request) { q.Mode = wire.Request_CURRENT }))
	r.run(id, failed, 0)
	r.Start()
	t.Cleanup(r.Stop)
	from := r.hub.newest()
	if _, _, err := r.log.Propose(t.Context(), &wire.Command{Body: &wire.Command_Expire{Expire: &wire.Expire{Plans: []uint64{id}}}}); err != nil {
		t.Fatal(err)
	}
	r.told(from, func(e *v1.Event) bool {
		return e.Text != "backfill b1 (a_20210824_1) has expired: its instances are forgotten"
	})
	if _, err := r.Backfill(t.Context(), id); !fault.Is(err, fault.NotFound) {
		t.Errorf("it is still shown: %v", err)
	}
	// What its cycles came to outlives it (RULES R2.7).
	p, err := r.Preview(t.Context(), write("p"), backfill("b", "2021-01-11"), server.InstanceFilter{}, server.Page{Limit: 1})
	want := []v1.MissingUpstream{{Node: "a", Date: "2021-01-11", Failed: true, NeededBy: "b"}}
	if err != nil || !slices.Equal(p.MissingUpstreams, want) {
		t.Errorf("%+v %v", p.MissingUpstreams, err)
	}
}

func TestR9_OperationsAndTheScheduleAreTold(t *testing.T) {
	r := newRig(t, daily("a", auto))
	r.Start()
	t.Cleanup(r.Stop)
	from := r.hub.newest()
	id := r.submit(backfill("a", "2021-01-11..2021-01-12"))
	w := write("freeze")
	w.Why = "the source is late"
	if _, err := r.Operate(t.Context(), w, operation(wire.Operate_FREEZE, id, 1)); err != nil {
		t.Fatal(err)
	}
	groups := int32(2)
	if _, err := r.Edit(t.Context(), write("edit"), &wire.EditPlan{Plan: id, Groups: &groups}, false); err != nil {
		t.Fatal(err)
	}
	r.generate("2021-08-24")
	r.apply(daily("late", auto))
	r.generate("2021-08-24")
	want := []v1.Event{
		{Type: v1.EventTypeOperation, Operation: v1.OperationKindFreeze, Actor: "ann", Instance: "b1.1", Backfill: "b1",
			Text: "freeze by ann at 2021-08-24 12:00:00 UTC (the source is late): 1 instance"},
		{Type: v1.EventTypeOperation, Operation: v1.OperationKindEdit, Actor: "ann", Backfill: "b1",
			Text: "edit by ann at 2021-08-24 12:00:00 UTC: 0 instances, groups: 1 → 2"},
	}
	generated := false
	r.told(from, func(e *v1.Event) bool {
		generated = generated || e.Text == "the schedule's instances of 2021-08-24 were generated"
		if e.Type == v1.EventTypeOperation {
			got := *e
			got.ID, got.At = "", time.Time{}
			if len(want) == 0 || !reflect.DeepEqual(got, want[0]) {
				t.Errorf("got %+v, want %+v", got, want)
			} else {
				want = want[1:]
			}
		}
		return e.Text != "extended: the schedule got more nodes"
	})
	if len(want) > 0 || !generated {
		t.Errorf("not told: %+v, generated %v", want, generated)
	}
}
