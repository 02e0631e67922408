package plan

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// maxDates is about 273 years of days.
const maxDates = 100_000

// The data timestamps there are: T, a day later, must still have a year of
// four digits.
var (
	firstDate = calendar.DateOf(1, time.January, 1)
	lastDate  = calendar.DateOf(9999, time.December, 30)
)

// dates is the union of the request's ranges, without doubles, in the order
// in which they run (RULES R3.1, R4.2).
func dates(req *wire.Request) ([]calendar.Date, error) {
	if len(req.Dates) == 0 {
		return nil, fault.Field("dates", "no date: give at least one date or range, such as 2012-01-01..2012-01-31")
	}
	ranges := slices.Clone(req.Dates)
	for i, r := range ranges {
		from, to := calendar.Date(r.From), calendar.Date(r.To)
		field := "dates[" + strconv.Itoa(i) + "]"
		switch {
		case from < firstDate || from > lastDate || to < firstDate || to > lastDate:
			return nil, fault.Field(field, "it leaves the calendar: expected dates from %s to %s", firstDate, lastDate)
		case to < from:
			return nil, fault.Field(field, "the range ends (%s) before it starts (%s): swap the two", to, from)
		}
	}
	slices.SortFunc(ranges, func(a, b *wire.DateRange) int { return cmp.Compare(a.From, b.From) })
	var out []calendar.Date
	for _, r := range ranges {
		from := calendar.Date(r.From)
		if n := len(out); n > 0 && from <= out[n-1] {
			from = out[n-1] + 1
		}
		if int(calendar.Date(r.To)-from)+len(out) >= maxDates {
			return nil, fault.Field("dates", "more than %d dates: submit fewer at once", maxDates)
		}
		for d := from; d <= calendar.Date(r.To); d++ {
			out = append(out, d)
		}
	}
	if req.Order == wire.Request_DESCENDING {
		slices.Reverse(out)
	}
	return out, nil
}

// split cuts n dates into at most k groups of consecutive dates, sizes as
// equal as can be, larger ones first (RULES R4.2).
func split(n, k int) []Span {
	k = min(n, k)
	out := make([]Span, k)
	from := 0
	for g := range out {
		size := n / k
		if g < n%k {
			size++
		}
		out[g] = Span{from, from + size}
		from += size
	}
	return out
}
