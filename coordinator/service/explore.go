package service

import (
	"context"
	"slices"
	"strings"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/params"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Date implements server.Explorer.
func (s *Service) Date(_ context.Context, planID uint64, date calendar.Date) (*v1.DateProgress, error) {
	r := s.read()
	p, err := r.plan(planID)
	if err != nil {
		return nil, err
	}
	pos, ok := p.Position(date)
	if !ok {
		return nil, fault.New(fault.NotFound, "backfill %s has no date %s", plan.FormatID(planID), date)
	}
	out := r.motion(p).dateProgress(p.Group(pos), pos)
	return &out, nil
}

// ScheduleDay implements server.Explorer.
func (s *Service) ScheduleDay(_ context.Context, date calendar.Date) (*v1.ScheduleDay, error) {
	r := s.read()
	p, ok := r.st.AutoPlan(date)
	if !ok {
		return nil, fault.New(fault.NotFound, "the schedule has no day %s: it was not generated yet, or is forgotten", date)
	}
	m := r.motion(p)
	shown := m.plan()
	return &v1.ScheduleDay{Date: date.String(), Plan: r.summary(m, shown, m.TimedIn(0, len(p.Dates)))}, nil
}

// SearchInstances implements server.Explorer. A page may be short, even empty, and
// have a Next. Its cursor names the plan that it ended in and, where that goes
// on, the cursor within it.
func (s *Service) SearchInstances(_ context.Context, plans server.PlanQuery, f server.InstanceFilter, page server.Page) ([]v1.Instance, server.Next, error) {
	return s.read().searchInstances(plans, f, page)
}

func (r *reading) searchInstances(plans server.PlanQuery, f server.InstanceFilter, page server.Page) ([]v1.Instance, server.Next, error) {
	plans.Nodes = f.Nodes // whoever has none of them is passed over
	list := listName("search", "", struct {
		Plans     server.PlanQuery
		Instances server.InstanceFilter
	}{plans, f})
	at, err := after(page, list)
	if err != nil {
		return nil, "", err
	}
	text, within, goesOn := strings.Cut(at, "/")
	id, err := idBelow(text)
	if err != nil {
		return nil, "", err
	}
	below := id
	if goesOn {
		below++
	}
	search := r.search(plans)
	var out []v1.Instance
	last := ""
	for key, p := range search.newest("", below) {
		if last != "" && (len(out) == page.Limit || r.spent() || !r.spend()) {
			return out, cursor(list, last), nil
		}
		last = key
		if !search.keeps(p) {
			continue
		}
		inner := server.Page{Limit: page.Limit - len(out)}
		if goesOn && p.ID == id {
			inner.Cursor = within
		}
		found, next, err := r.instances(p, f, inner)
		if err != nil {
			return nil, "", err
		}
		out = append(out, found...)
		if next != "" {
			return out, cursor(list, key+"/"+next), nil
		}
	}
	return out, "", nil
}

// Attempts implements server.Explorer.
func (s *Service) Attempts(_ context.Context, planID, number uint64) ([]v1.Attempt, error) {
	r := s.read()
	p, _, err := r.place(planID, number)
	if err != nil {
		return nil, err
	}
	return r.attempts(p, number), nil
}

// place finds an instance.
func (r *reading) place(planID, number uint64) (*state.Plan, plan.Place, error) {
	p, err := r.plan(planID)
	if err != nil {
		return nil, plan.Place{}, err
	}
	at, ok := p.Locate(number)
	if !ok {
		return nil, plan.Place{}, noInstance(p, number)
	}
	return p, at, nil
}

// Relatives implements server.Explorer.
func (s *Service) Relatives(_ context.Context, planID, number uint64, down bool, page server.Page) (*v1.RelativePage, error) {
	r := s.read()
	p, at, err := r.place(planID, number)
	if err != nil {
		return nil, err
	}
	if down {
		return r.downstreams(p, at, number, page)
	}
	out, err := r.upstreams(p, at, number, page)
	if err == nil && page.Cursor == "" {
		out.Outside = s.outside(r, p, at)
	}
	return out, err
}

// upstreams lists what an instance waits for, one step up.
func (r *reading) upstreams(p *state.Plan, at plan.Place, number uint64, page server.Page) (*v1.RelativePage, error) {
	const list = "upstream"
	from, err := afterNumber(page, list)
	if err != nil {
		return nil, err
	}
	known := bits{}
	var found []uint64
	p.Upstreams(at, func(_ int, lo, hi uint64) bool {
		for i := max(lo, from); i < hi && r.glance(); i++ {
			if !known.any(i, i+1) {
				known.add(i)
				found = append(found, i)
			}
		}
		return true
	})
	slices.Sort(found)
	out := &v1.RelativePage{Items: []v1.Relative{}}
	for _, i := range found {
		if len(out.Items) == page.Limit || r.spent() {
			out.Next = numberCursor(list, lastRelative(out))
			break
		}
		out.Items = append(out.Items, r.relative(p, i, p.Nodes[at.Node].Spec, i, number))
	}
	return out, nil
}

func lastRelative(out *v1.RelativePage) uint64 {
	_, number, _ := convert.ParseInstanceID(out.Items[len(out.Items)-1].Instance.ID)
	return number
}

// relative shows one of two instances, of which waits waits for up. n is the node
// of the one that waits.
func (r *reading) relative(p *state.Plan, shown uint64, n *wire.Node, up, waits uint64) v1.Relative {
	place, _ := p.Locate(up)
	id := p.Nodes[place.Node].Spec.Id
	out := v1.Relative{Relation: v1.RelationPreviousCycle, Instance: r.instance(p, shown), Removed: p.Removed(waits, id)}
	switch {
	case id == n.Id:
		out.Relation = v1.RelationSelf
	case slices.ContainsFunc(n.Upstreams, func(u *wire.Upstream) bool { return u.Node == id && !u.Previous }):
		out.Relation = v1.RelationUpstream
	}
	return out
}

// outsideMost is how many partitions outside a backfill are named.
const outsideMost = 100

// outside names what an instance reads that its plan has not (RULES R2.7).
func (s *Service) outside(r *reading, p *state.Plan, at plan.Place) (list []v1.OutsidePartition) {
	a := &ahead{s: s, reading: r, p: p.Plan}
	p.Outside(at.Pos, at.Node, func(id string, d calendar.Date) bool {
		one := v1.OutsidePartition{Node: id, Date: d.String(), State: v1.PartitionStateMissing}
		if i, ok := r.st.Graph().Index(id); ok {
			switch written, failed := a.written(r.st.Graph().Node(i), d); {
			case written:
				one.State = v1.PartitionStateWritten
			case failed:
				one.State = v1.PartitionStateFailed
			}
		}
		list = append(list, one)
		return len(list) < outsideMost && r.spend()
	})
	return list
}

// downstreams lists what waits for an instance, one step down: whatever may is
// asked, in the order of numbers.
func (r *reading) downstreams(p *state.Plan, at plan.Place, number uint64, page server.Page) (*v1.RelativePage, error) {
	const list = "downstream"
	from, since, err := instanceCursor(page, list, false)
	if err != nil {
		return nil, err
	}
	d := &descent{p: p, nodes: nextNodes(p)[at.Node]}
	slices.Sort(d.nodes)
	d.nodes = slices.Compact(d.nodes)
	date := p.Dates[at.Pos]
	w := &walk{p: p.Plan, nodes: d.nodes, from: from, since: since, glance: r.glance, skip: func(int) bool { return false }}
	if reach, bounded := d.reach(); bounded {
		last := date + reach
		w.f.From, w.f.To = &date, &last
	}
	out := &v1.RelativePage{Items: []v1.Relative{}}
	w.each(func(i uint64) bool {
		if !r.spend() || !r.glance() {
			out.Next = numberCursor(list, i) + atIt
			return false
		}
		place, _ := p.Locate(i)
		waits := false
		p.Upstreams(place, func(_ int, lo, hi uint64) bool {
			waits = waits || lo <= number && number < hi
			return !waits
		})
		switch {
		case !waits:
		case len(out.Items) == page.Limit:
			out.Next = numberCursor(list, lastRelative(out))
			return false
		default:
			out.Items = append(out.Items, r.relative(p, i, p.Nodes[place.Node].Spec, number, i))
		}
		return true
	})
	return out, nil
}

// renderMost bounds the code of a page.
const renderMost = 4 << 20

// Render implements server.Explorer: a backfill of the node alone is accepted on
// trial, so that the values are those that it would have.
func (s *Service) Render(_ context.Context, id string, date calendar.Date, page server.Page) (*v1.NodeRenderingPage, error) {
	const list = "rendering"
	from, err := afterNumber(page, list)
	if err != nil {
		return nil, err
	}
	r := s.read()
	if _, ok := r.st.Node(id); !ok {
		return nil, fault.New(fault.NotFound, "there is no node %q", id)
	}
	sub, err := s.submission(r.st, server.Write{}, &wire.Request{
		Mode: wire.Request_CURRENT, Root: id, Dates: []*wire.DateRange{{From: int32(date), To: int32(date)}},
	})
	if err != nil {
		return nil, err
	}
	p, err := r.st.BuildPlan("", r.nowMs, sub)
	if err != nil {
		return nil, err
	}
	n := p.Nodes[0].Spec
	out := &v1.NodeRenderingPage{Node: id, Date: date.String(), Zone: p.Nodes[0].Zone.Name, Items: []v1.NodeRendering{}}
	size := 0
	for i := from; i < p.Size(); i++ {
		if len(out.Items) == page.Limit || size > renderMost {
			out.Next = numberCursor(list, i-1) // there is one before it
			break
		}
		at, _ := p.Locate(i)
		one := v1.NodeRendering{ScheduledTime: scheduled(p, at), DryRun: dryRunWords[p.Dry(at)], Values: []v1.Assignment{}}
		values, err := p.Values(at)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "node %q on %s: its parameters have no value", id, date)
		}
		one.Values = append(one.Values, assignments(values)...)
		if one.Code, err = code(n, p.Context(at), values); err != nil {
			one.CodeError = err.Error()
		}
		size += len(one.Code)
		out.Items = append(out.Items, one)
	}
	return out, nil
}

// code is the code of a node as an agent would have it.
func code(n *wire.Node, at params.Context, values []params.Assignment) (string, error) {
	texts := node.Texts(n)
	k := slices.IndexFunc(texts, func(t node.Text) bool { return t.Field == "code" })
	if k < 0 {
		return n.Code, nil
	}
	names := make([]string, len(values))
	for i := range values {
		names[i] = values[i].Name
	}
	dialect := params.DataWorks
	if n.Dialect != "" {
		dialect = params.Dialect(n.Dialect)
	}
	compiled, _, err := texts[k].Compile(dialect, names)
	if err != nil {
		return "", err
	}
	return compiled.Expand(at, values)
}
