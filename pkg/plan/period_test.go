package plan_test

import (
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func period(cycle wire.Period_Cycle, start, end string, zone string) requestOption {
	return func(r *wire.Request) {
		r.Period, r.Zone = &wire.Period{Cycle: cycle, Start: clock(start), End: 24 * 3600}, zone
		if end != "" {
			r.Period.End = clock(end)
		}
	}
}

// ms reads a moment of UTC.
func ms(s string) int64 {
	w, err := calendar.ParseWall(s)
	if err != nil {
		panic(err)
	}
	return calendar.UTC().Instant(w) * 1000
}

func TestR3_4_TheWindowOpens(t *testing.T) {
	const daily_, weekend = wire.Period_EVERY_DAY, wire.Period_WEEKEND
	g := graphOf(t, daily("a"))
	for _, c := range []struct {
		name   string
		period requestOption
		now    string
		want   string
	}{
		{"before it", period(daily_, "22:00", "23:00", ""), "2021-08-24 12:00:00", "2021-08-24 22:00:00"},
		{"at its start", period(daily_, "22:00", "23:00", ""), "2021-08-24 22:00:00", "2021-08-24 22:00:00"},
		{"inside", period(daily_, "22:00", "23:00", ""), "2021-08-24 22:59:59", "2021-08-24 22:59:59"},
		{"at its end it is closed", period(daily_, "22:00", "23:00", ""), "2021-08-24 23:00:00", "2021-08-25 22:00:00"},
		{"no end: to midnight", period(daily_, "22:00", "", ""), "2021-08-24 23:59:59", "2021-08-24 23:59:59"},
		{"no end: closed at midnight", period(daily_, "22:00", "", ""), "2021-08-25 00:00:00", "2021-08-25 22:00:00"},
		{"ends at 00:00", period(daily_, "22:00", "00:00", ""), "2021-08-25 00:00:00", "2021-08-25 22:00:00"},
		{"over midnight, the evening", period(daily_, "22:00", "06:00", ""), "2021-08-24 23:00:00", "2021-08-24 23:00:00"},
		{"over midnight, the morning", period(daily_, "22:00", "06:00", ""), "2021-08-25 05:59:59", "2021-08-25 05:59:59"},
		{"over midnight, the day", period(daily_, "22:00", "06:00", ""), "2021-08-25 06:00:00", "2021-08-25 22:00:00"},
		{"all day", period(daily_, "00:00", "", ""), "2021-08-25 00:00:00", "2021-08-25 00:00:00"},
		{"weekend, on a Tuesday", period(weekend, "08:00", "10:00", ""), "2021-08-24 09:00:00", "2021-08-28 08:00:00"},
		{"weekend, on a Saturday", period(weekend, "08:00", "10:00", ""), "2021-08-28 11:00:00", "2021-08-29 08:00:00"},
		{"weekend, after Sunday's", period(weekend, "08:00", "10:00", ""), "2021-08-29 10:00:00", "2021-09-04 08:00:00"},
		{"weekend over midnight belongs to its first day: Monday morning", period(weekend, "22:00", "06:00", ""), "2021-08-30 05:00:00", "2021-08-30 05:00:00"},
		{"weekend over midnight: not Saturday morning", period(weekend, "22:00", "06:00", ""), "2021-08-28 05:00:00", "2021-08-28 22:00:00"},
		{"in the plan's zone", period(daily_, "22:00", "23:00", "Asia/Shanghai"), "2021-08-24 12:00:00", "2021-08-24 14:00:00"},
		{"weekend of the plan's zone", period(weekend, "00:00", "", "Asia/Shanghai"), "2021-08-27 15:00:00", "2021-08-27 16:00:00"},
		{"daylight saving ends years ahead", period(daily_, "12:00", "13:00", newYork), "2024-01-10 00:00:00", "2024-01-10 17:00:00"},
		{"a start that the clocks skip moves by the gap", period(daily_, "02:30", "05:00", newYork), "2022-03-13 06:00:00", "2022-03-13 07:30:00"},
		{"a window that the clocks skip is not", period(daily_, "02:00", "03:00", newYork), "2022-03-13 06:00:00", "2022-03-14 06:00:00"},
	} {
		p := build(t, g, backfill("a", "2021-08-01", c.period))
		if got := utc(p.WindowOpens(ms(c.now))); got != c.want {
			t.Errorf("%s: at %s it opens %s, want %s", c.name, c.now, got, c.want)
		}
	}
	if p := build(t, g, backfill("a", "2021-08-01")); p.WindowOpens(12345) != 12345 {
		t.Error("without a period something has to wait for a window")
	}
}

func TestR3_4_APeriodIsChecked(t *testing.T) {
	g := graphOf(t, daily("a"))
	for _, c := range []struct {
		start, end int32
		field      string
		words      string
	}{
		{3600, 3600, "period.end", "begins and ends at 01:00"},
		{0, 0, "period.end", "begins and ends"},
		{-1, 3600, "period.start", "00:00 to 23:59:59"},
		{86400, 3600, "period.start", ""},
		{0, 86401, "period.end", "00:00 to 24:00"},
		{3600, -1, "period.end", ""},
	} {
		r := backfill("a", "2021-08-01")
		r.Period = &wire.Period{Start: c.start, End: c.end}
		refused(t, g, r, c.field, c.words)
	}
	r := backfill("a", "2021-08-01")
	r.Period = &wire.Period{Cycle: 2, End: 3600}
	refused(t, g, r, "period.cycle")
	refused(t, g, backfill("a", "2021-08-01", period(0, "01:00", "02:00", "Mars/Base")), "zone", "Mars/Base")
}

// scheduled is a node of a kind of schedule.
func scheduled(id string, s *wire.Schedule, options ...nodeOption) *wire.Node {
	return spec(id, s, options)
}

func TestR1_3_R6_DryRunsAndWhy(t *testing.T) {
	g := graphOf(t,
		daily("root"),
		scheduled("mondays", &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1}, up("root")),
		scheduled("firsts", &wire.Schedule{Kind: wire.Schedule_MONTHLY, Days: 1 << 1}, up("root")),
		scheduled("lasts", &wire.Schedule{Kind: wire.Schedule_MONTHLY, Days: 1}, up("root")),
		scheduled("june", &wire.Schedule{Kind: wire.Schedule_YEARLY, Days: 1 << 1, Months: 1 << 6}, up("root")),
		daily("dry", up("root"), mode(wire.Node_DRY_RUN)),
		daily("paused", up("root"), mode(wire.Node_PAUSED)),
	)
	keep := func(r *wire.Request) { r.PausedNodes, r.DryRunNodes = wire.Request_KEEP, wire.Request_KEEP }
	const none, off = wire.DryRun_DRY_RUN_NONE, wire.DryRun_OFF_SCHEDULE
	for _, c := range []struct {
		on      string
		options []requestOption
		want    wire.DryRun
		frozen  bool
	}{
		{"mondays 05-30", nil, none, false}, // 2021-05-31 is a Monday
		{"mondays 05-29", nil, off, false},
		{"firsts 05-31", nil, none, false}, // to run the 1st, D is the last day of the month before
		{"firsts 06-01", nil, off, false},
		{"lasts 05-30", nil, none, false},
		{"lasts 05-31", nil, off, false},
		{"june 05-31", nil, none, false},
		{"june 06-01", nil, off, false},
		{"dry 06-01", nil, none, false},
		{"dry 06-01", []requestOption{keep}, wire.DryRun_NODE_IS_DRY_RUN, false},
		{"paused 06-01", nil, none, false},
		{"paused 06-01", []requestOption{keep}, none, true},
		{"firsts 06-01", []requestOption{func(r *wire.Request) { r.DryRun = true }}, wire.DryRun_REQUESTED, false},
	} {
		p := build(t, g, backfill("root", "2021-05-29..2021-06-01", c.options...))
		at := find(t, p, c.on)
		if got := p.Dry(at); got != c.want || p.FrozenNode(at.Node) != c.frozen {
			t.Errorf("%s: %v, frozen %v; want %v, %v", c.on, got, p.FrozenNode(at.Node), c.want, c.frozen)
		}
		// It keeps the order as any other does.
		if got := waits(t, p, c.on); got != "root "+c.on[len(c.on)-5:] {
			t.Errorf("%s waits for %q", c.on, got)
		}
	}
}

