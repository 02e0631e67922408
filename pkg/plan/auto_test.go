package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// autoInput is how the schedule makes its plan of a date.
func autoInput(t fataler, g *node.Graph, d calendar.Date, since map[string]int64) plan.AutoInput {
	zones, err := plan.AutoZones(g, d, "UTC", d, time.LoadLocation)
	if err != nil {
		t.Fatal(err)
	}
	return plan.AutoInput{
		ID: 3, NowMs: int64(d) * 24 * 3600 * 1000, Today: d, Date: d, ClusterZone: "UTC", Zones: zones, Graph: g,
		Version: func(string) uint64 { return 1 }, SinceMs: func(id string) int64 { return since[id] },
	}
}

func auto(t fataler, g *node.Graph, day string) *plan.Plan {
	p, err := plan.BuildAuto(autoInput(t, g, date(day), nil))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// abroad is what an instance needs outside its plan, as one string.
func abroad(t testing.TB, p *plan.Plan, l string) string {
	t.Helper()
	var out []string
	p.Abroad(find(t, p, l), func(n plan.Need) bool {
		if n.Schedule != p.Auto {
			t.Errorf("%s: %+v", l, n)
		}
		out = append(out, n.Node+" "+n.Date.String()[5:]+" "+utc(n.Unix * 1000)[11:16])
		return true
	})
	return strings.Join(out, ", ")
}

func TestR0_TheSchedulesPlanHasWhatIsSwitchedOn(t *testing.T) {
	g := graphOf(t,
		daily("a", on, priority(8)), daily("off", up("a")), daily("b", on, up("off", "a")),
		daily("dry", on, mode(wire.Node_DRY_RUN)), daily("paused", on, mode(wire.Node_PAUSED)),
		scheduled("mondays", &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1}, on),
	)
	p := auto(t, g, "2021-01-11") // 01-12 is a Tuesday
	if p.Name != "schedule_20210111" || !p.Auto || p.Size() != 5 {
		t.Errorf("%s, auto %v, %d instances", p.Name, p.Auto, p.Size())
	}
	if got := waits(t, p, "b 01-11"); got != "a 01-11" {
		t.Errorf("b waits for %q: what is not switched on is not waited for", got)
	}
	for on, want := range map[string]wire.DryRun{
		"a 01-11": 0, "dry 01-11": wire.DryRun_NODE_IS_DRY_RUN, "paused 01-11": 0, "mondays 01-11": wire.DryRun_OFF_SCHEDULE,
	} {
		at := find(t, p, on)
		if got := p.Dry(at); got != want || p.FrozenNode(at.Node) != strings.HasPrefix(on, "paused") {
			t.Errorf("%s: %v, frozen %v", on, got, p.FrozenNode(at.Node))
		}
	}
	if got := p.Priority(find(t, p, "a 01-11")); got != 8 {
		t.Errorf("R7.1: priority %d", got)
	}
	if p := auto(t, graphOf(t, daily("off")), "2021-01-11"); p != nil {
		t.Error("nothing is switched on, and there is a plan")
	}
	if p := auto(t, graphOf(t, hourly("two", "02:00", "02:00", 1, in(newYork), on)), "2021-03-13"); p != nil {
		t.Error("nothing has a cycle, and there is a plan")
	}
}

