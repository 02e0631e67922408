package forecast

import (
	"maps"
	"slices"

	"backfleet/coordinator/state"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// bound is the least time that a plan can take, whatever else runs: its work
// divided by the slots, its longest chain of instances that follow each other,
// and its latest due time.
func bound(st *state.State, p *state.Plan, nowMs int64, slots map[string]int, d *past) (out Band) {
	for q := range quantile(quantiles) {
		least := max(byWork(st, p, slots, d, q), byChain(p, d, q))
		*out.of(q) = max(nowMs+least, byDue(p, d, q))
	}
	return out
}

// byWork is all that has to run, shared evenly by the slots.
func byWork(st *state.State, p *state.Plan, slots map[string]int, d *past, q quantile) (least int64) {
	work, total := map[string]int64{}, int64(0)
	for n := range p.Nodes {
		if p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		c := p.NodeCounts(n)
		ms := int64(p.NodeSize(n)-c.Success()) * d.of(p.Nodes[n].Spec.Id, q)
		work[p.ResourceGroup(n)] += ms * int64(node.Weight(p.Nodes[n].Spec))
		total += ms
	}
	for g, ms := range work {
		if n := ours(st, p, g, slots[g]); n > 0 {
			least = max(least, ms/int64(n))
		}
	}
	if limit := p.Request.MaxRunning; limit > 0 {
		least = max(least, total/int64(limit))
	}
	return least
}

// byChain is the longest way through a date, as often as dates follow each
// other.
func byChain(p *state.Plan, d *past, q quantile) (least int64) {
	dates := 0 // of the group with the most to do; those begun may be all but done
	for _, span := range p.Groups {
		n := 0
		for pos := span.From; pos < span.To; pos++ {
			if c := p.DateCounts(pos); c[state.Pending] > 0 && c.Started() == 0 {
				n++
			}
		}
		dates = max(dates, n)
	}
	ways := make([]int64, len(p.Nodes)) // until the end of each node
	var day, node int64
	for n := range p.Nodes {
		spec := p.Nodes[n].Spec
		takes := d.of(spec.Id, q)
		if p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			takes = 0
		}
		for _, e := range p.Nodes[n].Up {
			if e.Window == nil {
				ways[n] = max(ways[n], ways[e.Node])
			}
		}
		ways[n] += takes
		day = max(day, ways[n])
		if spec.DependsOnSelf || p.Request.Gate == wire.Request_NODE {
			node = max(node, takes)
		}
	}
	if p.Request.Gate == wire.Request_DAY {
		return day * int64(dates)
	}
	return max(day, node*int64(dates))
}

// byDue is when the last instance ends that has to wait for its time.
func byDue(p *state.Plan, d *past, q quantile) (latest int64) {
	last := 0
	for pos, date := range p.Dates {
		if date > p.Dates[last] {
			last = pos
		}
	}
	for n := range p.Nodes {
		if from, to := p.NodeRange(last, n); from < to && !p.Status(to-1).Success() {
			due := p.DueMs(plan.Place{Pos: last, Node: n, Cycle: int(to-from) - 1})
			latest = max(latest, due+d.of(p.Nodes[n].Spec.Id, q))
		}
	}
	return latest
}

// width is how many slots could be used at once in each resource group, by the
// widest layer of the graph: the nodes that are equally far from the beginning,
// on as many dates as may run side by side.
func width(st *state.State, p *state.Plan, slots map[string]int) (out []Demand) {
	dates := len(p.Groups)
	if p.Request.Gate == wire.Request_NONE {
		dates = len(p.Dates)
	}
	depth := make([]int, len(p.Nodes))
	type layer struct {
		group string
		depth int
	}
	layers, widest := map[layer]int{}, map[string]int{}
	for n := range p.Nodes {
		for _, e := range p.Nodes[n].Up {
			depth[n] = max(depth[n], depth[e.Node]+1)
		}
		if p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		side := int(p.NodeSize(n)) * dates / len(p.Dates)
		if p.Nodes[n].Spec.DependsOnSelf {
			side = min(side, len(p.Groups)) // one after another
		}
		g := p.ResourceGroup(n)
		layers[layer{g, depth[n]}] += side * int(node.Weight(p.Nodes[n].Spec))
		widest[g] = max(widest[g], layers[layer{g, depth[n]}])
	}
	for _, g := range slices.Sorted(maps.Keys(widest)) {
		out = append(out, Demand{Group: g, Slots: ours(st, p, g, slots[g]), Peak: capped(p, g, widest[g]), AtLeast: true})
	}
	return out
}

// capped is how many slots of a resource group as many instances as the plan may
// run can use.
func capped(p *state.Plan, group string, slots int) int {
	limit := int(p.Request.MaxRunning)
	if limit == 0 {
		return slots
	}
	heaviest := 1
	for n := range p.Nodes {
		if p.ResourceGroup(n) == group {
			heaviest = max(heaviest, int(node.Weight(p.Nodes[n].Spec)))
		}
	}
	return min(slots, limit*heaviest)
}
