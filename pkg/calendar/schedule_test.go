package calendar

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backfleet/pkg/fault"
)

func TestR1_1_ScheduledDateIsTheDayAfter(t *testing.T) {
	s := Schedule{Kind: Daily, At: clock(t, "02:30")}
	c := s.Cycle(date(t, "2021-08-23"), 0, zone(t, "Asia/Shanghai", date(t, "2021-08-23")))
	if c.Wall.String() != "2021-08-24 02:30:00" || UTC().WallAt(c.Unix).String() != "2021-08-23 18:30:00" {
		t.Errorf("got %s, %s UTC", c.Wall, UTC().WallAt(c.Unix))
	}
}

func TestR1_2_ClosedInterval(t *testing.T) {
	for _, tc := range []struct {
		kind     Kind
		from, to string
		every    int32
		want     []string
	}{
		{Hourly, "00:00", "03:00", 60, []string{"00:00", "01:00", "02:00", "03:00"}},
		{Hourly, "00:10", "03:09", 60, []string{"00:10", "01:10", "02:10"}},
		{Hourly, "01:00", "23:59", 720, []string{"01:00", "13:00"}},
		{Minutely, "08:00", "08:10", 5, []string{"08:00", "08:05", "08:10"}},
		{Minutely, "08:00", "08:00", 1, []string{"08:00"}},
	} {
		s := Schedule{Kind: tc.kind, From: clock(t, tc.from), To: clock(t, tc.to), Every: tc.every}
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", tc, err)
		}
		if got := clocks(s, date(t, "2021-08-23"), UTC()); !slices.Equal(got, tc.want) {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
}

func TestR1_2_WrongSchedulesAreRefused(t *testing.T) {
	ten, nine := clock(t, "10:00"), clock(t, "09:00")
	for _, tc := range []struct {
		s     Schedule
		field string
	}{
		{Schedule{}, "kind"},
		{Schedule{Kind: 77}, "kind"},
		{Schedule{Kind: Daily, At: 86400}, "at"},
		{Schedule{Kind: Daily, To: nine}, "to"},
		{Schedule{Kind: Daily, From: nine}, "from"},
		{Schedule{Kind: Weekly, Weekdays: 1, Every: 60}, "every"},
		{Schedule{Kind: Hourly, At: nine, To: ten, Every: 60}, "at"},
		{Schedule{Kind: Hourly, From: ten, To: nine, Every: 60}, "to"},
		{Schedule{Kind: Hourly, From: -1, To: nine, Every: 60}, "from"},
		{Schedule{Kind: Minutely, To: 86400, Every: 60}, "to"},
		{Schedule{Kind: Minutely, To: nine, Every: 0}, "every"},
		{Schedule{Kind: Minutely, To: nine, Every: 1441}, "every"},
		{Schedule{Kind: Hourly, To: nine, Every: 90}, "every"},
	} {
		var f *fault.Error
		if err := tc.s.Validate(); !errors.As(err, &f) || f.Code != fault.Invalid || f.Field != tc.field {
			t.Errorf("%+v: got %v, want the field %s", tc.s, err, tc.field)
		}
	}
}

func TestR1_4_DailyWithoutTimeRunsAtMidnight(t *testing.T) {
	s := Schedule{Kind: Daily}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	if got := clocks(s, date(t, "2021-08-23"), UTC()); !slices.Equal(got, []string{"00:00"}) {
		t.Errorf("got %v", got)
	}
}

func TestR1_5_SkippedHour(t *testing.T) {
	hourly := Schedule{Kind: Hourly, From: 0, To: clock(t, "04:00"), Every: 60}
	half := Schedule{Kind: Minutely, From: clock(t, "01:30"), To: clock(t, "03:30"), Every: 15}
	daily := Schedule{Kind: Daily, At: clock(t, "02:15")}
	for _, tc := range []struct {
		zone, d string
		s       Schedule
		want    []string
	}{
		{"America/New_York", "2021-03-13", hourly, []string{"00:00", "01:00", "03:00", "04:00"}},
		{"America/New_York", "2021-03-13", half, []string{"01:30", "01:45", "03:00", "03:15", "03:30"}},
		{"America/New_York", "2021-03-13", daily, []string{"03:15"}},
		{"Europe/Berlin", "2021-03-27", hourly, []string{"00:00", "01:00", "03:00", "04:00"}},
		{"Europe/Berlin", "2021-03-27", daily, []string{"03:15"}},
		{"Australia/Lord_Howe", "2021-10-02", hourly, []string{"00:00", "01:00", "03:00", "04:00"}},
		{"Australia/Lord_Howe", "2021-10-02", half, []string{"01:30", "01:45", "02:30", "02:45", "03:00", "03:15", "03:30"}},
		{"Australia/Lord_Howe", "2021-10-02", daily, []string{"02:45"}},
		{"Asia/Shanghai", "2021-03-13", hourly, []string{"00:00", "01:00", "02:00", "03:00", "04:00"}},
		{"Pacific/Apia", "2011-12-29", hourly, nil}, // 2011-12-30 never was
		{"Pacific/Apia", "2011-12-28", hourly, []string{"00:00", "01:00", "02:00", "03:00", "04:00"}},
		{"America/Sao_Paulo", "2018-11-03", Schedule{Kind: Daily}, []string{"01:00"}}, // midnight is skipped
	} {
		d := date(t, tc.d)
		if got := clocks(tc.s, d, zone(t, tc.zone, d)); !slices.Equal(got, tc.want) {
			t.Errorf("%s D=%s %s: got %v, want %v", tc.zone, tc.d, tc.s.Kind, got, tc.want)
		}
	}
}

func TestR1_5_SkippedDayMovesDailyToTheNext(t *testing.T) {
	d := date(t, "2011-12-29")
	c := Schedule{Kind: Daily, At: clock(t, "06:00")}.Cycle(d, 0, zone(t, "Pacific/Apia", d))
	if c.Wall.String() != "2011-12-31 06:00:00" {
		t.Errorf("got %s", c.Wall)
	}
}

func TestR1_5_DoubledHourRunsOnceTheSecond(t *testing.T) {
	for _, tc := range []struct {
		zone, d string
		s       Schedule
		at      string
		utc     string
	}{
		{"America/New_York", "2021-11-06", Schedule{Kind: Hourly, To: 7200, Every: 60}, "01:00", "2021-11-07 06:00:00"},
		{"America/New_York", "2021-11-06", Schedule{Kind: Daily, At: 5400}, "01:30", "2021-11-07 06:30:00"},
		{"Europe/Berlin", "2021-10-30", Schedule{Kind: Minutely, To: 86399, Every: 1}, "02:59", "2021-10-31 01:59:00"},
		{"Australia/Lord_Howe", "2021-04-03", Schedule{Kind: Minutely, To: 86399, Every: 15}, "01:45", "2021-04-03 15:15:00"},
	} {
		d := date(t, tc.d)
		z := zone(t, tc.zone, d)
		var found []string
		for i := range tc.s.Count(d, z) {
			if c := tc.s.Cycle(d, i, z); c.Wall.Clock.String() == tc.at {
				found = append(found, UTC().WallAt(c.Unix).String())
			}
		}
		if !slices.Equal(found, []string{tc.utc}) {
			t.Errorf("%s %s: got %v, want %s", tc.zone, tc.at, found, tc.utc)
		}
	}
}

func TestR3_2_RestrictKeepsCyclesInTheClosedRange(t *testing.T) {
	s := Schedule{Kind: Hourly, From: clock(t, "00:30"), To: clock(t, "05:30"), Every: 120}
	for _, tc := range []struct {
		from, to string
		want     []string
	}{
		{"00:00", "23:59", []string{"00:30", "02:30", "04:30"}},
		{"02:30", "04:30", []string{"02:30", "04:30"}},
		{"02:31", "04:29", nil},
		{"00:31", "03:00", []string{"02:30"}},
		{"05:00", "23:00", nil},
		{"04:00", "01:00", nil},
	} {
		r, ok := s.Restrict(clock(t, tc.from), clock(t, tc.to))
		if ok != (tc.want != nil) {
			t.Errorf("%s..%s: ok = %v", tc.from, tc.to, ok)
		}
		if ok && !slices.Equal(clocks(r, date(t, "2021-08-23"), UTC()), tc.want) {
			t.Errorf("%s..%s: got %v", tc.from, tc.to, clocks(r, date(t, "2021-08-23"), UTC()))
		}
	}
	daily := Schedule{Kind: Daily, At: clock(t, "02:00")}
	if r, ok := daily.Restrict(clock(t, "10:00"), clock(t, "11:00")); !ok || r != daily {
		t.Errorf("a daily schedule is not restricted, got %+v, %v", r, ok)
	}
}

func TestKindNumbersAreStored(t *testing.T) {
	for kind, name := range map[Kind]string{1: "daily", 2: "hourly", 3: "minutely", 4: "weekly", 5: "monthly", 6: "yearly", 0: "kind(0)", 7: "kind(7)"} {
		if kind.String() != name {
			t.Errorf("kind %d is %s, want %s", kind, kind, name)
		}
	}
}

func drawSchedule(t *rapid.T) (Schedule, Date, *Zone) {
	name := rapid.SampledFrom(zoneNames).Draw(t, "zone")
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	d := DateOf(2009, 1, 1) + Date(rapid.Int32Range(0, 20*365).Draw(t, "day"))
	z := ResolveZone(loc, d-400, d+400)
	if len(z.Transitions) > 0 && rapid.Bool().Draw(t, "near") {
		near := rapid.SampledFrom(z.Transitions).Draw(t, "transition").At
		d = z.WallAt(near).Date - Date(rapid.Int32Range(0, 2).Draw(t, "before"))
	}
	return drawKind(t, rapid.SampledFrom([]Kind{Daily, Hourly, Minutely, Weekly, Monthly, Yearly}).Draw(t, "kind")), d, z
}

func drawKind(t *rapid.T, kind Kind) Schedule {
	s := Schedule{Kind: kind}
	if !s.SubDaily() {
		s.At = Clock(rapid.Int32Range(0, 86399).Draw(t, "at"))
		if kind == Weekly {
			s.Weekdays = rapid.Uint8Range(1, 127).Draw(t, "weekdays")
		}
		if kind == Yearly {
			s.Months = rapid.Uint16Range(1, 1<<12-1).Draw(t, "months") << 1
		}
		if kind == Monthly || kind == Yearly {
			s.Days = rapid.Uint32Range(1, 1<<29-1).Draw(t, "days") // to the 28th, and the last: every month has them
		}
		return s
	}
	s.From = Clock(rapid.Int32Range(0, 86399).Draw(t, "from"))
	s.To = Clock(rapid.Int32Range(int32(s.From), 86399).Draw(t, "to"))
	s.Every = rapid.Int32Range(1, 24).Draw(t, "every") * 60
	if s.Kind == Minutely {
		s.Every = rapid.Int32Range(1, 120).Draw(t, "minutes")
	}
	return s
}

// TestCyclesAgreeWithTheRuleSpelledOut compares with R1.2 and R1.5 done slot
// by slot.
func TestCyclesAgreeWithTheRuleSpelledOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, d, z := drawSchedule(t)
		if !s.SubDaily() {
			return
		}
		i := 0
		for c := int64(s.From); c <= int64(s.To); c += s.step() {
			w := Wall{d + 1, Clock(c)}
			if z.InGap(w) {
				continue
			}
			if got := s.Cycle(d, i, z); got != (Cycle{w, z.Instant(w)}) {
				t.Fatalf("cycle %d is %+v, want %s", i, got, w)
			}
			i++
		}
		if n := s.Count(d, z); n != i {
			t.Fatalf("Count = %d, want %d", n, i)
		}
	})
}

func TestCyclesIncreaseAndAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, d, z := drawSchedule(t)
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		last := int64(-1 << 62)
		for i := range s.Count(d, z) {
			c := s.Cycle(d, i, z)
			if c.Unix <= last {
				t.Fatalf("cycle %d at %d is not after %d", i, c.Unix, last)
			}
			if z.WallAt(c.Unix) != c.Wall {
				t.Fatalf("cycle %d: %s is not the wall time at %d", i, c.Wall, c.Unix)
			}
			if s.IndexAt(d, c.Unix, z) != i || s.IndexAtOrBefore(d, c.Unix, z) != i || s.IndexAtOrBefore(d, c.Unix-1, z) != i-1 {
				t.Fatalf("cycle %d at %d is not found", i, c.Unix)
			}
			if s.IndexAt(d, c.Unix+1, z) != -1 {
				t.Fatalf("a cycle is found 1 s after cycle %d", i)
			}
			last = c.Unix
		}
		if i := s.IndexAtOrBefore(d, 1<<40, z); i != s.Count(d, z)-1 {
			t.Fatalf("far later: %d", i)
		}
	})
}

func TestRestrictIsAFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, d, _ := drawSchedule(t)
		from := Clock(rapid.Int32Range(0, 86399).Draw(t, "rangeFrom"))
		to := Clock(rapid.Int32Range(0, 86399).Draw(t, "rangeTo"))
		var want []Wall
		for i := range s.Count(d, UTC()) {
			if w := s.Cycle(d, i, UTC()).Wall; !s.SubDaily() || from <= w.Clock && w.Clock <= to {
				want = append(want, w)
			}
		}
		r, ok := s.Restrict(from, to)
		if ok != (len(want) > 0) {
			t.Fatalf("ok = %v with %d left", ok, len(want))
		}
		for i, w := range want {
			if n, got := r.Count(d, UTC()), r.Cycle(d, i, UTC()).Wall; n != len(want) || got != w {
				t.Fatalf("cycle %d of %d: %s, want %s of %d", i, n, got, w, len(want))
			}
		}
	})
}

func TestCyclesDoNotAllocate(t *testing.T) {
	s := Schedule{Kind: Hourly, To: 86399, Every: 60}
	for _, day := range []string{"2021-06-01", "2021-03-13"} {
		d := date(t, day)
		z := zone(t, "America/New_York", d)
		if n := testing.AllocsPerRun(100, func() {
			c := s.Cycle(d, s.Count(d, z)-1, z)
			s.IndexAt(d, c.Unix, z)
		}); n != 0 {
			t.Errorf("%s: %v allocations", day, n)
		}
	}
}

func BenchmarkCountAndCycle(b *testing.B) {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		b.Fatal(err)
	}
	z := ResolveZone(loc, DateOf(2015, 1, 1), DateOf(2025, 1, 1))
	s := Schedule{Kind: Hourly, To: 86399, Every: 60}
	d := DateOf(2020, 6, 1)
	for b.Loop() {
		s.Cycle(d, s.Count(d, z)-1, z)
	}
}

func clocks(s Schedule, d Date, z *Zone) []string {
	var all []string
	for i := range s.Count(d, z) {
		all = append(all, s.Cycle(d, i, z).Wall.Clock.String())
	}
	return all
}
