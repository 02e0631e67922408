package calendar

import (
	"sort"
	"strconv"
)

// Kind says how often a node occurs. The numbers are stored and never reused.
type Kind uint8

const (
	// Daily: one cycle a date, at Schedule.At.
	Daily Kind = 1
	// Hourly: from Schedule.From to Schedule.To, in steps of whole hours.
	Hourly Kind = 2
	// Minutely: from Schedule.From to Schedule.To, in steps of minutes.
	Minutely Kind = 3
	// Weekly: at Schedule.At, on Schedule.Weekdays.
	Weekly Kind = 4
	// Monthly: at Schedule.At, on Schedule.Days.
	Monthly Kind = 5
	// Yearly: at Schedule.At, on Schedule.Days of Schedule.Months.
	Yearly Kind = 6
)

// String is the kind's name as users write it.
func (k Kind) String() string {
	switch k {
	case Daily:
		return "daily"
	case Hourly:
		return "hourly"
	case Minutely:
		return "minutely"
	case Weekly:
		return "weekly"
	case Monthly:
		return "monthly"
	case Yearly:
		return "yearly"
	default:
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
}

// Schedule says at which wall-clock times a node occurs, and on which days. It
// is comparable. The methods expect a schedule that Validate accepts; they do
// not allocate and are safe for concurrent use.
type Schedule struct {
	Kind     Kind
	At       Clock // all but hourly and minutely: the time of day; the zero value is 00:00 (R1.4)
	From, To Clock // hourly, minutely: closed interval (R1.2)
	Every    int32 // hourly, minutely: the step in minutes, 1 to 1440; for hourly whole hours

	Weekdays uint8  // weekly: bit 0 is Monday, bit 6 Sunday
	Days     uint32 // monthly, yearly: bit n is the n-th of the month, bit 0 its last day
	Months   uint16 // yearly: bit 1 is January, bit 12 December
}

// LastDay is the bit of Schedule.Days for the last day of the month (R1.3).
const LastDay = 1 << 0

// Cycle is one occurrence of a node: its scheduled time T as a wall time and
// as an instant (unix seconds). Instants compare across zones (R5.9).
type Cycle struct {
	Wall Wall
	Unix int64
}

// Count is the number of cycles for data timestamp d in the zone: for hourly
// and minutely the steps of the interval on d + 1 (R1.1), less those that the
// clocks skip (R1.5), so possibly none. Every other kind has one, also on a
// date on which it does not occur (R1.3): see Occurs.
func (s Schedule) Count(d Date, z *Zone) int {
	if !s.SubDaily() {
		return 1
	}
	first, last := s.span(d)
	k, plain := z.plain(first, last)
	slots, lost := s.slots(), 0
	for ; !plain && k < len(z.Transitions); k++ {
		from, to := s.skipped(first, k, z)
		if from == slots {
			break
		}
		lost += to - from
	}
	return slots - lost
}

// Cycle is the i-th cycle, in order of time, for data timestamp d; i in
// [0, Count). A time of day that falls in a gap is moved later by the gap's
// length, in both its wall time and its instant (R1.5).
func (s Schedule) Cycle(d Date, i int, z *Zone) Cycle {
	if !s.SubDaily() {
		return s.once(d, z)
	}
	first, last := s.span(d)
	local := first + int64(i)*s.step()
	if k, ok := z.plain(first, last); ok {
		return Cycle{wallOf(local), local - int64(z.offset(k))}
	}
	local = first + int64(s.slotOf(first, i, z))*s.step()
	w := wallOf(local)
	return Cycle{w, z.Instant(w)}
}

// IndexAtOrBefore finds the latest cycle of d whose T is at or before an
// instant; -1 when there is none.
func (s Schedule) IndexAtOrBefore(d Date, unix int64, z *Zone) int {
	if s.SubDaily() {
		first, last := s.span(d)
		if k, ok := z.plain(first, last); ok {
			slot, _ := floorDiv(unix+int64(z.offset(k))-first, s.step())
			return int(max(-1, min(slot, int64(s.slots()-1))))
		}
	}
	return sort.Search(s.Count(d, z), func(i int) bool { return s.Cycle(d, i, z).Unix > unix }) - 1
}

// IndexAt finds the cycle of d whose T is exactly an instant; -1 when there is
// none.
func (s Schedule) IndexAt(d Date, unix int64, z *Zone) int {
	i := s.IndexAtOrBefore(d, unix, z)
	if i < 0 || s.Cycle(d, i, z).Unix != unix {
		return -1
	}
	return i
}

// Restrict keeps the cycles whose wall time of day lies in the closed range
// from..to (R3.2); false when none is left. Only hourly and minutely are
// restricted; any other schedule is returned as it is.
func (s Schedule) Restrict(from, to Clock) (Schedule, bool) {
	if !s.SubDaily() {
		return s, true
	}
	step := Clock(s.step())
	if from > s.From {
		s.From += (from - s.From + step - 1) / step * step
	}
	s.To = min(s.To, to)
	return s, s.From <= s.To
}

// SubDaily says whether the node has an interval, and so as many cycles a date
// as there are steps in it: hourly and minutely. Every other has one (R1.3).
func (s Schedule) SubDaily() bool { return s.Kind == Hourly || s.Kind == Minutely }

// step is the distance of two cycles in seconds of wall time.
func (s Schedule) step() int64 { return int64(s.Every) * 60 }

// slots is the number of cycles on a day without transitions.
func (s Schedule) slots() int { return int(int64(s.To-s.From)/s.step()) + 1 }

// span gives the wall times of the first and last slot for d.
func (s Schedule) span(d Date) (first, last int64) {
	first = Wall{d + 1, s.From}.local()
	return first, first + int64(s.slots()-1)*s.step()
}

// skipped gives the half-open range of slots that lie in the gap after period
// k; empty when there is no gap or it lies elsewhere. first is the wall time
// of the first slot.
func (s Schedule) skipped(first int64, k int, z *Zone) (from, to int) {
	from = s.slotFrom(z.gapStart(k) - first)
	return from, max(from, s.slotFrom(z.begin(k+1)-first))
}

// slotFrom is the first slot at or after a wall time given in seconds since
// the first slot, held in 0..slots.
func (s Schedule) slotFrom(seconds int64) int {
	slot, _ := floorDiv(seconds+s.step()-1, s.step())
	return int(max(0, min(slot, int64(s.slots()))))
}

// slotOf is the slot of the i-th cycle on a day that may have gaps.
func (s Schedule) slotOf(first int64, i int, z *Zone) int {
	for k := z.period(first); k < len(z.Transitions); k++ {
		from, to := s.skipped(first, k, z)
		if i < from {
			break
		}
		i += to - from
	}
	return i
}

func (s Schedule) once(d Date, z *Zone) Cycle {
	w := Wall{d + 1, s.At}
	unix := z.Instant(w)
	if z.InGap(w) {
		w = z.WallAt(unix)
	}
	return Cycle{w, unix}
}

func (c Clock) valid() bool { return c >= 0 && c < daySeconds }
