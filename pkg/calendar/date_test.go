package calendar

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backfleet/pkg/fault"
)

func TestR3_1_ImpossibleDatesAreRefused(t *testing.T) {
	for _, s := range []string{
		"", "2021", "2021-02-29", "2021-04-31", "2021-13-01", "2021-00-10", "2021-01-00", "0000-01-01",
		"2021-1-01", "20210101", "2021/01/01", "2021-01-01 ", "+021-01-01", "2021-01-0x", "२०२१-01-01",
	} {
		_, err := ParseDate(s)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseDate(%q) = %v, want an invalid fault", s, err)
		}
	}
}

func TestDateText(t *testing.T) {
	for _, tc := range []struct {
		text, compact string
		days          Date
		weekday       time.Weekday
	}{
		{"1970-01-01", "19700101", 0, time.Thursday},
		{"1969-12-31", "19691231", -1, time.Wednesday},
		{"2000-02-29", "20000229", 11016, time.Tuesday},
		{"2021-08-24", "20210824", 18863, time.Tuesday},
		{"0001-01-01", "00010101", -719162, time.Monday},
		{"9999-12-31", "99991231", 2932896, time.Friday},
	} {
		d, err := ParseDate(tc.text)
		if err != nil || d != tc.days {
			t.Errorf("ParseDate(%q) = %d, %v; want %d", tc.text, d, err, tc.days)
		}
		if d.String() != tc.text || d.Compact() != tc.compact || d.Weekday() != tc.weekday {
			t.Errorf("%d: %s %s %s", d, d, d.Compact(), d.Weekday())
		}
	}
}

func TestMonths(t *testing.T) {
	for _, tc := range []struct {
		from string
		n    int
		want string
	}{
		{"2025-03-31", -1, "2025-02-28"},
		{"2024-03-31", -1, "2024-02-29"},
		{"2025-02-28", 1, "2025-03-28"}, // the last day does not stick
		{"2025-12-31", 2, "2026-02-28"},
		{"2025-01-15", -25, "2022-12-15"},
	} {
		if got := date(t, tc.from).AddMonths(tc.n).String(); got != tc.want {
			t.Errorf("%s + %d months = %s, want %s", tc.from, tc.n, got, tc.want)
		}
	}
	d := date(t, "2024-02-11")
	if d.MonthStart().String() != "2024-02-01" || d.MonthEnd().String() != "2024-02-29" {
		t.Errorf("month of %s: %s to %s", d, d.MonthStart(), d.MonthEnd())
	}
}

func TestDateAgreesWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Date(rapid.Int32Range(-5_000_000, 5_000_000).Draw(t, "days"))
		want := time.Unix(int64(d)*daySeconds, 0).UTC()
		y, m, day := d.YMD()
		wy, wm, wd := want.Date()
		if y != wy || m != wm || day != wd || d.Weekday() != want.Weekday() {
			t.Fatalf("%d: %d-%d-%d %s, want %s", d, y, m, day, d.Weekday(), want)
		}
		if DateOf(y, m, day) != d {
			t.Fatalf("DateOf(%d, %d, %d) = %d, want %d", y, m, day, DateOf(y, m, day), d)
		}
		n := rapid.IntRange(-1000, 1000).Draw(t, "n")
		norm := time.Date(y, m+time.Month(n), day+n, 0, 0, 0, 0, time.UTC)
		if got := DateOf(y, m+time.Month(n), day+n); int64(got)*daySeconds != norm.Unix() {
			t.Fatalf("DateOf out of range: %s, want %s", got, norm)
		}
	})
}

func TestWallText(t *testing.T) {
	for in, want := range map[string]string{
		"2021-08-24 00:05":    "2021-08-24 00:05:00",
		"2021-08-24T23:59:59": "2021-08-24 23:59:59",
		"2021-08-24 12:00:00": "2021-08-24 12:00:00",
	} {
		if w, err := ParseWall(in); err != nil || w.String() != want {
			t.Errorf("ParseWall(%q) = %s, %v; want %s", in, w, err, want)
		}
	}
	for _, s := range []string{"", "2021-08-24", "2021-08-24 ", "2021-08-24 24:00", "2021-08-24 12:60", "2021-02-30 12:00", "2021-08-24x12:00", "2021-08-24 12:00:0", "2021-08-24 1:000"} {
		var f *fault.Error
		if _, err := ParseWall(s); !errors.As(err, &f) || f.Code != fault.Invalid {
			t.Errorf("ParseWall(%q) = %v, want an invalid fault", s, err)
		}
	}
}

func TestClockText(t *testing.T) {
	for in, want := range map[string]string{"00:00": "00:00", "23:59:59": "23:59:59", "08:30:00": "08:30"} {
		if c, err := ParseClock(in); err != nil || c.String() != want {
			t.Errorf("ParseClock(%q) = %s, %v; want %s", in, c, err, want)
		}
	}
}

func TestWallMoves(t *testing.T) {
	w := wall(t, "2024-03-31 00:00:30")
	for got, want := range map[Wall]string{
		w.AddSeconds(-31):               "2024-03-30 23:59:59",
		w.AddSeconds(daySeconds*2 - 30): "2024-04-02 00:00:00",
		w.AddMonths(-1):                 "2024-02-29 00:00:30",
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if w.Compare(w) != 0 || w.Compare(w.AddSeconds(1)) >= 0 || w.AddSeconds(daySeconds).Compare(w) <= 0 {
		t.Error("Compare does not follow time")
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("2021-02-29")
	f.Add("9999-12-31")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDate(s); err == nil && d.String() != s {
			t.Fatalf("ParseDate(%q) reads back as %q", s, d)
		} else if err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatalf("ParseDate(%q): uncoded error %v", s, err)
		}
	})
}

func FuzzParseWall(f *testing.F) {
	f.Add("2021-02-28T23:59:59")
	f.Add("2021-02-28 23:59")
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWall(s)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("ParseWall(%q): uncoded error %v", s, err)
			}
			return
		}
		if again, err := ParseWall(w.String()); err != nil || again != w {
			t.Fatalf("ParseWall(%q) = %s, which reads back as %s, %v", s, w, again, err)
		}
	})
}

func date(t testing.TB, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func clock(t testing.TB, s string) Clock {
	t.Helper()
	c, err := ParseClock(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wall(t testing.TB, s string) Wall {
	t.Helper()
	w, err := ParseWall(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
