package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// EditInput is all that a change of a plan is a function of, beside the change.
type EditInput struct {
	NowMs   int64
	Graph   *node.Graph
	Version func(nodeID string) uint64
	Scope   node.Scope // what the one who changes it may run
}

// Change is a field of a plan that an edit changes, in words.
type Change struct {
	Field, From, To string
}

// Difference is what an edit does to a plan (RULES R9). Positions and Nodes say
// where the dates and nodes of the plan as it was stand now: both only grow,
// and keep their order or not, while the numbers of instances stay.
type Difference struct {
	Changes      []Change
	AddedDates   []calendar.Date // ascending
	DroppedDates []calendar.Date // ascending
	AddedNodes   []string        // those asked for, and what lies between them and the others
	DroppedNodes []string
	First, Added uint64 // the new numbers: Added of them, from First on
	Positions    []int  // of each old position
	Nodes        []int  // of each old index of a node
}

// String is the difference in one line, as the plan's log shows it.
func (d *Difference) String() string {
	var out []string
	for _, c := range d.Changes {
		out = append(out, fmt.Sprintf("%s: %s → %s", c.Field, c.From, c.To))
	}
	list := func(what string, n int, first string) {
		if n > 0 {
			if n > 1 {
				first += fmt.Sprintf(" and %d more", n-1)
			}
			out = append(out, what+" "+first)
		}
	}
	dates := func(what string, all []calendar.Date) {
		if len(all) > 0 {
			list(what, len(all), all[0].String())
		}
	}
	dates("dates added:", d.AddedDates)
	dates("dates dropped:", d.DroppedDates)
	if len(d.AddedNodes) > 0 {
		list("nodes added:", len(d.AddedNodes), d.AddedNodes[0])
	}
	if len(d.DroppedNodes) > 0 {
		list("nodes dropped:", len(d.DroppedNodes), d.DroppedNodes[0])
	}
	if d.Added > 0 {
		out = append(out, fmt.Sprintf("%d instances more", d.Added))
	}
	return strings.Join(out, "; ")
}

// Edit makes the plan that an edit gives, and says what it changes. The plan
// itself stays as it is. Instances keep their numbers; the new ones come after
// the last. What is dropped becomes a dry run as far as it has not started.
// Errors name the field of the edit; a change that changes nothing is one
// (RULES R9).
func (p *Plan) Edit(e *wire.EditPlan, in EditInput) (*Plan, Difference, error) {
	if p.Auto {
		return nil, Difference{}, fault.New(fault.Conflict, "%s is a date of the schedule: change its nodes instead, or submit a backfill", p.Name)
	}
	ed := &editor{p: p, e: e, in: in, r: p.editable()}
	for _, step := range []func() error{ed.options, ed.dates, ed.nodes, ed.left, ed.blocks} {
		if err := step(); err != nil {
			return nil, Difference{}, err
		}
	}
	d := &ed.d
	if len(d.Changes)+len(d.AddedDates)+len(d.DroppedDates)+len(d.AddedNodes)+len(d.DroppedNodes) == 0 {
		return nil, Difference{}, fault.New(fault.Invalid, "the edit leaves the backfill as it is: name something to change")
	}
	out, err := Expand(ed.r, compiledBy(ed.r, p, in.Graph))
	if err == nil {
		err = out.sound()
	}
	if err != nil {
		return nil, Difference{}, err
	}
	d.First, d.Added = p.Size(), out.Size()-p.Size()
	d.Positions, d.Nodes = make([]int, len(p.Dates)), make([]int, len(p.Nodes))
	for i, date := range p.Dates {
		d.Positions[i], _ = out.Position(date)
	}
	for i := range p.Nodes {
		d.Nodes[i] = out.index[p.Nodes[i].Spec.Id]
	}
	return out, *d, nil
}

// editable is the plan's record with its blocks written out, a request that may
// be changed and lists that may grow.
func (p *Plan) editable() *wire.PlanRecord {
	r := p.Record()
	r.Request = proto.CloneOf(r.Request)
	if r.Blocks = slices.Clone(r.Blocks); len(r.Blocks) == 0 {
		r.Blocks = []*wire.PlanBlock{{Dates: ranges(p.Dates), Nodes: names(r.Nodes), AcceptedMs: r.AcceptedMs, Generated: r.Generated}}
	}
	return r
}

// editor is one edit while it is made.
type editor struct {
	p  *Plan
	e  *wire.EditPlan
	in EditInput
	r  *wire.PlanRecord
	d  Difference
}

