package flights

import (
	"strconv"

	"backfleet/ops/examples/verdict"
	"backfleet/pkg/calendar"
)

// tables are what the nodes fill, while it is computed.
type tables struct {
	flights, airports, routeHour, daySummary, airportDay, weekAverage *verdict.Table
}

func newTables() *tables {
	return &tables{
		flights:     verdict.NewTable("flights", "ds", "flight departed hour delay miles origin destination"),
		airports:    verdict.NewTable("airports", "month", "airport name city state"),
		routeHour:   verdict.NewTable("route_hour", "ds hour", "origin destination flights late delay_minutes worst_minutes"),
		daySummary:  verdict.NewTable("day_summary", "ds", "flights routes late delay_minutes worst_hour"),
		airportDay:  verdict.NewTable("airport_day", "ds", "airport city state flights miles delay_minutes"),
		weekAverage: verdict.NewTable("week_average", "ds", "days flights delay_hundredths change_hundredths"),
	}
}

// sums are those of some flights.
type sums struct{ flights, late, delay, worst, miles int }

func (s *sums) add(f flight) {
	if s.flights == 0 || f.Delay > s.worst {
		s.worst = f.Delay
	}
	s.flights++
	s.delay += f.Delay
	s.miles += f.Distance
	if f.Delay > 15 {
		s.late++
	}
}

// Expected are the tables as they must be after a backfill of these days, made
// from the raw files: the code of no node is used. The first day is that of a
// month.
func Expected(from, to calendar.Date) ([]*verdict.Table, error) {
	byDay, err := readFlights()
	if err != nil {
		return nil, err
	}
	airports, err := readAirports()
	if err != nil {
		return nil, err
	}
	t := newTables()
	lies := map[string]airport{}
	for _, a := range airports {
		lies[a.code] = a
	}
	var days []sums // of every day so far
	var before int  // the mean of the week that ended the day before
	for d := from; d <= to; d++ {
		if d == d.MonthStart() {
			for _, a := range airports {
				t.airports.Add(d.Compact()[:6], a.code, a.name, a.city, a.state)
			}
		}
		days = append(days, t.addDay(d.Compact(), byDay[d.Compact()], lies))
		week := days[max(0, len(days)-7):]
		var all sums
		for _, day := range week {
			all.flights += day.flights
			all.delay += day.delay
		}
		mean := rounded(100*all.delay, all.flights)
		var change any
		if d > from {
			change = mean - before
		}
		before = mean
		t.weekAverage.Add(d.Compact(), len(week), all.flights, mean, change)
	}
	return []*verdict.Table{t.flights, t.airports, t.routeHour, t.airportDay, t.daySummary, t.weekAverage}, nil
}

// addDay adds what is made of a day's flights alone, and gives their sums.
func (t *tables) addDay(ds string, flights []flight, lies map[string]airport) sums {
	type routeHour struct {
		hour                int
		origin, destination string
	}
	var day sums
	byRoute, byAirport := map[routeHour]*sums{}, map[string]*sums{}
	routes, hours := map[string]bool{}, map[int]int{}
	for _, f := range flights {
		t.flights.Add(ds, f.number, f.time, f.hour, f.Delay, f.Distance, f.Origin, f.Destination)
		key := routeHour{f.hour, f.Origin, f.Destination}
		if byRoute[key] == nil {
			byRoute[key] = &sums{}
		}
		if byAirport[f.Origin] == nil {
			byAirport[f.Origin] = &sums{}
		}
		byRoute[key].add(f)
		byAirport[f.Origin].add(f)
		day.add(f)
		routes[f.route()] = true
		hours[f.hour] += f.Delay
	}
	for key, s := range byRoute {
		t.routeHour.Add(ds+"/"+strconv.Itoa(key.hour), key.origin, key.destination, s.flights, s.late, s.delay, s.worst)
	}
	for code, s := range byAirport {
		t.airportDay.Add(ds, code, lies[code].city, lies[code].state, s.flights, s.miles, s.delay)
	}
	worst := -1
	for hour := range 24 {
		if delay, flown := hours[hour]; flown && (worst < 0 || delay > hours[worst]) {
			worst = hour
		}
	}
	t.daySummary.Add(ds, day.flights, len(routes), day.late, day.delay, worst)
	return day
}

// rounded divides, half away from zero.
func rounded(sum, n int) int {
	if sum < 0 {
		return -rounded(-sum, n)
	}
	return (2*sum + n) / (2 * n)
}
