package naive

import (
	"fmt"
	"maps"
	"slices"

	"backfleet/pkg/wire"
)

// R3, R4: dates, groups, rows.

func days(ranges []*wire.DateRange) map[int32]bool {
	out := map[int32]bool{}
	for _, r := range ranges {
		for d := r.From; d <= r.To; d++ {
			out[d] = true
		}
	}
	return out
}

// dates lists a plan's data timestamps in the order in which they run (RULES
// R3.1, R4.2).
func (p *program) dates() []int32 {
	out := slices.Sorted(maps.Keys(p.has))
	if p.req.Order == wire.Request_DESCENDING {
		slices.Reverse(out)
	}
	return out
}

// group gives each date its group: larger ones first (RULES R4.2).
func (p *program) group() map[int32]int {
	dates := p.dates()
	k := min(len(dates), int(max(1, p.req.Groups)))
	sizes := make([]int, k)
	for i := range dates {
		sizes[i%k]++
	}
	out, next := map[int32]int{}, 0
	for g, size := range sizes {
		for range size {
			out[dates[next]] = g
			next++
		}
	}
	return out
}

// submit makes the rows of a backfill, or says why there is none.
func (w *world) submit(id uint64, sub *wire.Submit) (*program, error) {
	why, err := w.choose(sub)
	if err != nil {
		return nil, err
	}
	most := sub.MaxGroups
	if most == 0 {
		most = 10
	}
	switch r := sub.Request; {
	case r.Groups < 0 || r.Groups > most:
		return nil, fmt.Errorf("%d groups", r.Groups)
	case len(r.Dates) == 0:
		return nil, fmt.Errorf("no dates")
	case r.Period != nil && r.Period.Start == r.Period.End:
		return nil, fmt.Errorf("a period of length zero")
	}
	p := w.newProgram(id, sub.Request, sub.ClusterZone)
	for n, d := range why {
		p.specs[n], p.why[n] = w.nodes[n], d
		if r := sub.Request.TimeOfDay; r != nil && several(w.nodes[n]) && !someCycle(w.nodes[n], r) {
			return nil, fmt.Errorf("%s has no cycle in the time of day", n)
		}
	}
	p.grow(w, days(sub.Request.Dates), keys(why))
	p.remember(w)
	if len(p.rows) == 0 {
		return nil, fmt.Errorf("no cycle at all")
	}
	if err := p.finishes(); err != nil {
		return nil, err
	}
	if sub.Request.Overlap == wire.Request_OVERLAP_REFUSE {
		return p, w.overlaps(p)
	}
	return p, nil
}

func keys[V any](m map[string]V) map[string]bool {
	out := map[string]bool{}
	for k := range m {
		out[k] = true
	}
	return out
}

// someCycle says whether a node's interval has a time of day in a range.
func someCycle(s *wire.Node, only *wire.TimeRange) bool {
	for clock := s.Schedule.From; clock <= s.Schedule.To; clock += s.Schedule.Every * 60 {
		if clock >= only.From && clock <= only.To {
			return true
		}
	}
	return false
}

func (w *world) newProgram(id uint64, req *wire.Request, zone string) *program {
	return &program{
		id: id, req: req, zone: zone, has: map[int32]bool{}, specs: map[string]*wire.Node{}, outside: map[string]*wire.Node{},
		children: map[string][]string{}, why: map[string]wire.DryRun{},
		since: map[string]int64{}, gone: map[int32]bool{}, left: map[string]bool{}, byDay: map[day][]*row{}, byNode: map[string][]*row{}, opened: map[int32]bool{}, named: map[*row]bool{},
	}
}

// generate makes the schedule's plan of a date, or adds what it lacks.
func (w *world) generate(id uint64, g *wire.Generate) (p *program, grown bool) {
	for _, q := range w.plans {
		if q.auto && q.has[g.Date] {
			p = q
		}
	}
	add := map[string]bool{}
	for n, s := range w.nodes {
		if s.Auto && (p == nil || p.specs[n] == nil) {
			add[n] = true
		}
	}
	if len(add) == 0 {
		return p, false
	}
	if p == nil {
		p = w.newProgram(id, &wire.Request{Gate: wire.Request_NONE}, g.ClusterZone)
		p.auto = true
	}
	for n := range add {
		p.specs[n], p.since[n] = w.nodes[n], w.since[n]
	}
	p.grow(w, map[int32]bool{g.Date: true}, add)
	p.remember(w)
	return p, len(p.rows) > 0
}

// grow adds the rows of some dates and nodes that come together.
func (p *program) grow(w *world, dates map[int32]bool, nodes map[string]bool) {
	p.accepted = append(p.accepted, w.now)
	p.waitsFor = nil
	maps.Copy(p.has, dates)
	for _, d := range slices.Sorted(maps.Keys(dates)) {
		for _, n := range slices.Sorted(maps.Keys(nodes)) {
			for _, unix := range cycles(p.specs[n], p.zone, d, p.req.GetTimeOfDay()) {
				r := &row{p: p, node: n, date: d, unix: unix, block: len(p.accepted) - 1, number: unnumbered, removed: map[string]bool{}}
				if p.keepsFrozen(n) {
					r.status = frozen
				}
				p.rows = append(p.rows, r)
				p.byDay[day{n, d}] = append(p.byDay[day{n, d}], r)
				p.byNode[n] = append(p.byNode[n], r)
			}
		}
	}
}

