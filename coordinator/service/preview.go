package service

import (
	"cmp"
	"context"
	"slices"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Preview implements server.Reads.
func (s *Service) Preview(ctx context.Context, w server.Write, request *wire.Request, f server.InstanceFilter, page server.Page) (*v1.Preview, error) {
	const list = "preview"
	from, err := afterNumber(page, list)
	if err != nil {
		return nil, err
	}
	r := s.read()
	sub, err := s.submission(r.st, w, request)
	if err != nil {
		return nil, err
	}
	p, err := r.st.BuildPlan("", r.nowMs, sub)
	if err != nil {
		return nil, err
	}
	if err := inPlan(p, f.Nodes); err != nil {
		return nil, err
	}
	totals := p.Totals()
	out := &v1.Preview{
		Name: p.Name, Today: p.Generated.String(), Zone: s.Zone, Dates: len(p.Dates), Totals: shownTotals(totals),
		Groups: previewGroups(p), Nodes: previewNodes(p), Priorities: priorities(totals), Instances: []v1.PreviewInstance{},
		Warnings: warnings(append(p.Warnings(), r.st.Overlaps(p)...)),
	}
	a := &ahead{s: s, reading: r, p: p, out: out}
	a.look(ctx, sub, page.Cursor == "")
	shown := newWalk(p, f, from, func(int) bool { return false })
	shown.each(func(i uint64) bool {
		if n := len(out.Instances); n == page.Limit {
			out.Next = numberCursor(list, out.Instances[n-1].Number)
			return false
		}
		var one v1.PreviewInstance
		one, err = previewInstance(p, i)
		out.Instances = append(out.Instances, one)
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func previewInstance(p *plan.Plan, i uint64) (v1.PreviewInstance, error) {
	at, _ := p.Locate(i)
	n := &p.Nodes[at.Node]
	values, err := p.Values(at)
	if err != nil {
		return v1.PreviewInstance{}, fault.Wrap(err, fault.Invalid, "node %q on %s: its parameters have no value", n.Spec.Id, p.Dates[at.Pos])
	}
	return v1.PreviewInstance{
		Number: i, Node: n.Spec.Id, Date: p.Dates[at.Pos].String(), ScheduledTime: scheduled(p, at), Due: moment(p.DueMs(at)),
		Group: p.Group(at.Pos) + 1, Priority: int(p.Priority(at)), DryRun: dryRunWords[p.Dry(at)], Values: assignments(values),
	}, nil
}

func shownTotals(t plan.Totals) v1.PreviewTotals {
	return v1.PreviewTotals{
		Instances: int64(t.Instances), Asked: int64(t.Instances - t.Bridges), Bridges: int64(t.Bridges),
		DryRun: int64(t.DryRun), DueLater: int64(t.DueLater),
	}
}

func previewGroups(p *plan.Plan) []v1.PreviewGroup {
	out := []v1.PreviewGroup{}
	for g, span := range p.Groups {
		var n uint64
		for pos := span.From; pos < span.To; pos++ {
			n += p.DateSize(pos)
		}
		out = append(out, v1.PreviewGroup{
			Group: g + 1, Dates: span.To - span.From, First: p.Dates[span.From].String(), Last: p.Dates[span.To-1].String(),
			Instances: int64(n),
		})
	}
	return out
}

func previewNodes(p *plan.Plan) []v1.PreviewNode {
	out := []v1.PreviewNode{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		out = append(out, v1.PreviewNode{
			Node: n.Spec.Id, Name: n.Spec.Name, Level: int(n.Level), Chosen: n.DryRun != wire.DryRun_NOT_CHOSEN,
			DryRun: dryRunWords[p.DryNode(i)], Instances: int64(p.NodeSize(i)), ResourceGroup: p.ResourceGroup(i),
			Units: previewUnits(p, i),
		})
	}
	return out
}

// previewUnits are those of a logical node that runs (RULES R12.2).
func previewUnits(p *plan.Plan, i int) []v1.PreviewUnit {
	if p.DryNode(i) != wire.DryRun_DRY_RUN_NONE {
		return nil
	}
	var out []v1.PreviewUnit
	for _, u := range p.Choice(i) {
		out = append(out, v1.PreviewUnit{Unit: u.Unit, Runs: u.Runs, Why: u.Why})
	}
	return out
}

// priorities lists how many instances have each priority, the most urgent
// first.
func priorities(t plan.Totals) []v1.PriorityCount {
	out := []v1.PriorityCount{}
	for priority, n := range t.Priority {
		if n > 0 {
			out = append(out, v1.PriorityCount{Priority: int(priority), Instances: int64(n)})
		}
	}
	slices.SortFunc(out, func(a, b v1.PriorityCount) int { return cmp.Compare(b.Priority, a.Priority) })
	return out
}
