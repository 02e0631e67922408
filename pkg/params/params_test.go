package params

import (
	"bufio"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// TestPublishedCases checks every row of testdata/cases.tsv, which lists the
// published examples of the two systems.
func TestPublishedCases(t *testing.T) {
	f, err := os.Open("testdata/cases.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		rows++
		col := strings.Split(lines.Text(), "\t")
		t.Run(strings.Join(col[:4], " "), func(t *testing.T) {
			c := Context{Data: date(t, col[2]), Scheduled: wall(t, col[3]), Generated: date(t, col[4])}
			if got := render(t, Dialect(col[0]), col[1], c); got != col[5] {
				t.Errorf("got %s, want %s", got, col[5])
			}
			code, _, err := CompileCode(Dialect(col[0]), "sql", "x="+col[1]+";", nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := code.Expand(c, nil); err != nil || got != "x="+col[5]+";" {
				t.Errorf("in code: got %s, %v", got, err)
			}
		})
	}
	if rows < 50 {
		t.Errorf("only %d rows", rows)
	}
}

// at makes a context from T; D is the day before.
func at(t testing.TB, scheduled string) Context {
	w := wall(t, scheduled)
	return Context{Data: w.Date - 1, Scheduled: w, Generated: w.Date, PlanID: "p1", NodeID: "n1", InstanceID: "i1"}
}

// TestMeaning has a row or more for each line of the table of meanings.
func TestMeaning(t *testing.T) {
	for _, tc := range []struct {
		name      string
		d         Dialect
		scheduled string
		src, want string
	}{
		{"N counts the smallest unit: day", DataWorks, "2018-07-22 00:00", "${yyyymmdd-2}", "20180719"},
		{"N counts the smallest unit: month", DataWorks, "2018-07-22 00:00", "${yyyymm-2}", "201805"},
		{"N counts the smallest unit: month over the year", DataWorks, "2018-01-10 00:00", "${yyyymm-1}", "201712"},
		{"N counts the smallest unit: year", DataWorks, "2018-07-22 00:00", "${yyyy-2}", "2016"},
		{"N counts the smallest unit, wherever it stands", DataWorks, "2018-03-02 00:00", "${dd.mm.yyyy-1}", "28.02.2018"},
		{"N of mm alone is months", DataWorks, "2018-01-10 00:00", "${mm-1}", "12"},
		{"N of yy alone is years", DataWorks, "2018-01-10 00:00", "${yy+3}", "21"},
		{"N may be a product", DataWorks, "2018-07-22 00:00", "${yyyymmdd-7*2}", "20180707"},
		{"a slash in the format is fine", DataWorks, "2018-07-22 00:00", "${yyyy/mm/dd}", "2018/07/21"},
		{"clamped month of D", DataWorks, "2025-04-01 00:00", "${yyyymm-1}", "202502"},
		{"R is days, whatever the format", DataWorks, "2025-07-27 00:05", "$[hh24-15/24/60]", "23"},
		{"R is days: 7*2", DataWorks, "2025-07-27 00:05", "$[yyyymmdd-7*2]", "20250713"},
		{"R is days: a leap day", DataWorks, "2024-03-01 00:00", "$[yyyymmdd-1]", "20240229"},
		{"several offsets add up", DataWorks, "2025-07-27 00:05", "$[yyyymmddhh24-1-1/24]", "2025072523"},
		{"several offsets add up exactly", DataWorks, "2025-07-27 00:05", "$[hh24:mi:ss+1/3+1/3+1/3]", "00:05:00"},
		{"add_months clamps", DataWorks, "2025-03-31 00:00", "$[add_months(yyyy-mm-dd,-1)]", "2025-02-28"},
		{"add_months clamps in a leap year", DataWorks, "2024-03-31 00:00", "$[add_months(yyyy-mm-dd,-1)]", "2024-02-29"},
		{"the last day does not stick", DataWorks, "2025-02-28 00:00", "$[add_months(yyyy-mm-dd,1)]", "2025-03-28"},
		{"add_months: months first, then days", DataWorks, "2025-03-31 00:00", "$[add_months(yyyy-mm-dd,-1)+1]", "2025-03-01"},
		{"add_months: product, sign, blanks", DataWorks, "2025-03-31 05:00", "$[add_months(yyyymm hh24, + 12*2) - 1/24]", "202703 04"},
		{"add_months on a month, then days", DataWorks, "2025-03-01 00:00", "$[add_months(yyyymm,1)-1]", "202503"},
		{"part of a day on a month", DataWorks, "2025-03-01 00:30", "$[mm-1/24]", "02"},
		{"bizdate and cyctime", DataWorks, "2025-03-01 00:30:05", "$bizdate $cyctime", "20250228 20250301003005"},
		{"gmtdate", DataWorks, "2025-03-01 00:30", "$gmtdate", "20250301"},
		{"bizmonth, generated in another month", DataWorks, "2025-03-01 00:30", "$bizmonth", "202502"},
		{"bizmonth, generated in that month", DataWorks, "2025-03-02 00:30", "$bizmonth", "202502"},
		{"ids", DataWorks, "2025-03-01 00:30", "$jobid/$nodeid/$taskid", "p1/n1/i1"},
		{"hh and hh12 at night", DataWorks, "2025-03-01 00:30", "$[hh hh12 hh24]", "12 12 00"},
		{"hh and hh12 at noon", DataWorks, "2025-03-01 12:30", "$[hh hh12 hh24]", "12 12 12"},
		{"hh and hh12 after noon", DataWorks, "2025-03-01 14:30", "$[hh hh12 hh24]", "02 02 14"},
		{"hh in the morning", DataWorks, "2025-03-01 02:30", "$[hh]", "02"},
		{"cut to the second", DataWorks, "2025-03-01 12:00", "$[hh24:mi:ss-1/7]", "08:34:18"},
		{"cut to the second, later", DataWorks, "2025-03-01 12:00", "$[hh24:mi:ss+1/7]", "15:25:42"},
		{"a second that binary fractions miss", DataWorks, "2025-03-01 00:00", "$[ss+1/24/60/60*59]", "59"},

		{"dataphin: ${} takes times", Dataphin, "2018-01-10 00:00", "${yyyy/MM/dd HH:mm:ss-1/24}", "2018/01/08 23:00:00"},
		{"dataphin: $[] counts the smallest unit", Dataphin, "2018-01-10 00:00", "$[yyyy-mm -1]", "2017-12"},
		{"dataphin: the smallest unit may be an hour", Dataphin, "2018-01-10 00:30", "$[yyyymmddhh24 -1]", "2018010923"},
		{"dataphin: the smallest unit may be a minute", Dataphin, "2018-01-10 00:30", "$[HH:mm -31]", "23:59"},
		{"dataphin: the smallest unit may be a second", Dataphin, "2018-01-10 00:30", "$[HHmmss -1]", "002959"},
		{"dataphin: whole and part", Dataphin, "2018-03-31 00:30", "$[yyyy-MM -1 -1/24]", "2018-02"},
		{"dataphin: a product", Dataphin, "2018-03-31 00:30", "$[yyyymmdd - 7*2]", "20180317"},
		{"dataphin: add_months, then days", Dataphin, "2025-03-31 00:00", "$[add_months(yyyyMM,-1)+1]", "202503"},
		{"dataphin: builtins without case", Dataphin, "2018-03-31 00:30", "$BizDate ${BDP.system.BIZDATE} ${bizdate}", "20180330 20180330 20180330"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := render(t, tc.d, tc.src, at(t, tc.scheduled)); got != tc.want {
				t.Errorf("%s gives %q, want %q", tc.src, got, tc.want)
			}
		})
	}
}

// TestDataphinMonthOrMinute lists what "mm" is beside what.
func TestDataphinMonthOrMinute(t *testing.T) {
	for src, want := range map[string]string{
		"$[mm]": "11", "$[yyyymm]": "202511", "$[mm/dd]": "11/01", "$[yyyy.mm.dd]": "2025.11.01",
		"$[HH:mm]": "14:30", "$[hh:mm]": "02:30", "$[mm:ss]": "30:45", "$[mm HH]": "30 14",
		"$[yyyy-mm-dd HH:mm:ss]": "2025-11-01 14:30:45", "$[yyyymmddHHmmss]": "20251101143045",
		"$[yyyy-mm-dd hh24:mi:ss]": "2025-11-01 14:30:45", "$[MM mi]": "11 30", "$[HHmm MM]": "1430 11",
		"$[ddmm HH]": "0111 14",
	} {
		if got := render(t, Dataphin, src, at(t, "2025-11-01 14:30:45")); got != want {
			t.Errorf("%s gives %q, want %q", src, got, want)
		}
	}
}

// TestGrammar has a row for each rule of the grammar and of how pieces join.
func TestGrammar(t *testing.T) {
	for _, tc := range []struct{ name, src, want string }{
		{"pieces are joined", "${yyyymm}01", "20251001"},
		{"pieces are joined to words", "ds=$bizdate/hh=$[hh24]", "ds=20251031/hh=14"},
		{"a constant", "plain, 100% text", "plain, 100% text"},
		{"nothing", "", ""},
		{"longest token first: yyyy", "${yyyyyy}", "202525"},
		{"longest token first: hh24", "$[hh24hh12hh]", "140202"},
		{"mm is a month, mi a minute", "$[mmmi]", "1130"},
		{"mm is a month beside hours too", "$[hh24:mm]", "14:11"},
		{"the offset starts at the first sign that a digit follows", "${yyyy-mm-dd-1}", "2025-10-30"},
		{"blanks around the sign", "${yyyy-mm-dd  -  1}", "2025-10-30"},
		{"blanks at the ends", "$[ hh24 ]", "14"},
		{"a sign before a token is a separator", "${yyyy-mm}", "2025-10"},
		{"a sign at the end is a separator", "${yyyymmdd-}", "20251031-"},
		{"separators", "${yyyy-yyyy/yyyy:yyyy.yyyy_yyyy yyyy}", "2025-2025/2025:2025.2025_2025 2025"},
		{"separators beyond ASCII", "${yyyy年mm月dd日}", "2025年10月31日"},
		{"builtins are whole words", "$bizdate1 $bizdate_x $bizdates x$bizdate.y", "$bizdate1 $bizdate_x $bizdates x20251031.y"},
		{"builtins heed case", "$Bizdate", "$Bizdate"},
		{"other words stay", "$HOME $1 $ $(date) a$", "$HOME $1 $ $(date) a$"},
		{"a literal brace", "$${yyyymmdd} ${dd}", "${yyyymmdd} 31"},
		{"a literal bracket", "$$[0] $[dd]", "$[0] 01"},
		{"a literal that is not closed", "$${x", "${x"},
		{"two dollars and a word", "$$bizdate", "$20251031"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := render(t, DataWorks, tc.src, at(t, "2025-11-01 14:30:45")); got != tc.want {
				t.Errorf("%s gives %q, want %q", tc.src, got, tc.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		d    Dialect
		src  string
		want string // the error holds it; it begins with the column
	}{
		{DataWorks, "${yyyymmddhh24}", `column 11: "hh24" is a time and ${…} knows only dates: expected $[…]`},
		{DataWorks, "${mi}", "column 3: "},
		{DataWorks, "${yyyymmdd-1/24}", `column 13: "/" in the offset of ${…}`},
		{DataWorks, "${yyyymmdd-1-1}", `column 13: expected "}" after the one offset`},
		{DataWorks, "$[yyyymm-1]", "column 9: a whole number of days on a format without day or time: use add_months"},
		{DataWorks, "$[yyyy-1]", "use add_months"},
		{DataWorks, "$[mm-1]", "use add_months"},
		{DataWorks, "$[mm-1/24-48/24]", "column 10: a whole number of days"},
		{DataWorks, "$[mm-0]", "use add_months"},
		{DataWorks, "日${yyyyx}", "column 8: expected"},
		{DataWorks, "ab ${name}", "column 6: expected yyyy, yy, mm or dd in small letters, found 'n'"},
		{DataWorks, "${YYYYMMDD}", "in small letters"},
		{DataWorks, "${}", "column 3: expected yyyy"},
		{DataWorks, "${-}", "column 4: expected yyyy"},
		{DataWorks, "${-1}", "column 3: expected yyyy"},
		{DataWorks, "${yyyymmdd", `column 1: expected "}" to close "${"`},
		{DataWorks, "x$[yyyymmdd", `column 2: expected "]" to close "$["`},
		{DataWorks, "${yyyymmdd-1*}", "column 14: expected a digit, found the end"},
		{DataWorks, "${yyyymmdd-1*x}", "column 14: expected a digit, found 'x'"},
		{DataWorks, "$[yyyymmdd-1/0]", "column 14: division by zero"},
		{DataWorks, "$[yyyymmdd-1234567890]", "column 12: the number is too large: expected at most 9 digits"},
		{DataWorks, "$[yyyymmdd-999999999]", "column 11: the offset is too large"},
		{DataWorks, "${yyyy-10001}", "column 7: the offset is too large"},
		{DataWorks, "$[dd+999999999*999999999*999999999]", "column 25: the offset has too many digits"},
		{DataWorks, "$[dd+1/999999937+1/999999929+1/999999893]", "column 29: the sum of the offsets has too many digits"},
		{DataWorks, "$[add_months(yyyymm)]", `column 20: expected ","`},
		{DataWorks, "$[add_months(yyyymm-1,1)]", `column 20: expected ","`},
		{DataWorks, "$[add_months(yyyymm,)]", "column 21: expected a digit"},
		{DataWorks, "$[add_months(yyyymm,1/2)]", `column 22: "/" in a number of months`},
		{DataWorks, "$[add_months(yyyymm,1]", `column 22: expected ")"`},
		{DataWorks, "$[add_months(yyyymm,1)x]", "column 23: expected"},
		{DataWorks, "$[add_months(yyyymm,120001)]", "column 21: the offset is too large"},
		{DataWorks, "$[add_months(x,1)]", "column 14: expected yyyy"},
		{DataWorks, "$[yyyymmdd*2]", "column 11: expected a token, an offset"},
		{DataWorks, "$[" + strings.Repeat(" ", maxInner) + "dd]", `expected "]" to close "$[" within 1024 bytes`},
		{DataWorks, "${workspace.region}", "column 3: expected"},
		{Dataphin, "${yyyyMMDD}", "column 9: expected a token"},
		{Dataphin, "$[yyyy-MM-ddTHH]", "column 13: expected a token, an offset such as -1, or \"]\"; other text stands outside the brackets, found 'T'"},
		{"oracle", "x", "is not a dialect"},
	} {
		t.Run(tc.src, func(t *testing.T) {
			_, err := Parse(tc.d, tc.src)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	if _, err := Parse(DataWorks, strings.Repeat("x", MaxSource+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a long source: %v", err)
	}
}

func TestYearsOutOfRange(t *testing.T) {
	for _, tc := range []struct{ scheduled, src string }{
		{"0001-01-02 00:00", "${yyyymmdd-1}"},
		{"0001-01-02 00:00", "${yyyymm-1}"},
		{"9999-12-31 00:00", "$[yyyymmdd+1]"},
		{"0001-01-02 00:00", "$[add_months(yyyymmdd,-120000)+3000000]"},
		{"0001-01-02 00:00", "$bizmonth"},
	} {
		e, err := Parse(DataWorks, tc.src)
		if err != nil {
			t.Fatal(err)
		}
		c := at(t, tc.scheduled)
		if _, err := e.Render(c); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "expected years 0001 to 9999") {
			t.Errorf("%s at %s: %v", tc.src, tc.scheduled, err)
		}
		if s := e.Explain(c); s[0].Error == "" || s[0].Value != "" {
			t.Errorf("%s at %s is explained as %+v", tc.src, tc.scheduled, s)
		}
	}
}

func TestExplain(t *testing.T) {
	e, err := Parse(DataWorks, "p=$[add_months(yyyymmdd,-1)-1/24]$bizdate$${x}$jobid")
	if err != nil {
		t.Fatal(err)
	}
	steps := e.Explain(at(t, "2025-03-31 00:30"))
	want := []Step{
		{Text: "p=", Rule: "a constant", Value: "p="},
		{
			Text: "$[add_months(yyyymmdd,-1)-1/24]", Value: "20250227",
			Rule: "the scheduled time, -1 month (at most to the month's last day), -1 hour, written as yyyymmdd",
			Moments: []Moment{
				{"scheduled time", wall(t, "2025-03-31 00:30")},
				{"-1 month", wall(t, "2025-02-28 00:30")},
				{"-1 hour", wall(t, "2025-02-27 23:30")},
			},
		},
		{
			Text: "$bizdate", Rule: "the data timestamp, yyyymmdd", Value: "20250330",
			Moments: []Moment{{"data timestamp", wall(t, "2025-03-30 00:00")}},
		},
		{Text: "$${x}", Rule: "a literal: the first $ is dropped", Value: "${x}"},
		{Text: "$jobid", Rule: "the plan's id", Value: "p1"},
	}
	if len(steps) != len(want) {
		t.Fatalf("got %+v", steps)
	}
	for i := range want {
		if got := steps[i]; got.Text != want[i].Text || got.Rule != want[i].Rule || got.Value != want[i].Value ||
			len(got.Moments) != len(want[i].Moments) {
			t.Errorf("step %d: got %+v, want %+v", i, got, want[i])
		}
		for j, m := range want[i].Moments {
			if steps[i].Moments[j] != m {
				t.Errorf("step %d: moment %d: got %+v, want %+v", i, j, steps[i].Moments[j], m)
			}
		}
	}
}

func TestExplainWords(t *testing.T) {
	for src, want := range map[string]string{
		"${yyyy-2}":        "the data timestamp at 00:00, -2 years (at most to the month's last day), written as yyyy",
		"$[dd+7]":          "the scheduled time, +7 days, written as dd",
		"$[mi-15/24/60]":   "the scheduled time, -15 minutes, written as mi",
		"$[ss+1/24/60/60]": "the scheduled time, +1 second, written as ss",
		"$B":               "the value of the parameter b, if there is one; else as written",
	} {
		e, err := Parse(map[bool]Dialect{true: Dataphin, false: DataWorks}[src == "$B"], src)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Explain(at(t, "2025-03-31 00:30"))[0].Rule; got != want {
			t.Errorf("%s: got %q, want %q", src, got, want)
		}
	}
}

// TestOffsetsAreExact compares with arithmetic in whole seconds.
func TestOffsetsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 999_999).Draw(t, "seconds")
		w := calendar.Wall{Date: calendar.Date(rapid.Int32Range(0, 40_000).Draw(t, "date"))}
		e, err := Parse(DataWorks, "$[yyyy-mm-dd hh24:mi:ss-"+strconv.FormatInt(n, 10)+"/24/60/60]")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Render(Context{Scheduled: w}); err != nil || got != w.AddSeconds(-n).String() {
			t.Fatalf("got %s, %v, want %s", got, err, w.AddSeconds(-n))
		}
	})
}

var startsWithColumn = regexp.MustCompile(`^column [1-9][0-9]*: `)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"${yyyymmdd-1}", "$[add_months(yyyy年mm,-1*2)+1/24/60]", "$${x}$bizdate$[hh24:mi]", "$B${HH:mm -1}", "${", "$$["} {
		f.Add(true, s)
		f.Add(false, s)
	}
	c := Context{Data: 20_000, Scheduled: calendar.Wall{Date: 20_001, Clock: 3_600}, Generated: 20_001}
	f.Fuzz(func(t *testing.T, dataphin bool, src string) {
		d := DataWorks
		if dataphin {
			d = Dataphin
		}
		e, err := Parse(d, src)
		if err != nil {
			if !startsWithColumn.MatchString(err.Error()) || fault.CodeOf(err) == fault.Internal {
				t.Fatalf("%q: no column or code: %v", src, err)
			}
			return
		}
		value, err := e.Render(c)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("%q: uncoded %v", src, err)
			}
			return
		}
		var joined, written strings.Builder
		for _, s := range e.Explain(c) {
			joined.WriteString(s.Value)
			written.WriteString(s.Text)
		}
		if joined.String() != value || written.String() != src {
			t.Fatalf("%q is %q, explained as %q from %q", src, value, joined.String(), written.String())
		}
	})
}

func render(t testing.TB, d Dialect, src string, c Context) string {
	t.Helper()
	e, err := Parse(d, src)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func date(t testing.TB, s string) calendar.Date {
	t.Helper()
	d, err := calendar.ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wall(t testing.TB, s string) calendar.Wall {
	t.Helper()
	w, err := calendar.ParseWall(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
