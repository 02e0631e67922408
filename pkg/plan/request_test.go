package plan_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func TestR3_1_DatesAreTheUnionSortedWithoutDoubles(t *testing.T) {
	g := graphOf(t, daily("a"))
	for _, c := range []struct{ dates, want string }{
		{"2021-01-11", "01-11"},
		{"2021-01-11..2021-01-13", "01-11 01-12 01-13"},
		{"2021-01-13 2021-01-11 2021-01-11", "01-11 01-13"},
		{"2021-01-12..2021-01-14 2021-01-11..2021-01-13", "01-11 01-12 01-13 01-14"},
		{"2021-01-11..2021-01-15 2021-01-12..2021-01-13 2021-01-17", "01-11 01-12 01-13 01-14 01-15 01-17"},
		{"2021-02-28..2021-03-01", "02-28 03-01"},
		{"2020-02-28..2020-03-01", "02-28 02-29 03-01"},
	} {
		p := build(t, g, backfill("a", c.dates))
		if got := days(p, 0, len(p.Dates)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.dates, got, c.want)
		}
	}
}

// days joins the dates of a span of positions.
func days(p *plan.Plan, from, to int) string {
	var out []string
	for _, d := range p.Dates[from:to] {
		out = append(out, d.String()[5:])
	}
	return strings.Join(out, " ")
}

func TestR3_1_RefusesDatesThatAreNone(t *testing.T) {
	g := graphOf(t, daily("a"))
	refused(t, g, backfill("a", ""), "dates", "give at least one")
	refused(t, g, backfill("a", "2021-01-01 2021-01-13..2021-01-11"), "dates[1]", "ends (2021-01-11) before it starts (2021-01-13)")
	refused(t, g, backfill("a", "1000-01-01..2000-01-01"), "dates", "more than 100000 dates")
	refused(t, g, backfill("a", "9999-12-31"), "dates[0]", "leaves the calendar")
	for _, r := range []*wire.DateRange{
		{From: math.MinInt32, To: math.MaxInt32},
		{From: math.MaxInt32 - 5, To: math.MaxInt32},
		{From: math.MinInt32, To: math.MinInt32},
		{From: 18000, To: math.MaxInt32},
	} {
		req := backfill("a", "")
		req.Dates = []*wire.DateRange{r}
		refused(t, g, req, "dates[0]", "0001-01-01", "9999-12-30")
	}
	p := build(t, g, backfill("a", "0001-01-01 9999-12-30"))
	if got := p.Cycle(plan.Place{Pos: 1}).Wall.String(); got != "9999-12-31 00:00:00" {
		t.Errorf("the last T is %s", got)
	}
}

