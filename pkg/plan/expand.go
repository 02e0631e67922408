package plan

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// Expand makes a plan of its record. compiled gives the compiled form of the
// record's i-th node, so that nodes shared by many plans are compiled once. The
// record is kept: it must not be changed, but for the list of its nodes. What
// the plan pins of its nodes it shares with the first of some known plans that
// pins the same: backfills of one part of the graph differ in their dates.
func Expand(r *wire.PlanRecord, compiled func(i int) (*node.Node, error), known ...*Plan) (*Plan, error) {
	p := &Plan{
		ID: r.Id, Name: r.Name, Actor: r.Actor, AcceptedMs: r.AcceptedMs, Generated: calendar.Date(r.Generated),
		Request: r.Request, Auto: r.Auto, record: copyRecord(r),
	}
	var err error
	if p.Dates, err = requested(r.Request); err != nil {
		return nil, err
	}
	p.unbroken = max(p.Dates[0], p.Dates[len(p.Dates)-1])-min(p.Dates[0], p.Dates[len(p.Dates)-1]) == calendar.Date(len(p.Dates)-1)
	p.Groups = split(len(p.Dates), int(max(1, r.Request.Groups)))
	zones := make(zones, len(r.Zones))
	for _, z := range r.Zones {
		zones[z.Name] = zone(z)
	}
	if r.Request.Period != nil {
		if p.periodZone, err = zones.find(cmp.Or(r.Request.Zone, r.ClusterZone), "the period"); err != nil {
			return nil, err
		}
	}
	if like := p.like(r, compiled, known); like != nil {
		p.Nodes, p.index = like.Nodes, like.index
	} else if err := p.pinNodes(r, compiled, zones); err != nil {
		return nil, err
	}
	p.drop()
	return p, p.makeBlocks(r)
}

// pinNodes resolves and connects the nodes of a record.
func (p *Plan) pinNodes(r *wire.PlanRecord, compiled func(i int) (*node.Node, error), zones zones) error {
	p.Nodes, p.index = make([]Node, len(r.Nodes)), make(map[string]int, len(r.Nodes))
	overrides := make(map[string][]params.Assignment)
	for _, o := range r.Request.Params {
		overrides[o.Node] = append(overrides[o.Node], params.Assignment{Name: o.Param.GetName(), Value: o.Param.GetValue()})
	}
	for i, rn := range r.Nodes {
		c, err := compiled(i)
		if err != nil {
			return err
		}
		if p.Nodes[i], err = pin(c, rn, r, zones, overrides[c.Spec.Id]); err != nil {
			return err
		}
		p.index[c.Spec.Id] = i
	}
	p.connect()
	return p.connectPrior(zones)
}

// like finds a known plan whose nodes, with all that it pins of them, are those
// of a record; nil when none is.
func (p *Plan) like(r *wire.PlanRecord, compiled func(i int) (*node.Node, error), known []*Plan) *Plan {
	for _, q := range known {
		if len(q.Nodes) == len(r.Nodes) && len(r.Nodes) > 0 && q.pinsAlike(r) && q.hasNodes(r, compiled) {
			return q
		}
	}
	return nil
}

// pinsAlike says that everything but the nodes themselves which decides what a
// plan pins of them is the same in a record.
func (p *Plan) pinsAlike(r *wire.PlanRecord) bool {
	same := func(a, b *wire.Zone) bool { return proto.Equal(a, b) }
	return p.Auto == r.Auto && p.Request.DryRunNodes == r.Request.DryRunNodes && len(p.Request.Params)+len(r.Request.Params) == 0 &&
		proto.Equal(p.Request.TimeOfDay, r.Request.TimeOfDay) && p.record.ClusterZone == r.ClusterZone &&
		slices.EqualFunc(p.record.Zones, r.Zones, same) &&
		slices.EqualFunc(p.record.Outside, r.Outside, func(a, b *wire.PlanNode) bool { return proto.Equal(a, b) })
}

