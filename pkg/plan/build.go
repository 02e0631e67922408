package plan

import (
	"cmp"
	"slices"
	"strconv"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Input is all that the plan of a backfill is a function of.
type Input struct {
	ID          uint64
	Name        string // empty: the caller sets the plan's, see Plan.DefaultName
	Actor       string
	NowMs       int64
	Today       calendar.Date // of the cluster's zone
	ClusterZone string
	Zones       []*wire.Zone // resolved by the leader, see Zones
	Request     *wire.Request
	Graph       *node.Graph
	Version     func(nodeID string) uint64
	Scope       node.Scope
	MaxGroups   int32 // setting limits.groups; 0: 10
	// Known gives plans that have a node, with which the plan may share what it
	// pins of its nodes; nil: none.
	Known func(nodeID string) []*Plan
}

// Build checks a request and expands it. Errors name the field of the request
// (RULES R2 to R5).
func Build(in Input) (*Plan, error) {
	if err := check(in.Request, in.MaxGroups); err != nil {
		return nil, err
	}
	sel, err := node.Select(in.Graph, in.Request, in.Scope)
	if err != nil {
		return nil, err
	}
	r := &wire.PlanRecord{
		Id: in.ID, Name: in.Name, Actor: in.Actor, AcceptedMs: in.NowMs, Generated: int32(in.Today),
		ClusterZone: in.ClusterZone, Request: in.Request, Zones: in.Zones,
	}
	for _, c := range sel.Nodes {
		dry := c.Dry
		if dry == wire.DryRun_DRY_RUN_NONE && in.Request.DryRun {
			dry = wire.DryRun_REQUESTED
		}
		r.Nodes = append(r.Nodes, &wire.PlanNode{
			Spec: in.Graph.Node(int(c.Index)).Spec, Version: in.Version(c.ID), DryRun: dry, Level: c.Level,
		})
	}
	r.Outside = outsiders(r.Nodes, false, in.Graph)
	var known []*Plan
	if in.Known != nil && len(sel.Nodes) > 0 {
		known = in.Known(sel.Nodes[0].ID)
	}
	p, err := Expand(r, func(i int) (*node.Node, error) { return in.Graph.Node(int(sel.Nodes[i].Index)), nil }, known...)
	if err != nil {
		return nil, err
	}
	return p, p.sound()
}

// sound refuses what is wrong with a plan as a whole.
func (p *Plan) sound() error {
	for _, check := range []func() error{p.checkWindows, p.checkOverrides, p.checkCircle} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// AutoInput is all that the plan of a date of the schedule is a function of.
type AutoInput struct {
	ID          uint64
	NowMs       int64
	Today       calendar.Date // of the cluster's zone
	Date        calendar.Date
	ClusterZone string
	Zones       []*wire.Zone // resolved by the leader, see AutoZones
	Graph       *node.Graph
	Version     func(nodeID string) uint64
	SinceMs     func(nodeID string) int64 // cycles before it are dry runs; 0: none
	Known       []*Plan                   // with which it may share what it pins of its nodes
}

// BuildAuto makes the schedule's own plan of a date: every node that is switched
// on. It is nil when none is, or none has a cycle.
func BuildAuto(in AutoInput) (*Plan, error) {
	on := in.nodes(func(string) bool { return false })
	if len(on) == 0 {
		return nil, nil
	}
	r := &wire.PlanRecord{
		Id: in.ID, Name: "schedule_" + in.Date.Compact(), AcceptedMs: in.NowMs, Generated: int32(in.Today),
		ClusterZone: in.ClusterZone, Zones: in.Zones, Auto: true, Nodes: on,
		Request: &wire.Request{Dates: []*wire.DateRange{{From: int32(in.Date), To: int32(in.Date)}}, Groups: 1},
		Blocks:  []*wire.PlanBlock{in.block(on)},
	}
	r.Outside = outsiders(r.Nodes, true, in.Graph)
	p, err := in.expand(r, nil)
	if err != nil || p.Size() == 0 {
		return nil, err
	}
	return p, nil
}

// Extend adds the nodes that are switched on and that an auto plan has not yet;
// false when there are none. The numbers of its instances stay.
func (p *Plan) Extend(in AutoInput) (*Plan, bool, error) {
	if !p.Auto {
		return nil, false, fault.New(fault.Internal, "%s is a backfill: the schedule does not extend it", FormatID(p.ID))
	}
	more := in.nodes(func(id string) bool { _, ok := p.index[id]; return ok })
	if len(more) == 0 {
		return p, false, nil
	}
	r := p.editable()
	r.Nodes = append(r.Nodes, more...)
	if r.Nodes = order(r.Nodes); r.Nodes == nil {
		return nil, false, fault.New(fault.Conflict, "the nodes of %s as it pins them and those to be added wait for each other in a circle", p.Name)
	}
	r.Blocks = append(r.Blocks, in.block(p.lacking(r.Nodes)))
	r.Zones = joinZones(r.Zones, in.Zones, p.Dates[0], p.Dates[0])
	r.Outside = joinOutside(r.Outside, outsiders(r.Nodes, true, in.Graph))
	out, err := in.expand(r, p)
	return out, err == nil, err
}

// lacking are the nodes that the plan has not.
func (p *Plan) lacking(nodes []*wire.PlanNode) []*wire.PlanNode {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *wire.PlanNode) bool { _, has := p.index[n.Spec.Id]; return has })
}