func mode(m wire.Node_Mode) nodeOption { return func(n *wire.Node) { n.Mode = m } }

func TestR7_6_APriorityForTheWholePlan(t *testing.T) {
	g := graphOf(t, daily("a", priority(8)))
	p := build(t, g, backfill("a", "2021-01-01 2021-08-23", func(r *wire.Request) { r.Priority = 5 }))
	for pos := range p.Dates {
		if got := p.Priority(plan.Place{Pos: pos}); got != 5 {
			t.Errorf("%s: priority %d, want 5", p.Dates[pos], got)
		}
	}
}

func TestR11_DefaultNames(t *testing.T) {
	g := graphOf(t, daily("b"), daily("c", up("b")), daily("d", up("c")), daily("a"))
	for _, c := range []struct {
		want string
		set  func(*wire.Request)
	}{
		{"b_20210824_", func(*wire.Request) {}},
		{"b_20210824_", func(r *wire.Request) { r.Mode = wire.Request_CURRENT }},
		{"b_20210824_", func(r *wire.Request) { r.Mode = wire.Request_MASSIVE }},
		{"b..d_20210824_", func(r *wire.Request) { r.Mode, r.End = wire.Request_CHAIN, "d" }},
		{"a+2_20210824_", func(r *wire.Request) { r.Mode, r.Root, r.Nodes = wire.Request_ADVANCED, "", []string{"b", "d", "a"} }}, // c is a bridge
		{"d_20210824_", func(r *wire.Request) { r.Mode, r.Root, r.Nodes = wire.Request_ADVANCED, "", []string{"d"} }},
		{"a+2_20210824_", func(r *wire.Request) {
			r.Mode, r.Root, r.Nodes, r.DryRun = wire.Request_ADVANCED, "", []string{"b", "d", "a"}, true
		}},
	} {
		if got := build(t, g, backfill("b", "2021-01-01", c.set)).DefaultName(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