func TestR3_2_TimeOfDayKeepsTheCyclesInside(t *testing.T) {
	g := graphOf(t, daily("day", at("09:00")), hourly("h", "00:00", "23:00", 1, up("day")), minutely("m", "00:10", "01:10", 15, up("day")))
	p := build(t, g, backfill("day", "2021-01-11", timeOfDay("00:30", "03:00")))
	want := []string{"day 01-11", "h 01-11 01:00", "h 01-11 02:00", "h 01-11 03:00", "m 01-11 00:40", "m 01-11 00:55", "m 01-11 01:10"}
	if got := labels(p, 0, p.Size()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	refused(t, g, backfill("day", "2021-01-11", timeOfDay("02:10", "02:50")), "timeOfDay", `node "h" has no cycle from 02:10 to 02:50`)
	refused(t, g, backfill("day", "2021-01-11", timeOfDay("03:00", "01:00")), "timeOfDay", "not before the start")
	r := backfill("day", "2021-01-11", timeOfDay("03:00", "04:00"))
	r.TimeOfDay.To = 86400
	refused(t, g, r, "timeOfDay")
	r.TimeOfDay = &wire.TimeRange{From: -1, To: 3600}
	refused(t, g, r, "timeOfDay")
	gap := graphOf(t, hourly("only", "02:00", "02:00", 1, in("America/New_York")))
	refused(t, gap, backfill("only", "2021-03-13"), "dates", "no node has a cycle") // skipped by the clocks
}

func TestR3_3_Due(t *testing.T) {
	shanghai := in("Asia/Shanghai")
	for _, c := range []struct {
		name    string
		node    *wire.Node
		now     string
		date    string
		options []requestOption
		want    string
	}{
		{"past", daily("a"), "2021-08-24 12:00:00", "2021-08-01", nil, "2021-08-02 00:00:00"},
		{"now to the second", daily("a", at("12:00")), "2021-08-24 12:00:00", "2021-08-23", []requestOption{early}, "2021-08-24 12:00:00"},
		{"T still to come waits for T", daily("a", at("18:00")), "2021-08-24 12:00:00", "2021-08-23", nil, "2021-08-24 18:00:00"},
		{"T still to come, early", daily("a", at("18:00")), "2021-08-24 12:00:00", "2021-08-23", []requestOption{early}, "2021-08-24 00:00:00"},
		{"future", daily("a", at("03:00")), "2021-08-24 12:00:00", "2021-09-17", nil, "2021-09-18 03:00:00"},
		{"run future early", daily("a", at("03:00")), "2021-08-24 12:00:00", "2021-09-17", []requestOption{early}, "2021-09-18 00:00:00"},
		{"run future early, the node's zone", daily("a", at("03:00"), shanghai), "2021-08-24 12:00:00", "2021-09-17", []requestOption{early}, "2021-09-17 16:00:00"},
		{"past, asked for early", daily("a", at("03:00"), shanghai), "2021-08-24 12:00:00", "2021-08-22", []requestOption{early}, "2021-08-22 19:00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := buildAt(graphOf(t, c.node), c.now, backfill("a", c.date, c.options...))
			if err != nil {
				t.Fatal(err)
			}
			if got := utc(p.DueMs(plan.Place{})); got != c.want {
				t.Errorf("due %s, want %s", got, c.want)
			}
		})
	}
}