// nodes are the nodes that the schedule runs, but for those that it has.
func (in *AutoInput) nodes(has func(id string) bool) []*wire.PlanNode {
	var out []*wire.PlanNode
	for i := range in.Graph.Len() {
		if s := in.Graph.Node(i).Spec; s.Auto && !has(s.Id) {
			out = append(out, &wire.PlanNode{Spec: s, Version: in.Version(s.Id), SinceMs: in.SinceMs(s.Id)})
		}
	}
	return out
}

func (in *AutoInput) block(nodes []*wire.PlanNode) *wire.PlanBlock {
	return &wire.PlanBlock{
		Dates: []*wire.DateRange{{From: int32(in.Date), To: int32(in.Date)}}, Nodes: names(nodes),
		AcceptedMs: in.NowMs, Generated: int32(in.Today),
	}
}

// expand makes the plan of a record whose nodes are those of another plan or
// else the graph's.
func (in *AutoInput) expand(r *wire.PlanRecord, was *Plan) (*Plan, error) {
	return Expand(r, compiledBy(r, was, in.Graph), in.Known...)
}

// compiledBy finds the compiled form of a record's nodes in the plan that had
// them, or else in the graph.
func compiledBy(r *wire.PlanRecord, was *Plan, g *node.Graph) func(i int) (*node.Node, error) {
	return func(i int) (*node.Node, error) {
		id := r.Nodes[i].Spec.Id
		if was != nil {
			if k, ok := was.index[id]; ok {
				return was.Nodes[k].Node, nil
			}
		}
		if k, ok := g.Index(id); ok {
			return g.Node(k), nil
		}
		return nil, fault.New(fault.Internal, "there is no node %q", id)
	}
}

func names(nodes []*wire.PlanNode) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.Spec.Id
	}
	return out
}

// joinOutside adds what a changed plan has to know of nodes outside it to what
// it knew.
func joinOutside(was, more []*wire.PlanNode) []*wire.PlanNode {
	out := slices.Clone(was)
	for _, n := range more {
		i, found := slices.BinarySearchFunc(out, n.Spec.Id, func(o *wire.PlanNode, id string) int { return cmp.Compare(o.Spec.Id, id) })
		if !found {
			out = slices.Insert(out, i, n)
			continue
		}
		spec := out[i].Spec
		merged := &wire.Node{Id: spec.Id, Schedule: spec.Schedule, DependsOnSelf: spec.DependsOnSelf, Upstreams: slices.Clone(spec.Upstreams)}
		for _, u := range n.Spec.Upstreams {
			if !slices.ContainsFunc(merged.Upstreams, func(o *wire.Upstream) bool { return o.Node == u.Node }) {
				merged.Upstreams = append(merged.Upstreams, u)
			}
		}
		out[i] = &wire.PlanNode{Spec: merged}
	}
	return out
}

// DefaultGroups is the most groups that a backfill may have unless an operator
// says otherwise (RULES R4.1).
const DefaultGroups = 10

// maxMs is the end of the year 9999.
const maxMs = 253402300800000