// options changes what bears on the plan as a whole.
func (ed *editor) options() error {
	e, req := ed.e, ed.r.Request
	number := func(field string, to *int32, v *int32) {
		if v != nil && *v != *to {
			ed.change(field, strconv.Itoa(int(*to)), strconv.Itoa(int(*v)))
			*to = *v
		}
	}
	if e.Groups != nil && *e.Groups < 1 {
		return fault.Field("groups", "%d groups: expected 1 or more", *e.Groups)
	}
	if req.Groups == 0 {
		req.Groups = 1
	}
	number("groups", &req.Groups, e.Groups)
	number("maxRunning", &req.MaxRunning, e.MaxRunning)
	number("priority", &req.Priority, e.Priority)
	if g := e.ResourceGroup; g != nil && *g != req.ResourceGroup {
		ed.change("resourceGroup", cmp.Or(req.ResourceGroup, "each node's own"), cmp.Or(*g, "each node's own"))
		req.ResourceGroup = *g
	}
	if e.AnyTime && e.Period != nil {
		return fault.Field("period", "a period and anyTime: say one of the two")
	}
	if e.AnyTime {
		if req.Period != nil {
			ed.change("period", periodText(req.Period), "any time")
		}
		req.Period, req.Zone = nil, ""
	}
	if e.Period != nil {
		if !proto.Equal(e.Period, req.Period) {
			ed.change("period", periodText(req.Period), periodText(e.Period))
		}
		req.Period = e.Period
	}
	return checkChangeable(req, e.MaxGroups)
}

func (ed *editor) change(field, from, to string) {
	ed.d.Changes = append(ed.d.Changes, Change{field, from, to})
}

func periodText(w *wire.Period) string {
	if w == nil {
		return "any time"
	}
	end := "24:00"
	if w.End < midnight {
		end = calendar.Clock(w.End).String()
	}
	day := "daily"
	if w.Cycle == wire.Period_WEEKEND {
		day = "weekend"
	}
	return day + " " + calendar.Clock(w.Start).String() + "–" + end
}

// dates adds and drops dates.
func (ed *editor) dates() error {
	if err := cmp.Or(checkRanges("addDates", ed.e.AddDates), checkRanges("dropDates", ed.e.DropDates)); err != nil {
		return err
	}
	p := ed.p
	add, err := dates(ed.e.AddDates, false)
	if err != nil {
		return err
	}
	drop, err := dates(ed.e.DropDates, false)
	if err != nil {
		return err
	}
	for _, d := range add {
		pos, ok := p.Position(d)
		switch _, both := slices.BinarySearch(drop, d); {
		case both:
			return fault.Field("dropDates", "%s is among the dates to add as well: say one of the two", d)
		case !ok:
			ed.d.AddedDates = append(ed.d.AddedDates, d)
		case p.DateDropped(pos):
			return fault.Field("addDates", "%s was dropped from this backfill, and its instances keep their numbers: submit a backfill of its own for it", d)
		}
	}
	if len(add) > 0 && len(ed.d.AddedDates) == 0 {
		return fault.Field("addDates", "the backfill has them all already, %s for one", add[0])
	}
	for _, d := range drop {
		pos, ok := p.Position(d)
		if !ok {
			return fault.Field("dropDates", "%s is not in the backfill", d)
		}
		if !p.DateDropped(pos) {
			ed.d.DroppedDates = append(ed.d.DroppedDates, d)
		}
	}
	if len(drop) > 0 && len(ed.d.DroppedDates) == 0 {
		return fault.Field("dropDates", "they are dropped already, %s for one", drop[0])
	}
	if len(ed.d.AddedDates) > 0 {
		ed.r.Request.Dates = ranges(slices.Concat(p.Dates, ed.d.AddedDates))
	}
	if len(ed.d.DroppedDates) > 0 {
		was, err := dates(ed.r.DroppedDates, false)
		if err != nil {
			return err
		}
		ed.r.DroppedDates = ranges(slices.Concat(was, ed.d.DroppedDates))
	}
	return nil
}

// nodes adds and drops nodes. What lies between an added node and the plan's
// own comes with it as a dry run (RULES R2.6).
func (ed *editor) nodes() error {
	p, g := ed.p, ed.in.Graph
	for k, id := range ed.e.DropNodes {
		field := "dropNodes[" + strconv.Itoa(k) + "]"
		i, ok := p.index[id]
		switch {
		case !ok:
			return fault.Field(field, "node %q is not in the backfill", id)
		case p.droppedNode != nil && p.droppedNode[i]:
			return fault.Field(field, "node %q is dropped already", id)
		case slices.Contains(ed.e.DropNodes[:k], id):
			return fault.Field(field, "node %q stands there twice", id)
		}
		ed.d.DroppedNodes = append(ed.d.DroppedNodes, id)
	}
	ed.r.DroppedNodes = slices.Concat(ed.r.DroppedNodes, ed.d.DroppedNodes)
	asked := make(map[string]bool, len(ed.e.AddNodes))
	for k, id := range ed.e.AddNodes {
		field := "addNodes[" + strconv.Itoa(k) + "]"
		if asked[id] {
			return fault.Field(field, "node %q stands there twice", id)
		}
		asked[id] = true
		if err := ed.mayAdd(field, id); err != nil {
			return err
		}
	}
	ed.d.AddedNodes = addedNodes(p, ed.e.AddNodes, g)
	if len(ed.d.AddedNodes) == 0 {
		return nil
	}
	for _, id := range ed.d.AddedNodes {
		i, _ := g.Index(id)
		spec := g.Node(i).Spec
		n := &wire.PlanNode{Spec: spec, Version: ed.in.Version(id)}
		switch {
		case !asked[id]:
			n.DryRun = wire.DryRun_NOT_CHOSEN
		case ed.r.Request.DryRun:
			n.DryRun = wire.DryRun_REQUESTED
		}
		ed.r.Nodes = append(ed.r.Nodes, n)
	}
	if ed.r.Nodes = order(ed.r.Nodes); ed.r.Nodes == nil {
		return fault.Field("addNodes", "the nodes to add and those of the backfill, as it pins them, wait for each other in a circle: submit a backfill of their own")
	}
	ed.levels()
	ed.r.Outside = joinOutside(ed.r.Outside, outsiders(ed.r.Nodes, false, g))
	return nil
}