func TestR3_3_EarlyIsNeverLaterThanT(t *testing.T) {
	// Clocks that go from 23:30 to 00:30 know no midnight; it moves to 01:00.
	r := backfill("a", "2021-09-17", early)
	p, err := plan.Build(plan.Input{
		Today: date("2021-08-24"), NowMs: 1629806400_000, ClusterZone: "Skip", Request: r, MaxGroups: 10,
		Zones:   []*wire.Zone{{Name: "Skip", Transitions: []*wire.Transition{{At: 1631921400, Offset: 3600}}}},
		Graph:   graphOf(t, minutely("a", "00:30", "00:30", 1)),
		Version: func(string) uint64 { return 1 },
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := utc(p.DueMs(plan.Place{})); got != "2021-09-17 23:30:00" {
		t.Errorf("due %s, want T", got)
	}
}

func TestR3_6_ValuesOfDatesToComeAreKnownAtOnce(t *testing.T) {
	g := graphOf(t, daily("a", param("dt", "${yyyymmdd}"), param("at", "$[yyyymmdd]")))
	p := build(t, g, backfill("a", "2031-12-31"))
	if got, want := values(t, p, plan.Place{}), "dt=20311231 at=20320101"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestR3_5_NotBeforeAGivenMoment(t *testing.T) {
	g := graphOf(t, daily("a"))
	r := backfill("a", "2021-08-01 2021-09-17")
	r.NotBeforeMs = 1629817200_000 // 2021-08-24 15:00
	p := build(t, g, r)
	for pos, want := range []string{"2021-08-24 15:00:00", "2021-09-18 00:00:00"} {
		if got := utc(p.DueMs(plan.Place{Pos: pos})); got != want {
			t.Errorf("%s: due %s, want %s", p.Dates[pos], got, want)
		}
	}
	for _, ms := range []int64{-1, 253402300800000, math.MaxInt64} {
		r.NotBeforeMs = ms
		refused(t, g, r, "notBefore")
	}
}

func TestR4_1_GroupsAreOneToTen(t *testing.T) {
	g := graphOf(t, daily("a"))
	for n := int32(0); n <= 10; n++ {
		p := build(t, g, backfill("a", "2021-01-01..2021-01-20", groups(n)))
		if len(p.Groups) != int(max(1, n)) {
			t.Errorf("%d groups asked for, got %d", n, len(p.Groups))
		}
	}
	for _, n := range []int32{-1, 11, math.MaxInt32, math.MinInt32} {
		refused(t, g, backfill("a", "2021-01-01..2021-01-20", groups(n)), "groups", "1 to 10")
	}
}

func TestR4_2_GroupsSplitConsecutiveDates(t *testing.T) {
	g := graphOf(t, daily("a"))
	for _, c := range []struct {
		dates   string
		groups  int32
		options []requestOption
		want    string
	}{
		{"2021-01-11..2021-01-13", 4, nil, "{01-11} {01-12} {01-13}"},
		{"2021-01-11..2021-01-13", 2, nil, "{01-11 01-12} {01-13}"},
		{"2021-01-01..2021-01-07", 3, nil, "{01-01 01-02 01-03} {01-04 01-05} {01-06 01-07}"},
		{"2021-01-11..2021-01-13", 2, []requestOption{descending}, "{01-13 01-12} {01-11}"},
		{"2021-01-11..2021-01-13", 1, []requestOption{descending}, "{01-13 01-12 01-11}"},
		{"2021-01-20 2021-01-01 2021-01-10", 2, nil, "{01-01 01-10} {01-20}"},
		{"2021-01-11..2021-01-13", 0, nil, "{01-11 01-12 01-13}"},
	} {
		p := build(t, g, backfill("a", c.dates, append(c.options, groups(c.groups))...))
		var got []string
		for i, s := range p.Groups {
			got = append(got, "{"+days(p, s.From, s.To)+"}")
			for pos := s.From; pos < s.To; pos++ {
				if p.Group(pos) != i {
					t.Errorf("%s: position %d is in group %d, want %d", c.want, pos, p.Group(pos), i)
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s in %d: got %s, want %s", c.dates, c.groups, got, c.want)
		}
	}
}

func TestR7_2_PriorityFallsWithTheAgeOfTheData(t *testing.T) {
	for baseline, old := range map[int32]int32{8: 3, 7: 3, 5: 2, 3: 2, 1: 1} {
		p := build(t, graphOf(t, daily("a", priority(baseline))), backfill("a", "2021-08-20..2021-08-26"))
		for pos, d := range p.Dates {
			want := baseline
			if d <= date("2021-08-22") { // the day before yesterday
				want = old
			}
			if got := p.Priority(plan.Place{Pos: pos}); got != want {
				t.Errorf("baseline %d, %s: priority %d, want %d", baseline, d, got, want)
			}
		}
	}
}

func TestR7_2_YesterdayIsTheNodesAtAcceptance(t *testing.T) {
	for _, c := range []struct {
		zone, now string
		yesterday string
	}{
		{"UTC", "2021-08-23 23:59:59", "2021-08-22"},
		{"UTC", "2021-08-24 00:00:00", "2021-08-23"},
		{"Asia/Shanghai", "2021-08-24 15:59:59", "2021-08-23"},
		{"Asia/Shanghai", "2021-08-24 16:00:00", "2021-08-24"},
		{"America/New_York", "2021-08-24 03:59:59", "2021-08-22"},
		{"America/New_York", "2021-08-24 04:00:00", "2021-08-23"},
	} {
		g := graphOf(t, daily("a", in(c.zone), priority(8)))
		yesterday := date(c.yesterday)
		p, err := buildAt(g, c.now, backfill("a", fmt.Sprintf("%s..%s", yesterday-1, yesterday)))
		if err != nil {
			t.Fatal(err)
		}
		if before, on := p.Priority(plan.Place{Pos: 0}), p.Priority(plan.Place{Pos: 1}); before != 3 || on != 8 {
			t.Errorf("%s at %s: the day before yesterday %d, yesterday %d; want 3, 8", c.zone, c.now, before, on)
		}
	}
}

func TestR7_4_ResourceGroupOfTheBackfillOverTheNodes(t *testing.T) {
	g := graphOf(t, daily("a", group("etl")))
	r := backfill("a", "2021-01-01")
	if got := build(t, g, r).ResourceGroup(0); got != "etl" {
		t.Errorf("got %q, want the node's", got)
	}
	r.ResourceGroup = "spare"
	if got := build(t, g, r).ResourceGroup(0); got != "spare" {
		t.Errorf("got %q, want the backfill's", got)
	}
}

func TestR2_6_BridgesAreDryRunsWithTheirReason(t *testing.T) {
	g := graphOf(t, daily("a"), daily("b", up("a")), daily("c", up("b")), daily("other", up("a")))
	p := build(t, g, backfill("a", "2021-01-01", only("c")))
	got := map[string]wire.DryRun{}
	for _, n := range p.Nodes {
		got[n.Spec.Id] = n.DryRun
	}
	want := map[string]wire.DryRun{"a": wire.DryRun_DRY_RUN_NONE, "b": wire.DryRun_NOT_CHOSEN, "c": wire.DryRun_DRY_RUN_NONE}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := waits(t, p, "c 01-01"); got != "b 01-01" {
		t.Errorf("c waits for %q: the bridge must keep the order", got)
	}
	if n, ok := p.NodeIndex("c"); !ok || p.Nodes[n].Level != 2 || p.Nodes[n].Version != 1 {
		t.Errorf("c: level and version are not pinned: %+v", p.Nodes[n])
	}
	if _, ok := p.NodeIndex("other"); ok {
		t.Error("an unchosen node that is no bridge has instances")
	}
}

func TestR6_DryRunOfAllThatWasAskedFor(t *testing.T) {
	g := graphOf(t, daily("a"), daily("b", up("a")), daily("c", up("b")))
	r := backfill("a", "2021-01-01", only("c"))
	r.DryRun = true
	p := build(t, g, r)
	for _, n := range p.Nodes {
		want := wire.DryRun_REQUESTED
		if n.Spec.Id == "b" {
			want = wire.DryRun_NOT_CHOSEN
		}
		if n.DryRun != want {
			t.Errorf("%s: %s, want %s", n.Spec.Id, n.DryRun, want)
		}
	}
}

func TestR4_R11_OtherFieldsAreChecked(t *testing.T) {
	g := graphOf(t, daily("a"))
	for field, wrong := range map[string]func(*wire.Request){
		"stopAfter":  func(r *wire.Request) { r.StopAfter = -1 },
		"maxRunning": func(r *wire.Request) { r.MaxRunning = -1 },
		"name":       func(r *wire.Request) { r.Name = strings.Repeat("x", 257) },
		"order":      func(r *wire.Request) { r.Order = 7 },
		"gate":       func(r *wire.Request) { r.Gate = -1 },
		"onFailure":  func(r *wire.Request) { r.OnFailure = 7 },
		"overlap":    func(r *wire.Request) { r.Overlap = 7 },

		"onConflict":  func(r *wire.Request) { r.OnConflict = 7 },
		"pausedNodes": func(r *wire.Request) { r.PausedNodes = -1 },
		"dryRunNodes": func(r *wire.Request) { r.DryRunNodes = 2 },
		"priority":    func(r *wire.Request) { r.Priority = 4 },
		"zone":        func(r *wire.Request) { r.Zone = "Asia/Shanghai" }, // and no period
	} {
		refused(t, g, backfill("a", "2021-01-01", wrong), field)
	}
}

func TestPlanTooLargeIsRefusedNotBuilt(t *testing.T) {
	g := graphOf(t, minutely("m", "00:00", "23:59", 1))
	refused(t, g, backfill("m", "1800-01-01..2021-01-01"), "", "more than the 100000000")
}
