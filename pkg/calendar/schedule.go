package calendar

import (
	"sort"
	"strconv"

	"backfleet/pkg/fault"
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

	// 4, 5 and 6 are kept for weekly, monthly and yearly (R1.3).
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
	default:
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
}

// Schedule says at which wall-clock times a node occurs. The methods that
// compute cycles expect a schedule that Validate accepts; they do not allocate
// and are safe for concurrent use.
type Schedule struct {
	Kind     Kind
	At       Clock // daily: the time of day; the zero value is 00:00 (R1.4)
	From, To Clock // hourly, minutely: closed interval (R1.2)
	Every    int32 // hourly, minutely: the step in minutes, 1 to 1440; for hourly whole hours
}

// maxEvery is the longest step in minutes: one day.
const maxEvery = 24 * 60

// Validate checks the schedule (R1.2). The *fault.Error names the field: kind,
// at, from, to or every.
func (s Schedule) Validate() error {
	switch {
	case s.Kind != Daily && !s.subDaily():
		return fault.Field("kind", "%s is not a kind of schedule: expected daily, hourly or minutely", s.Kind)
	case s.Kind == Daily && !s.At.valid():
		return fault.Field("at", "%d s is no time of day: expected 00:00 to 23:59:59", s.At)
	case s.Kind == Daily:
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

// Cycle is one occurrence of a node: its scheduled time T as a wall time and
// as an instant (unix seconds). Instants compare across zones (R5.9).
type Cycle struct {
	Wall Wall
	Unix int64
}

// Count is the number of cycles for data timestamp d in the zone: one for
// daily; for hourly and minutely the steps of the interval on d + 1 (R1.1),
// less those that the clocks skip (R1.5), so possibly none.
func (s Schedule) Count(d Date, z *Zone) int {
	if !s.subDaily() {
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
// [0, Count). A daily cycle that falls in a gap is moved later by the gap's
// length, in both its wall time and its instant (R1.5).
func (s Schedule) Cycle(d Date, i int, z *Zone) Cycle {
	if !s.subDaily() {
		return s.daily(d, z)
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
	if s.subDaily() {
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
	if !s.subDaily() {
		return s, true
	}
	step := Clock(s.step())
	if from > s.From {
		s.From += (from - s.From + step - 1) / step * step
	}
	s.To = min(s.To, to)
	return s, s.From <= s.To
}

func (s Schedule) subDaily() bool { return s.Kind == Hourly || s.Kind == Minutely }

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

func (s Schedule) daily(d Date, z *Zone) Cycle {
	w := Wall{d + 1, s.At}
	unix := z.Instant(w)
	if z.InGap(w) {
		w = z.WallAt(unix)
	}
	return Cycle{w, unix}
}

func (c Clock) valid() bool { return c >= 0 && c < daySeconds }
