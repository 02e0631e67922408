package plan_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

type editOption func(*wire.EditPlan)

func dateRanges(s string) []*wire.DateRange { return backfill("", s).Dates }

func addDates(s string) editOption  { return func(e *wire.EditPlan) { e.AddDates = dateRanges(s) } }
func dropDates(s string) editOption { return func(e *wire.EditPlan) { e.DropDates = dateRanges(s) } }
func addNodes(ids ...string) editOption {
	return func(e *wire.EditPlan) { e.AddNodes = ids }
}

func dropNodes(ids ...string) editOption {
	return func(e *wire.EditPlan) { e.DropNodes = ids }
}

func toGroups(n int32) editOption { return func(e *wire.EditPlan) { e.Groups = &n } }

// editOn changes a plan two days after it was accepted.
func editOn(t testing.TB, p *plan.Plan, g *node.Graph, options ...editOption) (*plan.Plan, plan.Difference, error) {
	t.Helper()
	today := date("2021-08-26")
	e := &wire.EditPlan{Today: int32(today), MaxGroups: 10}
	for _, o := range options {
		o(e)
	}
	zones, err := plan.EditZones(p, e, g, today, time.LoadLocation)
	if err != nil {
		return nil, plan.Difference{}, err
	}
	e.Zones = zones
	return p.Edit(e, plan.EditInput{
		NowMs: ms("2021-08-26 12:00:00"), Graph: g, Version: func(string) uint64 { return 7 },
		Scope: node.Scope{Restricted: true, Allowed: map[string]bool{"default": true}},
	})
}

func edited(t testing.TB, p *plan.Plan, g *node.Graph, options ...editOption) (*plan.Plan, plan.Difference) {
	t.Helper()
	out, d, err := editOn(t, p, g, options...)
	if err != nil {
		t.Fatal(err)
	}
	return out, d
}

