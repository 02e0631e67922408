// Package plan expands a backfill request into instances by arithmetic: nodes
// × dates × cycles with dense numbers, and dependencies, gates, due times and
// priorities as functions of a number. Nothing is stored per instance, and
// nothing here knows what has run: that is the state's, and when to run it the
// scheduler's. The package is pure; the same input gives the same plan on
// every coordinator (RULES R13.7).
package plan

import (
	"sort"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// Plan is the exact expansion of one accepted backfill. It is immutable and
// safe for concurrent use.
type Plan struct {
	ID          uint64
	Name        string
	Actor       string
	AcceptedMs  int64
	Generated   calendar.Date // the day of acceptance in the cluster's zone (RULES R1.6)
	Request     *wire.Request
	Nodes       []Node          // topological order: upstreams first
	Dates       []calendar.Date // in the order in which they run; an index into it is a position
	Groups      []Span          // positions of each group (RULES R4.2)
	clusterZone string
	zones       []*wire.Zone
	unbroken    bool           // Dates has no gap
	index       map[string]int // node id → index
	number      numbering
}

// Node is one node of a plan with everything the plan pins (RULES R1.6).
type Node struct {
	*node.Node
	Version uint64 // of the node when the plan was accepted
	DryRun  wire.DryRun
	Level   int32 // shortest distance from the root
	Zone    *calendar.Zone
	Cycles  calendar.Schedule // restricted to the plan's time of day (RULES R3.2)
	Up      []Edge
	values  *params.Set // the node's parameters after the plan's overrides
}

// Edge is a dependency on another node of the plan.
type Edge struct {
	Node   int // index in Nodes
	Window *wire.Upstream
}

// Span is a half-open range of positions.
type Span struct{ From, To int }

// Place locates an instance: position of its date, index of its node, cycle.
type Place struct{ Pos, Node, Cycle int }

// Size is the number of instances.
func (p *Plan) Size() uint64 { return p.number.base[len(p.Dates)] }

// NodeIndex finds a node of the plan by id.
func (p *Plan) NodeIndex(id string) (int, bool) {
	i, ok := p.index[id]
	return i, ok
}

// Position finds the position of a data timestamp; false when the plan has it
// not.
func (p *Plan) Position(d calendar.Date) (int, bool) {
	n, i := len(p.Dates), 0
	descending := p.Request.Order == wire.Request_DESCENDING
	switch {
	case p.unbroken && descending:
		i = int(p.Dates[0]) - int(d)
	case p.unbroken:
		i = int(d) - int(p.Dates[0])
	default:
		i = sort.Search(n, func(i int) bool {
			if descending {
				return p.Dates[i] <= d
			}
			return p.Dates[i] >= d
		})
	}
	return i, i >= 0 && i < n && p.Dates[i] == d
}

// Group is the index of the group that a position belongs to.
func (p *Plan) Group(pos int) int {
	return sort.Search(len(p.Groups), func(g int) bool { return p.Groups[g].To > pos })
}

// Cycle is the scheduled time T of an instance.
func (p *Plan) Cycle(at Place) calendar.Cycle {
	n := &p.Nodes[at.Node]
	return n.Cycles.Cycle(p.Dates[at.Pos], at.Cycle, n.Zone)
}

// Find locates the instance of a node's cycle, given as an instant (RULES
// R5.9); false when the plan has none.
func (p *Plan) Find(nodeID string, d calendar.Date, unix int64) (uint64, bool) {
	n, ok := p.index[nodeID]
	if !ok {
		return 0, false
	}
	pos, ok := p.Position(d)
	if !ok {
		return 0, false
	}
	c := p.Nodes[n].Cycles.IndexAt(d, unix, p.Nodes[n].Zone)
	if c < 0 {
		return 0, false
	}
	return p.Instance(Place{pos, n, c}), true
}

// Values renders the node's parameters for an instance: those of its file in
// their order, each with its override if it has one, then what the overrides
// add (RULES R1.6, R2.8). They depend on nothing but the plan, so every rerun
// gets the same.
func (p *Plan) Values(at Place) ([]params.Assignment, error) {
	return p.Nodes[at.Node].values.Values(p.Context(at), nil)
}

// Context is what parameter expressions of an instance are rendered from.
func (p *Plan) Context(at Place) params.Context {
	return params.Context{
		Data:       p.Dates[at.Pos],
		Scheduled:  p.Cycle(at).Wall,
		Generated:  p.Generated,
		PlanID:     FormatID(p.ID),
		NodeID:     p.Nodes[at.Node].Spec.Id,
		InstanceID: FormatInstance(p.ID, p.Instance(at)),
	}
}

// Record is everything from which Expand makes the same plan again.
func (p *Plan) Record() *wire.PlanRecord {
	r := &wire.PlanRecord{
		Id: p.ID, Name: p.Name, Actor: p.Actor, AcceptedMs: p.AcceptedMs, Generated: int32(p.Generated),
		ClusterZone: p.clusterZone, Request: p.Request, Zones: p.zones,
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		r.Nodes = append(r.Nodes, &wire.PlanNode{Spec: n.Spec, Version: n.Version, DryRun: n.DryRun, Level: n.Level})
	}
	return r
}

// Expand makes a plan of its record. compiled gives the compiled form of the
// record's i-th node, so that nodes shared by many plans are compiled once.
func Expand(r *wire.PlanRecord, compiled func(i int) (*node.Node, error)) (*Plan, error) {
	p := &Plan{
		ID: r.Id, Name: r.Name, Actor: r.Actor, AcceptedMs: r.AcceptedMs, Generated: calendar.Date(r.Generated),
		Request: r.Request, clusterZone: r.ClusterZone, zones: r.Zones,
		Nodes: make([]Node, len(r.Nodes)), index: make(map[string]int, len(r.Nodes)),
	}
	var err error
	if p.Dates, err = dates(r.Request); err != nil {
		return nil, err
	}
	p.unbroken = max(p.Dates[0], p.Dates[len(p.Dates)-1])-min(p.Dates[0], p.Dates[len(p.Dates)-1]) == calendar.Date(len(p.Dates)-1)
	p.Groups = split(len(p.Dates), int(max(1, r.Request.Groups)))
	zones := make(map[string]*calendar.Zone, len(r.Zones))
	for _, z := range r.Zones {
		zones[z.Name] = zone(z)
	}
	overrides := make(map[string][]params.Assignment)
	for _, o := range r.Request.Params {
		overrides[o.Node] = append(overrides[o.Node], params.Assignment{Name: o.Param.GetName(), Value: o.Param.GetValue()})
	}
	for i, rn := range r.Nodes {
		c, err := compiled(i)
		if err != nil {
			return nil, err
		}
		if p.Nodes[i], err = pin(c, rn, r, zones, overrides[c.Spec.Id]); err != nil {
			return nil, err
		}
		p.index[c.Spec.Id] = i
	}
	p.connect()
	p.number, err = enumerate(p.Nodes, p.Dates)
	return p, err
}

// pin resolves a node's zone, cycles and overrides for the plan.
func pin(c *node.Node, rn *wire.PlanNode, r *wire.PlanRecord, zones map[string]*calendar.Zone, overrides []params.Assignment) (Node, error) {
	n := Node{Node: c, Version: rn.Version, DryRun: rn.DryRun, Level: rn.Level, Cycles: c.Schedule}
	name := c.Spec.Schedule.GetZone()
	if name == "" {
		name = r.ClusterZone
	}
	if n.Zone = zones[name]; n.Zone == nil {
		return n, fault.New(fault.Internal, "node %q: the rules of time zone %q are not in the plan", c.Spec.Id, name)
	}
	if t := r.Request.TimeOfDay; t != nil {
		restricted, some := c.Schedule.Restrict(calendar.Clock(t.From), calendar.Clock(t.To))
		if !some {
			return n, fault.Field("timeOfDay", "node %q has no cycle from %s to %s: widen the range or leave the node out",
				c.Spec.Id, calendar.Clock(t.From), calendar.Clock(t.To))
		}
		n.Cycles = restricted
	}
	var err error
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
			if j, ok := p.index[u.Node]; ok {
				e := Edge{Node: j}
				if u.Window {
					e.Window = u
				}
				n.Up = append(n.Up, e)
			}
		}
	}
}

func zone(w *wire.Zone) *calendar.Zone {
	z := &calendar.Zone{Name: w.Name, Base: w.Base}
	for _, t := range w.Transitions {
		z.Transitions = append(z.Transitions, calendar.Transition{At: t.At, Offset: t.Offset})
	}
	return z
}

// WireZone is the form in which a resolved zone stands in the log.
func WireZone(z *calendar.Zone) *wire.Zone {
	w := &wire.Zone{Name: z.Name, Base: z.Base}
	for _, t := range z.Transitions {
		w.Transitions = append(w.Transitions, &wire.Transition{At: t.At, Offset: t.Offset})
	}
	return w
}
