package sim

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// accept expands a request by the letter of RULES R2 to R4 and compares.
func (m *model) accept(st *state.State, id uint64, req *wire.Request) {
	p := newPlanModel(id, proto.CloneOf(req))
	for _, q := range m.order {
		if q.req.Name == req.Name && !q.auto {
			m.w.violated("R13.1", "one request was accepted twice, as b%d and b%d", q.id, id)
		}
	}
	chosen := map[string]bool{req.Root: true}
	if req.Mode == wire.Request_DESCENDANTS {
		chosen = m.below(req.Root)
		if len(req.Nodes) > 0 {
			maps.DeleteFunc(chosen, func(id string, _ bool) bool { return !slices.Contains(req.Nodes, id) })
		}
		if !req.WithoutRoot {
			chosen[req.Root] = true
		}
	}
	m.addNodes(p, chosen)
	p.arrange()
	m.number(st, p)
	m.enter(st, p)
	m.w.report.Plans++
}

func newPlanModel(id uint64, req *wire.Request) *planModel {
	return &planModel{
		id: id, req: req, nodes: map[string]*wire.Node{}, bridge: map[string]bool{}, since: map[string]int64{}, outside: map[string]*wire.Node{},
		droppedDates: map[int32]bool{}, droppedNodes: map[string]bool{}, number: map[cycle]uint64{}, named: map[uint64]bool{},
		opened: map[int32]bool{}, frozen: map[uint64]bool{}, forced: map[uint64]bool{}, removed: map[uint64][]string{}, tries: map[uint64]*tries{},
	}
}

func (m *model) enter(st *state.State, p *planModel) {
	m.plans[p.id] = p
	m.order = append(m.order, p)
	p.changedMs = st.NowMs()
}

// below is everything that depends on a node, however far.
func (m *model) below(from string) map[string]bool {
	seen := map[string]bool{}
	for more := true; more; {
		more = false
		for id, n := range m.nodes {
			if slices.ContainsFunc(n.Upstreams, func(u *wire.Upstream) bool { return u.Node == from || seen[u.Node] }) && !seen[id] {
				seen[id], more = true, true
			}
		}
	}
	return seen
}

// addNodes applies RULES R2.6: what was chosen, and what lies between that and
// what the plan has.
func (m *model) addNodes(p *planModel, chosen map[string]bool) {
	all := maps.Clone(chosen)
	for id := range p.nodes {
		all[id] = true
	}
	under := map[string]map[string]bool{}
	for id := range m.nodes {
		under[id] = m.below(id)
	}
	for id, n := range m.nodes {
		between := false
		for a := range all {
			for b := range all {
				between = between || under[a][id] && under[id][b]
			}
		}
		if p.nodes[id] == nil && (chosen[id] || between) {
			p.nodes[id], p.bridge[id] = n, !chosen[id]
		}
	}
}

// arrange applies RULES R3.1, R4.1 and R4.2.
func (p *planModel) arrange() {
	p.dates, p.group = nil, nil
	for _, r := range p.req.Dates {
		for d := r.From; d <= r.To; d++ {
			p.dates = append(p.dates, d)
		}
	}
	slices.Sort(p.dates)
	p.dates = slices.Compact(p.dates)
	if p.req.Order == wire.Request_DESCENDING {
		slices.Reverse(p.dates)
	}
	groups := min(int(p.req.Groups), len(p.dates))
	for g := range groups {
		size := len(p.dates) / groups
		if g < len(p.dates)%groups {
			size++
		}
		for range size {
			p.group = append(p.group, g)
		}
	}
}

