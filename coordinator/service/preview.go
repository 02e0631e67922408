package service

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Preview implements server.Reads.
func (s *Service) Preview(_ context.Context, _ server.Write, request *wire.Request, f server.InstanceFilter, page server.Page) (*v1.Preview, error) {
	const list = "preview"
	from, err := afterNumber(page, list)
	if err != nil {
		return nil, err
	}
	r := s.read()
	sub, err := s.submission(r.st, request)
	if err != nil {
		return nil, err
	}
	p, err := r.st.BuildPlan("", r.nowMs, sub)
	if err != nil {
		return nil, err
	}
	if f.Node != "" {
		if _, ok := p.NodeIndex(f.Node); !ok {
			return nil, fault.Field("node", "node %q is not in the backfill: expected one of its nodes", f.Node)
		}
	}
	out := &v1.Preview{
		Name: p.Name, Today: p.Generated.String(), Zone: s.Zone, Dates: len(p.Dates), Totals: previewTotals(p, r.nowMs),
		Groups: previewGroups(p), Nodes: previewNodes(p), Priorities: priorities(p), Instances: []v1.PreviewInstance{},
		Warnings: slices.Concat(warnings(p.Warnings(), ""), warnings(r.st.Overlaps(p), "overlap"), s.missingUpstreams(r, p)),
	}
	walk(p, f, from, func(int) bool { return false }, func(i uint64) bool {
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
		Group: p.Group(at.Pos) + 1, Priority: int(p.Priority(at)), DryRun: dryRunWords[n.DryRun], Values: assignments(values),
	}, nil
}

// previewTotals counts a plan as it looks at a moment, before anything ran.
func previewTotals(p *plan.Plan, nowMs int64) v1.PreviewTotals {
	t := v1.PreviewTotals{Instances: int64(p.Size()), DueLater: dueLater(p, nowMs)}
	for n := range p.Nodes {
		switch dry := p.Nodes[n].DryRun; {
		case dry == wire.DryRun_NOT_CHOSEN:
			t.Bridges += int64(p.NodeSize(n))
			t.DryRun += int64(p.NodeSize(n))
		case dry != wire.DryRun_DRY_RUN_NONE:
			t.DryRun += int64(p.NodeSize(n))
		}
	}
	t.Asked = t.Instances - t.Bridges
	return t
}

// dueLater counts the instances that are not due at a moment. T lies on the
// day after D in some zone, so that only the dates around the moment are looked
// into.
func dueLater(p *plan.Plan, nowMs int64) (n int64) {
	if p.Request.NotBeforeMs > nowMs {
		return int64(p.Size())
	}
	for pos, d := range p.Dates {
		from, to := p.Range(pos)
		switch start := int64(d) * dayMs; {
		case start+3*dayMs <= nowMs:
		case start-dayMs > nowMs:
			n += int64(to - from)
		default:
			for node := range p.Nodes {
				lo, hi := p.NodeRange(pos, node)
				first := sort.Search(int(hi-lo), func(c int) bool {
					return p.DueMs(plan.Place{Pos: pos, Node: node, Cycle: c}) > nowMs
				})
				n += int64(hi-lo) - int64(first)
			}
		}
	}
	return n
}

func previewGroups(p *plan.Plan) []v1.PreviewGroup {
	out := []v1.PreviewGroup{}
	for g, span := range p.Groups {
		from, _ := p.Range(span.From)
		_, to := p.Range(span.To - 1)
		out = append(out, v1.PreviewGroup{
			Group: g + 1, Dates: span.To - span.From, First: p.Dates[span.From].String(), Last: p.Dates[span.To-1].String(),
			Instances: int64(to - from),
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
			DryRun: dryRunWords[n.DryRun], Instances: int64(p.NodeSize(i)), ResourceGroup: p.ResourceGroup(i),
		})
	}
	return out
}

// priorities counts instances by priority, the most urgent first. Dates well
// before the day of acceptance are all downgraded, whatever the zone (RULES
// R7.2), and counted together.
func priorities(p *plan.Plan) []v1.PriorityCount {
	counts := map[int32]int64{}
	old := make([]uint64, len(p.Nodes))
	for n := range p.Nodes {
		old[n] = p.NodeSize(n)
	}
	for pos, d := range p.Dates {
		if d < p.Generated-4 {
			continue
		}
		for n := range p.Nodes {
			from, to := p.NodeRange(pos, n)
			old[n] -= to - from
			counts[p.Priority(plan.Place{Pos: pos, Node: n})] += int64(to - from)
		}
	}
	for n := range p.Nodes {
		counts[plan.Downgrade(p.Nodes[n].Spec.Priority)] += int64(old[n])
	}
	out := []v1.PriorityCount{}
	for priority, n := range counts {
		if n > 0 {
			out = append(out, v1.PriorityCount{Priority: int(priority), Instances: n})
		}
	}
	slices.SortFunc(out, func(a, b v1.PriorityCount) int { return cmp.Compare(b.Priority, a.Priority) })
	return out
}
