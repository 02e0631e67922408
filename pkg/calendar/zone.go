package calendar

import "time"

// Zone is the rules of one time zone for a range of dates. It is resolved once,
// when a plan is accepted, and carried in the replicated log: no coordinator
// looks at its own tzdata when it applies an entry. Outside the resolved range
// the first or last known offset holds. A Zone is not changed after it is made.
type Zone struct {
	Name        string       // as in the tz database, "Europe/Berlin"
	Base        int32        // offset from UTC in seconds before the first transition, east positive
	Transitions []Transition // ascending by At; every one changes the offset
}

// Transition is a moment at which a zone's offset changes.
type Transition struct {
	At     int64 // unix seconds
	Offset int32 // seconds east of UTC from then on
}

// UTC is the zone without transitions.
func UTC() *Zone { return &Zone{Name: "UTC"} }

// ResolveZone writes down loc's rules from two days before from to three days
// after to: room for the scheduled date (D + 1), any offset, and a cycle that
// a gap moves to the next day.
func ResolveZone(loc *time.Location, from, to Date) *Zone {
	at := time.Unix(int64(from-2)*daySeconds, 0).In(loc)
	end := time.Unix(int64(to+4)*daySeconds, 0)
	_, offset := at.Zone()
	z := &Zone{Name: loc.String(), Base: int32(offset)}
	for last := offset; ; {
		_, next := at.ZoneBounds()
		if next.IsZero() || !next.Before(end) {
			return z
		}
		at = next
		if _, offset = at.Zone(); offset != last { // else only the abbreviation changed
			z.Transitions = append(z.Transitions, Transition{at.Unix(), int32(offset)})
			last = offset
		}
	}
}

// OffsetAt is the offset from UTC, in seconds, at an instant.
func (z *Zone) OffsetAt(unix int64) int32 {
	lo, hi := 0, len(z.Transitions)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if z.Transitions[mid].At <= unix {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return z.offset(lo)
}

// WallAt is the wall time at an instant.
func (z *Zone) WallAt(unix int64) Wall { return wallOf(unix + int64(z.OffsetAt(unix))) }

// Instant gives the unix second at which the zone's clocks show w. A time that
// the clocks skip moves later by the gap's length; of a time that they show
// twice it is the second (R1.5).
func (z *Zone) Instant(w Wall) int64 {
	local := w.local()
	return local - int64(z.offset(z.period(local)))
}

// InGap reports whether the zone's clocks skip w.
func (z *Zone) InGap(w Wall) bool {
	local := w.local()
	return local >= z.gapStart(z.period(local))
}

// The transitions cut time into periods: 0 before the first, k from transition
// k-1 on. In wall time a period can overlap the one before it (a doubled hour)
// or leave a gap after it (a skipped hour).

// offset is the offset that holds in period k.
func (z *Zone) offset(k int) int32 {
	if k == 0 {
		return z.Base
	}
	return z.Transitions[k-1].Offset
}

// period finds the last period that has begun, in wall time, at local: of two
// that show the same time it is the second.
func (z *Zone) period(local int64) int {
	lo, hi := 0, len(z.Transitions)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if z.begin(mid+1) <= local {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// begin is the wall time (Wall.local) at which period k > 0 begins.
func (z *Zone) begin(k int) int64 {
	t := z.Transitions[k-1]
	return t.At + int64(t.Offset)
}

// gapStart is the wall time at which period k ends. A local time at or after
// it that period finds to be in k lies in the gap between k and the next.
func (z *Zone) gapStart(k int) int64 {
	if k == len(z.Transitions) {
		return maxLocal
	}
	return z.Transitions[k].At + int64(z.offset(k))
}

// maxLocal is later than the wall time of any Date.
const maxLocal = int64(1) << 62

// plain reports whether the wall times from first to last are shown exactly
// once, or for the second time, all at one offset: then a wall clock and an
// instant run in step. k is the period of first.
func (z *Zone) plain(first, last int64) (k int, ok bool) {
	k = z.period(first)
	if k == len(z.Transitions) {
		return k, true
	}
	return k, last < z.begin(k+1) && last < z.gapStart(k)
}
