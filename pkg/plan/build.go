package plan

import (
	"fmt"
	"sort"
	"strconv"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Input is all that a plan is a function of.
type Input struct {
	ID          uint64
	Name        string // already resolved, see DefaultName
	Actor       string
	NowMs       int64
	Today       calendar.Date // of the cluster's zone
	ClusterZone string
	Zones       []*wire.Zone // resolved by the leader, see Zones
	Request     *wire.Request
	Graph       *node.Graph
	Version     func(nodeID string) uint64
	MaxGroups   int32 // setting limits.groups
	Scope       node.Scope
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
	p, err := Expand(r, func(i int) (*node.Node, error) { return in.Graph.Node(int(sel.Nodes[i].Index)), nil })
	if err != nil {
		return nil, err
	}
	for _, check := range []func() error{p.checkWindows, p.checkOverrides, p.checkCircle} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// maxMs is the end of the year 9999.
const maxMs = 253402300800000

// check refuses what is wrong with a request by itself.
func check(req *wire.Request, maxGroups int32) error {
	switch {
	case req.Groups < 0 || req.Groups > maxGroups:
		return fault.Field("groups", "%d groups: expected 1 to %d", req.Groups, maxGroups)
	case req.StopAfter < 0:
		return fault.Field("stopAfter", "%d: expected the number of failed instances after which nothing new starts, or 0 for never", req.StopAfter)
	case req.MaxRunning < 0:
		return fault.Field("maxRunning", "%d: expected how many instances may run at once, or 0 for no cap", req.MaxRunning)
	case len(req.Name) > 256:
		return fault.Field("name", "%d bytes long: expected at most 256", len(req.Name))
	case req.NotBeforeMs < 0 || req.NotBeforeMs >= maxMs:
		return fault.Field("notBefore", "%d ms: expected a moment from 1970 to 9999", req.NotBeforeMs)
	}
	if t := req.TimeOfDay; t != nil && (t.From < 0 || t.To >= 24*3600 || t.To < t.From) {
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
	} {
		if _, ok := e.known[e.value]; !ok {
			return fault.Field(e.field, "%d is not a choice this version knows", e.value)
		}
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

// checkCircle refuses a plan that could never finish (RULES R5.7). Nodes are
// acyclic and windows reach back only, so order, gate and dependencies can
// wait for each other in one way alone: descending, under gate day, a window
// reaches into a later position of the same group.
func (p *Plan) checkCircle() error {
	if p.Request.Order != wire.Request_DESCENDING || p.Request.Gate != wire.Request_DAY {
		return nil
	}
	for i := range p.Nodes {
		for _, e := range p.Nodes[i].Up {
			if e.Window == nil {
				continue
			}
			if a, b, ok := p.reaches(i, e); ok {
				n, u := p.Nodes[i].Spec.Id, p.Nodes[e.Node].Spec.Id
				return fault.Field("order", "the backfill could never finish: %s on %s waits for %s on %s (its window of dates), "+
					"which comes after it in the group and waits for all of %s (gate day): use ascending order, gate node, or more groups",
					n, a, u, b, a)
			}
		}
	}
	return nil
}

// reaches finds two dates of one group, both with instances, of which the
// first waits for the second through a window of node n.
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

// empty says that a node has no instance on a position.
func (p *Plan) empty(pos, n int) bool {
	from, to := p.NodeRange(pos, n)
	return from == to
}

// Warnings are what a submitter should know although it is no error.
func (p *Plan) Warnings() []string {
	var out []string
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Spec.DependsOnSelf && p.Request.Order == wire.Request_DESCENDING {
			out = append(out, fmt.Sprintf("node %s depends on itself: in descending order a date does not wait for the one before it in this backfill, only for what ran outside it (RULES R5.5)", n.Spec.Id))
		}
	}
	future := 0
	for _, d := range p.Dates {
		if d >= p.Generated {
			future++
		}
	}
	if future > 0 && !p.Request.RunFutureEarly {
		out = append(out, fmt.Sprintf("%d of %d dates lie in the future: their instances wait for their scheduled time", future, len(p.Dates)))
	}
	if g := p.Request.Groups; int(g) > len(p.Dates) {
		out = append(out, fmt.Sprintf("%d groups for %d dates: one group for each date", g, len(p.Dates)))
	}
	if w := p.crossing(); w != "" {
		out = append(out, w)
	}
	return out
}

// crossing warns of groups that windows of dates chain together: a group that
// cannot pass its first date before the one before it is almost done.
func (p *Plan) crossing() string {
	if p.Request.Order != wire.Request_ASCENDING || p.Request.Gate != wire.Request_DAY {
		return ""
	}
	for _, g := range p.Groups[1:] {
		for i := range p.Nodes {
			for _, e := range p.Nodes[i].Up {
				if e.Window == nil {
					continue
				}
				d := p.Dates[g.From]
				from, _ := window(e.Window, d)
				pos := sort.Search(g.From, func(i int) bool { return p.Dates[i] >= from })
				if pos < g.From {
					return fmt.Sprintf("node %s on %s waits for %s on %s, in the group before: such windows make the groups run one after another (gate node lets the nodes early in the graph run ahead)",
						p.Nodes[i].Spec.Id, d, p.Nodes[e.Node].Spec.Id, p.Dates[pos])
				}
			}
		}
	}
	return ""
}

// DefaultName is the first part of a backfill's default name; the number of
// that day is appended in the log (RULES R11).
func DefaultName(req *wire.Request, today calendar.Date) string {
	return req.Root + "_" + today.Compact() + "_"
}

// Zones resolves the rules of every time zone that a request can need. load
// finds a zone by its IANA name. Only the leader calls it: the result stands
// in the log.
func Zones(req *wire.Request, g *node.Graph, clusterZone string, today calendar.Date, load func(string) (*time.Location, error)) ([]*wire.Zone, error) {
	all, err := dates(req)
	if err != nil {
		return nil, err
	}
	from, to := all[0], all[len(all)-1]
	from, to = min(from, to, today), max(from, to, today) // today: for the priority rule
	sel, err := node.Select(g, req, node.Scope{})
	if err != nil {
		return nil, err
	}
	var out []*wire.Zone
	seen := map[string]bool{}
	add := func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		loc, err := load(name)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "time zone %q is not known: expected an IANA name such as Asia/Shanghai", name)
		}
		z := calendar.ResolveZone(loc, from, to)
		z.Name = name
		out = append(out, WireZone(z))
		return nil
	}
	if err := add(clusterZone); err != nil {
		return nil, err
	}
	for _, c := range sel.Nodes {
		if name := g.Node(int(c.Index)).Spec.Schedule.GetZone(); name != "" {
			if err := add(name); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
