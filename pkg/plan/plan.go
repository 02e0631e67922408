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
	"backfleet/pkg/node"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// Plan is the exact expansion of one accepted backfill, or of one date of the
// schedule. It is immutable and safe for concurrent use: Edit and Extend make
// another one.
type Plan struct {
	ID          uint64
	Name        string
	Actor       string
	AcceptedMs  int64
	Generated   calendar.Date // the day of acceptance in the cluster's zone (RULES R1.6)
	Request     *wire.Request
	Nodes       []Node           // topological order: upstreams first
	Dates       []calendar.Date  // in the order in which they run; an index into it is a position
	Groups      []Span           // positions of each group (RULES R4.2)
	Auto        bool             // a date of the schedule; else a backfill
	record      *wire.PlanRecord // of which it was expanded; its nodes without what Nodes has
	unbroken    bool             // Dates has no gap
	index       map[string]int   // node id → index
	blocks      blocks
	droppedNode []bool // nil: none
	periodZone  *calendar.Zone
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
	SinceMs int64       // auto: cycles before it are dry runs
	prior   []prior     // what it needs of previous cycles, itself apart
	far     []far       // auto: windows of nodes that the plan has not
	values  *params.Set // the node's parameters after the plan's overrides
	always  wire.DryRun // why it is a dry run whatever was chosen, if it is
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

// NodeIndex finds a node of the plan by id.
func (p *Plan) NodeIndex(id string) (int, bool) {
	i, ok := p.index[id]
	return i, ok
}

// Position finds the position of a data timestamp; false when the plan has it
// not.
func (p *Plan) Position(d calendar.Date) (int, bool) {
	n, i := len(p.Dates), 0
	descending := p.descending()
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

func (p *Plan) descending() bool { return p.Request.Order == wire.Request_DESCENDING }

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
	return p.find(pos, n, unix)
}

// find is Find for a position and a node's index.
func (p *Plan) find(pos, n int, unix int64) (uint64, bool) {
	from, to := p.NodeRange(pos, n)
	if from == to {
		return 0, false
	}
	c := p.Nodes[n].Cycles.IndexAt(p.Dates[pos], unix, p.Nodes[n].Zone)
	if c < 0 {
		return 0, false
	}
	return from + uint64(c), true
}

// Values renders the node's parameters for an instance: those of its file in
// their order, each with its override if it has one, then what the overrides
// add (RULES R1.6, R2.8). They depend on nothing but the plan, so every rerun
// gets the same.
func (p *Plan) Values(at Place) ([]params.Assignment, error) {
	set := p.Nodes[at.Node].values
	c := params.Context{Data: p.Dates[at.Pos], Scheduled: p.Cycle(at).Wall, Generated: p.Generation(at)}
	if set.UsesIDs() {
		c = p.Context(at)
	}
	return set.Values(c, nil)
}

// Generation is the day on which an instance was generated, in the cluster's
// zone (RULES R1.6).
func (p *Plan) Generation(at Place) calendar.Date { return p.block(at.Pos, at.Node).generated }

// Context is what parameter expressions of an instance are rendered from.
func (p *Plan) Context(at Place) params.Context {
	return params.Context{
		Data:       p.Dates[at.Pos],
		Scheduled:  p.Cycle(at).Wall,
		Generated:  p.Generation(at),
		PlanID:     FormatID(p.ID),
		NodeID:     p.Nodes[at.Node].Spec.Id,
		InstanceID: FormatInstance(p.ID, p.Instance(at)),
	}
}

// Record is everything from which Expand makes the same plan again. The caller
// may change the list of nodes and what is in it, nothing else.
func (p *Plan) Record() *wire.PlanRecord {
	r := copyRecord(p.record)
	r.Name = p.Name
	r.Nodes = make([]*wire.PlanNode, len(p.Nodes))
	for i := range p.Nodes {
		n := &p.Nodes[i]
		r.Nodes[i] = &wire.PlanNode{Spec: n.Spec, Version: n.Version, DryRun: n.DryRun, Level: n.Level, SinceMs: n.SinceMs}
	}
	return r
}

// copyRecord copies a record but for its nodes; what is in it is shared.
func copyRecord(r *wire.PlanRecord) *wire.PlanRecord {
	return &wire.PlanRecord{
		Id: r.Id, Name: r.Name, Actor: r.Actor, AcceptedMs: r.AcceptedMs, Generated: r.Generated,
		ClusterZone: r.ClusterZone, Request: r.Request, Zones: r.Zones, Auto: r.Auto, Blocks: r.Blocks,
		DroppedDates: r.DroppedDates, DroppedNodes: r.DroppedNodes, Outside: r.Outside,
	}
}
