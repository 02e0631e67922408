package calendar

import "backfleet/pkg/fault"

// Clock is a wall-clock time of day: seconds since 00:00, 0 to 86399.
type Clock int32

// ParseClock reads "15:04" or "15:04:05", 00:00 to 23:59:59. Anything else is
// refused with a *fault.Error of code Invalid.
func ParseClock(s string) (Clock, error) {
	if (len(s) != 5 && len(s) != 8) || s[2] != ':' || (len(s) == 8 && s[5] != ':') {
		return 0, fault.New(fault.Invalid, "time of day %s: expected HH:MM or HH:MM:SS", quote(s))
	}
	h, okH := digits(s[:2])
	m, okM := digits(s[3:5])
	sec, okS := 0, true
	if len(s) == 8 {
		sec, okS = digits(s[6:])
	}
	if !okH || !okM || !okS || h > 23 || m > 59 || sec > 59 {
		return 0, fault.New(fault.Invalid, "time of day %s: expected 00:00 to 23:59:59", quote(s))
	}
	return Clock(h*3600 + m*60 + sec), nil
}

// HMS gives the hour, minute and second.
func (c Clock) HMS() (hour, minute, second int) {
	return int(c / 3600), int(c / 60 % 60), int(c % 60)
}

// String gives "15:04", or "15:04:05" when the seconds are not zero.
func (c Clock) String() string {
	h, m, s := c.HMS()
	b := padded(make([]byte, 0, 8), h, 2)
	b = padded(append(b, ':'), m, 2)
	if s != 0 {
		b = padded(append(b, ':'), s, 2)
	}
	return string(b)
}

// Wall is a local wall time: what a clock on the wall of some zone shows.
type Wall struct {
	Date  Date
	Clock Clock
}

// ParseWall reads "2006-01-02 15:04:05", with "T" for the blank if liked and
// the seconds left out if liked. Anything else is refused with a *fault.Error
// of code Invalid.
func ParseWall(s string) (Wall, error) {
	if len(s) < 11 || (s[10] != ' ' && s[10] != 'T') {
		return Wall{}, fault.New(fault.Invalid, "time %s: expected YYYY-MM-DD HH:MM:SS", quote(s))
	}
	date, err := ParseDate(s[:10])
	if err != nil {
		return Wall{}, fault.Wrap(err, fault.Invalid, "time %s", quote(s))
	}
	clock, err := ParseClock(s[11:])
	if err != nil {
		return Wall{}, fault.Wrap(err, fault.Invalid, "time %s", quote(s))
	}
	return Wall{date, clock}, nil
}

// String gives "2006-01-02 15:04:05".
func (w Wall) String() string {
	h, m, s := w.Clock.HMS()
	b := append(make([]byte, 0, 19), w.Date.String()...)
	b = padded(append(b, ' '), h, 2)
	b = padded(append(b, ':'), m, 2)
	return string(padded(append(b, ':'), s, 2))
}

// Compare is negative when w is before other, zero when equal, else positive.
func (w Wall) Compare(other Wall) int {
	if w.Date != other.Date {
		return int(w.Date) - int(other.Date)
	}
	return int(w.Clock) - int(other.Clock)
}

// AddSeconds moves w by n seconds on a wall clock that knows no transitions.
// n beyond some millions of years leaves the range of Date.
func (w Wall) AddSeconds(n int64) Wall { return wallOf(w.local() + n) }

// AddMonths moves the date by n months, clamped to the month's last day (see
// Date.AddMonths), and keeps the time of day.
func (w Wall) AddMonths(n int) Wall { return Wall{w.Date.AddMonths(n), w.Clock} }

// local counts the seconds from 1970-01-01 00:00 on w's own wall clock.
func (w Wall) local() int64 { return int64(w.Date)*daySeconds + int64(w.Clock) }

// wallOf is the inverse of local.
func wallOf(local int64) Wall {
	day, clock := floorDiv(local, daySeconds)
	return Wall{Date(day), Clock(clock)}
}
