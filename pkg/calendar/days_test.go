package calendar

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backfleet/pkg/fault"
)

// Bits as people say them.
const (
	monday, sunday = 1 << 0, 1 << 6
	allDays        = 1<<32 - 1
)

func days(all ...int) (bits uint32) {
	for _, day := range all {
		bits |= 1 << day
	}
	return bits
}

func months(all ...time.Month) (bits uint16) {
	for _, month := range all {
		bits |= 1 << month
	}
	return bits
}

// occurring lists the data timestamps of a range on which a schedule occurs.
func occurring(t *testing.T, s Schedule, from, to string) string {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Errorf("%+v: %v", s, err)
	}
	var on []string
	for d := date(t, from); d <= date(t, to); d++ {
		if s.Occurs(d) {
			on = append(on, d.Compact())
		}
	}
	return strings.Join(on, " ")
}

// TestR1_3_TheDayAfterIsTheScheduledDay: date(D+1) is the day of the schedule,
// so that "the 1st" has the last day of the month before as its D.
func TestR1_3_TheDayAfterIsTheScheduledDay(t *testing.T) {
	for _, c := range []struct {
		name     string
		s        Schedule
		from, to string
		want     string
	}{
		{"Mondays", Schedule{Kind: Weekly, Weekdays: monday}, "2021-08-15", "2021-08-31", "20210815 20210822 20210829"},
		{"Sundays", Schedule{Kind: Weekly, Weekdays: sunday}, "2021-08-15", "2021-08-31", "20210821 20210828"},
		{"both", Schedule{Kind: Weekly, Weekdays: monday | sunday}, "2021-08-15", "2021-08-23", "20210815 20210821 20210822"},
		{"before 1970", Schedule{Kind: Weekly, Weekdays: monday}, "1969-12-20", "1969-12-31", "19691221 19691228"},
		{"the 1st", Schedule{Kind: Monthly, Days: days(1)}, "2021-01-01", "2021-04-30", "20210131 20210228 20210331 20210430"},
		{"the 31st, where there is one", Schedule{Kind: Monthly, Days: days(31)}, "2021-01-01", "2021-06-30", "20210130 20210330 20210530"},
		{"last day", Schedule{Kind: Monthly, Days: LastDay}, "2021-01-01", "2021-04-30", "20210130 20210227 20210330 20210429"},
		{"last day of a leap year", Schedule{Kind: Monthly, Days: LastDay}, "2020-02-01", "2020-03-01", "20200228"},
		{"1, 15 and last", Schedule{Kind: Monthly, Days: days(1, 15) | LastDay}, "2021-02-01", "2021-03-01", "20210214 20210227 20210228"},
		{"the 31st and last are one", Schedule{Kind: Monthly, Days: days(31) | LastDay}, "2021-01-01", "2021-02-28", "20210130 20210227"},
		{"New Year", Schedule{Kind: Yearly, Months: months(time.January), Days: days(1)}, "2019-06-01", "2021-06-01", "20191231 20201231"},
		{"end of the half-years", Schedule{Kind: Yearly, Months: months(time.June, time.December), Days: LastDay}, "2021-01-01", "2022-01-01", "20210629 20211230"},
		{"February 29", Schedule{Kind: Yearly, Months: months(time.February), Days: days(29)}, "1999-01-01", "2005-01-01", "20000228 20040228"},
		{"no February 29 in 2100", Schedule{Kind: Yearly, Months: months(time.February), Days: days(29)}, "2097-01-01", "2103-12-31", ""},
		{"the 31st of some months", Schedule{Kind: Yearly, Months: months(time.March, time.April), Days: days(31)}, "2021-01-01", "2021-12-31", "20210330"},
	} {
		if got := occurring(t, c.s, c.from, c.to); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestR1_3_AnInstanceOnEveryDate(t *testing.T) {
	s := Schedule{Kind: Monthly, Days: days(1), At: clock(t, "02:00")}
	for _, d := range []string{"2021-07-31", "2021-08-14"} {
		if got := clocks(s, date(t, d), UTC()); !slices.Equal(got, []string{"02:00"}) {
			t.Errorf("%s: got %v", d, got)
		}
	}
	for _, s := range []Schedule{{Kind: Daily}, {Kind: Hourly, Every: 60}, {Kind: Minutely, Every: 1}} {
		if !s.Occurs(date(t, "2021-08-14")) {
			t.Errorf("%s does not occur", s.Kind)
		}
	}
	for kind, sub := range map[Kind]bool{Daily: false, Hourly: true, Minutely: true, Weekly: false, Monthly: false, Yearly: false} {
		if got := (Schedule{Kind: kind}).SubDaily(); got != sub {
			t.Errorf("%s: SubDaily %v", kind, got)
		}
	}
}

func TestR1_3_WrongDaysAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		s     Schedule
		field string
	}{
		{"weekly without days", Schedule{Kind: Weekly}, "weekdays"},
		{"an eighth weekday", Schedule{Kind: Weekly, Weekdays: 1 << 7}, "weekdays"},
		{"weekly at no time of day", Schedule{Kind: Weekly, Weekdays: monday, At: -1}, "at"},
		{"weekly with days of the month", Schedule{Kind: Weekly, Weekdays: monday, Days: 2}, "days"},
		{"daily with weekdays", Schedule{Kind: Daily, Weekdays: monday}, "weekdays"},
		{"hourly with weekdays", Schedule{Kind: Hourly, Every: 60, Weekdays: monday}, "weekdays"},
		{"monthly with weekdays", Schedule{Kind: Monthly, Days: 2, Weekdays: monday}, "weekdays"},
		{"monthly without days", Schedule{Kind: Monthly}, "days"},
		{"monthly with months", Schedule{Kind: Monthly, Days: 2, Months: 2}, "months"},
		{"yearly without days", Schedule{Kind: Yearly, Months: 2}, "days"},
		{"yearly without months", Schedule{Kind: Yearly, Days: 2}, "months"},
		{"month 0", Schedule{Kind: Yearly, Days: 2, Months: 1}, "months"},
		{"month 13", Schedule{Kind: Yearly, Days: 2, Months: 1 << 13}, "months"},
		{"February 30", Schedule{Kind: Yearly, Days: days(1, 30), Months: months(time.February)}, "days"},
		{"April and June 31", Schedule{Kind: Yearly, Days: days(31), Months: months(time.April, time.June)}, "days"},
	} {
		var f *fault.Error
		if err := c.s.Validate(); !errors.As(err, &f) || f.Code != fault.Invalid || f.Field != c.field {
			t.Errorf("%s: got %v, want the field %s", c.name, err, c.field)
		}
	}
	for _, s := range []Schedule{
		{Kind: Monthly, Days: allDays}, {Kind: Weekly, Weekdays: 127}, {Kind: Yearly, Days: allDays, Months: months(time.February, time.May)},
	} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestR1_5_OnceADayMovesLikeDaily(t *testing.T) {
	at := clock(t, "02:15")
	for _, s := range []Schedule{
		{Kind: Weekly, Weekdays: sunday, At: at},
		{Kind: Monthly, Days: days(14, 7), At: at},
		{Kind: Yearly, Months: months(time.March, time.November), Days: days(14, 7), At: at},
	} {
		for _, c := range []struct{ d, want string }{
			{"2021-03-13", "2021-03-14 07:15:00"}, // 02:15 is skipped: 03:15, at the new offset
			{"2021-11-06", "2021-11-07 07:15:00"}, // 02:15 comes once, after the doubled hour
		} {
			d := date(t, c.d)
			if !s.Occurs(d) {
				t.Errorf("%s does not occur on %s", s.Kind, c.d)
			}
			if got := UTC().WallAt(s.Cycle(d, 0, zone(t, "America/New_York", d)).Unix).String(); got != c.want {
				t.Errorf("%s D=%s: got %s UTC, want %s", s.Kind, c.d, got, c.want)
			}
		}
		s.At = clock(t, "01:30")
		d := date(t, "2021-11-06")
		if got := UTC().WallAt(s.Cycle(d, 0, zone(t, "America/New_York", d)).Unix).String(); got != "2021-11-07 06:30:00" {
			t.Errorf("%s in the doubled hour: got %s UTC, want the second", s.Kind, got)
		}
	}
}

// occursNaive is R1.3 by the standard library's calendar, word for word.
func occursNaive(s Schedule, d Date) bool {
	y, m, day := d.YMD()
	on := time.Date(y, m, day, 12, 0, 0, 0, time.UTC).AddDate(0, 0, 1)
	weekday := map[time.Weekday]int{time.Monday: 0, time.Tuesday: 1, time.Wednesday: 2, time.Thursday: 3, time.Friday: 4, time.Saturday: 5, time.Sunday: 6}[on.Weekday()]
	last := on.AddDate(0, 0, 1).Day() == 1
	inDays := s.Days>>on.Day()&1 == 1 || last && s.Days&1 == 1
	switch s.Kind {
	case Weekly:
		return s.Weekdays>>weekday&1 == 1
	case Monthly:
		return inDays
	case Yearly:
		return s.Months>>on.Month()&1 == 1 && inDays
	}
	return true
}

func TestR1_3_OccursAgreesWithTheRuleSpelledOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, d, _ := drawSchedule(t)
		if s.Days != 0 && rapid.Bool().Draw(t, "late") {
			s.Days = rapid.Uint32Min(1).Draw(t, "anyDays")
		}
		for i := range Date(40) { // every weekday, and the end of a month
			if got, want := s.Occurs(d+i), occursNaive(s, d+i); got != want {
				t.Fatalf("%+v on %s: Occurs %v, want %v", s, d+i, got, want)
			}
		}
	})
}

