package naive

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// edit changes a plan, or says why it cannot be (RULES R9).
func (w *world) edit(e *wire.EditPlan) (*program, error) {
	p := w.plans[e.Plan]
	if p == nil || p.auto || !p.unfinished() {
		return nil, fmt.Errorf("no plan that can be changed")
	}
	next := p.copy()
	changed := next.options(e)
	if next.req.Groups < 1 || next.req.Groups > 10 || next.req.MaxRunning < 0 || e.AnyTime && e.Period != nil {
		return nil, fmt.Errorf("a number out of range")
	}
	add, drop := days(e.AddDates), days(e.DropDates)
	fresh := map[int32]bool{}
	for d := range add {
		if drop[d] || p.gone[d] {
			return nil, fmt.Errorf("a date that is added and dropped")
		}
		if !p.has[d] {
			fresh[d] = true
		}
	}
	gone := len(p.gone)
	for d := range drop {
		if !p.has[d] {
			return nil, fmt.Errorf("a date to drop that the plan has not")
		}
		next.gone[d] = true
	}
	if len(add) > 0 && len(fresh) == 0 || len(drop) > 0 && len(next.gone) == gone {
		return nil, fmt.Errorf("dates that change nothing")
	}
	more, err := w.editNodes(next, e)
	if err != nil {
		return nil, err
	}
	if !changed && len(fresh)+len(drop)+len(more)+len(e.DropNodes) == 0 {
		return nil, fmt.Errorf("nothing changes")
	}
	if len(next.gone) == len(p.has)+len(fresh) || len(next.left) == len(next.specs) {
		return nil, fmt.Errorf("nothing is left")
	}
	next.extend(w, fresh, more)
	if err := next.finishes(); err != nil {
		return nil, err
	}
	if err := w.overlaps(next); err != nil && p.req.Overlap == wire.Request_OVERLAP_REFUSE {
		return nil, err
	}
	for _, r := range p.rows { // a dry run that stayed frozen would hold the rest for ever
		dropped := next.gone[r.date] && !p.gone[r.date] || next.left[r.node] && !p.left[r.node]
		switch {
		case dropped && r.status.ice():
			r.status = r.before
		case dropped && r.ahead:
			r.icing, r.recalled = false, r.recalled || !r.wanted()
		}
	}
	*p = *next
	p.waitsFor = nil // it was found with next
	for _, r := range p.rows {
		r.p = p
	}
	w.touch()
	return p, nil
}

// copy is a plan that may be changed; its rows are the plan's.
func (p *program) copy() *program {
	next := *p
	next.req = proto.CloneOf(p.req)
	next.has, next.gone, next.left = maps.Clone(p.has), maps.Clone(p.gone), maps.Clone(p.left)
	next.specs, next.why = maps.Clone(p.specs), maps.Clone(p.why)
	next.outside, next.children = maps.Clone(p.outside), map[string][]string{}
	for id, c := range p.children {
		next.children[id] = slices.Clone(c)
	}
	next.rows, next.byDay, next.byNode, next.waitsFor = nil, map[day][]*row{}, map[string][]*row{}, nil
	next.accepted = slices.Clone(p.accepted)
	for _, r := range p.rows {
		next.rows = append(next.rows, r)
		k := day{r.node, r.date}
		next.byDay[k] = append(next.byDay[k], r)
		next.byNode[r.node] = append(next.byNode[r.node], r)
	}
	return &next
}

// options changes what bears on the plan as a whole.
func (p *program) options(e *wire.EditPlan) bool {
	was := proto.CloneOf(p.req)
	was.Groups = max(1, was.Groups)
	p.req.Groups = was.Groups
	if e.Groups != nil {
		p.req.Groups = *e.Groups
	}
	if e.MaxRunning != nil {
		p.req.MaxRunning = *e.MaxRunning
	}
	if e.ResourceGroup != nil {
		p.req.ResourceGroup = *e.ResourceGroup
	}
	if e.Priority != nil {
		p.req.Priority = *e.Priority
	}
	if e.Period != nil {
		p.req.Period = e.Period
	}
	if e.AnyTime {
		p.req.Period, was.Zone, p.req.Zone = nil, "", ""
	}
	return !proto.Equal(was, p.req)
}

