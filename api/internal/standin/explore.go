package standin

import (
	"context"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

func (b *Backend) Date(_ context.Context, plan uint64, d calendar.Date) (*v1.DateProgress, error) {
	if d.String() > "2012-01-07" {
		return nil, fault.New(fault.NotFound, "backfill %s has no date %s", convert.PlanID(plan), d)
	}
	return &v1.DateProgress{Date: d.String(), Group: 1, Place: 4, State: v1.StateNotRunning, Counts: counts(0), Reason: "2012-01-03 failed"}, b.fails("Date")
}

func (b *Backend) ScheduleDay(_ context.Context, d calendar.Date) (*v1.ScheduleDay, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, _ := b.summary(1)
	if d.String() != "2012-01-01" {
		return nil, fault.New(fault.NotFound, "the schedule has no day %s", d)
	}
	return &v1.ScheduleDay{Date: d.String(), Plan: day(s)}, b.fails("ScheduleDay")
}

func (b *Backend) SearchInstances(_ context.Context, plans server.PlanQuery, f server.InstanceFilter, _ server.Page) ([]v1.Instance, server.Next, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Asked = append(b.Asked, plans, f)
	return []v1.Instance{b.instance()}, "", b.fails("SearchInstances")
}

func (b *Backend) Attempts(ctx context.Context, plan, number uint64) ([]v1.Attempt, error) {
	detail, err := b.Instance(ctx, plan, number)
	if err != nil {
		return nil, err
	}
	return detail.Attempts, b.fails("Attempts")
}

func (b *Backend) Relatives(_ context.Context, plan, number uint64, down bool, _ server.Page) (*v1.RelativePage, error) {
	if plan != 1 || number != 1 {
		return nil, fault.New(fault.NotFound, "instance %s does not exist", convert.InstanceID(plan, number))
	}
	i := b.instance()
	i.ID, i.Date = "b1.0", "2012-01-01"
	if down {
		i.ID, i.Date = "b1.2", "2012-01-03"
	}
	out := &v1.RelativePage{Items: []v1.Relative{{Relation: v1.RelationSelf, Instance: i}}}
	if !down {
		out.Outside = []v1.OutsidePartition{{Node: "src", Date: "2012-01-02", State: v1.PartitionStateMissing}}
	}
	return out, b.fails("Relatives")
}

func (b *Backend) Render(ctx context.Context, id string, d calendar.Date, _ server.Page) (*v1.NodeRenderingPage, error) {
	n, err := b.Node(ctx, id)
	if err != nil {
		return nil, err
	}
	return &v1.NodeRenderingPage{Node: id, Date: d.String(), Zone: "UTC", Items: []v1.NodeRendering{{
		ScheduledTime: At, Values: []v1.Assignment{{Name: "day", Value: d.Compact()}}, Code: n.Node.Code,
	}}}, b.fails("Render")
}