// FuzzSchedule: whatever the fields, Validate takes a schedule exactly if it
// has what its kind needs and nothing else, and occurs on some date; what it
// takes agrees with the naive model on its days and has cycles in order.
func FuzzSchedule(f *testing.F) {
	f.Add(uint8(1), int32(7200), int32(0), int32(0), int32(0), uint8(0), uint32(0), uint16(0), int32(18862))
	f.Add(uint8(2), int32(0), int32(0), int32(10800), int32(60), uint8(0), uint32(0), uint16(0), int32(18862))
	f.Add(uint8(3), int32(0), int32(60), int32(86399), int32(1), uint8(0), uint32(0), uint16(0), int32(18699))
	f.Add(uint8(4), int32(8100), int32(0), int32(0), int32(0), uint8(65), uint32(0), uint16(0), int32(18699))
	f.Add(uint8(5), int32(0), int32(0), int32(0), int32(0), uint8(0), uint32(1<<31|1), uint16(0), int32(18862))
	f.Add(uint8(6), int32(0), int32(0), int32(0), int32(0), uint8(0), uint32(1<<29), uint16(4), int32(18320))
	f.Add(uint8(6), int32(0), int32(0), int32(0), int32(0), uint8(0), uint32(1<<30), uint16(4), int32(18320))
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		f.Fatal(err)
	}
	z := ResolveZone(loc, DateOf(2019, 1, 1), DateOf(2024, 1, 1))
	f.Fuzz(func(t *testing.T, kind uint8, at, from, to, every int32, weekdays uint8, days uint32, months uint16, day int32) {
		s := Schedule{Kind(kind), Clock(at), Clock(from), Clock(to), every, weekdays, days, months}
		d := DateOf(2019, 1, 1) + Date(uint32(day)%1826)
		err := s.Validate()
		if valid := validNaive(s); (err == nil) != valid {
			t.Fatalf("%+v: %v, want valid %v", s, err, valid)
		}
		if err != nil {
			var e *fault.Error
			if !errors.As(err, &e) || e.Field == "" {
				t.Fatalf("%+v: %v names no field", s, err)
			}
			return
		}
		if got, want := s.Occurs(d), occursNaive(s, d); got != want {
			t.Fatalf("%+v on %s: Occurs %v, want %v", s, d, got, want)
		}
		n := s.Count(d, z)
		if !s.SubDaily() && n != 1 {
			t.Fatalf("%+v on %s: %d cycles", s, d, n)
		}
		for i := range n - 1 {
			if s.Cycle(d, i, z).Unix >= s.Cycle(d, i+1, z).Unix {
				t.Fatalf("%+v on %s: cycles %d and %d are not in order", s, d, i, i+1)
			}
		}
	})
}