func TestR1_6_WhatIsAddedGetsNewNumbers(t *testing.T) {
	g := graphOf(t, daily("a"), daily("b", up("a")), daily("c", up("b")))
	p := build(t, g, backfill("a", "2021-01-11..2021-01-12", only("c"), func(r *wire.Request) { r.Mode, r.Nodes = wire.Request_CURRENT, nil }))
	before := p.Record()
	q, d := edited(t, p, g, addDates("2021-01-10 2021-01-14"), addNodes("c"))
	want := []string{
		"a 01-11", "a 01-12", // as they were
		"a 01-10", "b 01-10", "c 01-10", "a 01-14", "b 01-14", "c 01-14", // the added dates
		"b 01-11", "c 01-11", "b 01-12", "c 01-12", // the added nodes
	}
	if got := labels(q, 0, q.Size()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if days(q, 0, 4) != "01-10 01-11 01-12 01-14" {
		t.Errorf("dates %s", days(q, 0, 4))
	}
	var of11 []string
	for from, to := range q.Ranges(1) {
		of11 = append(of11, labels(q, from, to)...)
	}
	if fmt.Sprint(of11) != "[a 01-11 b 01-11 c 01-11]" || q.DateSize(1) != 3 || q.NodeSize(0) != 4 {
		t.Errorf("01-11 has %q, %d in all, a %d", of11, q.DateSize(1), q.NodeSize(0))
	}
	if d.First != 2 || d.Added != 10 || !slices.Equal(d.Positions, []int{1, 2}) || !slices.Equal(d.Nodes, []int{0}) {
		t.Errorf("the difference is %+v", d)
	}
	if !slices.Equal(d.AddedNodes, []string{"b", "c"}) || q.Nodes[1].DryRun != wire.DryRun_NOT_CHOSEN || q.Nodes[2].DryRun != wire.DryRun_DRY_RUN_NONE {
		t.Errorf("b keeps the order between a and c: added %q, b %v, c %v", d.AddedNodes, q.Nodes[1].DryRun, q.Nodes[2].DryRun)
	}
	if q.Nodes[2].Version != 7 || q.Nodes[2].Level != 2 {
		t.Errorf("c: %+v", q.Nodes[2])
	}
	if waits(t, q, "c 01-11") != "b 01-11" {
		t.Error("an added node must wait for its upstreams")
	}
	// A date's gate is all of it, whatever block it is in.
	if from, to, before := q.Gate(find(t, q, "a 01-12")); from == to || before != 1 {
		t.Errorf("a on 01-12 has to wait behind %d to %d of position %d", from, to, before)
	}
	if !proto.Equal(before, p.Record()) {
		t.Error("the edit has changed the plan that it began with")
	}
}

func TestR7_2_R3_3_ABlockHasItsOwnAcceptance(t *testing.T) {
	g := graphOf(t, daily("a", priority(8), at("18:00"), param("on", "$[yyyymmdd]")))
	p := build(t, g, backfill("a", "2021-08-23", early)) // accepted on 08-24, changed on 08-26
	q, _ := edited(t, p, g, addDates("2021-08-24..2021-08-25"))
	for on, want := range map[string]string{
		"a 08-23": "priority 8, due 2021-08-24 00:00:00, generated 2021-08-24",
		"a 08-24": "priority 3, due 2021-08-25 18:00:00, generated 2021-08-26", // past by then
		"a 08-25": "priority 8, due 2021-08-26 00:00:00, generated 2021-08-26",
	} {
		l := find(t, q, on)
		if got := fmt.Sprintf("priority %d, due %s, generated %s", q.Priority(l), utc(q.DueMs(l)), q.Context(l).Generated); got != want {
			t.Errorf("%s: %s; want %s", on, got, want)
		}
	}
}

func TestR9_DroppedDatesAndNodesBecomeDryRuns(t *testing.T) {
	g := graphOf(t, daily("a"), daily("b", up("a")))
	p := build(t, g, backfill("a", "2021-01-11..2021-01-12"))
	q, d := edited(t, p, g, dropDates("2021-01-11"))
	if q.Size() != p.Size() || d.Added != 0 || len(d.DroppedDates) != 1 {
		t.Errorf("%d instances of %d, %+v", q.Size(), p.Size(), d)
	}
	dry := func(p *plan.Plan) string {
		var out []string
		for i := range p.Size() {
			if at, _ := p.Locate(i); p.Dry(at) == wire.DryRun_DROPPED {
				out = append(out, label(p, i))
			}
		}
		return strings.Join(out, ", ")
	}
	if got := dry(q); got != "a 01-11, b 01-11" {
		t.Errorf("dry runs: %s", got)
	}
	if q, _ = edited(t, q, g, dropNodes("b")); dry(q) != "a 01-11, b 01-11, b 01-12" {
		t.Errorf("dry runs: %s", dry(q))
	}
	if got := q.Totals(); got.DryRun != 3 {
		t.Errorf("%d dry runs counted", got.DryRun)
	}
	// What is added later has neither the dropped date nor the dropped node.
	q, d = edited(t, q, g, addDates("2021-01-13"))
	if got := labels(q, d.First, q.Size()); fmt.Sprint(got) != "[a 01-13]" {
		t.Errorf("added %q", got)
	}
	pos, _ := q.Position(date("2021-01-13"))
	b, _ := q.NodeIndex("b")
	if from, to := q.NodeRange(pos, b); from != to {
		t.Errorf("b, dropped before, has %d to %d on the added date", from, to)
	}
	if _, ok := q.Find("b", date("2021-01-13"), ms("2021-01-14 00:00:00")/1000); ok {
		t.Error("and can be found there")
	}
}

func TestR9_R4_2_GroupsAreSplitAgain(t *testing.T) {
	g := graphOf(t, daily("a"))
	p := build(t, g, backfill("a", "2021-01-11..2021-01-12 2021-01-14", groups(3)))
	q, d := edited(t, p, g, toGroups(2), addDates("2021-01-13"))
	if days(q, q.Groups[0].From, q.Groups[0].To) != "01-11 01-12" || days(q, q.Groups[1].From, q.Groups[1].To) != "01-13 01-14" {
		t.Errorf("groups %v of %s", q.Groups, days(q, 0, 4))
	}
	if got := d.String(); got != "groups: 3 → 2; dates added: 2021-01-13; 1 instances more" {
		t.Errorf("the difference reads %q", got)
	}
	if p.Request.Groups != 3 {
		t.Error("the request of the plan before was changed")
	}
}

func TestR9_OptionsOfAnEdit(t *testing.T) {
	g := graphOf(t, daily("a", group("etl")))
	p := build(t, g, backfill("a", "2021-01-11", period(wire.Period_WEEKEND, "22:00", "06:00", "")))
	set := func(e *wire.EditPlan) {
		running, group, priority := int32(4), "spare", int32(8)
		e.MaxRunning, e.ResourceGroup, e.Priority = &running, &group, &priority
		e.Period = &wire.Period{Start: 3600, End: 24 * 3600}
	}
	q, d := edited(t, p, g, set)
	const want = "maxRunning: 0 → 4; priority: 0 → 8; resourceGroup: each node's own → spare; period: weekend 22:00–06:00 → daily 01:00–24:00"
	if d.String() != want {
		t.Errorf("got %q, want %q", d.String(), want)
	}
	if q.Request.MaxRunning != 4 || q.ResourceGroup(0) != "spare" || q.Priority(plan.Place{}) != 8 {
		t.Errorf("%v", q.Request)
	}
	if got := utc(q.WindowOpens(ms("2021-08-26 00:30:00"))); got != "2021-08-26 01:00:00" {
		t.Errorf("the window opens %s", got)
	}
	q, _ = edited(t, q, g, func(e *wire.EditPlan) { e.AnyTime = true })
	if now := ms("2021-08-26 00:30:00"); q.WindowOpens(now) != now {
		t.Error("any time has a window")
	}
}

func TestR9_AnEditIsRefusedByField(t *testing.T) {
	g := graphOf(t, daily("a"), daily("b", up("a")), daily("far", up("a"), func(n *wire.Node) { n.Workspace = "theirs" }))
	p := build(t, g, backfill("a", "2021-01-11..2021-01-12", only("b")))
	p, _ = edited(t, p, g, dropDates("2021-01-11"))
	for _, c := range []struct {
		name    string
		options []editOption
		field   string
		code    fault.Code
		words   string
	}{
		{"nothing", nil, "", fault.Invalid, "name something to change"},
		{"as it is", []editOption{toGroups(1)}, "", fault.Invalid, "as it is"},
		{"no group", []editOption{toGroups(0)}, "groups", fault.Invalid, "0 groups"},
		{"eleven groups", []editOption{toGroups(11)}, "groups", fault.Invalid, "1 to 10"},
		{"a cap below none", []editOption{func(e *wire.EditPlan) { n := int32(-1); e.MaxRunning = &n }}, "maxRunning", fault.Invalid, ""},
		{"no priority", []editOption{func(e *wire.EditPlan) { n := int32(4); e.Priority = &n }}, "priority", fault.Invalid, "1, 2, 3, 5, 7 or 8"},
		{"a period of no length", []editOption{func(e *wire.EditPlan) { e.Period = &wire.Period{} }}, "period.end", fault.Invalid, ""},
		{"a period and any time", []editOption{func(e *wire.EditPlan) { e.Period, e.AnyTime = &wire.Period{End: 3600}, true }}, "period", fault.Invalid, "one of the two"},
		{"dates that it has", []editOption{addDates("2021-01-12")}, "addDates", fault.Invalid, "has them all"},
		{"a date that was dropped", []editOption{addDates("2021-01-10..2021-01-11")}, "addDates", fault.Invalid, "2021-01-11 was dropped"},
		{"a range that ends first", []editOption{addDates("2021-01-13..2021-01-11")}, "addDates[0]", fault.Invalid, "swap"},
		{"a date that it has not", []editOption{dropDates("2021-01-13")}, "dropDates", fault.Invalid, "not in the backfill"},
		{"a date dropped before", []editOption{dropDates("2021-01-11")}, "dropDates", fault.Invalid, "dropped already"},
		{"one date both ways", []editOption{addDates("2021-01-13"), dropDates("2021-01-13")}, "dropDates", fault.Invalid, "one of the two"},
		{"all dates", []editOption{dropDates("2021-01-12")}, "dropDates", fault.Invalid, "stop the backfill"},
		{"all nodes", []editOption{dropNodes("a", "b")}, "dropNodes", fault.Invalid, "stop the backfill"},
		{"a node that it has not", []editOption{dropNodes("far")}, "dropNodes[0]", fault.Invalid, `"far"`},
		{"a node twice", []editOption{dropNodes("b", "b")}, "dropNodes[1]", fault.Invalid, "twice"},
		{"no such node", []editOption{addNodes("none")}, "addNodes[0]", fault.NotFound, `"none"`},
		{"a node that it has", []editOption{addNodes("b")}, "addNodes[0]", fault.Invalid, "already"},
		{"another's node", []editOption{addNodes("far")}, "addNodes[0]", fault.Denied, `"theirs"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := editOn(t, p, g, c.options...)
			var e *fault.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if e.Field != c.field || e.Code != c.code || !strings.Contains(err.Error(), c.words) {
				t.Errorf("refused with %s on %q: %v", e.Code, e.Field, err)
			}
		})
	}
}

func TestR9_R5_7_AnEditCannotCloseACircle(t *testing.T) {
	g := graphOf(t, daily("a"), daily("w", window("a", -1, 0)))
	p := build(t, g, backfill("a", "2021-01-11..2021-01-12", descending, groups(2)))
	_, _, err := editOn(t, p, g, toGroups(1))
	if !isCircle(err) || !strings.Contains(err.Error(), "w on 2021-01-12 waits for a on 2021-01-11") {
		t.Errorf("one group: %v", err)
	}
	p = build(t, g, backfill("a", "2021-01-11 2021-01-13", descending))
	if _, _, err = editOn(t, p, g, addDates("2021-01-12")); !isCircle(err) {
		t.Errorf("the date between: %v", err)
	}
	// The nodes that a plan pins may have other upstreams than there are now.
	was := graphOf(t, daily("a", up("c")), daily("c"))
	p = build(t, was, backfill("a", "2021-01-11", func(r *wire.Request) { r.Mode = wire.Request_CURRENT }))
	now := graphOf(t, daily("a"), daily("c", up("a")))
	if _, _, err = editOn(t, p, now, addNodes("c")); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("a pinned upstream: %v", err)
	}
}

func TestR9_ANodeThatIsGoneStaysInItsPlan(t *testing.T) {
	p := build(t, graphOf(t, daily("a"), daily("b", up("a"))), backfill("a", "2021-01-11"))
	q, _ := edited(t, p, graphOf(t, daily("a")), addDates("2021-01-12"))
	if got := labels(q, 2, q.Size()); fmt.Sprint(got) != "[a 01-12 b 01-12]" {
		t.Errorf("added %q", got)
	}
}

// TestR1_6_NewZoneRulesMoveNothing: a country changes its clocks between the
// submission and an edit. The dates that there were keep their T.
func TestR1_6_NewZoneRulesMoveNothing(t *testing.T) {
	g := graphOf(t, daily("a", at("12:00"), in("Land")))
	zone := func(base int32, changes ...int64) []*wire.Zone { // by an hour each
		z := &wire.Zone{Name: "Land", Base: base}
		for _, at := range changes {
			base += 3600
			z.Transitions = append(z.Transitions, &wire.Transition{At: at, Offset: base})
		}
		return []*wire.Zone{{Name: "UTC"}, z}
	}
	p, err := plan.Build(plan.Input{
		Today: date("2021-01-20"), NowMs: ms("2021-01-20 00:00:00"), ClusterZone: "UTC", Zones: zone(0),
		Request: backfill("a", "2021-01-10..2021-01-12"), Graph: g, Version: func(string) uint64 { return 1 },
	})
	if err != nil {
		t.Fatal(err)
	}
	q, _, err := p.Edit(&wire.EditPlan{
		AddDates: dateRanges("2021-01-01 2021-01-31"), Today: int32(date("2021-01-20")),
		Zones: zone(3600, ms("2021-01-11 00:00:00")/1000),
	}, plan.EditInput{NowMs: ms("2021-01-20 00:00:00"), Graph: g, Version: func(string) uint64 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	for on, want := range map[string]string{
		"a 01-10": "2021-01-11 12:00:00", "a 01-11": "2021-01-12 12:00:00", "a 01-12": "2021-01-13 12:00:00", // the old rules
		"a 01-01": "2021-01-02 11:00:00", "a 01-31": "2021-02-01 10:00:00", // the new ones
	} {
		if got := utc(q.Cycle(find(t, q, on)).Unix * 1000); got != want {
			t.Errorf("%s at %s, want %s", on, got, want)
		}
	}
}

func TestR9_AnEditIsFast(t *testing.T) {
	g, r := large(t)
	p := build(t, g, r)
	q, d := edited(t, p, g, addDates("2021-01-01"), toGroups(3))
	if d.Added != 10_001 || q.Size() != 10_011_001 {
		t.Fatalf("%d more, %d in all", d.Added, q.Size())
	}
	allocated := testing.AllocsPerRun(1, func() {
		for i := uint64(0); i < q.Size(); i += 100_003 {
			at, _ := q.Locate(i)
			if q.Instance(at) != i {
				t.Fatalf("instance %d is at %v", i, at)
			}
			q.Upstreams(at, func(_ int, from, to uint64) bool { return from < to })
		}
	})
	if allocated > 0 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestR1_6_ManyEditsStayOnePlan(t *testing.T) {
	g := graphOf(t, daily("a"), daily("b", up("a")))
	p := build(t, g, backfill("a", "2021-01-01"))
	first := date("2021-01-01")
	for i := range calendar.Date(300) {
		p, _ = edited(t, p, g, addDates((first + 1 + i).String()))
	}
	for i := range p.Size() {
		at, ok := p.Locate(i)
		if !ok || p.Instance(at) != i || uint64(p.Dates[at.Pos]-first) != i/2 {
			t.Fatalf("instance %d is at %v", i, at)
		}
	}
}
