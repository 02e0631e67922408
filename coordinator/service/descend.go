package service

import (
	"cmp"
	"slices"

	"backfleet/api/server"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// descendLooks bounds the dependencies that are followed to find descendants,
// descendMost how many are found: what one call may name.
const (
	descendLooks = 2_000_000
	descendMost  = 100_000
)

// descendants finds the instances of a plan that wait for some of it, directly
// or through others, in the order in which they run: by date, and in a date
// upstreams first. A dependency that a person removed is none (RULES R9). A
// plan knows what an instance waits for, not what waits for it; so whatever
// may come after the first of them is asked for its upstreams, until nothing
// more is found.
func descendants(p *state.Plan, roots []uint64) ([]uint64, error) {
	d := &descent{p: p, in: bits{}, left: descendLooks, nodes: downstreamNodes(p, roots)}
	for _, i := range roots {
		d.in.add(i)
	}
	reach, bounded := d.reach()
	rooted := map[int]bool{}
	for _, i := range roots {
		at, _ := p.Locate(i)
		rooted[at.Pos] = true
	}
	until := calendar.Date(-1 << 30) // what was found can be waited for until then
	for more := true; more; {        // once more for those who wait for later dates
		more = false
		for _, pos := range d.positions(roots) {
			date := p.Dates[pos]
			if bounded && date > until && !rooted[pos] {
				continue
			}
			found := rooted[pos]
			for again := d.date(pos); again; again = d.date(pos) {
				more, found = true, true
			}
			if found {
				until = max(until, date+reach)
			}
			if d.left < 0 || len(d.found) > descendMost {
				return nil, fault.New(fault.TooLarge,
					"the descendants in backfill %s are too many for one call: name fewer instances, or submit a backfill of them", plan.FormatID(p.ID))
			}
		}
	}
	slices.SortFunc(d.found, func(a, b uint64) int {
		x, _ := p.Locate(a)
		y, _ := p.Locate(b)
		return cmp.Or(cmp.Compare(p.Dates[x.Pos], p.Dates[y.Pos]), cmp.Compare(x.Node, y.Node), cmp.Compare(x.Cycle, y.Cycle))
	})
	return d.found, nil
}

// descent is one search for descendants.
type descent struct {
	p     *state.Plan
	nodes []int // that may have some, in the plan's order
	in    bits  // those found, and what the search began with
	found []uint64
	left  int
}

// downstreamNodes lists the nodes of a plan that depend on those of some
// instances, in whatever way.
func downstreamNodes(p *state.Plan, roots []uint64) []int {
	down := nextNodes(p)
	reached := make([]bool, len(p.Nodes))
	var next []int
	for _, i := range roots {
		at, _ := p.Locate(i)
		next = append(next, at.Node)
	}
	begun := make([]bool, len(p.Nodes))
	for len(next) > 0 {
		n := next[len(next)-1]
		next = next[:len(next)-1]
		if begun[n] {
			continue
		}
		begun[n] = true
		for _, m := range down[n] {
			reached[m] = true
			next = append(next, m)
		}
	}
	var out []int
	for n, yes := range reached {
		if yes {
			out = append(out, n)
		}
	}
	return out
}

// nextNodes lists for each node of a plan those that depend on it directly.
func nextNodes(p *state.Plan) [][]int {
	down := make([][]int, len(p.Nodes))
	for n := range p.Nodes {
		for _, u := range p.Nodes[n].Spec.Upstreams {
			if up, ok := p.NodeIndex(u.Node); ok {
				down[up] = append(down[up], n)
				if p.Nodes[up].Spec.DependsOnChildren {
					down[n] = append(down[n], up)
				}
			}
		}
		if p.Nodes[n].Spec.DependsOnSelf {
			down[n] = append(down[n], n)
		}
	}
	return down
}

// reach is how many days after a date something can wait for it: none, unless
// it waits for previous cycles or through a window. Windows that reach forward
// bound nothing.
func (d *descent) reach() (days calendar.Date, bounded bool) {
	for _, n := range d.nodes {
		spec := d.p.Nodes[n].Spec
		if spec.DependsOnSelf || spec.DependsOnChildren {
			days = max(days, 1)
		}
		for _, u := range spec.Upstreams {
			switch {
			case u.Window && (u.To > 0 || u.From > 0):
				return 0, false
			case u.Window && u.FromMonthStart:
				days = max(days, 31)
			case u.Window:
				days = max(days, -calendar.Date(u.From))
			case u.Previous:
				days = max(days, 1)
			}
		}
	}
	return days, true
}

// positions lists the dates that may hold descendants, by date: none before
// the first of the roots, unless some window reaches forward.
func (d *descent) positions(roots []uint64) []int {
	first := calendar.Date(1 << 30)
	for _, i := range roots {
		at, _ := d.p.Locate(i)
		first = min(first, d.p.Dates[at.Pos])
	}
	for _, n := range d.nodes {
		for _, u := range d.p.Nodes[n].Spec.Upstreams {
			if u.Window && u.To > 0 {
				first = -1 << 30
			}
		}
	}
	var out []int
	for pos, date := range d.p.Dates {
		if date >= first {
			out = append(out, pos)
		}
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Compare(d.p.Dates[a], d.p.Dates[b]) })
	return out
}

