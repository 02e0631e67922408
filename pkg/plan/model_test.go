package plan_test

import (
	"cmp"
	"slices"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// model is the naive form of a plan: a row for every instance and an edge for
// everything it waits for, straight from the rules, with Go's time package for
// the clocks. It shares with the plan only the choice and order of the nodes,
// which are pkg/node's, and of nodes that were added later.
type model struct {
	req     *wire.Request
	auto    bool
	graph   []*wire.Node // all there are
	specs   []*wire.Node // the plan's, in its order
	dates   []calendar.Date
	group   map[calendar.Date]int
	dropped map[any]bool  // dates and ids of nodes
	rows    []row         // by number
	at      map[key]int   // row of a cycle
	days    map[key][]int // rows of a node's date
}

type key struct {
	node string
	date calendar.Date
	unix int64
}

type row struct {
	key
	cycle      int
	acceptedMs int64
}

func newModel(req *wire.Request, nodes, graph []*wire.Node, acceptedMs int64) *model {
	m := &model{req: req, graph: graph, specs: nodes, dropped: map[any]bool{}, at: map[key]int{}, days: map[key][]int{}}
	m.split()
	m.number(m.dates, m.specs, acceptedMs)
	return m
}

// modelOf is the model of a plan's request and nodes.
func modelOf(p *plan.Plan, graph []*wire.Node) *model {
	return newModel(p.Request, specsOf(p), graph, p.AcceptedMs)
}

func specsOf(p *plan.Plan) []*wire.Node {
	var out []*wire.Node
	for _, n := range p.Nodes {
		out = append(out, n.Spec)
	}
	return out
}

// split makes the dates and groups of the request.
func (m *model) split() {
	m.dates, m.group = nil, map[calendar.Date]int{}
	set := map[calendar.Date]bool{}
	for _, r := range m.req.Dates {
		for d := r.From; d <= r.To; d++ {
			set[calendar.Date(d)] = true
		}
	}
	for d := range set {
		m.dates = append(m.dates, d)
	}
	m.sort(m.dates)
	// Deal the dates out in turn: the sizes come out right by themselves.
	k := min(len(m.dates), int(max(1, m.req.Groups)))
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
}

func (m *model) sort(dates []calendar.Date) {
	slices.Sort(dates)
	if m.req.Order == wire.Request_DESCENDING {
		slices.Reverse(dates)
	}
}

// number adds a row for every cycle of every node on every date.
func (m *model) number(dates []calendar.Date, nodes []*wire.Node, acceptedMs int64) {
	for _, d := range dates {
		for _, s := range nodes {
			if m.dropped[d] || m.dropped[s.Id] {
				continue
			}
			for c, unix := range m.cycles(s, d, true) {
				k := key{s.Id, d, unix}
				m.at[k] = len(m.rows)
				m.days[key{node: s.Id, date: d}] = append(m.days[key{node: s.Id, date: d}], len(m.rows))
				m.rows = append(m.rows, row{k, c, acceptedMs})
			}
		}
	}
}

func (m *model) spec(id string) *wire.Node {
	for _, s := range slices.Concat(m.specs, m.graph) {
		if s.Id == id {
			return s
		}
	}
	return nil
}

func (m *model) has(id string) bool {
	return slices.ContainsFunc(m.specs, func(s *wire.Node) bool { return s.Id == id })
}

// cycles are the T of a node on a date, within the plan's time of day or not
// (RULES R1.2, R1.5, R3.2).
func (m *model) cycles(s *wire.Node, d calendar.Date, restricted bool) []int64 {
	if !subDaily(s) {
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

func subDaily(s *wire.Node) bool {
	return s.Schedule.Kind == wire.Schedule_HOURLY || s.Schedule.Kind == wire.Schedule_MINUTELY
}

// offSchedule says that D + 1 is no day of the schedule (RULES R1.3).
func offSchedule(s *wire.Node, d calendar.Date) bool {
	y, mon, day := (d + 1).YMD()
	t := time.Date(y, mon, day, 0, 0, 0, 0, time.UTC)
	weekday := (int(t.Weekday()) + 6) % 7
	last := t.AddDate(0, 0, 1).Day() == 1
	dayOfMonth := s.Schedule.Days>>day&1 == 1 || last && s.Schedule.Days&1 == 1
	switch s.Schedule.Kind {
	case wire.Schedule_WEEKLY:
		return s.Schedule.Weekdays>>weekday&1 == 0
	case wire.Schedule_MONTHLY:
		return !dayOfMonth
	case wire.Schedule_YEARLY:
		return !dayOfMonth || s.Schedule.Months>>int(mon)&1 == 0
	}
	return false
}

// on lists the rows of a node on a date.
func (m *model) on(node string, d calendar.Date) []int {
	return slices.Clone(m.days[key{node: node, date: d}])
}

// windowOf is the dates of which a row needs an upstream.
func (m *model) windowOf(u *wire.Upstream, d calendar.Date) []calendar.Date {
	from, to := d+calendar.Date(u.From), d+calendar.Date(u.To)
	if u.FromMonthStart {
		y, mon, _ := d.YMD()
		from = calendar.DateOf(y, mon, 1)
	}
	var out []calendar.Date
	for day := from; day <= to; day++ {
		out = append(out, day)
	}
	return out
}

// waits are the rows that a row waits for by RULES R5.2 to R5.5, and the cycles
// outside the plan.
func (m *model) waits(i int) (rows []int, needs []plan.Need) {
	r := m.rows[i]
	for _, u := range m.spec(r.node).Upstreams {
		if u.Previous {
			continue
		}
		for _, d := range m.windowOf(u, r.date) {
			on := m.on(u.Node, d)
			switch {
			case d == r.date:
				on = m.sameDate(r, u.Node, on)
			case m.spec(u.Node).DependsOnSelf && len(on) > 0:
				on = on[len(on)-1:]
			}
			rows = append(rows, on...)
			if all := m.cycles(m.spec(u.Node), d, false); m.auto && d != r.date && len(all) > 0 {
				if m.spec(u.Node).DependsOnSelf {
					all = all[len(all)-1:]
				}
				for _, unix := range all {
					needs = append(needs, plan.Need{Node: u.Node, Date: d, Unix: unix, Schedule: true})
				}
			}
		}
	}
	for _, u := range m.priors(r.node) {
		more, abroad := m.previous(r, m.spec(u))
		rows, needs = append(rows, more...), append(needs, abroad...)
	}
	if p, at := m.predecessor(i); at >= 0 {
		rows = append(rows, at)
	} else if p.Exists {
		needs = append(needs, plan.Need{Node: r.node, Date: p.Date, Unix: p.Unix, Schedule: m.auto})
	}
	slices.Sort(rows)
	sortNeeds(needs)
	return rows, needs
}

func sortNeeds(needs []plan.Need) {
	slices.SortFunc(needs, func(a, b plan.Need) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Date, b.Date), cmp.Compare(a.Unix, b.Unix))
	})
}

