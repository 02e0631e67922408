package plan

import (
	"cmp"
	"slices"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// source is a node whose cycles something waits for, in the plan or not.
type source struct {
	id       string
	node     int               // index in Nodes; -1: not in the plan
	schedule calendar.Schedule // the whole of it, whatever the plan's time of day
	zone     *calendar.Zone
	self     bool // it depends on itself: its last cycle stands for those before it
}

// prior is a dependency on the previous cycle of a child or of a named node
// (RULES R5.3).
type prior struct{ source }

// far is a window of dates of a node that the plan has not.
type far struct {
	source
	window *wire.Upstream
}

// Need is a cycle outside the plan that an instance waits for.
type Need struct {
	Node     string
	Date     calendar.Date
	Unix     int64 // T
	Schedule bool  // of another date's auto instances; else of whatever ran it last
}

// connectPrior finds whose previous cycles the nodes need: those that they
// name, and their children as they were when the plan was made (RULES R5.3). An
// auto plan needs cycles of other dates through windows as well.
func (p *Plan) connectPrior(zones zones) error {
	outside := make(map[string]source, len(p.record.Outside))
	for _, o := range p.record.Outside {
		z, err := zones.find(cmp.Or(o.Spec.Schedule.GetZone(), p.record.ClusterZone), "node "+o.Spec.Id)
		if err != nil {
			return err
		}
		outside[o.Spec.Id] = source{o.Spec.Id, -1, scheduleOf(o.Spec.Schedule), z, o.Spec.DependsOnSelf}
	}
	find := func(id string) (source, bool) {
		if i, ok := p.index[id]; ok {
			n := &p.Nodes[i]
			return source{id, i, n.Schedule, n.Zone, n.Spec.DependsOnSelf}, true
		}
		s, ok := outside[id]
		return s, ok
	}
	known := map[link]bool{}
	add := func(i int, s source) {
		if k := (link{i, s.id}); !known[k] { // a child may be named too
			known[k] = true
			p.Nodes[i].prior = append(p.Nodes[i].prior, prior{s})
		}
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		for _, u := range n.Spec.Upstreams {
			switch s, ok := find(u.Node); {
			case !ok:
			case u.Previous:
				add(i, s)
			case u.Window && p.Auto && s.node < 0:
				n.far = append(n.far, far{s, u})
			}
		}
	}
	for i := range p.Nodes {
		p.adopt(p.Nodes[i].Spec, find, add)
	}
	for _, o := range p.record.Outside {
		if _, inside := p.index[o.Spec.Id]; !inside {
			p.adopt(o.Spec, find, add)
		}
	}
	return nil
}

// adopt makes a node known to those of its upstreams that need the previous
// cycle of their children.
func (p *Plan) adopt(child *wire.Node, find func(string) (source, bool), add func(int, source)) {
	for _, u := range child.Upstreams {
		if i, ok := p.index[u.Node]; ok && !u.Previous && p.Nodes[i].Spec.DependsOnChildren {
			s, _ := find(child.Id)
			add(i, s)
		}
	}
}

// link is a previous-cycle dependency of a node, by its index, on another.
type link struct {
	node int
	on   string
}

// scheduleOf is the schedule of a spec that pkg/node has checked.
func scheduleOf(w *wire.Schedule) calendar.Schedule {
	return calendar.Schedule{
		Kind: calendar.Kind(w.GetKind()), At: calendar.Clock(w.GetAt()),
		From: calendar.Clock(w.GetFrom()), To: calendar.Clock(w.GetTo()), Every: w.GetEvery(),
		Weekdays: uint8(w.GetWeekdays()), Days: w.GetDays(), Months: uint16(w.GetMonths()),
	}
}

// outsiders are the nodes outside a plan of which it has to know the cycles:
// of each as much of the spec as that takes.
func outsiders(nodes []*wire.PlanNode, auto bool, g *node.Graph) []*wire.PlanNode {
	in := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		in[n.Spec.Id] = true
	}
	found := map[string]*wire.PlanNode{}
	add := func(id string) *wire.Node {
		i, ok := g.Index(id)
		if !ok || in[id] {
			return nil
		}
		if found[id] == nil {
			s := g.Node(i).Spec
			found[id] = &wire.PlanNode{Spec: &wire.Node{Id: id, Schedule: s.Schedule, DependsOnSelf: s.DependsOnSelf}}
		}
		return found[id].Spec
	}
	for _, n := range nodes {
		for _, u := range n.Spec.Upstreams {
			if u.Previous || u.Window && auto {
				add(u.Node)
			}
		}
		i, ok := g.Index(n.Spec.Id)
		if !ok || !n.Spec.DependsOnChildren {
			continue
		}
		for _, child := range g.Downstreams(i) {
			if s := add(g.Node(int(child)).Spec.Id); s != nil {
				s.Upstreams = append(s.Upstreams, &wire.Upstream{Node: n.Spec.Id})
			}
		}
	}
	out := make([]*wire.PlanNode, 0, len(found))
	for _, n := range found {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *wire.PlanNode) int { return cmp.Compare(a.Spec.Id, b.Spec.Id) })
	return out
}

