package plan_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

const newYork = "America/New_York" // 2021-03-14 02:00 → 03:00, 2021-11-07 02:00 → 01:00

func TestR4_3_Gate(t *testing.T) {
	g := graphOf(t, daily("a"), hourly("b", "00:00", "01:00", 1, up("a")))
	for _, c := range []struct {
		gate requestOption
		on   string
		want string
	}{
		{groups(1), "a 01-11", ""},
		{groups(1), "a 01-12", "a 01-11, b 01-11 00:00, b 01-11 01:00"},
		{groups(1), "b 01-12 01:00", "a 01-11, b 01-11 00:00, b 01-11 01:00"},
		{gateNode, "a 01-12", "a 01-11"},
		{gateNode, "b 01-12 01:00", "b 01-11 00:00, b 01-11 01:00"},
		{gateNone, "a 01-12", ""},
		{groups(2), "a 01-13", ""}, // the first of its group
		{groups(2), "a 01-12", "a 01-11, b 01-11 00:00, b 01-11 01:00"},
		{descending, "a 01-12", "a 01-13, b 01-13 00:00, b 01-13 01:00"},
		{descending, "a 01-13", ""},
	} {
		p := build(t, g, backfill("a", "2021-01-11..2021-01-13", c.gate))
		from, to, _ := p.Gate(find(t, p, c.on))
		if got := strings.Join(labels(p, from, to), ", "); got != c.want {
			t.Errorf("%s waits behind its gate for %q, want %q", c.on, got, c.want)
		}
	}
}

func TestR4_3_DayAndNodeAreTheSameForAPlanOfOneNode(t *testing.T) {
	g := graphOf(t, hourly("a", "00:00", "03:00", 1, in(newYork)))
	dates := "2021-03-10..2021-03-16 2021-03-20"
	for _, order := range []requestOption{groups(3), descending} {
		day, node := build(t, g, backfill("a", dates, order)), build(t, g, backfill("a", dates, order, gateNode))
		for i := range day.Size() {
			place, _ := day.Locate(i)
			f1, t1, b1 := day.Gate(place)
			f2, t2, b2 := node.Gate(place)
			if f1 != f2 || t1 != t2 || b1 != b2 {
				t.Errorf("%s: day %d..%d (%d), node %d..%d (%d)", label(day, i), f1, t1, b1, f2, t2, b2)
			}
		}
	}
}

func TestR4_3_GateLooksPastADateWithoutInstances(t *testing.T) {
	two := hourly("two", "02:00", "02:00", 1, in(newYork))
	for _, c := range []struct {
		gate requestOption
		want string
	}{{groups(1), "two 03-12 02:00"}, {gateNode, "two 03-12 02:00"}} {
		p := build(t, graphOf(t, two), backfill("two", "2021-03-12..2021-03-14", c.gate)) // none on 03-13
		from, to, before := p.Gate(find(t, p, "two 03-14 02:00"))
		if got := strings.Join(labels(p, from, to), ", "); got != c.want || before != 0 {
			t.Errorf("got %q at position %d, want %q at 0", got, before, c.want)
		}
	}
	// Gate node looks past a date on which others have instances; gate day not.
	g := graphOf(t, daily("a"), hourly("two", "02:00", "02:00", 1, in(newYork), up("a")))
	p := build(t, g, backfill("a", "2021-03-12..2021-03-14", gateNode))
	if from, to, before := p.Gate(find(t, p, "two 03-14 02:00")); label(p, from) != "two 03-12 02:00" || to != from+1 || before != 0 {
		t.Errorf("gate node: %q at position %d", labels(p, from, to), before)
	}
	p = build(t, g, backfill("a", "2021-03-12..2021-03-14"))
	if from, to, before := p.Gate(find(t, p, "two 03-14 02:00")); label(p, from) != "a 03-13" || to != from+1 || before != 1 {
		t.Errorf("gate day: %q at position %d", labels(p, from, to), before)
	}
}