// number finds the numbers of the instances that a plan must have: those that
// it had keep theirs (RULES R1.6), and there are no others.
func (m *model) number(st *state.State, p *planModel) {
	facts, ok := st.Plan(p.id)
	if !ok {
		m.w.violated("R13.1", "b%d was accepted and is not there", p.id)
		return
	}
	had := uint64(len(p.keys))
	keys, rows := make([]cycle, facts.Size()), 0
	for _, d := range p.dates {
		for id, n := range p.nodes {
			for _, c := range m.cycles(n, d) {
				was, old := p.number[c]
				if !old && (p.droppedDates[d] || p.droppedNodes[id]) {
					continue
				}
				rows++
				i, ok := facts.Find(id, calendar.Date(d), c.t)
				if !ok || keys[i].node != "" || old && i != was || !old && i < had {
					m.w.violated("R13.6", "b%d does not have %v as an instance of its own", p.id, c)
					return
				}
				keys[i], p.number[c] = c, i
			}
		}
	}
	p.keys, p.ofDate = keys, map[int32][]uint64{}
	for i, k := range keys {
		p.ofDate[k.d] = append(p.ofDate[k.d], uint64(i))
	}
	if uint64(rows) != facts.Size() {
		m.w.violated("R13.6", "b%d has %d instances, expected %d", p.id, facts.Size(), rows)
	}
}

// edit applies RULES R9 on changes of a running plan.
func (m *model) edit(st *state.State, e *wire.EditPlan) {
	p := m.plans[e.Plan]
	if e.Groups != nil {
		p.req.Groups = *e.Groups
	}
	if e.MaxRunning != nil {
		p.req.MaxRunning = *e.MaxRunning
	}
	p.req.Dates = append(p.req.Dates, e.AddDates...)
	for _, r := range e.DropDates {
		for d := r.From; d <= r.To; d++ {
			p.droppedDates[d] = true
		}
	}
	for _, id := range e.DropNodes {
		p.droppedNodes[id] = true
	}
	if len(e.AddNodes) > 0 {
		chosen := map[string]bool{}
		for _, id := range e.AddNodes {
			chosen[id] = true
		}
		m.addNodes(p, chosen)
	}
	p.arrange()
	m.number(st, p)
	for n := range p.keys { // what was dropped is not held any more
		if k := p.keys[n]; p.droppedDates[k.d] || p.droppedNodes[k.node] {
			delete(p.frozen, uint64(n))
		}
	}
	m.w.report.Edits++
}

// generate applies RULES R1 to the schedule: every node that is switched on has
// instances of every date, made once.
func (m *model) generate(st *state.State, g *wire.Generate) {
	p := m.autos[g.Date]
	fresh := p == nil
	if fresh {
		p = newPlanModel(0, &wire.Request{Dates: []*wire.DateRange{{From: g.Date, To: g.Date}}, Groups: 1})
		p.auto = true
	}
	some := false
	for id, n := range m.nodes {
		if n.Auto && p.nodes[id] == nil {
			if m.made[made{id, g.Date}] {
				m.w.violated("R1", "the instances of %s of %s are generated twice", id, calendar.Date(g.Date))
			}
			p.nodes[id], p.since[id] = n, m.since[id]
			m.made[made{id, g.Date}] = true
			some = some || len(m.cycles(n, g.Date)) > 0
		}
	}
	for _, n := range p.nodes {
		for _, u := range n.Upstreams {
			if up := m.nodes[u.Node]; u.Window && p.nodes[u.Node] == nil && p.outside[u.Node] == nil && up != nil {
				p.outside[u.Node] = up
			}
		}
	}
	facts, there := st.AutoPlan(calendar.Date(g.Date))
	switch {
	case fresh && !there && some:
		m.w.violated("R1", "the schedule has no plan of %s", calendar.Date(g.Date))
		return
	case fresh && !there:
		return
	case fresh:
		p.id = facts.ID
		m.autos[g.Date] = p
		m.enter(st, p)
		m.w.report.Autos++
	}
	p.arrange()
	m.number(st, p)
	p.changedMs = st.NowMs()
}

// made is a node and date of which the schedule has made instances.
type made struct {
	node string
	d    int32
}

// dry says whether an instance is a dry run (RULES R6).
func (p *planModel) dry(c cycle) bool {
	return p.req.DryRun || p.bridge[c.node] || p.droppedDates[c.d] || p.droppedNodes[c.node] || c.t*1000 < p.since[c.node] || !occurs(p.nodes[c.node], c.d)
}

