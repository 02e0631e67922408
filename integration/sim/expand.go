package sim

import (
	"maps"
	"slices"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// accept expands a request by the letter of RULES R2 to R4 and compares.
func (m *model) accept(st *state.State, id uint64, req *wire.Request) {
	p := &planModel{
		id: id, req: req, nodes: map[string]*wire.Node{}, dry: map[string]bool{}, number: map[cycle]uint64{},
		named: map[uint64]bool{}, opened: map[int]bool{}, attempts: map[uint64]uint32{},
	}
	for _, q := range m.order {
		if q.req.Name == req.Name {
			m.w.violated("R13.1", "one request was accepted twice, as b%d and b%d", q.id, id)
		}
	}
	m.choose(p)
	p.arrange()
	facts, ok := st.Plan(id)
	if !ok {
		m.w.violated("R13.1", "b%d was accepted and is not there", id)
		return
	}
	rows := 0
	p.keys = make([]cycle, facts.Size())
	for _, d := range p.dates {
		for id, n := range p.nodes {
			for _, c := range cycles(n, d) {
				rows++
				i, ok := facts.Find(id, calendar.Date(d), c.t)
				if !ok || p.keys[i].node != "" {
					m.w.violated("R13.6", "b%d does not have %v as an instance of its own", p.id, c)
					return
				}
				p.keys[i], p.number[c] = c, i
			}
		}
	}
	if uint64(rows) != facts.Size() {
		m.w.violated("R13.6", "b%d has %d instances, expected %d", id, facts.Size(), rows)
	}
	m.plans[id] = p
	m.order = append(m.order, p)
	m.w.report.Plans++
}

// choose applies RULES R2: chosen nodes, and those between them as dry runs.
func (m *model) choose(p *planModel) {
	below := func(from string) map[string]bool {
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
	chosen := map[string]bool{p.req.Root: true}
	if p.req.Mode == wire.Request_DESCENDANTS {
		chosen = below(p.req.Root)
		if len(p.req.Nodes) > 0 {
			maps.DeleteFunc(chosen, func(id string, _ bool) bool { return !slices.Contains(p.req.Nodes, id) })
		}
		if !p.req.WithoutRoot {
			chosen[p.req.Root] = true
		}
	}
	for id, n := range m.nodes {
		between := false
		for a := range chosen {
			for b := range chosen {
				between = between || below(a)[id] && below(id)[b]
			}
		}
		if chosen[id] || between {
			p.nodes[id], p.dry[id] = n, p.req.DryRun || !chosen[id]
		}
	}
}

// arrange applies RULES R3.1, R4.1 and R4.2.
func (p *planModel) arrange() {
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

const day = 24 * 3600

// cycles lists a node's cycles of a D, in order.
func cycles(n *wire.Node, d int32) []cycle {
	at := func(clock int32) cycle { return cycle{n.Id, d, (int64(d)+1)*day + int64(clock)} }
	if n.Schedule.Kind == wire.Schedule_DAILY {
		return []cycle{at(n.Schedule.At)}
	}
	var out []cycle
	for clock := n.Schedule.From; clock <= n.Schedule.To; clock += n.Schedule.Every * 60 {
		out = append(out, at(clock))
	}
	return out
}

// upstreams lists the instances of the plan that one waits for, by RULES R5.2
// and R5.3.
func (p *planModel) upstreams(key cycle) []cycle {
	var out []cycle
	for _, u := range p.nodes[key.node].Upstreams {
		up := p.nodes[u.Node]
		if up == nil {
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
			switch {
			case !slices.Contains(p.dates, d):
			case d == key.d:
				out = append(out, sameDay(p.nodes[key.node], up, key)...)
			case up.DependsOnSelf:
				all := cycles(up, d)
				out = append(out, all[len(all)-1])
			default:
				out = append(out, cycles(up, d)...)
			}
		}
	}
	return out
}

// sameDay applies RULES R5.2.
func sameDay(n, up *wire.Node, key cycle) []cycle {
	all := cycles(up, key.d)
	var before []cycle
	for _, c := range all {
		if c.t <= key.t {
			before = append(before, c)
		}
	}
	daily, upDaily := n.Schedule.Kind == wire.Schedule_DAILY, up.Schedule.Kind == wire.Schedule_DAILY
	switch {
	case upDaily, daily && !up.DependsOnSelf, daily && len(before) == 0:
		return all
	case len(before) == 0:
		return nil
	default:
		return before[len(before)-1:]
	}
}