func TestR5_2_SameDate(t *testing.T) {
	const all = "u 01-11 04:00, u 01-11 05:00, u 01-11 06:00"
	for _, c := range []struct {
		name string
		u, n string // schedules: "05:00", or "04:00-06:00/60"; "!" for a node that depends on itself
		on   string
		want string
	}{
		{"daily on daily", "05:00", "04:00", "n 01-11", "u 01-11"},
		{"daily on daily that depends on itself", "05:00!", "06:00", "n 01-11", "u 01-11"},
		{"daily on hourly", "04:00-06:00/60", "05:00", "n 01-11", all},
		{"daily on minutely", "04:00-04:10/5", "00:00", "n 01-11", "u 01-11 04:00, u 01-11 04:05, u 01-11 04:10"},
		{"daily on self-dependent hourly, same T", "04:00-06:00/60!", "05:00", "n 01-11", "u 01-11 05:00"},
		{"daily on self-dependent hourly, T between cycles", "04:00-06:00/60!", "05:30", "n 01-11", "u 01-11 05:00"},
		{"daily on self-dependent hourly, T after all", "04:00-06:00/60!", "23:00", "n 01-11", "u 01-11 06:00"},
		{"daily on self-dependent hourly, T before all", "04:00-06:00/60!", "03:59", "n 01-11", all},
		{"daily on self-dependent minutely", "04:00-04:10/5!", "04:09", "n 01-11", "u 01-11 04:05"},
		{"hourly on daily before it", "01:00", "04:00-06:00/60", "n 01-11 05:00", "u 01-11"},
		{"hourly on daily after it", "23:00!", "04:00-06:00/60", "n 01-11 05:00", "u 01-11"},
		{"minutely on daily", "23:00", "04:00-04:10/5", "n 01-11 04:05", "u 01-11"},
		{"hourly on hourly, same T", "04:00-06:00/60", "04:00-06:00/60", "n 01-11 05:00", "u 01-11 05:00"},
		{"hourly on hourly, T between cycles", "04:00-06:00/60", "04:30-06:30/60", "n 01-11 05:30", "u 01-11 05:00"},
		{"hourly on hourly, no cycle before", "04:00-06:00/60", "03:00-06:00/60", "n 01-11 03:00", ""},
		{"hourly on hourly that has ended", "04:00-06:00/60", "00:00-23:00/60", "n 01-11 20:00", "u 01-11 06:00"},
		{"hourly on self-dependent hourly", "04:00-06:00/60!", "04:30-06:30/60", "n 01-11 05:30", "u 01-11 05:00"},
		{"hourly on self-dependent hourly, none before", "04:00-06:00/60!", "03:00-06:00/60", "n 01-11 03:00", ""},
		{"self-dependent hourly on hourly", "04:00-06:00/60", "04:30-06:30/60!", "n 01-11 05:30", "u 01-11 05:00, n 01-11 04:30"},
		{"minutely on hourly", "04:00-06:00/60", "04:00-06:00/20", "n 01-11 05:40", "u 01-11 05:00"},
		{"minutely on self-dependent hourly", "04:00-06:00/60!", "03:40-06:00/20", "n 01-11 03:40", ""},
		{"hourly on minutely", "04:00-06:00/25", "04:00-06:00/60", "n 01-11 05:00", "u 01-11 04:50"},
		{"minutely on minutely", "04:00-06:00/25", "04:00-06:00/10", "n 01-11 04:20", "u 01-11 04:00"},
		{"minutely on self-dependent minutely", "04:00-06:00/25!", "04:00-06:00/10", "n 01-11 04:30", "u 01-11 04:25"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := graphOf(t, fromShort("u", c.u), fromShort("n", c.n, up("u")))
			p := build(t, g, backfill("u", "2021-01-10..2021-01-12"))
			if got := waits(t, p, c.on); got != c.want {
				t.Errorf("%s waits for %q, want %q", c.on, got, c.want)
			}
		})
	}
}