// date looks once at the instances of a date, in the order of their scheduled
// times, in which nearly all wait for each other; false when it found nothing
// new.
func (d *descent) date(pos int) (found bool) {
	type cycle struct {
		unix     int64
		node     int
		instance uint64
	}
	var list []cycle
	for _, n := range d.nodes {
		from, to := d.p.NodeRange(pos, n)
		for i := from; i < to; i++ {
			if d.left--; d.left < 0 {
				return false
			}
			if !d.in.any(i, i+1) {
				at, _ := d.p.Locate(i)
				list = append(list, cycle{d.p.Cycle(at).Unix, n, i})
			}
		}
	}
	slices.SortFunc(list, func(a, b cycle) int {
		return cmp.Or(cmp.Compare(a.unix, b.unix), cmp.Compare(a.node, b.node))
	})
	for _, c := range list {
		at, _ := d.p.Locate(c.instance)
		d.p.Upstreams(at, func(up int, from, to uint64) bool {
			d.left--
			if !d.in.any(from, to) || d.p.Removed(c.instance, d.p.Nodes[up].Spec.Id) {
				return d.left >= 0
			}
			d.in.add(c.instance)
			d.found = append(d.found, c.instance)
			found = true
			return false
		})
	}
	return found
}

// bits is a set of numbers, of which many are neighbours.
type bits map[uint64]uint64

func (b bits) add(i uint64) { b[i>>6] |= 1 << (i & 63) }

// any says whether the set has a number of a half-open range.
func (b bits) any(from, to uint64) bool {
	for w := from >> 6; w<<6 < to; w++ {
		word := b[w]
		if w == from>>6 {
			word &= ^uint64(0) << (from & 63)
		}
		if end := (w + 1) << 6; end > to {
			word &= ^uint64(0) >> (end - to)
		}
		if word != 0 {
			return true
		}
	}
	return false
}

// withDescendants adds to an operation's targets the descendants that run
// again with them (RULES R9).
func withDescendants(st *state.State, o server.BatchOperation) ([]*wire.Target, error) {
	if !o.AllDescendants && len(o.Descendants) == 0 {
		return o.Targets, nil
	}
	ticked := map[uint64][]uint64{}
	for _, t := range o.Descendants {
		ticked[t.Plan] = append(ticked[t.Plan], t.Instances...)
	}
	var out []*wire.Target
	total := 0
	for _, t := range o.Targets {
		more, err := ofTarget(st, t, ticked[t.Plan], o.AllDescendants)
		if err != nil {
			return nil, err
		}
		delete(ticked, t.Plan)
		all := slices.Concat(t.Instances, more)
		if total += len(all); total > descendMost {
			return nil, fault.New(fault.TooLarge, "the instances and their descendants are more than %d: name fewer", descendMost)
		}
		out = append(out, &wire.Target{Plan: t.Plan, Instances: all})
	}
	for id, list := range ticked {
		return nil, fault.Field("descendants", "%s is no descendant of an instance named: none of %s is named",
			plan.FormatInstance(id, list[0]), plan.FormatID(id))
	}
	return out, nil
}

// ofTarget finds the descendants of a target's instances, all or those ticked.
func ofTarget(st *state.State, t *wire.Target, ticked []uint64, all bool) ([]uint64, error) {
	p, ok := st.Plan(t.Plan)
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no backfill %s", plan.FormatID(t.Plan))
	}
	for _, i := range t.Instances {
		if _, ok := p.Locate(i); !ok {
			return nil, noInstance(p, i)
		}
	}
	found, err := descendants(p, t.Instances)
	if err != nil || all {
		return found, err
	}
	var wrong []fault.Detail
	known := bits{}
	for _, i := range slices.Concat(found, t.Instances) {
		known.add(i)
	}
	for _, i := range ticked {
		if !known.any(i, i+1) && len(wrong) < 100 {
			wrong = append(wrong, fault.Detail{Field: plan.FormatInstance(t.Plan, i), Message: "it waits for none of the instances named, directly or through others"})
		}
	}
	if len(wrong) > 0 {
		return nil, fault.Field("descendants", "not all of them are descendants of the instances named: nothing was changed").WithDetails(wrong...)
	}
	wanted := bits{}
	for _, i := range ticked {
		wanted.add(i)
	}
	return slices.DeleteFunc(found, func(i uint64) bool { return !wanted.any(i, i+1) }), nil
}

func noInstance(p *state.Plan, i uint64) error {
	return fault.New(fault.NotFound, "there is no instance %s: %s has %d, numbered from 0",
		plan.FormatInstance(p.ID, i), plan.FormatID(p.ID), p.Size())
}