// remember notes the nodes outside the plan of whose cycles it has to know, as
// they are when they are first needed (RULES R5.3).
func (p *program) remember(w *world) {
	note := func(id string) {
		if p.outside[id] == nil && p.specs[id] == nil {
			p.outside[id] = w.nodes[id]
		}
	}
	for id, s := range p.specs {
		for _, u := range s.Upstreams {
			if w.nodes[u.Node] != nil && (u.Previous || u.Window && p.auto) {
				note(u.Node)
			}
		}
		for child, c := range w.nodes {
			if s.DependsOnChildren && p.specs[child] == nil && isChild(c, id) && !slices.Contains(p.children[id], child) {
				note(child)
				p.children[id] = append(p.children[id], child)
			}
		}
	}
}

func isChild(c *wire.Node, of string) bool {
	return slices.ContainsFunc(c.Upstreams, func(u *wire.Upstream) bool { return !u.Previous && u.Node == of })
}

// childrenOf lists the first-level children of a node that a plan knows.
func (p *program) childrenOf(id string) (out []string) {
	for child, c := range p.specs {
		if isChild(c, id) {
			out = append(out, child)
		}
	}
	for _, child := range p.children[id] {
		if p.specs[child] == nil {
			out = append(out, child)
		}
	}
	return out
}

// keepsFrozen: RULES R6, a paused node.
func (p *program) keepsFrozen(n string) bool {
	return p.specs[n].Mode == wire.Node_PAUSED && (p.auto || p.req.PausedNodes == wire.Request_KEEP)
}

// dry lists every reason for which a row runs nothing (RULES R6).
func (r *row) dry() []wire.DryRun {
	var out []wire.DryRun
	add := func(is bool, why wire.DryRun) {
		if is {
			out = append(out, why)
		}
	}
	p, s := r.p, r.spec()
	add(p.req.DryRun, wire.DryRun_REQUESTED)
	add(p.why[r.node] != wire.DryRun_DRY_RUN_NONE, p.why[r.node])
	add(s.Mode == wire.Node_DRY_RUN && (p.auto || p.req.DryRunNodes == wire.Request_KEEP), wire.DryRun_NODE_IS_DRY_RUN)
	add(s.Type == "virtual", wire.DryRun_VIRTUAL)
	add(!scheduled(s, r.date), wire.DryRun_OFF_SCHEDULE)
	add(p.gone[r.date] || p.left[r.node], wire.DryRun_DROPPED)
	add(p.auto && r.unix*1000 < p.since[r.node], wire.DryRun_BEFORE_SWITCHED_ON)
	return out
}

func (r *row) isDry() bool { return len(r.dry()) > 0 }

// urgency is a row's priority (RULES R7.1, R7.2, R7.6).
func (r *row) urgency() int32 {
	s := r.spec()
	switch {
	case r.priority > 0:
		return r.priority
	case r.p.auto:
		return s.Priority
	case r.p.req.Priority > 0:
		return r.p.req.Priority
	}
	yesterday := dateAt(place(s.Schedule.Zone, r.p.zone), r.p.accepted[r.block]) - 1
	if r.date >= yesterday {
		return s.Priority
	}
	return map[int32]int32{8: 3, 7: 3, 5: 2, 3: 2, 1: 1}[s.Priority]
}

func (r *row) resourceGroup() string {
	if g := r.p.req.ResourceGroup; g != "" {
		return g
	}
	return r.spec().ResourceGroup
}

// finishes says whether all rows of a plan can run, each after what it waits
// for in the plan, or names one that cannot (RULES R5.7).
func (p *program) finishes() error {
	group := p.group()
	done, waits := map[*row]bool{}, map[*row][]*row{}
	for _, r := range p.rows {
		own, _ := p.needs(r, group)
		waits[r] = append(own, p.behind(r, group)...)
	}
	for again := true; again; {
		again = false
		for _, r := range p.rows {
			if !done[r] && !slices.ContainsFunc(waits[r], func(u *row) bool { return !done[u] }) {
				done[r], again = true, true
			}
		}
	}
	for _, r := range p.rows {
		if !done[r] {
			return fmt.Errorf("a circle holds %s", r)
		}
	}
	return nil
}

// behind lists the rows that hold a row's gate (RULES R4.3): all of the last
// date before it in its group that has any.
func (p *program) behind(r *row, group map[int32]int) []*row {
	if p.req.Gate == wire.Request_NONE {
		return nil
	}
	dates := p.dates()
	for i := slices.Index(dates, r.date) - 1; i >= 0 && group[dates[i]] == group[r.date]; i-- {
		var out []*row
		for _, o := range p.rows {
			if o.date == dates[i] && (p.req.Gate == wire.Request_DAY || o.node == r.node) {
				out = append(out, o)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func (r *row) String() string {
	forced := ""
	if r.forced {
		forced = " forced"
	}
	return fmt.Sprintf("b%d.%d(%s %s T%d %s%s)", r.p.id, r.number, r.node, utcDay(r.date).Format("2006-01-02"), r.unix, r.status, forced)
}
