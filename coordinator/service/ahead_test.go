package service

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// preview is the first page of a preview.
func (r *rig) preview(req *wire.Request) *v1.Preview {
	r.t.Helper()
	p, err := r.Preview(r.t.Context(), write("preview"), req, server.InstanceFilter{}, server.Page{Limit: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// warned gives the warnings of a code.
func warned(p *v1.Preview, code string) (out []string) {
	for _, w := range p.Warnings {
		if w.Code == code {
			out = append(out, w.Message)
		}
	}
	return out
}

// took lets a node succeed once, in so much time.
func (r *rig) took(node string, d time.Duration) {
	r.t.Helper()
	id := r.submit(backfill(node, "2020-01-01", func(q *wire.Request) { q.Mode = wire.Request_CURRENT }))
	r.start(id, 0)
	l, _ := r.m.State().Lease(id, 0)
	ms := r.clock().UnixMilli()
	r.turn(&wire.Turn{Finishes: []*wire.Finish{{
		Plan: id, Fence: l.Fence, Outcome: wire.Outcome_SUCCEEDED, StartedMs: ms - d.Milliseconds(), EndedMs: ms,
	}}})
}

func TestAPreviewForecastsByPastDurationsAndSlots(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")))
	r.agent("a1", "default", 3, wire.Agent_READY)
	r.took("a", 10*time.Minute)
	r.took("b", 20*time.Minute)
	index := r.log.index
	days := func(more ...func(*wire.Request)) *wire.Request {
		return backfill("a", "2021-01-01..2021-01-06", more...)
	}

	one := r.preview(days()).Forecast
	if one == nil || !one.Complete || one.Mid != 6*1800 || one.Low != one.Mid || one.High != one.Mid {
		t.Errorf("one date after another: %+v", one)
	}
	three := r.preview(days(func(q *wire.Request) { q.Groups = 3 }))
	if f := three.Forecast; f == nil || f.Mid != 2*1800 {
		t.Errorf("three side by side: %+v", f)
	}
	if want := []v1.GroupDemand{{ResourceGroup: "default", Peak: 3, Slots: 3, Instances: 12}}; !reflect.DeepEqual(three.Demand, want) || len(warned(three, "demand")) > 0 {
		t.Errorf("demand: %+v, %q", three.Demand, warned(three, "demand"))
	}
	if r.log.index != index {
		t.Error("a forecast wrote something")
	}
	page, err := r.Preview(t.Context(), write("p"), days(), server.InstanceFilter{}, server.Page{Limit: 1, Cursor: three.Next})
	if err != nil || page.Forecast != nil {
		t.Errorf("a later page has a forecast too: %+v %v", page, err)
	}
}

func TestAPreviewWarnsOfDemandAndOfMoreThanADay(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 4, wire.Agent_READY)
	if _, _, err := r.PutResourceGroup(t.Context(), write("group"), &wire.PutResourceGroup{Name: "default", ReserveForAuto: 2}); err != nil {
		t.Fatal(err)
	}
	r.took("a", 10*time.Hour)
	p := r.preview(backfill("a", "2021-01-01..2021-01-06", func(q *wire.Request) { q.Groups = 6 }))
	if got := warned(p, "demand"); len(got) != 1 ||
		got[0] != `up to 6 slots of resource group "default" could be used at once, and backfills may use 2 of it now: the rest waits` {
		t.Errorf("demand: %q", got)
	}
	if got := warned(p, "forecast"); len(got) != 1 || got[0] != "it is expected to take about 30.0 h (30.0 h to 30.0 h), more than 24 h" {
		t.Errorf("forecast: %q", got)
	}
	capped := r.preview(backfill("a", "2021-01-01..2021-01-02", func(q *wire.Request) { q.Groups, q.MaxRunning = 2, 1 }))
	if len(warned(capped, "demand"))+len(warned(capped, "forecast")) > 0 || capped.Demand[0].Peak != 1 {
		t.Errorf("within its means: %+v", capped.Warnings)
	}
	none := r.preview(backfill("a", "2021-01-01", func(q *wire.Request) { q.ResourceGroup = "nowhere" }))
	if got := warned(none, "forecast"); len(got) != 1 || !strings.Contains(got[0], `resource group "nowhere" has no slot`) || none.Forecast.Complete {
		t.Errorf("without any agent: %q %+v", got, none.Forecast)
	}
}

// TestR7_9_APreviewWarnsOfWhatNoAgentCouldRun: agents may come later.
func TestR7_9_APreviewWarnsOfWhatNoAgentCouldRun(t *testing.T) {
	heavy := asks(daily("h", up("a")), 3)
	r := newRig(t, daily("a"), heavy, asks(daily("g", up("a")), 1, "gpu", "true"))
	r.agent("a1", "default", 2, wire.Agent_READY)
	p := r.preview(backfill("a", "2021-01-01..2021-01-02"))
	want := []string{
		`no agent could run it now: it requires gpu=true, which no agent of resource group "default" has`,
		`no agent could run it now: it needs 3 slots at one agent, and the largest of resource group "default" has 2`,
	}
	got := warned(p, "agents")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f := p.Forecast; f == nil || f.Complete || !strings.Contains(f.Why, "no agent that takes work could hold node") {
		t.Errorf("the forecast is %+v", f)
	}
	if p.Demand[0].Peak != 4 { // of the two after a, one at a time of each
		t.Errorf("the demand is %+v", p.Demand)
	}
	r.agent("a2", "default", 3, wire.Agent_READY)
	if got := warned(r.preview(backfill("h", "2021-01-01")), "agents"); len(got) > 0 {
		t.Errorf("with an agent of three slots: %q", got)
	}
}

func TestR5_6_APreviewNamesTheConflictsToCome(t *testing.T) {
	r, _ := onSchedule(t, 9, daily("a", auto), daily("b", up("a")), daily("hours", auto, hourly))
	r.took("a", 4*time.Hour)
	req := func() *wire.Request {
		return &wire.Request{Mode: wire.Request_ADVANCED, Nodes: []string{"a", "b", "hours"}, Dates: dates("2021-01-01..2021-01-02")}
	}
	p := r.preview(req())
	// a and hours of the 23rd are there and due. The backfill lasts for 20 hours,
	// past the cycles of the night, which are still to be generated.
	var got []string
	for _, c := range p.Conflicts {
		got = append(got, c.Node+" "+c.Date+" "+c.At.Format("02T15:04")+" "+c.Instance)
	}
	want := []string{
		"a 2021-08-23 24T00:00 b1.0", "hours 2021-08-23 24T00:00 b1.1", "hours 2021-08-23 24T01:00 b1.2", "hours 2021-08-23 24T02:00 b1.3",
		"hours 2021-08-23 24T03:00 b1.4", "a 2021-08-24 25T00:00 ", "hours 2021-08-24 25T00:00 ", "hours 2021-08-24 25T01:00 ",
		"hours 2021-08-24 25T02:00 ", "hours 2021-08-24 25T03:00 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if text := warned(p, "conflict"); len(text) != 1 || !strings.Contains(text[0], "10 instances of the schedule are due until 2021-08-25 08:00:00 UTC") {
		t.Errorf("warning: %q", text)
	}
	side := req()
	side.OnConflict = wire.Request_ALLOW
	if p := r.preview(side); len(p.Conflicts)+len(warned(p, "conflict")) > 0 {
		t.Errorf("they run side by side: %+v", p.Conflicts)
	}
	if p := r.preview(backfill("b", "2021-01-01")); len(p.Conflicts) > 0 {
		t.Errorf("the schedule does not run b: %+v", p.Conflicts)
	}
}

func TestR3_3_APreviewListsTheMomentsToCome(t *testing.T) {
	r := newRig(t, daily("a"), daily("hours", hourly, up("a")))
	p := r.preview(backfill("a", "2021-08-22..2021-08-25"))
	day := time.Date(2021, 8, 25, 0, 0, 0, 0, time.UTC)
	want := []v1.DueTime{}
	for d := range 2 {
		for h, n := range []int64{2, 1, 1, 1} { // a and the first of hours, then hours alone
			want = append(want, v1.DueTime{At: day.AddDate(0, 0, d).Add(time.Duration(h) * time.Hour), Instances: n})
		}
	}
	if !reflect.DeepEqual(p.DueTimes, want) {
		t.Errorf("got  %+v\nwant %+v", p.DueTimes, want)
	}
	early := r.preview(backfill("a", "2021-08-25", func(q *wire.Request) { q.RunFutureEarly = true }))
	if want := []v1.DueTime{{At: day.AddDate(0, 0, 1), Instances: 5}}; !reflect.DeepEqual(early.DueTimes, want) {
		t.Errorf("run early: %+v", early.DueTimes)
	}
	if many := r.preview(backfill("hours", "2021-08-25..2022-08-25")); len(many.DueTimes) != 100 || !many.DueTimes[0].At.Equal(day.AddDate(0, 0, 1)) {
		t.Errorf("%d moments from %v", len(many.DueTimes), many.DueTimes[0])
	}
}

func TestR2_9_APreviewNamesWhatTheUserMayNotRun(t *testing.T) {
	a, b, c := daily("a"), daily("b", up("a")), daily("c", up("b"))
	a.Workspace, b.Workspace, c.Workspace = "mine", "theirs", "mine"
	r := newRig(t, a, b, c)
	w := write("preview")
	w.Restricted, w.Workspaces = true, []string{"mine"}
	p, err := r.Preview(t.Context(), w, backfill("a", "2021-01-01", func(q *wire.Request) { q.Nodes = []string{"a", "c"} }), server.InstanceFilter{}, server.Page{Limit: 9})
	if err != nil || !slices.Equal(p.NotPermitted, []string{"b"}) || len(warned(p, "notPermitted")) != 1 || p.Instances[1].DryRun != v1.DryRunReasonNotPermitted {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := r.Preview(t.Context(), w, backfill("b", "2021-01-01"), server.InstanceFilter{}, server.Page{Limit: 9}); !fault.Is(err, fault.Denied) {
		t.Errorf("as the root: %v", err)
	}
}

func TestR2_7_MissingPreviousCyclesAreToldApart(t *testing.T) {
	weekly := daily("w")
	weekly.Schedule = &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1}
	r := newRig(t, daily("a"), weekly, daily("b", previous("a"), up("w")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	done := r.submit(backfill("a", "2021-08-01", func(q *wire.Request) { q.Mode = wire.Request_CURRENT }))
	r.run(done, failed, 0)
	p := r.preview(backfill("b", "2021-08-01..2021-08-02")) // a Sunday: w runs on the Monday after
	if want := []string{
		"the previous cycle of a is outside the backfill and last failed for 2021-08-01: what needs it waits until it succeeds",
		"the previous cycle of a is outside the backfill, was never written for 2021-07-31, and is not waited for",
		"upstream w is outside the backfill and not waited for, and was never written for 2021-08-01",
	}; !slices.Equal(warned(p, "missingUpstream"), want) {
		t.Errorf("%q", warned(p, "missingUpstream"))
	}
	if want := []v1.MissingUpstream{
		{Node: "w", Date: "2021-08-01", NeededBy: "b"}, {Node: "a", Date: "2021-07-31", NeededBy: "b"}, {Node: "a", Date: "2021-08-01", Failed: true, NeededBy: "b"},
	}; !slices.Equal(p.MissingUpstreams, want) {
		t.Errorf("%+v", p.MissingUpstreams)
	}
}

func TestR5_5_APreviewWarnsOfAFailedCycleBefore(t *testing.T) {
	r := newRig(t, daily("a", self), daily("b"))
	r.agent("a1", "default", 9, wire.Agent_READY)
	before := r.submit(backfill("a", "2021-01-09..2021-01-10"))
	r.run(before, ok, 0)
	r.run(before, failed, 1)
	p := r.preview(backfill("a", "2021-01-11..2021-01-12"))
	want := "node a depends on itself, and on 2021-01-10 it last failed outside the backfill: its cycle of 2021-01-11 waits until that one succeeds"
	if got := warned(p, "selfDependency"); !slices.Equal(got, []string{want}) {
		t.Errorf("%q", got)
	}
	if p.Forecast.Complete || !strings.Contains(p.Forecast.Why, "b1.1") {
		t.Errorf("the forecast knows what it waits for: %+v", p.Forecast)
	}
	for _, fine := range []string{"2021-01-10..2021-01-11", "2021-01-13"} {
		if got := warned(r.preview(backfill("a", fine)), "selfDependency"); len(got) > 0 {
			t.Errorf("%s: %q", fine, got)
		}
	}
}
