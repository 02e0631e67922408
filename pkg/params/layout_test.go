package params_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backfleet/pkg/calendar"
	"backfleet/pkg/params"
)

func TestLayoutsAreRead(t *testing.T) {
	for _, c := range []struct {
		dialect      params.Dialect
		layout, text string
		want         string
	}{
		{params.DataWorks, "yyyy-mm-dd", "2024-02-29", "2024-02-29 00:00:00"},
		{params.DataWorks, "yyyymmddhh24miss", "20240229235958", "2024-02-29 23:59:58"},
		{params.DataWorks, "dd.mm.yy", "01.12.69", "1969-12-01 00:00:00"},
		{params.DataWorks, "dd.mm.yy", "01.12.68", "2068-12-01 00:00:00"},
		{params.DataWorks, "yyyy年mm月", "2025年07月", "2025-07-01 00:00:00"},
		{params.DataWorks, "hh24:mi", "07:30", "1970-01-01 07:30:00"},
		{params.Dataphin, "yyyy-MM-dd HH:mm:ss", "2025-07-01 07:30:01", "2025-07-01 07:30:01"},
	} {
		l, err := params.ParseLayout(c.dialect, c.layout)
		if err != nil {
			t.Errorf("%s: %v", c.layout, err)
			continue
		}
		at, err := l.Read(c.text)
		if err != nil || at.String() != c.want || l.Write(at) != c.text {
			t.Errorf("%s as %s: got %v, %v, want %s", c.text, c.layout, at, err, c.want)
		}
	}
}

func TestLayoutsRefuse(t *testing.T) {
	for layout, want := range map[string]string{
		"":                  "column 1: expected yyyy, yy, mm, dd",
		"day":               "column 1: expected yyyy, yy, mm, dd",
		"yyyy-mm-dd-1":      "column 11: expected yyyy, yy, mm, dd",
		"yyyy-mm-ddThh24":   `column 11: expected yyyy, yy, mm, dd, hh24, hh12, hh, mi or ss in small letters, or a separator, found 'T'`,
		"yyyy-mm-dd hh":     "column 12: hh is 01 to 12 and does not say which half of the day: expected hh24",
		"yyyy-mm-dd yy":     "column 12: the year stands there already: expected it once",
		"yyyy-mm-dd hh12mi": "column 12: hh12 is 01 to 12",
	} {
		if _, err := params.ParseLayout(params.DataWorks, layout); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", layout, err, want)
		}
	}
	if _, err := params.ParseLayout("perl", "yyyy"); err == nil {
		t.Error("an unknown dialect is taken")
	}
	if _, err := params.ParseLayout(params.DataWorks, "yyyy"+strings.Repeat(" ", 1<<10)); err == nil {
		t.Error("a long format is taken")
	}
	l, err := params.ParseLayout(params.DataWorks, "yyyy-mm-dd hh24:mi:ss")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                         `"" is not written as yyyy-mm-dd hh24:mi:ss: it ends before yyyy`,
		"2025-02-30 00:00:00":      "there is no such day in the calendar",
		"0000-01-01 00:00:00":      "there is no such day in the calendar",
		"2025-00-01 00:00:00":      "there is no such day in the calendar",
		"2025-01-01 24:00:00":      "there is no such time of day",
		"2025-01-01 00:00:60":      "there is no such time of day",
		"2025/01/01 00:00:00":      `expected "-", found "/"`,
		"2025-1-01 00:00:00":       `"1-" is no month`,
		"2025-01-01 00:00:00Z":     `"Z" is too much`,
		"+025-01-01 00:00:00":      `"+025" is no year`,
		strings.Repeat("9", 1<<10): `99…" is not written as`,
	} {
		if _, err := l.Read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// TestLayoutsReadWhatTheyWrite: every moment that a layout shows whole.
func TestLayoutsReadWhatTheyWrite(t *testing.T) {
	layouts := []string{"yyyymmddhh24miss", "ss mi hh24 dd.mm.yyyy", "yyyy年mm月dd hh24:mi:ss"}
	first, last := calendar.DateOf(1, 1, 1), calendar.DateOf(9999, 12, 31)
	rapid.Check(t, func(t *rapid.T) {
		l, err := params.ParseLayout(params.DataWorks, rapid.SampledFrom(layouts).Draw(t, "layout"))
		if err != nil {
			t.Fatal(err)
		}
		at := calendar.Wall{
			Date:  calendar.Date(rapid.Int32Range(int32(first), int32(last)).Draw(t, "date")),
			Clock: calendar.Clock(rapid.Int32Range(0, 86399).Draw(t, "clock")),
		}
		if back, err := l.Read(l.Write(at)); err != nil || back != at {
			t.Fatalf("%v comes back as %v, %v", at, back, err)
		}
	})
}

// FuzzLayout: whatever is read is written the same.
func FuzzLayout(f *testing.F) {
	f.Add("yyyy-mm-dd hh24:mi:ss", "2025-07-01 07:30:01", false)
	f.Add("dd.MM.yy HH", "01.12.69 23", true)
	f.Add("yyyy年mm月", "2025年07月", false)
	f.Fuzz(func(t *testing.T, layout, text string, dataphin bool) {
		d := params.DataWorks
		if dataphin {
			d = params.Dataphin
		}
		l, err := params.ParseLayout(d, layout)
		if err != nil {
			return
		}
		if at, err := l.Read(text); err == nil && l.Write(at) != text {
			t.Errorf("%q as %q is %v, which is written as %q", text, layout, at, l.Write(at))
		}
	})
}