// priors are the nodes whose previous cycle a node needs: named ones and
// children.
func (m *model) priors(id string) []string {
	set := map[string]bool{}
	s := m.spec(id)
	for _, u := range s.Upstreams {
		if u.Previous {
			set[u.Node] = true
		}
	}
	for _, child := range m.graph {
		for _, u := range child.Upstreams {
			if s.DependsOnChildren && u.Node == id && !u.Previous {
				set[child.Id] = true
			}
		}
	}
	var out []string
	for u := range set {
		out = append(out, u)
	}
	return out
}

// previous is the previous cycle of a node as a row sees it.
func (m *model) previous(r row, u *wire.Node) (rows []int, needs []plan.Need) {
	need := func(d calendar.Date, unix int64) {
		if i, ok := m.at[key{u.Id, d, unix}]; ok {
			rows = append(rows, i)
		} else {
			needs = append(needs, plan.Need{Node: u.Id, Date: d, Unix: unix, Schedule: m.auto})
		}
	}
	yesterday := m.cycles(u, r.date-1, false)
	if subDaily(m.spec(r.node)) && subDaily(u) {
		for _, unix := range slices.Backward(m.cycles(u, r.date, false)) {
			if unix < r.unix {
				need(r.date, unix)
				return rows, needs
			}
		}
		if len(yesterday) > 0 {
			need(r.date-1, yesterday[len(yesterday)-1])
		}
		return rows, needs
	}
	if u.DependsOnSelf && len(yesterday) > 0 {
		yesterday = yesterday[len(yesterday)-1:]
		if on := m.on(u.Id, r.date-1); len(on) > 0 {
			if last := on[len(on)-1]; m.rows[last].unix != yesterday[0] {
				rows = append(rows, last)
			}
		}
	}
	for _, unix := range yesterday {
		need(r.date-1, unix)
	}
	return rows, needs
}

func (m *model) sameDate(r row, up string, rows []int) []int {
	u, n := m.spec(up), m.spec(r.node)
	if !subDaily(u) || (!subDaily(n) && !u.DependsOnSelf) {
		return rows
	}
	if !subDaily(n) {
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
	s := m.spec(r.node)
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
	at, ok := m.at[key{r.node, p.Date, p.Unix}]
	later := p.Date != r.date && m.req.Order == wire.Request_DESCENDING
	if !p.Exists || !ok || later || m.group[p.Date] != m.group[r.date] {
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
	for pos := slices.Index(m.dates, r.date) - 1; pos >= 0 && m.group[m.dates[pos]] == m.group[r.date]; pos-- {
		var out []int
		for _, s := range m.specs {
			if m.req.Gate == wire.Request_DAY || s.Id == r.node {
				out = append(out, m.on(s.Id, m.dates[pos])...)
			}
		}
		if len(out) > 0 {
			slices.Sort(out)
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
		all, _ := m.waits(i)
		all = append(all, m.gate(i)...)
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

// dry is why a row is a dry run, beside what the choice of nodes says (RULES R6).
func (m *model) dry(i int, since int64) wire.DryRun {
	r := m.rows[i]
	s := m.spec(r.node)
	switch {
	case m.dropped[r.date] || m.dropped[r.node]:
		return wire.DryRun_DROPPED
	case s.Mode == wire.Node_DRY_RUN && (m.auto || m.req.DryRunNodes == wire.Request_KEEP):
		return wire.DryRun_NODE_IS_DRY_RUN
	case r.unix*1000 < since:
		return wire.DryRun_BEFORE_SWITCHED_ON
	case offSchedule(s, r.date):
		return wire.DryRun_OFF_SCHEDULE
	}
	return wire.DryRun_DRY_RUN_NONE
}