func TestR5_2_TimeOfDayLeavesCyclesOutsideThePlan(t *testing.T) {
	for _, c := range []struct {
		name, u, n string
		from, to   string
		on, want   string
	}{
		{"the latest before T is outside", "00:00-23:00/120", "00:00-23:00/60", "03:00", "06:00", "n 01-11 03:00", ""},
		{"the latest before T is inside", "00:00-23:00/120", "00:00-23:00/60", "03:00", "06:00", "n 01-11 05:00", "u 01-11 04:00"},
		{"daily waits for the cycles inside", "00:00-23:00/60", "12:00", "03:00", "04:00", "n 01-11", "u 01-11 03:00, u 01-11 04:00"},
		{"daily after self-dependent cycles inside", "00:00-23:00/60!", "12:00", "03:00", "04:00", "n 01-11", "u 01-11 04:00"},
		{"daily before self-dependent cycles inside", "00:00-23:00/60!", "02:00", "03:00", "04:00", "n 01-11", "u 01-11 03:00, u 01-11 04:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := graphOf(t, fromShort("u", c.u), fromShort("n", c.n, up("u")))
			p := build(t, g, backfill("u", "2021-01-11", timeOfDay(c.from, c.to)))
			if got := waits(t, p, c.on); got != c.want {
				t.Errorf("%s waits for %q, want %q", c.on, got, c.want)
			}
		})
	}
}

func TestR5_9_TimesAreComparedAsInstants(t *testing.T) {
	// 12:00 in Shanghai is 04:00 UTC.
	g := graphOf(t, hourly("u", "00:00", "23:00", 1), hourly("n", "12:00", "12:00", 1, in("Asia/Shanghai"), up("u")))
	p := build(t, g, backfill("u", "2021-01-11"))
	if got := waits(t, p, "n 01-11 12:00"); got != "u 01-11 04:00" {
		t.Errorf("12:00 in Shanghai waits for %q UTC", got)
	}
	g = graphOf(t, hourly("u", "00:00", "23:00", 1, in("Asia/Shanghai")), hourly("n", "00:00", "23:00", 6, up("u")))
	p = build(t, g, backfill("u", "2021-01-11"))
	for on, want := range map[string]string{"n 01-11 06:00": "u 01-11 14:00", "n 01-11 18:00": "u 01-11 23:00"} {
		if got := waits(t, p, on); got != want {
			t.Errorf("%s UTC waits for %q in Shanghai, want %q", on, got, want)
		}
	}
}

func TestR5_2_DaysOfClockChanges(t *testing.T) {
	g := graphOf(t, hourly("u", "00:00", "23:00", 1, in(newYork)), minutely("n", "01:30", "03:30", 30, in(newYork), up("u")))
	p := build(t, g, backfill("u", "2021-03-13 2021-11-06"))
	for on, want := range map[string]string{
		"n 03-13 01:30": "u 03-13 01:00",
		"n 03-13 03:00": "u 03-13 03:00",
		"n 11-06 01:30": "u 11-06 01:00", // both the second
	} {
		if got := waits(t, p, on); got != want {
			t.Errorf("%s waits for %q, want %q", on, got, want)
		}
	}
	for _, skipped := range []string{"n 03-13 02:00", "n 03-13 02:30", "u 03-13 02:00"} {
		if slices.Contains(labels(p, 0, p.Size()), skipped) {
			t.Errorf("%s has an instance in the skipped hour", skipped)
		}
	}
}

func TestR5_3_Windows(t *testing.T) {
	for _, c := range []struct {
		name    string
		window  nodeOption
		dates   string
		options []requestOption
		on      string
		want    string
	}{
		{"seven days", window("u", -6, 0), "2021-01-01..2021-01-31", nil, "n 01-10", "01-04 01-05 01-06 01-07 01-08 01-09 01-10"},
		{"the first dates have the days there are", window("u", -6, 0), "2021-01-01..2021-01-31", nil, "n 01-03", "01-01 01-02 01-03"},
		{"parts outside the plan", window("u", -6, 0), "2021-01-04 2021-01-06 2021-01-10", nil, "n 01-10", "01-04 01-06 01-10"},
		{"without D", window("u", -2, -1), "2021-01-01..2021-01-31", nil, "n 01-10", "01-08 01-09"},
		{"without D, on the first", window("u", -1, -1), "2021-01-01..2021-01-31", nil, "n 01-01", ""},
		{"only D", window("u", 0, 0), "2021-01-01..2021-01-31", nil, "n 01-10", "01-10"},
		{"month so far", sinceMonthStart("u"), "2021-01-25..2021-02-10", nil, "n 02-03", "02-01 02-02 02-03"},
		{"month so far, on the first", sinceMonthStart("u"), "2021-01-25..2021-02-10", nil, "n 02-01", "02-01"},
		{"month so far, end of month", sinceMonthStart("u"), "2021-01-29..2021-02-10", nil, "n 01-31", "01-29 01-30 01-31"},
		{"across groups", window("u", -3, 0), "2021-01-01..2021-01-10", []requestOption{groups(5)}, "n 01-05", "01-02 01-03 01-04 01-05"},
		{"across groups, descending", window("u", -3, 0), "2021-01-01..2021-01-10", []requestOption{groups(10), descending}, "n 01-05", "01-02 01-03 01-04 01-05"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := graphOf(t, daily("u"), daily("n", c.window))
			p := build(t, g, backfill("u", c.dates, c.options...))
			want := ""
			if c.want != "" {
				want = "u " + strings.ReplaceAll(c.want, " ", ", u ")
			}
			if got := waits(t, p, c.on); got != want {
				t.Errorf("%s waits for %q, want %q", c.on, got, want)
			}
		})
	}
}