// check refuses what is wrong with a request by itself.
func check(req *wire.Request, maxGroups int32) error {
	switch {
	case req.StopAfter < 0:
		return fault.Field("stopAfter", "%d: expected the number of failed instances after which nothing new starts, or 0 for never", req.StopAfter)
	case len(req.Name) > 256:
		return fault.Field("name", "%d bytes long: expected at most 256", len(req.Name))
	case req.NotBeforeMs < 0 || req.NotBeforeMs >= maxMs:
		return fault.Field("notBefore", "%d ms: expected a moment from 1970 to 9999", req.NotBeforeMs)
	case req.Zone != "" && req.Period == nil:
		return fault.Field("zone", "it is the zone of the execution period, and there is none: give a period, or leave the zone out")
	}
	if t := req.TimeOfDay; t != nil && (t.From < 0 || t.To >= midnight || t.To < t.From) {
		return fault.Field("timeOfDay", "%d to %d seconds: expected a range inside one day, the end not before the start", t.From, t.To)
	}
	for _, e := range []struct {
		field string
		value int32
		known map[int32]string
	}{
		{"order", int32(req.Order), wire.Request_Order_name},
		{"gate", int32(req.Gate), wire.Request_Gate_name},
		{"onFailure", int32(req.OnFailure), wire.Request_OnFailure_name},
		{"overlap", int32(req.Overlap), wire.Request_Overlap_name},
		{"onConflict", int32(req.OnConflict), wire.Request_OnConflict_name},
		{"pausedNodes", int32(req.PausedNodes), wire.Request_Switch_name},
		{"dryRunNodes", int32(req.DryRunNodes), wire.Request_Switch_name},
	} {
		if _, ok := e.known[e.value]; !ok {
			return fault.Field(e.field, "%d is not a choice this version knows", e.value)
		}
	}
	if found := node.CheckSubscriptions("notify", req.Notify); len(found) > 0 {
		return fault.New(fault.Invalid, "the request's channels: %s", found[0].Message).WithDetails(found...)
	}
	return checkChangeable(req, maxGroups)
}

// checkChangeable refuses what is wrong in the fields that may be changed later.
func checkChangeable(req *wire.Request, maxGroups int32) error {
	if most := cmp.Or(maxGroups, DefaultGroups); req.Groups < 0 || req.Groups > most {
		return fault.Field("groups", "%d groups: expected 1 to %d", req.Groups, most)
	}
	if req.MaxRunning < 0 {
		return fault.Field("maxRunning", "%d: expected how many instances may run at once, or 0 for no cap", req.MaxRunning)
	}
	if req.Priority != 0 && !ValidPriority(req.Priority) {
		return fault.Field("priority", "%d: expected 1, 2, 3, 5, 7 or 8 (larger is more urgent), or 0 for that of the rules", req.Priority)
	}
	return checkPeriod(req.Period)
}

// ValidPriority says whether an instance may have a priority (RULES R7.2, R7.6).
func ValidPriority(p int32) bool {
	switch p {
	case 1, 2, 3, 5, 7, 8:
		return true
	}
	return false
}

// checkPeriod refuses an execution period that is none (RULES R3.4).
func checkPeriod(w *wire.Period) error {
	if w == nil {
		return nil
	}
	if _, ok := wire.Period_Cycle_name[int32(w.Cycle)]; !ok {
		return fault.Field("period.cycle", "%d is not a choice this version knows", w.Cycle)
	}
	switch {
	case w.Start < 0 || w.Start >= midnight:
		return fault.Field("period.start", "%d s is no time of day: expected 00:00 to 23:59:59", w.Start)
	case w.End < 0 || w.End > midnight:
		return fault.Field("period.end", "%d s is no time of day: expected 00:00 to 24:00", w.End)
	case w.Start == w.End:
		return fault.Field("period.end", "the period begins and ends at %s, so that nothing could start in it: expected a later end, an earlier one (the day after), or none for midnight",
			calendar.Clock(w.Start))
	}
	return nil
}

// checkWindows refuses windows that reach forward, which no rule knows and
// checkCircle does not reckon with (RULES R5.3).
func (p *Plan) checkWindows() error {
	for i := range p.Nodes {
		for _, e := range p.Nodes[i].Up {
			if w := e.Window; w != nil && (w.To > 0 || w.From > 0) {
				return fault.New(fault.Invalid, "node %q waits for dates of %q after its own (to %+d days): expected a window that reaches back only, such as -6..0; change the node",
					p.Nodes[i].Spec.Id, w.Node, w.To)
			}
		}
	}
	return nil
}

// checkOverrides refuses parameter overrides that name no node of the plan or
// cannot be rendered (RULES R2.8).
func (p *Plan) checkOverrides() error {
	for i, o := range p.Request.Params {
		field := "params[" + strconv.Itoa(i) + "]"
		n, ok := p.index[o.Node]
		if !ok {
			return fault.Field(field, "node %q is not in the backfill: expected one of its nodes", o.Node)
		}
		pos, ok := p.firstPosition(n)
		if !ok {
			continue
		}
		if _, err := p.Values(Place{pos, n, 0}); err != nil {
			e := fault.Wrap(err, fault.Invalid, "node %q", o.Node)
			e.Field = field
			return e
		}
	}
	return nil
}

// firstPosition is the first position on which a node has an instance.
func (p *Plan) firstPosition(n int) (int, bool) {
	for pos := range p.Dates {
		if !p.empty(pos, n) {
			return pos, true
		}
	}
	return 0, false
}
