package plan

import (
	"sort"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// checkCircle refuses a plan that could never finish (RULES R5.7). DESIGN.md
// says why no circle has another form than the three looked for here.
func (p *Plan) checkCircle() error {
	if p.Request.Order == wire.Request_DESCENDING {
		switch p.Request.Gate {
		case wire.Request_DAY:
			if err := p.checkReach(); err != nil {
				return err
			}
		case wire.Request_NODE:
			for _, knot := range p.knots(p.anyDate) {
				for _, g := range p.Groups {
					if c := p.findCircle(knot, g); c != nil {
						return fault.Field("order", "the backfill could never finish: %s (descending, gate node): use ascending order, gate none, or more groups", c)
					}
				}
			}
		}
	}
	if c := p.circleOfDate(); c != nil {
		return fault.New(fault.Invalid, "the backfill could never finish: %s: take a previous-cycle dependency out of one of these nodes, or leave one of them out", c)
	}
	return nil
}

// checkReach finds two dates of one group, both with instances, of which the
// first waits for the second, which comes later and, in descending order under
// gate day, for all of the first.
func (p *Plan) checkReach() error {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		for _, e := range n.Up {
			if e.Window == nil {
				continue
			}
			if a, b, ok := p.reaches(i, e); ok {
				return p.reachError(i, e.Node, a, b, "its window of dates")
			}
		}
		for k := range n.prior {
			if s := &n.prior[k].source; s.node >= 0 {
				if a, b, ok := p.reachesBack(i, s); ok {
					return p.reachError(i, s.node, a, b, "its previous cycle")
				}
			}
		}
	}
	return nil
}

func (p *Plan) reachError(n, up int, a, b calendar.Date, by string) error {
	node, u := p.Nodes[n].Spec.Id, p.Nodes[up].Spec.Id
	return fault.Field("order", "the backfill could never finish: %s on %s waits for %s on %s (%s), "+
		"which comes after it in the group and waits for all of %s (gate day): use ascending order, gate none, or more groups",
		node, a, u, b, by, a)
}

// reaches finds such dates for a window of node n.
func (p *Plan) reaches(n int, e Edge) (a, b calendar.Date, found bool) {
	for _, g := range p.Groups {
		for pos := g.From; pos < g.To; pos++ {
			d := p.Dates[pos]
			if p.empty(pos, n) {
				continue
			}
			// In descending order the window's dates before d are one run of
			// positions after pos.
			from, to := window(e.Window, d)
			q := pos + 1 + sort.Search(g.To-pos-1, func(i int) bool { return p.Dates[pos+1+i] <= to })
			for ; q < g.To && p.Dates[q] >= from; q++ {
				if !p.empty(q, e.Node) {
					return d, p.Dates[q], true
				}
			}
		}
	}
	return 0, 0, false
}

// reachesBack finds such dates for a previous cycle. The first instance of a
// date tells: if it finds a cycle on its own date, so do the later ones.
func (p *Plan) reachesBack(n int, s *source) (a, b calendar.Date, found bool) {
	for _, g := range p.Groups {
		for pos := g.From; pos < g.To-1; pos++ {
			if p.Dates[pos+1] != p.Dates[pos]-1 || p.empty(pos, n) || p.empty(pos+1, s.node) {
				continue
			}
			later, end := p.NodeRange(pos+1, s.node)
			p.previous(Place{pos, n, 0}, s, func(from, _ uint64) bool {
				found = later <= from && from < end
				return !found
			}, nil)
			if found {
				return p.Dates[pos], p.Dates[pos+1], true
			}
		}
	}
	return 0, 0, false
}

// empty says that a node has no instance on a position.
func (p *Plan) empty(pos, n int) bool {
	from, to := p.NodeRange(pos, n)
	return from == to
}

// circleOfDate finds a circle among the instances of one date: a sub-daily node
// needs an earlier cycle of another, and that one, by way of a node that is not
// sub-daily, all cycles of the first.
func (p *Plan) circleOfDate() circle {
	for _, knot := range p.knots(p.sameDateOnly) {
		mixed := false
		for _, n := range knot {
			mixed = mixed || !p.Nodes[n].Schedule.SubDaily()
		}
		// Else everything waits for what is earlier, or as early and before it
		// in the graph.
		for pos := 0; mixed && pos < len(p.Dates); pos++ {
			if c := p.findCircle(knot, Span{pos, pos + 1}); c != nil {
				return c
			}
		}
	}
	return nil
}

// anyDate calls yield for the nodes that a node's instances may wait for.
func (p *Plan) anyDate(n int, yield func(up int)) {
	for _, e := range p.Nodes[n].Up {
		yield(e.Node)
	}
	for i := range p.Nodes[n].prior {
		if up := p.Nodes[n].prior[i].node; up >= 0 {
			yield(up)
		}
	}
}

// sameDateOnly is anyDate for what they may wait for on their own date.
func (p *Plan) sameDateOnly(n int, yield func(up int)) {
	for _, e := range p.Nodes[n].Up {
		if e.Window == nil || e.Window.To >= 0 {
			yield(e.Node)
		}
	}
	for i := range p.Nodes[n].prior {
		s := &p.Nodes[n].prior[i].source
		if s.node >= 0 && s.schedule.SubDaily() && p.Nodes[n].Schedule.SubDaily() {
			yield(s.node)
		}
	}
}

