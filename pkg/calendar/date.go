// Package calendar is the civil calendar of the schedule: dates, wall-clock
// times, the rules of a time zone, and the cycles of a node on a date (RULES
// R1). It is pure: no clock, no host zone, no input or output, so that every
// coordinator computes the same from the same log.
package calendar

import (
	"strconv"
	"time"

	"backfleet/pkg/fault"
)

// daySeconds is the length of a civil day on the wall clock.
const daySeconds = 86400

// Date is a civil date: days since 1970-01-01, in no particular zone.
type Date int32

// ParseDate reads "2006-01-02", years 0001 to 9999. Anything else, impossible
// dates included (R3.1), is refused with a *fault.Error of code Invalid.
func ParseDate(s string) (Date, error) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, fault.New(fault.Invalid, "date %s: expected YYYY-MM-DD", quote(s))
	}
	y, okY := digits(s[:4])
	m, okM := digits(s[5:7])
	d, okD := digits(s[8:])
	if !okY || !okM || !okD {
		return 0, fault.New(fault.Invalid, "date %s: expected YYYY-MM-DD in digits", quote(s))
	}
	if y < 1 || m < 1 || m > 12 || d < 1 || DateOf(y, time.Month(m), d).MonthStart() != DateOf(y, time.Month(m), 1) {
		return 0, fault.New(fault.Invalid, "date %s: there is no such day in the calendar", quote(s))
	}
	return DateOf(y, time.Month(m), d), nil
}

// DateOf gives the date of a year, month and day in the Gregorian calendar.
// Months and days outside their range count on, as in time.Date: month 13 is
// January of the next year, day 0 the last day of the month before.
func DateOf(y int, m time.Month, d int) Date {
	months := y*12 + int(m) - 3 // the year is taken to begin in March
	era, inEra := floorDiv(int64(months), 400*12)
	year, month := inEra/12, inEra%12
	return Date(era*eraDays + year*365 + year/4 - year/100 + (153*month+2)/5 + int64(d) - 1 - epochShift)
}

const (
	eraDays    = 146097 // days in 400 Gregorian years
	epochShift = 719468 // days from 0000-03-01 to 1970-01-01
)

// YMD gives the year, month and day.
func (d Date) YMD() (int, time.Month, int) {
	era, day := floorDiv(int64(d)+epochShift, eraDays)
	year := (day - day/1460 + day/36524 - day/146096) / 365
	day -= year*365 + year/4 - year/100
	month := (5*day + 2) / 153
	day -= (153*month + 2) / 5
	y, m := int(era*400+year), time.Month(month+3)
	if m > time.December {
		y, m = y+1, m-12
	}
	return y, m, int(day) + 1
}

// String gives "2006-01-02".
func (d Date) String() string {
	y, m, day := d.YMD()
	b := padded(make([]byte, 0, 10), y, 4)
	b = padded(append(b, '-'), int(m), 2)
	return string(padded(append(b, '-'), day, 2))
}

// Compact gives "20060102".
func (d Date) Compact() string {
	y, m, day := d.YMD()
	b := padded(make([]byte, 0, 8), y, 4)
	b = padded(b, int(m), 2)
	return string(padded(b, day, 2))
}

// Weekday gives the day of the week.
func (d Date) Weekday() time.Weekday {
	_, n := floorDiv(int64(d)+int64(time.Thursday), 7) // 1970-01-01 was a Thursday
	return time.Weekday(n)
}

// MonthStart is the first day of d's month.
func (d Date) MonthStart() Date {
	_, _, day := d.YMD()
	return d - Date(day-1)
}

// MonthEnd is the last day of d's month.
func (d Date) MonthEnd() Date {
	y, m, _ := d.YMD()
	return DateOf(y, m+1, 0)
}

// AddMonths moves d by n months and clamps it to the last day of the month it
// lands in: 2025-03-31 less one month is 2025-02-28. n beyond a few million
// leaves the range of Date.
func (d Date) AddMonths(n int) Date {
	y, m, day := d.YMD()
	first := DateOf(y, m+time.Month(n), 1)
	return min(first+Date(day-1), first.MonthEnd())
}

// floorDiv divides rounding down; the remainder is in [0, by).
func floorDiv(n, by int64) (quotient, remainder int64) {
	quotient, remainder = n/by, n%by
	if remainder < 0 {
		quotient, remainder = quotient-1, remainder+by
	}
	return quotient, remainder
}

// digits reads a number made of ASCII digits only.
func digits(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, len(s) > 0
}

// padded appends n with zeros in front up to the width.
func padded(b []byte, n, width int) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	text := strconv.Itoa(n)
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

// quote shows foreign text in an error, cut so that it cannot flood a log.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