// validNaive says what Validate should: each kind with its own fields only.
func validNaive(s Schedule) bool {
	timeOfDay := func(c Clock) bool { return 0 <= c && c < 24*3600 }
	interval := timeOfDay(s.From) && timeOfDay(s.To) && s.From <= s.To && 1 <= s.Every && s.Every <= 1440
	noInterval := s.From == 0 && s.To == 0 && s.Every == 0
	weekdays, monthDays, inMonths := s.Weekdays != 0, s.Days != 0, s.Months != 0
	switch s.Kind {
	case Daily:
		return timeOfDay(s.At) && noInterval && !weekdays && !monthDays && !inMonths
	case Hourly:
		return s.At == 0 && interval && s.Every%60 == 0 && !weekdays && !monthDays && !inMonths
	case Minutely:
		return s.At == 0 && interval && !weekdays && !monthDays && !inMonths
	case Weekly:
		return timeOfDay(s.At) && noInterval && weekdays && s.Weekdays < 128 && !monthDays && !inMonths
	case Monthly:
		return timeOfDay(s.At) && noInterval && !weekdays && monthDays && !inMonths
	case Yearly:
		possible := true
		for day := 29; day <= 31; day++ {
			has := s.Months&0b1010110101010 != 0 || // January, March, May, July, August, October, December
				day <= 30 && s.Months&0b0101001010000 != 0 || // April, June, September, November
				day <= 29 && s.Months&0b100 != 0
			possible = possible && (s.Days>>day&1 == 0 || has)
		}
		return timeOfDay(s.At) && noInterval && !weekdays && monthDays && inMonths && s.Months&1 == 0 && s.Months < 1<<13 && possible
	}
	return false
}