// previous gives what an instance needs of a previous cycle (RULES R5.3): to
// inside the ranges that are in the plan, to outside the cycles that are not,
// until one of them returns false.
//
// If both are sub-daily it is the latest cycle before T, of D or else of D−1. In
// all other cases it is that node's whole D−1, of which its last cycle stands
// for the others if it depends on itself. If the plan has only a part of that
// date, the last in the plan and the last of all are both needed.
func (p *Plan) previous(at Place, s *source, inside func(from, to uint64) bool, outside func(d calendar.Date, unix int64) bool) bool {
	n := &p.Nodes[at.Node]
	d := p.Dates[at.Pos] - 1
	if !n.Schedule.SubDaily() || !s.schedule.SubDaily() {
		return p.whole(d, s, inside, outside)
	}
	i := s.schedule.IndexAtOrBefore(d+1, p.Cycle(at).Unix-1, s.zone)
	if i >= 0 {
		d++
	} else if i = s.schedule.Count(d, s.zone) - 1; i < 0 {
		return true
	}
	unix := s.schedule.Cycle(d, i, s.zone).Unix
	if x, ok := p.cycleOf(s, d, unix); ok {
		return inside == nil || inside(x, x+1)
	}
	return outside == nil || outside(d, unix)
}

// whole gives a node's cycles of a date; of one that depends on itself its last.
func (p *Plan) whole(d calendar.Date, s *source, inside func(from, to uint64) bool, outside func(d calendar.Date, unix int64) bool) bool {
	if inside != nil {
		if pos, ok := p.Position(d); ok && s.node >= 0 {
			from, to := p.NodeRange(pos, s.node)
			if s.self && from < to {
				from = to - 1
			}
			if from < to && !inside(from, to) {
				return false
			}
		}
	}
	if outside == nil {
		return true
	}
	i, end := 0, s.schedule.Count(d, s.zone)
	if s.self {
		i = max(0, end-1)
	}
	for ; i < end; i++ {
		unix := s.schedule.Cycle(d, i, s.zone).Unix
		if _, ok := p.cycleOf(s, d, unix); !ok && !outside(d, unix) {
			return false
		}
	}
	return true
}

// cycleOf finds a cycle in the plan.
func (p *Plan) cycleOf(s *source, d calendar.Date, unix int64) (uint64, bool) {
	if s.node < 0 {
		return 0, false
	}
	pos, ok := p.Position(d)
	if !ok {
		return 0, false
	}
	return p.find(pos, s.node, unix)
}

// Abroad calls yield for every cycle outside the plan that an instance waits
// for, until yield returns false: of previous cycles, its own included, what
// ran last, if anything did (RULES R5.5); in an auto plan the schedule's own
// instances of other dates, if there are any, since the schedule's dates are
// one.
func (p *Plan) Abroad(at Place, yield func(Need) bool) {
	n := &p.Nodes[at.Node]
	if pre := p.Predecessor(at); pre.Exists && !pre.InPlan && !yield(Need{n.Spec.Id, pre.Date, pre.Unix, p.Auto}) {
		return
	}
	for i := range n.prior {
		s := &n.prior[i].source
		if !p.previous(at, s, nil, func(d calendar.Date, unix int64) bool { return yield(Need{s.id, d, unix, p.Auto}) }) {
			return
		}
	}
	if !p.Auto {
		return
	}
	for _, e := range n.Up {
		if e.Window != nil {
			u := &p.Nodes[e.Node]
			s := source{u.Spec.Id, e.Node, u.Schedule, u.Zone, u.Spec.DependsOnSelf}
			if !p.abroadWindow(at, &s, e.Window, yield) {
				return
			}
		}
	}
	for i := range n.far {
		if !p.abroadWindow(at, &n.far[i].source, n.far[i].window, yield) {
			return
		}
	}
}

// abroadWindow gives the cycles of a window's dates but D, which is the plan's.
func (p *Plan) abroadWindow(at Place, s *source, w *wire.Upstream, yield func(Need) bool) bool {
	from, to := window(w, p.Dates[at.Pos])
	for d := from; d <= to; d++ {
		if d != p.Dates[at.Pos] && !p.whole(d, s, nil, func(d calendar.Date, unix int64) bool { return yield(Need{s.id, d, unix, true}) }) {
			return false
		}
	}
	return true
}