// levels gives the added nodes their distance from what the plan had.
func (ed *editor) levels() {
	at := make(map[string]*wire.PlanNode, len(ed.r.Nodes))
	for _, n := range ed.r.Nodes {
		at[n.Spec.Id] = n
		if _, old := ed.p.index[n.Spec.Id]; old {
			continue
		}
		level := int32(-1)
		for _, u := range n.Spec.Upstreams {
			if up := at[u.Node]; up != nil && !u.Previous && (level < 0 || up.Level+1 < level) {
				level = up.Level + 1
			}
		}
		n.Level = max(level, 0)
	}
}

// mayAdd refuses a node that cannot be added.
func (ed *editor) mayAdd(field, id string) error {
	if i, ok := ed.p.index[id]; ok {
		as := ""
		if dry := ed.p.Nodes[i].DryRun; dry != wire.DryRun_DRY_RUN_NONE || slices.Contains(ed.r.DroppedNodes, id) {
			as = ", as a dry run"
		}
		return fault.Field(field, "node %q is in the backfill already%s: submit a backfill of its own to run it", id, as)
	}
	i, ok := ed.in.Graph.Index(id)
	if !ok {
		err := fault.Field(field, "there is no node %q: expected the id of a node", id)
		err.Code = fault.NotFound
		return err
	}
	if ws := ed.in.Graph.Node(i).Spec.Workspace; ed.in.Scope.Restricted && !ed.in.Scope.Allowed[ws] {
		err := fault.Field(field, "you may not run node %q of workspace %q: leave it out, or ask for the right to", id, ws)
		err.Code = fault.Denied
		return err
	}
	return nil
}

// addedNodes are the nodes asked for and those between them and the plan's that
// the plan has not yet, in the graph's order.
func addedNodes(p *Plan, ids []string, g *node.Graph) []string {
	if len(ids) == 0 {
		return nil
	}
	all, seen := &wire.Request{Mode: wire.Request_ADVANCED}, make(map[string]bool, len(p.Nodes))
	for _, id := range slices.Concat(names(p.Record().Nodes), ids) {
		if _, ok := g.Index(id); ok && !seen[id] {
			all.Nodes, seen[id] = append(all.Nodes, id), true
		}
	}
	sel, err := node.Select(g, all, node.Scope{})
	if err != nil {
		return nil // not one of them is in the graph any more
	}
	var out []string
	for _, c := range sel.Nodes {
		if _, has := p.index[c.ID]; !has {
			out = append(out, c.ID)
		}
	}
	return out
}

// left refuses an edit that leaves nothing to run.
func (ed *editor) left() error {
	if dropped, err := dates(ed.r.DroppedDates, false); err != nil {
		return err
	} else if len(dropped) >= len(ed.p.Dates)+len(ed.d.AddedDates) {
		return fault.Field("dropDates", "no date would be left: stop the backfill instead")
	}
	if len(ed.r.DroppedNodes) >= len(ed.r.Nodes) {
		return fault.Field("dropNodes", "no node would be left: stop the backfill instead")
	}
	return nil
}

// blocks numbers what is new: the added dates with all nodes, and the dates
// that there were with the added nodes. What is dropped gets nothing more.
func (ed *editor) blocks() error {
	dropped := make(map[string]bool, len(ed.r.DroppedNodes))
	for _, id := range ed.r.DroppedNodes {
		dropped[id] = true
	}
	more := func(ds []calendar.Date, nodes []string) {
		ds = slices.DeleteFunc(slices.Clone(ds), func(d calendar.Date) bool { return within(ed.r.DroppedDates, d) })
		nodes = slices.DeleteFunc(nodes, func(id string) bool { return dropped[id] })
		if len(ds) > 0 && len(nodes) > 0 {
			ed.r.Blocks = append(ed.r.Blocks, &wire.PlanBlock{Dates: ranges(ds), Nodes: nodes, AcceptedMs: ed.in.NowMs, Generated: ed.e.Today})
		}
	}
	more(ed.d.AddedDates, names(ed.r.Nodes))
	more(ed.p.Dates, names(ed.p.lacking(ed.r.Nodes)))
	if len(ed.r.Blocks) > maxBlocks {
		return fault.New(fault.TooLarge, "the backfill has been extended %d times: submit another one", len(ed.r.Blocks))
	}
	if len(ed.r.Blocks) == 1 {
		ed.r.Blocks = nil
	}
	ed.r.Zones = joinZones(ed.r.Zones, ed.e.Zones, slices.Min(ed.p.Dates), slices.Max(ed.p.Dates))
	return nil
}
