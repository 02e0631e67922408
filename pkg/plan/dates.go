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

// requested is the dates of a request in the order in which they run (RULES
// R3.1, R4.2).
func requested(req *wire.Request) ([]calendar.Date, error) {
	if len(req.Dates) == 0 {
		return nil, fault.Field("dates", "no date: give at least one date or range, such as 2012-01-01..2012-01-31")
	}
	if err := checkRanges("dates", req.Dates); err != nil {
		return nil, err
	}
	return dates(req.Dates, req.Order == wire.Request_DESCENDING)
}

// checkRanges refuses ranges that are wrong by themselves.
func checkRanges(field string, ranges []*wire.DateRange) error {
	for i, r := range ranges {
		from, to := calendar.Date(r.From), calendar.Date(r.To)
		at := field + "[" + strconv.Itoa(i) + "]"
		switch {
		case from < firstDate || from > lastDate || to < firstDate || to > lastDate:
			return fault.Field(at, "it leaves the calendar: expected dates from %s to %s", firstDate, lastDate)
		case to < from:
			return fault.Field(at, "the range ends (%s) before it starts (%s): swap the two", to, from)
		}
	}
	return nil
}

// dates is the union of ranges, without doubles, sorted.
func dates(ranges []*wire.DateRange, descending bool) ([]calendar.Date, error) {
	ranges = slices.Clone(ranges)
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
	if descending {
		slices.Reverse(out)
	}
	return out, nil
}

// ranges is dates as the fewest ranges, ascending.
func ranges(all []calendar.Date) []*wire.DateRange {
	var out []*wire.DateRange
	for _, d := range slices.Sorted(slices.Values(all)) {
		if n := len(out); n > 0 && out[n-1].To+1 == int32(d) {
			out[n-1].To++
			continue
		}
		out = append(out, &wire.DateRange{From: int32(d), To: int32(d)})
	}
	return out
}

// within says whether ranges, ascending and apart, have a date.
func within(all []*wire.DateRange, d calendar.Date) bool {
	i, _ := slices.BinarySearchFunc(all, d, func(r *wire.DateRange, d calendar.Date) int { return cmp.Compare(r.To, int32(d)) })
	return i < len(all) && all[i].From <= int32(d)
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