// hasNodes says that the nodes of a record are the plan's, version by version.
func (p *Plan) hasNodes(r *wire.PlanRecord, compiled func(i int) (*node.Node, error)) bool {
	for i, rn := range r.Nodes {
		c, err := compiled(i)
		n := &p.Nodes[i]
		if err != nil || n.Node != c || n.Version != rn.Version || n.DryRun != rn.DryRun || n.Level != rn.Level || n.SinceMs != rn.SinceMs {
			return false
		}
	}
	return true
}

// zones are the rules of time zones by name.
type zones map[string]*calendar.Zone

func (zs zones) find(name, of string) (*calendar.Zone, error) {
	if z := zs[name]; z != nil {
		return z, nil
	}
	return nil, fault.New(fault.Internal, "%s: the rules of time zone %q are not in the plan", of, name)
}

// pin resolves a node's zone, cycles and overrides for the plan.
func pin(c *node.Node, rn *wire.PlanNode, r *wire.PlanRecord, zones zones, overrides []params.Assignment) (Node, error) {
	n := Node{
		Node: c, Version: rn.Version, DryRun: rn.DryRun, Level: rn.Level, SinceMs: rn.SinceMs, Cycles: c.Schedule,
	}
	switch {
	case c.Spec.Type == node.Virtual:
		n.always = wire.DryRun_VIRTUAL
	case c.Spec.Mode == wire.Node_DRY_RUN && (r.Auto || r.Request.DryRunNodes == wire.Request_KEEP):
		n.always = wire.DryRun_NODE_IS_DRY_RUN
	}
	var err error
	if n.Zone, err = zones.find(cmp.Or(c.Spec.Schedule.GetZone(), r.ClusterZone), "node "+c.Spec.Id); err != nil {
		return n, err
	}
	if t := r.Request.TimeOfDay; t != nil {
		restricted, some := c.Schedule.Restrict(calendar.Clock(t.From), calendar.Clock(t.To))
		if !some {
			return n, fault.Field("timeOfDay", "node %q has no cycle from %s to %s: widen the range or leave the node out",
				c.Spec.Id, calendar.Clock(t.From), calendar.Clock(t.To))
		}
		n.Cycles = restricted
	}
	if n.values, err = c.Params.With(overrides); err != nil {
		e := fault.Wrap(err, fault.Invalid, "node %q with the backfill's overrides", c.Spec.Id)
		e.Field = "params"
		return n, e
	}
	return n, nil
}

// connect turns the nodes' upstream names into edges inside the plan. An
// upstream outside it is not waited for (RULES R2.7).
func (p *Plan) connect() {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		n.Up = make([]Edge, 0, len(n.Spec.Upstreams))
		for _, u := range n.Spec.Upstreams {
			if j, ok := p.index[u.Node]; ok && !u.Previous {
				e := Edge{Node: j}
				if u.Window {
					e.Window = u
				}
				n.Up = append(n.Up, e)
			}
		}
	}
}

// drop marks what a change of the plan has dropped.
func (p *Plan) drop() {
	for _, id := range p.record.DroppedNodes {
		if i, ok := p.index[id]; ok {
			if p.droppedNode == nil {
				p.droppedNode = make([]bool, len(p.Nodes))
			}
			p.droppedNode[i] = true
		}
	}
}

// Dropped says whether a change of the plan has dropped a date or a node.
func (p *Plan) Dropped(at Place) bool {
	return p.droppedNode != nil && p.droppedNode[at.Node] || p.DateDropped(at.Pos)
}

// DateDropped says whether a change of the plan has dropped the date of a
// position.
func (p *Plan) DateDropped(pos int) bool {
	return len(p.record.DroppedDates) > 0 && within(p.record.DroppedDates, p.Dates[pos])
}