func TestR5_3_WindowsOnSubDailyUpstreams(t *testing.T) {
	for _, c := range []struct{ name, u, n, on, want string }{
		{"other dates: all cycles", "04:00-05:00/60", "04:30", "n 01-11", "u 01-10 04:00, u 01-10 05:00, u 01-11 04:00, u 01-11 05:00"},
		{"self-dependent: the last of other dates", "04:00-06:00/60!", "05:30", "n 01-11", "u 01-10 06:00, u 01-11 05:00"},
		{"sub-daily: all of other dates, its own of D", "04:00-05:00/60", "04:30-05:30/60", "n 01-11 04:30", "u 01-10 04:00, u 01-10 05:00, u 01-11 04:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := graphOf(t, fromShort("u", c.u), fromShort("n", c.n, window("u", -1, 0)))
			p := build(t, g, backfill("u", "2021-01-09..2021-01-12"))
			if got := waits(t, p, c.on); got != c.want {
				t.Errorf("%s waits for %q, want %q", c.on, got, c.want)
			}
		})
	}
}

func TestR2_7_R5_3_WhatIsReadFromOutsideThePlan(t *testing.T) {
	g := graphOf(t, daily("before"), daily("u", up("before")),
		daily("n", up("before"), window("u", -2, 0), sinceMonthStart("far")), daily("far"))
	p := build(t, g, backfill("u", "2021-01-02 2021-01-04..2021-01-05"))
	for on, want := range map[string]string{
		"u 01-05": "before 01-05",
		"n 01-02": "before 01-02 u 12-31 u 01-01 far 01-01 far 01-02",
		"n 01-05": "before 01-05 u 01-03 far 01-01 far 01-02 far 01-03 far 01-04 far 01-05",
	} {
		at := find(t, p, on)
		var got []string
		p.Outside(at.Pos, at.Node, func(u string, d calendar.Date) bool {
			got = append(got, u+" "+d.String()[5:])
			return true
		})
		if strings.Join(got, " ") != want {
			t.Errorf("%s reads %q from outside, want %q", on, got, want)
		}
		calls := 0
		p.Outside(at.Pos, at.Node, func(string, calendar.Date) bool { calls++; return false })
		if calls != 1 {
			t.Errorf("%s: told to stop, it went on: %d calls", on, calls)
		}
	}
}

func TestR5_3_UpstreamsStopWhenToldTo(t *testing.T) {
	g := graphOf(t, daily("root"), daily("a", up("root")), daily("u", up("root")), daily("n", up("a"), window("u", -6, 0), up("root")))
	p := build(t, g, backfill("root", "2021-01-01..2021-01-31"))
	place := find(t, p, "n 01-10")
	for stopAfter := 1; stopAfter <= 9; stopAfter++ {
		calls := 0
		p.Upstreams(place, func(_ int, from, to uint64) bool { calls++; return calls < stopAfter })
		if calls != stopAfter {
			t.Errorf("told to stop after %d calls, got %d", stopAfter, calls)
		}
	}
}

