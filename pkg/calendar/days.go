package calendar

import (
	"math/bits"
	"time"

	"backfleet/pkg/fault"
)

// Validate checks the schedule (R1.2, R1.3). The *fault.Error names the field:
// kind, at, from, to, every, weekdays, days or months. A field that means
// nothing for the kind is refused.
func (s Schedule) Validate() error {
	if s.Kind < Daily || s.Kind > Yearly {
		return fault.Field("kind", "%s is not a kind of schedule: expected daily, hourly, minutely, weekly, monthly or yearly", s.Kind)
	}
	for _, check := range []func() error{s.checkForeign, s.checkTimes, s.checkDays} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkForeign refuses the fields of other kinds.
func (s Schedule) checkForeign() error {
	switch {
	case s.SubDaily() && s.At != 0:
		return fault.Field("at", "a node that is %s has an interval: leave at out, or give from and to", s.Kind)
	case !s.SubDaily() && s.From != 0:
		return fault.Field("from", "a node that is %s has no interval: leave from out, or make it hourly or minutely", s.Kind)
	case !s.SubDaily() && s.To != 0:
		return fault.Field("to", "a node that is %s has no interval: leave to out, or make it hourly or minutely", s.Kind)
	case !s.SubDaily() && s.Every != 0:
		return fault.Field("every", "a node that is %s has no interval: leave every out, or make it hourly or minutely", s.Kind)
	case s.Kind != Weekly && s.Weekdays != 0:
		return fault.Field("weekdays", "a node that is %s has none: leave weekdays out, or make it weekly", s.Kind)
	case s.Kind != Monthly && s.Kind != Yearly && s.Days != 0:
		return fault.Field("days", "a node that is %s has none: leave days out, or make it monthly or yearly", s.Kind)
	case s.Kind != Yearly && s.Months != 0:
		return fault.Field("months", "a node that is %s has none: leave months out, or make it yearly", s.Kind)
	}
	return nil
}

// maxEvery is the longest step in minutes: one day.
const maxEvery = 24 * 60

func (s Schedule) checkTimes() error {
	switch {
	case !s.At.valid():
		return fault.Field("at", "%d s is no time of day: expected 00:00 to 23:59:59", s.At)
	case !s.SubDaily():
		return nil
	case !s.From.valid():
		return fault.Field("from", "%d s is no time of day: expected 00:00 to 23:59:59", s.From)
	case !s.To.valid():
		return fault.Field("to", "%d s is no time of day: expected 00:00 to 23:59:59", s.To)
	case s.To < s.From:
		return fault.Field("to", "%s is before from (%s): expected the same time or later", s.To, s.From)
	case s.Every < 1 || s.Every > maxEvery:
		return fault.Field("every", "%d min is no step: expected 1 min to 24 h", s.Every)
	case s.Kind == Hourly && s.Every%60 != 0:
		return fault.Field("every", "%d min is no whole number of hours: use minutely, or a step such as 60 min", s.Every)
	}
	return nil
}

// Bits that a set may have; every bit of Days means a day.
const (
	allWeekdays = 1<<7 - 1
	allMonths   = 1<<13 - 2
)

func (s Schedule) checkDays() error {
	switch {
	case s.Weekdays&^allWeekdays != 0:
		return fault.Field("weekdays", "%#x has a bit above Sunday's: expected bit 0 (Monday) to bit 6", s.Weekdays)
	case s.Kind == Weekly && s.Weekdays == 0:
		return fault.Field("weekdays", "none is given: expected one or more of mon, tue, wed, thu, fri, sat and sun")
	case s.Months&^allMonths != 0:
		return fault.Field("months", "%#x has a bit that is no month's: expected bit 1 (January) to bit 12", s.Months)
	case s.Kind == Yearly && s.Months == 0:
		return fault.Field("months", "none is given: expected one or more of 1 to 12")
	case (s.Kind == Monthly || s.Kind == Yearly) && s.Days == 0:
		return fault.Field("days", "none is given: expected one or more of 1 to 31 and last")
	case s.Kind == Yearly:
		if day := bits.Len32(s.Days) - 1; day > s.longestMonth() {
			return fault.Field("days", "none of the months ever has a day %d: take it out (last is the last day of any month)", day)
		}
	}
	return nil
}

// longestMonth is the most days that one of the months has, in a leap year.
func (s Schedule) longestMonth() int {
	longest := 0
	for m := time.January; m <= time.December; m++ {
		if s.Months&(1<<m) != 0 {
			_, _, days := DateOf(2000, m, 1).MonthEnd().YMD()
			longest = max(longest, days)
		}
	}
	return longest
}

// Occurs says whether d + 1, on which T lies, is a day of the schedule (R1.3):
// always for daily, hourly and minutely. On another date the instance is a dry
// run. A month without one of the days does not occur on it; LastDay is the
// last of any month.
func (s Schedule) Occurs(d Date) bool {
	on := d + 1
	switch s.Kind {
	case Weekly:
		return s.Weekdays&(1<<((on.Weekday()+6)%7)) != 0 // a week begins on Monday
	case Monthly, Yearly:
		_, month, day := on.YMD()
		if s.Kind == Yearly && s.Months&(1<<month) == 0 {
			return false
		}
		return s.Days&(1<<day) != 0 || s.Days&LastDay != 0 && on == on.MonthEnd()
	default:
		return true
	}
}
