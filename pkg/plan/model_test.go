package plan_test

import (
	"slices"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// model is the naive form of a plan: a row for every instance and an edge for
// everything it waits for, straight from the rules, with Go's time package for
// the clocks. It shares with the plan only the choice and order of the nodes,
// which are pkg/node's.
type model struct {
	req   *wire.Request
	specs []*wire.Node
	dates []calendar.Date
	group map[calendar.Date]int
	rows  []row
}

type row struct {
	pos, node, cycle int
	date             calendar.Date
	unix             int64
}

func newModel(req *wire.Request, nodes []plan.Node) *model {
	m := &model{req: req, group: map[calendar.Date]int{}}
	for _, n := range nodes {
		m.specs = append(m.specs, n.Spec)
	}
	set := map[calendar.Date]bool{}
	for _, r := range req.Dates {
		for d := r.From; d <= r.To; d++ {
			set[calendar.Date(d)] = true
		}
	}
	for d := range set {
		m.dates = append(m.dates, d)
	}
	slices.Sort(m.dates)
	if req.Order == wire.Request_DESCENDING {
		slices.Reverse(m.dates)
	}
	// Deal the dates out in turn: the sizes come out right by themselves.
	k := min(len(m.dates), int(max(1, req.Groups)))
	sizes := make([]int, k)
	for i := range m.dates {
		sizes[i%k]++
	}
	next := 0
	for g, size := range sizes {
		for range size {
			m.group[m.dates[next]] = g
			next++
		}
	}
	for pos, d := range m.dates {
		for n, s := range m.specs {
			for c, unix := range m.cycles(s, d, true) {
				m.rows = append(m.rows, row{pos, n, c, d, unix})
			}
		}
	}
	return m
}

// cycles are the T of a node on a date, within the plan's time of day or not
// (RULES R1.2, R1.5, R3.2).
func (m *model) cycles(s *wire.Node, d calendar.Date, restricted bool) []int64 {
	if s.Schedule.Kind == wire.Schedule_DAILY {
		unix, _ := instant(s, d, s.Schedule.At)
		return []int64{unix}
	}
	var out []int64
	for clock := s.Schedule.From; clock <= s.Schedule.To; clock += s.Schedule.Every * 60 {
		if t := m.req.TimeOfDay; restricted && t != nil && (clock < t.From || clock > t.To) {
			continue
		}
		if unix, exists := instant(s, d, clock); exists {
			out = append(out, unix)
		}
	}
	return out
}

// instant is when the clocks of a node show a time of day on D + 1: the second
// time if they do so twice, moved later by the gap if they skip it.
func instant(s *wire.Node, d calendar.Date, clock int32) (unix int64, exists bool) {
	loc := location(s)
	y, mon, day := (d + 1).YMD()
	wall := time.Date(y, mon, day, 0, 0, 0, 0, time.UTC).Add(time.Duration(clock) * time.Second)
	_, before := wall.Add(-26 * time.Hour).In(loc).Zone() // no zone here changes twice in two days
	_, after := wall.Add(26 * time.Hour).In(loc).Zone()
	for _, offset := range []int{after, before} {
		t := wall.Add(-time.Duration(offset) * time.Second)
		if _, real := t.In(loc).Zone(); real == offset {
			return t.Unix(), true
		}
	}
	return wall.Unix() - int64(before), false
}

func location(s *wire.Node) *time.Location {
	name := s.Schedule.Zone
	if name == "" {
		name = "UTC"
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return loc
}

func isDaily(s *wire.Node) bool { return s.Schedule.Kind == wire.Schedule_DAILY }

// on lists the rows of a node on a date.
func (m *model) on(node int, d calendar.Date) []int {
	var out []int
	for i, r := range m.rows {
		if r.node == node && r.date == d {
			out = append(out, i)
		}
	}
	return out
}

// upstreams are the rows that a row waits for by RULES R5.2 and R5.3.
func (m *model) upstreams(i int) []int {
	r := m.rows[i]
	var out []int
	for _, u := range m.specs[r.node].Upstreams {
		node := slices.IndexFunc(m.specs, func(s *wire.Node) bool { return s.Id == u.Node })
		if node < 0 {
			continue // outside the plan
		}
		from, to := r.date+calendar.Date(u.From), r.date+calendar.Date(u.To)
		if u.FromMonthStart {
			y, mon, _ := r.date.YMD()
			from = calendar.DateOf(y, mon, 1)
		}
		for _, d := range m.dates {
			if d < from || d > to {
				continue
			}
			rows := m.on(node, d)
			switch {
			case d == r.date:
				rows = m.sameDate(r, node, rows)
			case m.specs[node].DependsOnSelf && len(rows) > 0:
				rows = rows[len(rows)-1:]
			}
			out = append(out, rows...)
		}
	}
	slices.Sort(out)
	return out
}

func (m *model) sameDate(r row, node int, rows []int) []int {
	u, n := m.specs[node], m.specs[r.node]
	if isDaily(u) || (isDaily(n) && !u.DependsOnSelf) {
		return rows
	}
	if isDaily(n) {
		for _, i := range slices.Backward(rows) {
			if m.rows[i].unix <= r.unix {
				return []int{i}
			}
		}
		return rows
	}
	for _, unix := range slices.Backward(m.cycles(u, r.date, false)) {
		if unix <= r.unix {
			return slices.DeleteFunc(rows, func(i int) bool { return m.rows[i].unix != unix })
		}
	}
	return nil
}

// predecessor is the cycle before a row's (RULES R5.5), and the row that holds
// it if it precedes in the same group, else -1.
func (m *model) predecessor(i int) (p plan.Predecessor, at int) {
	r := m.rows[i]
	s := m.specs[r.node]
	if !s.DependsOnSelf {
		return p, -1
	}
	for _, d := range []calendar.Date{r.date - 1, r.date} {
		for _, unix := range m.cycles(s, d, false) {
			if d < r.date || unix < r.unix {
				p = plan.Predecessor{Exists: true, Date: d, Unix: unix}
			}
		}
	}
	at = slices.IndexFunc(m.rows, func(o row) bool {
		return p.Exists && o.node == r.node && o.date == p.Date && o.unix == p.Unix
	})
	if at < 0 || at >= i || m.group[p.Date] != m.group[r.date] {
		return p, -1
	}
	p.InPlan, p.Instance = true, uint64(at)
	return p, at
}

// gate is the rows behind whose success a row's gate stands (RULES R4.3).
func (m *model) gate(i int) []int {
	r := m.rows[i]
	if m.req.Gate == wire.Request_NONE {
		return nil
	}
	for pos := r.pos - 1; pos >= 0 && m.group[m.dates[pos]] == m.group[r.date]; pos-- {
		var out []int
		for j, o := range m.rows {
			if o.pos == pos && (m.req.Gate == wire.Request_DAY || o.node == r.node) {
				out = append(out, j)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// finishes says whether all rows can run, each after what it waits for: no
// circle.
func (m *model) finishes() bool {
	waits := make([]int, len(m.rows))
	unlocks := make([][]int, len(m.rows))
	for i := range m.rows {
		all := append(m.upstreams(i), m.gate(i)...)
		if _, at := m.predecessor(i); at >= 0 {
			all = append(all, at)
		}
		for _, w := range all {
			unlocks[w] = append(unlocks[w], i)
		}
		waits[i] = len(all)
	}
	var ready []int
	for i, n := range waits {
		if n == 0 {
			ready = append(ready, i)
		}
	}
	for k := 0; k < len(ready); k++ {
		for _, i := range unlocks[ready[k]] {
			if waits[i]--; waits[i] == 0 {
				ready = append(ready, i)
			}
		}
	}
	return len(ready) == len(m.rows)
}