func TestR5_4_R5_5_Predecessor(t *testing.T) {
	const none = "none"
	for _, c := range []struct {
		name    string
		node    string
		dates   string
		options []requestOption
		on      string
		want    string // an instance of the plan, "outside D T" in UTC, or none
	}{
		{"daily: the date before", "05:00!", "2021-01-11..2021-01-13", nil, "n 01-12", "n 01-11"},
		{"daily, not dependent on itself", "05:00", "2021-01-11..2021-01-13", nil, "n 01-12", none},
		{"the edge of the plan", "05:00!", "2021-01-11..2021-01-13", nil, "n 01-11", "outside 2021-01-10 2021-01-11 05:00:00"},
		{"a gap in the dates", "05:00!", "2021-01-11 2021-01-13", nil, "n 01-13", "outside 2021-01-12 2021-01-13 05:00:00"},
		{"another group", "05:00!", "2021-01-11..2021-01-14", []requestOption{groups(2)}, "n 01-13", "outside 2021-01-12 2021-01-13 05:00:00"},
		{"the same group", "05:00!", "2021-01-11..2021-01-14", []requestOption{groups(2)}, "n 01-14", "n 01-13"},
		{"descending", "05:00!", "2021-01-11..2021-01-13", []requestOption{descending}, "n 01-12", "outside 2021-01-11 2021-01-12 05:00:00"},
		{"inside a date", "04:00-06:00/60!", "2021-01-11..2021-01-13", nil, "n 01-12 05:00", "n 01-12 04:00"},
		{"inside a date, not dependent on itself", "04:00-06:00/60", "2021-01-11..2021-01-13", nil, "n 01-12 05:00", none},
		{"inside a date, descending", "04:00-06:00/60!", "2021-01-11..2021-01-13", []requestOption{descending}, "n 01-12 05:00", "n 01-12 04:00"},
		{"over the edge of a date", "04:00-06:00/60!", "2021-01-11..2021-01-13", nil, "n 01-12 04:00", "n 01-11 06:00"},
		{"over the edge of a date, descending", "04:00-06:00/60!", "2021-01-11..2021-01-13", []requestOption{descending}, "n 01-12 04:00", "outside 2021-01-11 2021-01-12 06:00:00"},
		{"over the edge of a group", "04:00-06:00/60!", "2021-01-11..2021-01-12", []requestOption{groups(2)}, "n 01-12 04:00", "outside 2021-01-11 2021-01-12 06:00:00"},
		{"gate none has groups too", "05:00!", "2021-01-11..2021-01-14", []requestOption{groups(2), gateNone}, "n 01-13", "outside 2021-01-12 2021-01-13 05:00:00"},
		{"time of day: the cycle before is outside", "00:00-23:00/60!", "2021-01-11..2021-01-12", []requestOption{timeOfDay("04:00", "06:00")}, "n 01-12 04:00", "outside 2021-01-12 2021-01-13 03:00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := build(t, graphOf(t, fromShort("n", c.node)), backfill("n", c.dates, c.options...))
			if got := predecessor(p, find(t, p, c.on)); got != c.want {
				t.Errorf("%s: got %s, want %s", c.on, got, c.want)
			}
		})
	}
}

func predecessor(p *plan.Plan, place plan.Place) string {
	switch pre := p.Predecessor(place); {
	case !pre.Exists:
		return "none"
	case pre.InPlan:
		return label(p, pre.Instance)
	default:
		return "outside " + pre.Date.String() + " " + utc(pre.Unix*1000)
	}
}

func TestR5_5_PredecessorOnDaysOfClockChanges(t *testing.T) {
	for _, c := range []struct {
		name  string
		n     []string // from, to
		dates string
		on    string
		want  string
	}{
		{"the skipped hour has none", []string{"01:00", "03:00"}, "2021-03-12..2021-03-14", "n 03-13 03:00", "n 03-13 01:00"},
		{"the date before ends in the skipped hour", []string{"00:00", "02:00"}, "2021-03-12..2021-03-14", "n 03-14 00:00", "n 03-13 01:00"},
		{"the date begins in the skipped hour", []string{"02:00", "03:00"}, "2021-03-12..2021-03-14", "n 03-13 03:00", "n 03-12 03:00"},
		{"the date before has no cycle", []string{"02:00", "02:00"}, "2021-03-12..2021-03-14", "n 03-14 02:00", "none"},
		{"the doubled hour has one", []string{"00:00", "02:00"}, "2021-11-05..2021-11-07", "n 11-06 02:00", "n 11-06 01:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := graphOf(t, hourly("n", c.n[0], c.n[1], 1, in(newYork), self))
			p := build(t, g, backfill("n", c.dates))
			if got := predecessor(p, find(t, p, c.on)); got != c.want {
				t.Errorf("%s: got %s, want %s", c.on, got, c.want)
			}
		})
	}
}

