package standin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func (b *Backend) Graph(_ context.Context, q server.GraphQuery) (*v1.Graph, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Asked = append(b.Asked, q)
	for _, id := range q.Roots {
		if b.nodes[id] == nil {
			return nil, fault.Field("root", "there is no node %q", id)
		}
	}
	out := &v1.Graph{Nodes: []v1.GraphNode{}, Edges: []int{}}
	at := map[string]int{}
	var sorted []*wire.Node
	for _, n := range b.nodes {
		sorted = append(sorted, n)
	}
	slices.SortFunc(sorted, func(x, y *wire.Node) int { return cmp.Compare(x.Id, y.Id) })
	for i, n := range sorted {
		at[n.Id] = i
		out.Nodes = append(out.Nodes, convert.GraphNode(n))
	}
	for i, n := range sorted {
		for _, u := range n.Upstreams {
			out.Edges = append(out.Edges, at[u.Node], i)
		}
	}
	return out, b.fails("Graph")
}

func (b *Backend) Map(_ context.Context, plan uint64, w server.MapWindow) (*v1.BackfillMap, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Asked = append(b.Asked, w)
	if plan != 1 {
		return nil, fault.New(fault.NotFound, "there is no backfill %s", convert.PlanID(plan))
	}
	return &v1.BackfillMap{
		Backfill: "b1", Nodes: 1, Dates: 2, NodeCount: 1, DateCount: 2, Rows: 1, Columns: 2, RowNodes: []string{"orders"},
		ColumnDates: []string{"2012-01-01", "2012-01-02"}, ColumnGroups: []int{1, 1},
		Legend: []v1.MapState{v1.MapStateFailed, v1.MapStateSucceeded}, Cells: []byte{1, 255},
	}, b.fails("Map")
}

func (b *Backend) Failures(_ context.Context, plan uint64, most int) (*v1.Failures, error) {
	if plan != 1 {
		return nil, fault.New(fault.NotFound, "there is no backfill %s", convert.PlanID(plan))
	}
	code := 3
	return &v1.Failures{Backfill: "b1", Instances: 1, Groups: 1, Items: []v1.FailureGroup{{
		ID: "f3a9c04be1d27785", Cause: "no such table …", Outcome: v1.AttemptStateFailed, ExitCode: &code, Instances: 1, Nodes: 1, NodeIds: []string{"orders"},
		Dates: 1, FirstDate: "2012-01-02", LastDate: "2012-01-02", Agents: []string{"a1"},
		Examples: []v1.FailureExample{{Instance: "b1.1", Cause: "no such table t_20120102"}},
	}}}, b.fails("Failures")
}

func (b *Backend) Coverage(ctx context.Context, node string, from, to *calendar.Date) (*v1.Coverage, error) {
	if _, err := b.Node(ctx, node); err != nil {
		return nil, err
	}
	out := &v1.Coverage{Node: node, From: "2012-01-01", To: "2012-01-07"}
	if from != nil && to != nil {
		out.From, out.To = from.String(), to.String()
	}
	out.Items = []v1.CoveredDate{{Date: out.From, State: v1.StateFailed, Kind: v1.PlanKindBackfill, Backfill: "b1", Instance: "b1.1", Runs: 1}}
	return out, b.fails("Coverage")
}

func (b *Backend) Runs(ctx context.Context, node string, _ server.Page) ([]v1.Run, server.Next, error) {
	if _, err := b.Node(ctx, node); err != nil {
		return nil, "", err
	}
	end := At.Add(90 * time.Second)
	return []v1.Run{{
		Instance: "b1.1", Backfill: "b1", Kind: v1.PlanKindBackfill, Date: "2012-01-02", ScheduledTime: At, State: v1.AttemptStateFailed,
		StartedAt: &At, EndedAt: &end, Seconds: 90, Attempts: 1,
	}}, "", b.fails("Runs")
}

func (b *Backend) NextRuns(ctx context.Context, node string, from *time.Time, count int) (*v1.NextRuns, error) {
	if _, err := b.Node(ctx, node); err != nil {
		return nil, err
	}
	first := At
	if from != nil {
		first = *from
	}
	out := &v1.NextRuns{Node: node, Zone: "UTC", Mode: v1.NodeModeNormal}
	for i := range count {
		t := first.UTC().AddDate(0, 0, i)
		out.Items = append(out.Items, v1.NextRun{ScheduledTime: t, Date: t.AddDate(0, 0, -1).Format(time.DateOnly)})
	}
	return out, b.fails("NextRuns")
}
