package calendar

import (
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the host's zone files

	"pgregory.net/rapid"
)

var zoneNames = []string{
	"UTC", "America/New_York", "Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe",
	"Pacific/Apia", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Casablanca", "Europe/London",
}

func TestR1_5_WallClockAtTransitions(t *testing.T) {
	for _, tc := range []struct {
		zone, wall, instant string // instant as the wall time in UTC
		gap                 bool
	}{
		{"America/New_York", "2021-03-14 01:59:59", "2021-03-14 06:59:59", false},
		{"America/New_York", "2021-03-14 02:30:00", "2021-03-14 07:30:00", true}, // 03:30 EDT
		{"America/New_York", "2021-03-14 03:00:00", "2021-03-14 07:00:00", false},
		{"America/New_York", "2021-11-07 01:30:00", "2021-11-07 06:30:00", false}, // the second 01:30
		{"America/New_York", "2021-11-07 00:59:59", "2021-11-07 04:59:59", false},
		{"Europe/Berlin", "2021-03-28 02:00:00", "2021-03-28 01:00:00", true},
		{"Europe/Berlin", "2021-10-31 02:00:00", "2021-10-31 01:00:00", false},
		{"Europe/Berlin", "2021-10-31 02:59:59", "2021-10-31 01:59:59", false},
		{"Australia/Lord_Howe", "2021-10-03 02:15:00", "2021-10-02 15:45:00", true}, // 02:45 at +11
		{"Australia/Lord_Howe", "2021-04-04 01:45:00", "2021-04-03 15:15:00", false},
		{"Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 22:00:00", true}, // 2011-12-31 12:00 at +14
		{"Asia/Shanghai", "2021-03-28 02:30:00", "2021-03-27 18:30:00", false},
	} {
		z := zone(t, tc.zone, wall(t, tc.wall).Date)
		w := wall(t, tc.wall)
		if got := UTC().WallAt(z.Instant(w)); got.String() != tc.instant {
			t.Errorf("%s %s is %s UTC, want %s", tc.zone, tc.wall, got, tc.instant)
		}
		if z.InGap(w) != tc.gap {
			t.Errorf("%s %s: InGap = %v", tc.zone, tc.wall, z.InGap(w))
		}
	}
}

func TestResolveZone(t *testing.T) {
	ny, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	z := ResolveZone(ny, date(t, "2021-03-16"), date(t, "2021-11-04"))
	want := []Transition{{1615705200, -4 * 3600}, {1636264800, -5 * 3600}} // two days before, three after
	if z.Name != "America/New_York" || z.Base != -5*3600 || len(z.Transitions) != 2 ||
		z.Transitions[0] != want[0] || z.Transitions[1] != want[1] {
		t.Errorf("resolved %+v", z)
	}
	if z := ResolveZone(ny, date(t, "2021-03-18"), date(t, "2021-11-02")); len(z.Transitions) != 0 {
		t.Errorf("transitions outside the range: %+v", z)
	}
}

func TestZoneAgreesWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zoneNames).Draw(t, "zone")
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		z := ResolveZone(loc, DateOf(2009, 1, 1), DateOf(2030, 12, 31))
		unix := rapid.Int64Range(DateOf(2009, 1, 1).unix(), DateOf(2031, 1, 1).unix()).Draw(t, "unix")
		if len(z.Transitions) > 0 && rapid.Bool().Draw(t, "near") {
			near := rapid.SampledFrom(z.Transitions).Draw(t, "transition").At
			unix = near + rapid.Int64Range(-7200, 7200).Draw(t, "by")
		}
		if _, offset := time.Unix(unix, 0).In(loc).Zone(); int(z.OffsetAt(unix)) != offset {
			t.Fatalf("%s at %d: offset %d, want %d", name, unix, z.OffsetAt(unix), offset)
		}
		w := z.WallAt(unix)
		if z.InGap(w) {
			t.Fatalf("%s: %s is shown at %d and yet in a gap", name, w, unix)
		}
		back := z.Instant(w)
		if z.WallAt(back) != w || back < unix {
			t.Fatalf("%s: %s is %d again, shown at %d", name, w, back, unix)
		}
	})
}

func TestGapMovesLaterByItsLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zoneNames).Draw(t, "zone")
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		z := ResolveZone(loc, DateOf(2009, 1, 1), DateOf(2030, 12, 31))
		if len(z.Transitions) == 0 {
			return
		}
		k := rapid.IntRange(0, len(z.Transitions)-1).Draw(t, "transition")
		length := int64(z.offset(k+1)) - int64(z.offset(k))
		if length < 0 {
			return
		}
		w := wallOf(z.gapStart(k) + rapid.Int64Range(0, length-1).Draw(t, "into"))
		if !z.InGap(w) || z.WallAt(z.Instant(w)) != w.AddSeconds(length) {
			t.Fatalf("%s %s goes to %s", name, w, z.WallAt(z.Instant(w)))
		}
	})
}

// unix is the date's midnight in UTC.
func (d Date) unix() int64 { return int64(d) * daySeconds }

func zone(t testing.TB, name string, around Date) *Zone {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return ResolveZone(loc, around-40, around+40)
}