// knots are the sets of nodes that depend on each other in a circle, if one
// does not look at cycles: only previous-cycle dependencies can close one.
func (p *Plan) knots(ups func(n int, yield func(up int))) [][]int {
	some := false
	for i := range p.Nodes {
		some = some || len(p.Nodes[i].prior) > 0
	}
	if !some {
		return nil
	}
	t := &tarjan{ups: ups, order: make([]int, len(p.Nodes)), low: make([]int, len(p.Nodes)), on: make([]bool, len(p.Nodes))}
	for i := range p.Nodes {
		if t.order[i] == 0 {
			t.visit(i)
		}
	}
	return t.knots
}

// tarjan finds strongly connected sets of more than one node.
type tarjan struct {
	ups        func(n int, yield func(up int))
	order, low []int
	on         []bool
	stack      []int
	next       int
	knots      [][]int
}

func (t *tarjan) visit(n int) {
	t.next++
	t.order[n], t.low[n], t.on[n] = t.next, t.next, true
	t.stack = append(t.stack, n)
	t.ups(n, func(up int) {
		if t.order[up] == 0 {
			t.visit(up)
			t.low[n] = min(t.low[n], t.low[up])
		} else if t.on[up] {
			t.low[n] = min(t.low[n], t.order[up])
		}
	})
	if t.low[n] != t.order[n] {
		return
	}
	var set []int
	for done := false; !done; {
		top := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		t.on[top] = false
		set = append(set, top)
		done = top == n
	}
	if len(set) > 1 {
		sort.Ints(set)
		t.knots = append(t.knots, set)
	}
}

// circle is instances of which each waits for the next, and the last for the
// first.
type circle []string

// String shows a circle; a long one loses its middle.
func (c circle) String() string {
	const ends = 4
	named := append(c[:len(c):len(c)], c[0])
	if len(named) > 2*ends+1 {
		named = append(append(named[:ends:ends], "…"), named[len(named)-ends:]...)
	}
	return strings.Join(named, " waits for ")
}

// search looks for a circle among the instances of some nodes on a span of
// positions. What waits for all of a node's instances on a date waits for one
// vertex that stands for them, so that the work is in proportion to the
// instances and their dependencies.
type search struct {
	p     *Plan
	span  Span
	nodes []int
	local map[int]int // node → index in nodes
	start []int       // by position and node: the vertex of the first instance; one more: how many
	grey  []bool
	black []bool
}

// findCircle finds a circle; nil when there is none.
func (p *Plan) findCircle(nodes []int, span Span) circle {
	s := &search{p: p, span: span, nodes: nodes, local: map[int]int{}, start: []int{0}}
	for i, n := range nodes {
		s.local[n] = i
	}
	for pos := span.From; pos < span.To; pos++ {
		for _, n := range nodes {
			from, to := p.NodeRange(pos, n)
			s.start = append(s.start, s.start[len(s.start)-1]+int(to-from))
		}
	}
	vertices := s.instances() + len(s.start) - 1
	s.grey, s.black = make([]bool, vertices), make([]bool, vertices)
	for v := range s.instances() {
		if !s.black[v] {
			if c := s.walk(v); c != nil {
				return c
			}
		}
	}
	return nil
}

func (s *search) instances() int { return s.start[len(s.start)-1] }

// frame is a vertex on the way, and what is left to try from it.
type frame struct {
	vertex int
	next   []int
}

// walk goes along what waits for what, depth first.
func (s *search) walk(v int) circle {
	s.grey[v] = true
	way := []frame{{v, s.waits(v)}}
	for len(way) > 0 {
		top := &way[len(way)-1]
		if len(top.next) == 0 {
			s.grey[top.vertex], s.black[top.vertex] = false, true
			way = way[:len(way)-1]
			continue
		}
		w := top.next[0]
		top.next = top.next[1:]
		switch {
		case s.grey[w]:
			return s.name(way, w)
		case !s.black[w]:
			s.grey[w] = true
			way = append(way, frame{w, s.waits(w)})
		}
	}
	return nil
}

// name gives the instances on the way from a vertex on.
func (s *search) name(way []frame, from int) circle {
	i := len(way) - 1
	for way[i].vertex != from {
		i--
	}
	var out circle
	for _, f := range way[i:] {
		if f.vertex >= s.instances() {
			continue
		}
		at := s.place(f.vertex)
		n := &s.p.Nodes[at.Node]
		text := n.Spec.Id + " on " + s.p.Dates[at.Pos].String()
		if n.Schedule.SubDaily() {
			text += " at " + s.p.Cycle(at).Wall.Clock.String()
		}
		out = append(out, text)
	}
	return out
}

func (s *search) place(v int) Place {
	k := sort.SearchInts(s.start, v+1) - 1
	return Place{s.span.From + k/len(s.nodes), s.nodes[k%len(s.nodes)], v - s.start[k]}
}

// waits lists the vertices that a vertex waits for.
func (s *search) waits(v int) []int {
	var out []int
	if k := v - s.instances(); k >= 0 {
		for w := s.start[k]; w < s.start[k+1]; w++ {
			out = append(out, w)
		}
		return out
	}
	at := s.place(v)
	add := func(up int, from, to uint64) bool {
		i, ok := s.local[up]
		first, _ := s.p.Locate(from)
		if !ok || first.Pos < s.span.From || first.Pos >= s.span.To {
			return true // no way leads back from there
		}
		k := (first.Pos-s.span.From)*len(s.nodes) + i
		if n := int(to - from); n > 1 && n == s.start[k+1]-s.start[k] {
			out = append(out, s.instances()+k)
			return true
		}
		for w := range int(to - from) {
			out = append(out, s.start[k]+first.Cycle+w)
		}
		return true
	}
	s.p.Upstreams(at, add)
	if s.p.Request.Gate == wire.Request_NODE {
		if from, to, _ := s.p.Gate(at); from < to {
			add(at.Node, from, to)
		}
	}
	return out
}