func TestR5_7_APlanThatCouldNeverFinish(t *testing.T) {
	g := graphOf(t, daily("u"), daily("mid", up("u")), daily("n", window("u", -6, 0), up("mid")))
	month := "2021-01-01..2021-01-31"
	refused(t, g, backfill("u", month, descending), "order",
		"could never finish", "n on 2021-01-31 waits for u on 2021-01-30", "gate day", "waits for all of 2021-01-31", "ascending")
	refused(t, g, backfill("u", month, descending, groups(10)), "order", "could never finish")
	monthly := graphOf(t, daily("u"), daily("n", sinceMonthStart("u")))
	refused(t, monthly, backfill("u", month, descending), "order", "n on 2021-01-31 waits for u on 2021-01-30")
	for name, r := range map[string][]requestOption{
		"ascending": {}, "gate node": {descending, gateNode}, "gate none": {descending, gateNone},
	} {
		if _, err := buildAt(g, accepted, backfill("u", month, r...)); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	for name, r := range map[string]string{
		"one date for each group":             "2021-01-01..2021-01-10",
		"dates further apart than the window": "2021-01-01 2021-01-08 2021-01-15 2021-01-22 2021-01-29 2021-02-05 2021-02-12 2021-02-19 2021-02-26 2021-03-05 2021-03-12 2021-03-19",
	} {
		if _, err := buildAt(g, accepted, backfill("u", r, descending, groups(10))); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	lone := graphOf(t, daily("u"), daily("n", window("u", -6, 0)))
	if _, err := buildAt(lone, accepted, backfill("n", month, descending)); err != nil {
		t.Errorf("a window on a node outside the plan is refused: %v", err)
	}
}

func TestR5_7_ADateWithoutInstancesClosesNoCircle(t *testing.T) {
	// The clocks skip u's only cycle on 2021-03-13, so n on 03-14 waits for nothing there.
	g := graphOf(t, hourly("u", "02:00", "02:00", 1, in(newYork)), daily("n", window("u", -1, -1)))
	if _, err := buildAt(g, accepted, backfill("u", "2021-03-13..2021-03-14", descending)); err != nil {
		t.Errorf("refused without a circle: %v", err)
	}
	refused(t, g, backfill("u", "2021-03-12..2021-03-14", descending), "order", "n on 2021-03-13 waits for u on 2021-03-12")
	g = graphOf(t, daily("u"), hourly("n", "02:00", "02:00", 1, in(newYork), window("u", -1, -1))) // n has none on 03-13
	if _, err := buildAt(g, accepted, backfill("u", "2021-03-12..2021-03-13", descending)); err != nil {
		t.Errorf("refused without a circle: %v", err)
	}
}

func TestR5_3_WindowsThatReachForwardAreRefused(t *testing.T) {
	for _, w := range [][2]int32{{0, 1}, {1, 1}, {-6, 2}} {
		u, _, err := node.Compile(daily("u"))
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := node.Compile(daily("n", window("u", 0, 0)))
		if err != nil {
			t.Fatal(err)
		}
		n.Spec.Upstreams[0].From, n.Spec.Upstreams[0].To = w[0], w[1] // past the checks of nodes
		g, err := node.BuildGraph([]*node.Node{u, n})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, g, backfill("u", "2021-01-01..2021-01-03"), "", `node "n"`, `"u"`, "reaches back only")
	}
}

// fromShort makes a node of a schedule in short: "05:00", or
// "04:00-06:00/60" with the step in minutes; "!" at the end of a node that
// depends on itself.
func fromShort(id, short string, options ...nodeOption) *wire.Node {
	if s, ok := strings.CutSuffix(short, "!"); ok {
		short = s
		options = append(options, self)
	}
	from, rest, ok := strings.Cut(short, "-")
	if !ok {
		return daily(id, append(options, at(from))...)
	}
	to, step, _ := strings.Cut(rest, "/")
	minutes, err := strconv.Atoi(step)
	if err != nil {
		panic(err)
	}
	if minutes%60 == 0 {
		return hourly(id, from, to, int32(minutes/60), options...)
	}
	return minutely(id, from, to, int32(minutes), options...)
}

func TestR5_7_CirclesThroughPreviousCycles(t *testing.T) {
	const dates = "2021-01-11..2021-01-12"
	family := graphOf(t, daily("n", children), daily("c", up("n")))
	with := func(options ...requestOption) *wire.Request {
		r := both(dates, "n", "c")
		for _, o := range options {
			o(r)
		}
		return r
	}
	refused(t, family, with(descending), "order", "n on 2021-01-12 waits for c on 2021-01-11 (its previous cycle)", "gate day", "ascending")
	refused(t, family, with(descending, gateNode), "order",
		"n on 2021-01-12 waits for c on 2021-01-11 waits for n on 2021-01-11 waits for n on 2021-01-12", "gate none, or more groups")
	for name, r := range map[string]*wire.Request{
		"ascending": with(), "gate none": with(descending, gateNone),
		"a group for each date": with(descending, groups(2)), "gate node, a group for each date": with(descending, gateNode, groups(2)),
	} {
		if _, err := buildAt(family, accepted, r); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	// Named, and not after it: the nodes go one after another through all dates.
	named := graphOf(t, daily("n", previous("u")), daily("u"))
	if _, err := buildAt(named, accepted, both(dates, "n", "u")); err != nil {
		t.Error(err)
	}
	r := both(dates, "n", "u")
	r.Order, r.Gate = wire.Request_DESCENDING, wire.Request_NODE
	if _, err := buildAt(named, accepted, r); err != nil {
		t.Errorf("gate node: %v", err)
	}
}

func TestR5_7_ACircleOfOneDateIsNamed(t *testing.T) {
	g := graphOf(t, hourly("x", "00:00", "02:00", 1, previous("y")), daily("z", up("x")), hourly("y", "00:00", "02:00", 1, up("z")))
	refused(t, g, both("2021-01-11", "x", "y", "z"), "",
		"could never finish", "z on 2021-01-11 waits for x on 2021-01-11 at", "y on 2021-01-11 at", "take a previous-cycle dependency out")
	// One cycle of each: what comes before it lies on the date before.
	one := graphOf(t, hourly("x", "01:00", "01:00", 1, previous("y")), daily("z", up("x")), hourly("y", "01:00", "01:00", 1, up("z")))
	if _, err := buildAt(one, accepted, both("2021-01-11..2021-01-12", "x", "y", "z")); err != nil {
		t.Errorf("no circle: %v", err)
	}
	// All sub-daily: an earlier cycle waits for earlier ones only.
	sub := graphOf(t, hourly("x", "00:00", "02:00", 1, previous("y")), hourly("z", "00:00", "02:00", 1, up("x")), hourly("y", "00:00", "02:00", 1, up("z")))
	if _, err := buildAt(sub, accepted, both("2021-01-11..2021-01-12", "x", "y", "z")); err != nil {
		t.Errorf("no circle: %v", err)
	}
	// The schedule is not stopped by it: it says so.
	specs := []*wire.Node{hourly("x", "00:00", "02:00", 1, previous("y"), on), daily("z", up("x"), on), hourly("y", "00:00", "02:00", 1, up("z"), on), daily("good", on)}
	if w := auto(t, graphOf(t, specs...), "2021-01-11").Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "can never start") {
		t.Errorf("warnings %q", w)
	}
}

// TestR5_7_GroupsNeverWaitCrosswise: what reaches into other groups reaches
// back in dates, and so in one direction.
func TestR5_7_GroupsNeverWaitCrosswise(t *testing.T) {
	g := graphOf(t, daily("a", children), daily("b", up("a"), window("w", -20, 0)), daily("w", previous("b")))
	for k := int32(1); k <= 10; k++ {
		r := both("2021-01-01..2021-01-20", "a", "b", "w")
		r.Groups = k
		p, err := buildAt(g, accepted, r)
		if err != nil {
			t.Fatalf("%d groups: %v", k, err)
		}
		if !modelOf(p, specsOf(p)).finishes() {
			t.Fatalf("%d groups: accepted with a circle", k)
		}
	}
}