// editNodes drops and adds nodes; those between the added and the others come
// with them (RULES R2.6).
func (w *world) editNodes(p *program, e *wire.EditPlan) (map[string]bool, error) {
	for _, n := range e.DropNodes {
		if p.specs[n] == nil || p.left[n] {
			return nil, fmt.Errorf("no node %s to drop", n)
		}
		p.left[n] = true
	}
	more := map[string]bool{}
	for _, n := range e.AddNodes {
		if p.specs[n] != nil || w.nodes[n] == nil || e.Restricted && !slices.Contains(e.Workspaces, w.nodes[n].Workspace) {
			return nil, fmt.Errorf("node %s cannot be added", n)
		}
		more[n] = true
	}
	all := maps.Clone(more)
	for n := range p.specs {
		if w.nodes[n] != nil {
			all[n] = true
		}
	}
	bridges := map[string]bool{}
	for n := range w.nodes {
		above, below := false, false
		for o := range all {
			above, below = above || w.after(n, o), below || w.after(o, n)
		}
		if len(more) > 0 && above && below && !all[n] {
			bridges[n] = true
		}
	}
	for n := range bridges {
		more[n] = true
		p.why[n] = wire.DryRun_NOT_CHOSEN
	}
	for n := range more {
		p.specs[n] = w.nodes[n]
		if t := p.req.TimeOfDay; t != nil && several(w.nodes[n]) && !someCycle(w.nodes[n], t) {
			return nil, fmt.Errorf("%s has no cycle in the time of day", n)
		}
	}
	if p.entangled() {
		return nil, fmt.Errorf("the nodes as they are and as they were make a circle")
	}
	return more, nil
}

// entangled says whether the nodes of a plan, some as they were and some as they
// are, wait for each other in a circle.
func (p *program) entangled() bool {
	done := map[string]bool{}
	for range p.specs {
		for id, s := range p.specs {
			if !slices.ContainsFunc(s.Upstreams, func(u *wire.Upstream) bool { return !u.Previous && p.specs[u.Node] != nil && !done[u.Node] }) {
				done[id] = true
			}
		}
	}
	return len(done) < len(p.specs)
}

// extend adds the new dates with all nodes, and the others with the new nodes.
func (p *program) extend(w *world, dates map[int32]bool, nodes map[string]bool) {
	stay := func(id string, _ *wire.Node) bool { return p.left[id] }
	all := maps.Clone(p.specs)
	maps.DeleteFunc(all, stay)
	old := maps.Clone(p.has)
	maps.DeleteFunc(old, func(d int32, _ bool) bool { return p.gone[d] })
	maps.Copy(p.has, dates)
	if len(dates) > 0 && len(all) > 0 {
		p.grow(w, dates, keys(all))
	}
	if len(nodes) > 0 && len(old) > 0 {
		p.grow(w, old, nodes)
	}
	if len(nodes) > 0 {
		p.remember(w)
	}
}

func (w *world) nextID() uint64 {
	return w.last + 1
}

// put takes a setting in.
func (w *world) put(c *wire.Command) error {
	switch b := c.Body.(type) {
	case *wire.Command_PutResourceGroup:
		g, slots := b.PutResourceGroup, 0
		for _, a := range w.agents {
			for _, s := range a.Groups {
				if a.State != wire.Agent_LOST && s.Group == g.Name {
					slots += int(s.Slots)
				}
			}
		}
		if slots > 0 && (int(g.ReserveForAuto) >= slots || g.BackfillMaxShare > 0 && slots*int(g.BackfillMaxShare) < 100) {
			return fmt.Errorf("R7.5: no slot would be left for backfills")
		}
		w.groups[g.Name] = g
	case *wire.Command_PutWorkspace:
		w.workspaces[b.PutWorkspace.Id] = b.PutWorkspace
	case *wire.Command_PutRegion:
		w.regions[b.PutRegion.Id] = b.PutRegion
	}
	return nil
}

// expire forgets plans.
func (w *world) expire(x *wire.Expire) error {
	for _, id := range x.Plans {
		if slices.ContainsFunc(w.plans[id].rows, func(r *row) bool { return r.status == running }) {
			return fmt.Errorf("b%d runs", id)
		}
	}
	for _, id := range x.Plans {
		for _, r := range w.plans[id].rows {
			delete(w.waits, r)
			delete(w.first, r)
		}
		delete(w.plans, id)
		w.order = slices.DeleteFunc(w.order, func(p *program) bool { return p.id == id })
	}
	w.touch()
	return nil
}