func TestR7_1_TheSchedulesOldDatesKeepTheirPriority(t *testing.T) {
	g := graphOf(t, daily("a", on, priority(8)))
	in := autoInput(t, g, date("2021-01-04"), nil)
	in.NowMs, in.Today = ms("2021-01-11 00:00:00"), date("2021-01-11") // caught up after an outage
	p, err := plan.BuildAuto(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Priority(plan.Place{}); got != 8 || p.Totals().Priority[8] != 1 {
		t.Errorf("priority %d, in all %v", got, p.Totals().Priority)
	}
}

func TestR6_CyclesBeforeANodeWasSwitchedOnAreDryRuns(t *testing.T) {
	g := graphOf(t, hourly("a", "00:00", "03:00", 1, on))
	p, err := plan.BuildAuto(autoInput(t, g, date("2021-01-11"), map[string]int64{"a": ms("2021-01-12 01:30:00")}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []wire.DryRun{wire.DryRun_BEFORE_SWITCHED_ON, wire.DryRun_BEFORE_SWITCHED_ON, 0, 0} {
		if got := p.Dry(plan.Place{Cycle: i}); got != want {
			t.Errorf("%s: %v, want %v", label(p, uint64(i)), got, want)
		}
	}
	if got := p.Totals().DryRun; got != 2 {
		t.Errorf("%d dry runs counted", got)
	}
}

func TestR1_6_NodesSwitchedOnLaterExtendTheDate(t *testing.T) {
	p := auto(t, graphOf(t, daily("b", on), daily("off")), "2021-01-11")
	g := graphOf(t, daily("a", on), daily("b", on, up("a")), daily("c", on, up("b"), in("Asia/Shanghai")))
	q, more, err := p.Extend(autoInput(t, g, date("2021-01-11"), map[string]int64{"c": ms("2021-01-12 00:00:00")}))
	if err != nil || !more {
		t.Fatal(more, err)
	}
	if got := labels(q, 0, q.Size()); fmt.Sprint(got) != "[b 01-11 a 01-11 c 01-11]" {
		t.Errorf("%q", got)
	}
	if waits(t, q, "c 01-11") != "b 01-11" || waits(t, q, "b 01-11") != "" {
		t.Error("b is pinned as it was generated, c waits for it")
	}
	if got := q.Dry(find(t, q, "c 01-11")); got != wire.DryRun_BEFORE_SWITCHED_ON {
		t.Errorf("c at 16:00 UTC of the day before: %v", got)
	}
	if same, more, err := q.Extend(autoInput(t, g, date("2021-01-11"), nil)); err != nil || more || same != q {
		t.Errorf("nothing is new: %v, %v", more, err)
	}
	if _, _, err := q.Edit(&wire.EditPlan{AddDates: dateRanges("2021-01-12")}, plan.EditInput{}); err == nil {
		t.Error("a date of the schedule was edited")
	}
	backfilled := build(t, g, backfill("a", "2021-01-11"))
	if _, _, err := backfilled.Extend(autoInput(t, g, date("2021-01-11"), nil)); err == nil {
		t.Error("the schedule extended a backfill")
	}
	again := graphOf(t, daily("b", on, up("z")), daily("z", on)) // z needs nothing now, and b of the plan nothing of it
	if _, _, err := p.Extend(autoInput(t, again, date("2021-01-11"), nil)); err != nil {
		t.Error(err)
	}
}

// TestR5_3_TheSchedulesDatesAreOne: what a backfill does not wait for outside
// itself, the schedule finds in its own other dates.
func TestR5_3_TheSchedulesDatesAreOne(t *testing.T) {
	g := graphOf(t,
		daily("a", on), hourly("h", "04:00", "06:00", 1, on), hourly("s", "04:00", "06:00", 1, on, self),
		daily("w", on, window("a", -2, 0), window("s", -1, -1)),
		daily("off", at("03:00")), daily("x", on, window("off", -1, 0)),
		daily("p", on, previous("h"), previous("a")),
	)
	p := auto(t, g, "2021-01-11")
	for on, want := range map[string]string{
		"a 01-11":       "",
		"w 01-11":       "a 01-09 00:00, a 01-10 00:00, s 01-10 06:00",
		"s 01-11 04:00": "s 01-10 06:00",
		"s 01-11 05:00": "",
		"x 01-11":       "off 01-10 03:00",
		"p 01-11":       "h 01-10 04:00, h 01-10 05:00, h 01-10 06:00, a 01-10 00:00",
	} {
		if got := abroad(t, p, on); got != want {
			t.Errorf("%s needs %q, want %q", on, got, want)
		}
	}
	if got := waits(t, p, "w 01-11"); got != "a 01-11" {
		t.Errorf("in the plan w waits for %q", got)
	}
}

func TestR5_3_PreviousCycles(t *testing.T) {
	for _, c := range []struct {
		name string
		u, n string // as in TestR5_2_SameDate; n needs the previous cycle of u
		on   string
		want string // in the plan, which has 01-10 to 01-12
		out  string
	}{
		{"daily on daily", "05:00", "04:00", "n 01-11", "u 01-10", ""},
		{"daily on daily, the first date", "05:00", "04:00", "n 01-10", "", "u 01-09 05:00"},
		{"daily on hourly", "04:00-05:00/60", "00:00", "n 01-11", "u 01-10 04:00, u 01-10 05:00", ""},
		{"daily on hourly, the first date", "04:00-05:00/60", "00:00", "n 01-10", "", "u 01-09 04:00, u 01-09 05:00"},
		{"daily on self-dependent hourly", "04:00-05:00/60!", "00:00", "n 01-11", "u 01-10 05:00", ""},
		{"daily on self-dependent hourly, the first date", "04:00-05:00/60!", "00:00", "n 01-10", "", "u 01-09 05:00"},
		{"hourly on daily", "01:00", "04:00-06:00/60", "n 01-11 05:00", "u 01-10", ""},
		{"hourly on hourly", "04:00-06:00/60", "04:00-06:00/60", "n 01-11 05:00", "u 01-11 04:00", ""},
		{"hourly on hourly, T between", "04:00-06:00/60", "04:30-06:30/60", "n 01-11 05:30", "u 01-11 05:00", ""},
		{"hourly on hourly, the first of the date", "04:00-06:00/60", "04:00-06:00/60", "n 01-11 04:00", "u 01-10 06:00", ""},
		{"hourly on hourly, the first of all", "04:00-06:00/60", "04:00-06:00/60", "n 01-10 04:00", "", "u 01-09 06:00"},
		{"minutely on hourly", "04:00-06:00/60", "04:00-06:00/20", "n 01-11 05:00", "u 01-11 04:00", ""},
		{"itself as well", "04:00-05:00/60", "04:00-05:00/60!", "n 01-11 05:00", "u 01-11 04:00, n 01-11 04:00", ""},
		{"itself as well, the first of all", "04:00-05:00/60", "04:00-05:00/60!", "n 01-10 04:00", "", "n 01-09 05:00, u 01-09 05:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, u := fromShort("n", c.n, previous("u")), fromShort("u", c.u)
			p := build(t, graphOf(t, u, n), both("2021-01-10..2021-01-12", "u", "n"))
			if got, out := waits(t, p, c.on), abroad(t, p, c.on); got != c.want || out != c.out {
				t.Errorf("waits for %q and abroad %q, want %q and %q", got, out, c.want, c.out)
			}
			// Alone it needs the same, all of it abroad.
			alone := build(t, graphOf(t, u, n), both("2021-01-10..2021-01-12", "n"))
			if got := waits(t, alone, c.on); strings.Contains(got, "u ") {
				t.Errorf("alone it waits for %q", got)
			}
			if all := strings.Count(c.want+c.out, "u "); strings.Count(abroad(t, alone, c.on), "u ") != all {
				t.Errorf("alone it needs %q, want %d of u", abroad(t, alone, c.on), all)
			}
		})
	}
}

// both asks for nodes one by one.
func both(dates string, ids ...string) *wire.Request {
	r := backfill("", dates, func(r *wire.Request) { r.Mode, r.Nodes = wire.Request_ADVANCED, ids })
	return r
}

func TestR5_3_PreviousCycleOfChildren(t *testing.T) {
	g := graphOf(t, daily("n", children), daily("c1", up("n"), at("01:00")), daily("c2", window("n", -1, 0)),
		daily("grandchild", up("c1")), daily("other", previous("n")))
	p := build(t, g, both("2021-01-10..2021-01-11", "n", "c1"))
	if got := waits(t, p, "n 01-11"); got != "c1 01-10" {
		t.Errorf("n on 01-11 waits for %q", got)
	}
	if got := abroad(t, p, "n 01-11"); got != "c2 01-10 00:00" {
		t.Errorf("n on 01-11 needs %q abroad", got)
	}
	if got := abroad(t, p, "n 01-10"); got != "c1 01-09 01:00, c2 01-09 00:00" {
		t.Errorf("n on 01-10 needs %q abroad", got)
	}
	// Whatever its group.
	q := build(t, g, both("2021-01-10..2021-01-11", "n", "c1"))
	q, _ = edited(t, q, g, toGroups(2), addNodes("c2"))
	if got := waits(t, q, "n 01-11"); got != "c1 01-10, c2 01-10" || abroad(t, q, "n 01-11") != "" {
		t.Errorf("after c2 was added n waits for %q, abroad %q", got, abroad(t, q, "n 01-11"))
	}
	var out []string
	p.Outside(0, find(t, p, "n 01-10").Node, func(u string, d calendar.Date) bool {
		out = append(out, u+" "+d.String()[5:])
		return true
	})
	if fmt.Sprint(out) != "[c1 01-09 c2 01-09]" {
		t.Errorf("outside %q", out)
	}
}

// TestAutoPlansAgreeWithTheNaiveModel draws graphs with some nodes switched on,
// and switches on more.
func TestAutoPlansAgreeWithTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, specs := drawGraph(t, rapid.IntRange(1, 5).Draw(t, "nodes"), allKinds)
		since := map[string]int64{}
		d := date(rapid.SampledFrom(around).Draw(t, "date")) + calendar.Date(rapid.IntRange(0, 5).Draw(t, "day"))
		for _, s := range specs {
			if rapid.IntRange(0, 3).Draw(t, "since "+s.Id) == 0 {
				since[s.Id] = int64(d+1)*24*3600*1000 + 3*3600*1000
			}
		}
		switchOn := func() {
			for _, s := range specs {
				s.Auto = s.Auto || rapid.Bool().Draw(t, "on "+s.Id)
			}
		}
		switchOn()
		p, err := plan.BuildAuto(autoInput(t, g, d, since))
		if err != nil {
			t.Fatal(err)
		}
		if p == nil {
			return
		}
		m := modelOf(p, specs)
		m.auto = true
		if m.finishes() {
			agree(t, p, m)
		}
		switchOn()
		q, more, err := p.Extend(autoInput(t, g, d, since))
		if err != nil {
			t.Fatal(err)
		}
		m.specs = specsOf(q)
		m.number(m.dates, slices.DeleteFunc(specsOf(q), func(s *wire.Node) bool { return has(p, s.Id) }), q.AcceptedMs)
		if more == (len(q.Nodes) == len(p.Nodes)) {
			t.Fatalf("more: %v, %d nodes of %d", more, len(p.Nodes), len(q.Nodes))
		}
		if m.finishes() {
			agree(t, q, m)
			sameAfterItsRecord(t, q)
		}
	})
}

func has(p *plan.Plan, id string) bool { _, ok := p.NodeIndex(id); return ok }