// occurs says whether the day after D is one of the node's days (RULES R1.3).
func occurs(n *wire.Node, d int32) bool {
	day := time.Unix((int64(d)+1)*daySeconds, 0).UTC()
	last := day.AddDate(0, 0, 1).Day() == 1
	ofMonth := n.Schedule.Days&(1<<day.Day()) > 0 || last && n.Schedule.Days&1 > 0
	switch n.Schedule.Kind {
	case wire.Schedule_WEEKLY:
		return n.Schedule.Weekdays&(1<<((day.Weekday()+6)%7)) > 0
	case wire.Schedule_MONTHLY:
		return ofMonth
	case wire.Schedule_YEARLY:
		return ofMonth && n.Schedule.Months&(1<<day.Month()) > 0
	}
	return true
}

const daySeconds = 24 * 3600

func subDaily(n *wire.Node) bool {
	return n.Schedule.Kind == wire.Schedule_HOURLY || n.Schedule.Kind == wire.Schedule_MINUTELY
}

// cycles lists a node's cycles of a D, in order (RULES R1.1, R1.2, R1.5).
// The list is the model's own: not to be written to.
func (m *model) cycles(n *wire.Node, d int32) []cycle {
	key := nodeDay{n, d}
	if all, known := m.cyclesOf[key]; known {
		return all
	}
	all := m.findCycles(n, d)
	m.cyclesOf[key] = all
	return all
}

type nodeDay struct {
	n *wire.Node
	d int32
}

func (m *model) findCycles(n *wire.Node, d int32) []cycle {
	loc := m.w.zone(n.Schedule.Zone)
	if !subDaily(n) {
		t, _ := instant(loc, d+1, n.Schedule.At)
		return []cycle{{n.Id, d, t}}
	}
	var out []cycle
	for clock := n.Schedule.From; clock <= n.Schedule.To; clock += n.Schedule.Every * 60 {
		if t, shown := instant(loc, d+1, clock); shown {
			out = append(out, cycle{n.Id, d, t})
		}
	}
	return out
}

// instant is when a zone's clocks show a time of a day: the later moment, if
// they show it twice. If they skip it, it is as much later as they skip.
func instant(loc *time.Location, day, clock int32) (unix int64, shown bool) {
	wall := int64(day)*daySeconds + int64(clock)
	offset := func(unix int64) int64 {
		_, o := time.Unix(unix, 0).In(loc).Zone()
		return int64(o)
	}
	before, after := offset(wall-2*daySeconds), offset(wall+2*daySeconds)
	for _, o := range []int64{before, after} {
		if t := wall - o; offset(t) == o && (!shown || t > unix) {
			unix, shown = t, true
		}
	}
	if !shown {
		return wall - before, false
	}
	return unix, true
}

// upstreams lists the instances of the plan that one waits for, by RULES R5.2
// and R5.3, and the cycles of the schedule's other dates.
func (m *model) upstreams(p *planModel, key cycle, removed []string) (own, others []cycle) {
	for _, u := range p.nodes[key.node].Upstreams {
		up := p.nodes[u.Node]
		if up == nil && p.auto {
			up = p.outside[u.Node]
		}
		if up == nil || slices.Contains(removed, u.Node) {
			continue // outside the plan
		}
		from, to := key.d, key.d
		if u.Window {
			from, to = key.d+u.From, key.d+u.To
			if u.FromMonthStart {
				from = int32(calendar.Date(key.d).MonthStart())
			}
		}
		for d := from; d <= to; d++ {
			all := m.cycles(up, d)
			if d != key.d && up.DependsOnSelf && len(all) > 0 {
				all = all[len(all)-1:] // it stands for those before it
			}
			switch {
			case d != key.d && p.auto:
				others = append(others, all...)
			case !slices.Contains(p.dates, d), p.nodes[u.Node] == nil:
			case d == key.d:
				own = append(own, sameDay(p.nodes[key.node], up, key, all)...)
			default:
				own = append(own, all...)
			}
		}
	}
	own = slices.DeleteFunc(own, func(c cycle) bool { _, in := p.number[c]; return !in })
	return own, others
}

// sameDay applies RULES R5.2.
func sameDay(n, up *wire.Node, key cycle, all []cycle) []cycle {
	var before []cycle
	for _, c := range all {
		if c.t <= key.t {
			before = append(before, c)
		}
	}
	switch {
	case !subDaily(up), !subDaily(n) && !up.DependsOnSelf, !subDaily(n) && len(before) == 0:
		return all
	case len(before) == 0:
		return nil
	default:
		return before[len(before)-1:]
	}
}