// Dry says why an instance is a dry run; DRY_RUN_NONE when it is none (RULES
// R6).
func (p *Plan) Dry(at Place) wire.DryRun {
	n := &p.Nodes[at.Node]
	switch {
	case n.DryRun != wire.DryRun_DRY_RUN_NONE:
		return n.DryRun
	case p.Dropped(at):
		return wire.DryRun_DROPPED
	case n.always != wire.DryRun_DRY_RUN_NONE:
		return n.always
	case n.SinceMs > 0 && p.Cycle(at).Unix*1000 < n.SinceMs:
		return wire.DryRun_BEFORE_SWITCHED_ON
	case !n.Schedule.Occurs(p.Dates[at.Pos]):
		return wire.DryRun_OFF_SCHEDULE
	}
	return wire.DryRun_DRY_RUN_NONE
}

// DryNode says why a node is a dry run on every date; DRY_RUN_NONE when it is
// none on some.
func (p *Plan) DryNode(node int) wire.DryRun {
	n := &p.Nodes[node]
	switch {
	case n.DryRun != wire.DryRun_DRY_RUN_NONE:
		return n.DryRun
	case p.droppedNode != nil && p.droppedNode[node]:
		return wire.DryRun_DROPPED
	}
	return n.always
}

// Choice says which units of a logical node its instances run, and why (RULES
// R12.2); none for any other node.
func (p *Plan) Choice(n int) []node.UnitChoice {
	spec := p.Nodes[n].Spec
	if !node.IsLogical(spec) {
		return nil
	}
	var fields []string
	for _, c := range p.Request.Fields {
		if c.Node == spec.Id {
			fields = c.Fields
		}
	}
	units, _ := node.SelectFields(spec, fields) // what it refuses no plan has pinned
	return units
}

// Units are those of a logical node that run; none for all of them. Request and
// spec are pinned, so every attempt of a plan runs the same.
func (p *Plan) Units(n int) []string {
	var run []string
	choice := p.Choice(n)
	for _, u := range choice {
		if u.Runs {
			run = append(run, u.Unit)
		}
	}
	if len(run) == len(choice) {
		return nil
	}
	return run
}

// FrozenNode says whether a node's instances are frozen from the beginning,
// because the node is paused and the plan keeps that (RULES R6).
func (p *Plan) FrozenNode(node int) bool {
	return p.Nodes[node].Spec.Mode == wire.Node_PAUSED && (p.Auto || p.Request.PausedNodes == wire.Request_KEEP)
}

// order is the topological order of a plan's nodes by their upstreams in the
// plan: by the longest way from a node without one, then by id. nil when the
// specs that the plan pins wait for each other in a circle.
func order(nodes []*wire.PlanNode) []*wire.PlanNode {
	index := make(map[string]int, len(nodes))
	for i, n := range nodes {
		index[n.Spec.Id] = i
	}
	down := make([][]int, len(nodes))
	waits, depth := make([]int, len(nodes)), make(map[*wire.PlanNode]int, len(nodes))
	for i, n := range nodes {
		for _, u := range n.Spec.Upstreams {
			if j, ok := index[u.Node]; ok && !u.Previous {
				down[j] = append(down[j], i)
				waits[i]++
			}
		}
	}
	var ready []int
	for i := range nodes {
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	for k := 0; k < len(ready); k++ {
		for _, i := range down[ready[k]] {
			depth[nodes[i]] = max(depth[nodes[i]], depth[nodes[ready[k]]]+1)
			if waits[i]--; waits[i] == 0 {
				ready = append(ready, i)
			}
		}
	}
	if len(ready) < len(nodes) {
		return nil
	}
	sorted := slices.Clone(nodes)
	slices.SortFunc(sorted, func(a, b *wire.PlanNode) int {
		return cmp.Or(cmp.Compare(depth[a], depth[b]), cmp.Compare(a.Spec.Id, b.Spec.Id))
	})
	return sorted
}
