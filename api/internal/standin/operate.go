package standin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Operate touches what is named, four instances of a plan that is named as a
// whole. An instance with number 2 runs and stands in the way of a rerun.
func (b *Backend) Operate(_ context.Context, w server.Write, o server.BatchOperation) (*v1.OperationBatch, error) {
	if err := b.fails("Operate"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	result := &v1.OperationBatch{}
	var refused []fault.Detail
	for _, t := range o.Targets {
		one := v1.Operation{
			Backfill: convert.PlanID(t.Plan), Instances: 4, State: v1.StateNotRunning, Index: b.index + 1,
			Paused: o.Kind == wire.Operate_PAUSE, Stopped: o.Kind == wire.Operate_STOP,
		}
		if len(t.Instances) > 0 {
			one.Instances = int64(len(t.Instances))
		}
		if o.Kind == wire.Operate_RERUN && slices.Contains(t.Instances, 2) {
			refused = append(refused, fault.Detail{Field: "instances", Message: convert.InstanceID(t.Plan, 2) + " runs: stop it first"})
		}
		result.Instances += one.Instances
		result.Backfills = append(result.Backfills, one)
	}
	if len(refused) > 0 {
		return nil, fault.New(fault.Conflict, "nothing was run again").WithDetails(refused...)
	}
	b.index++
	b.Writes = append(b.Writes, w)
	b.Batches = append(b.Batches, o)
	result.Index = b.index
	return result, nil
}

// Edit changes 1 group into what is asked, and whatever else.
func (b *Backend) Edit(_ context.Context, w server.Write, e *wire.EditPlan, dryRun bool) (*v1.EditResult, error) {
	if err := b.fails("Edit"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.GetGroups() > 10 {
		return nil, fault.Field("groups", "%d groups: expected 1 to 10", e.GetGroups())
	}
	result := &v1.EditResult{Backfill: convert.PlanID(e.Plan), Applied: !dryRun, Index: b.index}
	if e.Groups != nil && *e.Groups != 1 {
		result.Changes = append(result.Changes, v1.EditChange{Field: "groups", Before: "1", After: fmt.Sprint(*e.Groups)})
	}
	if len(e.AddDates) > 0 {
		result.AddedInstances = 3
		result.Changes = append(result.Changes, v1.EditChange{Field: "dates", Before: "2012-01-01..2012-01-07", After: "2012-01-01..2012-01-10"})
	}
	if !dryRun {
		b.index++
		result.Index = b.index
		b.Writes = append(b.Writes, w)
		b.Edits = append(b.Edits, e)
	}
	return result, nil
}

// Operations are two, whatever was done.
func (b *Backend) Operations(_ context.Context, plan uint64, _ server.Page) ([]v1.OperationRecord, server.Next, error) {
	return []v1.OperationRecord{
		convert.Operation(plan, &wire.Operation{Number: 2, AtMs: At.UnixMilli(), Actor: "bob", Edit: true, Count: 3, Detail: "groups: 1 → 4"}),
		convert.Operation(plan, &wire.Operation{
			Number: 1, AtMs: At.UnixMilli(), Actor: "ada", Why: "the source was late", Kind: wire.Operate_FREEZE, Count: 1, Instances: []uint64{3},
			Dates: []*wire.DateRange{{From: 15340, To: 15346}},
		}),
	}, "", b.fails("Operations")
}

// day makes a day of the schedule of a summary.
func day(s v1.BackfillSummary) v1.BackfillSummary {
	s.ID, s.Kind, s.Name, s.Root = "b2", v1.PlanKindAuto, "schedule_20120107", ""
	return s
}

// Schedule has one day.
func (b *Backend) Schedule(context.Context, server.PlanQuery, server.Page) (*v1.SchedulePage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, _ := b.summary(1)
	return &v1.SchedulePage{GeneratedThrough: "2012-01-07", Items: []v1.ScheduleDay{{Date: "2012-01-07", Plan: day(s)}}}, b.fails("Schedule")
}

func group(g *wire.PutResourceGroup) v1.ResourceGroup {
	out := convert.ResourceGroup(g)
	if g.Name != "default" {
		waiting := 3
		out.Waiting, out.Unserved, out.AgentStates.Lost = &waiting, true, 1
		return out
	}
	waiting := 0
	out.Agents, out.AgentStates.Ready, out.Slots, out.Used, out.Backfills, out.Waiting = 1, 1, 8, 2, 1, &waiting
	return out
}

func (b *Backend) ResourceGroups(context.Context, string, server.Page) ([]v1.ResourceGroup, server.Next, error) {
	return gather(b, b.groups, "ResourceGroups", group)
}

func (b *Backend) ResourceGroup(_ context.Context, name string) (*v1.ResourceGroup, error) {
	return one(b, b.groups, "resource group", name, group)
}

func (b *Backend) PutResourceGroup(_ context.Context, w server.Write, g *wire.PutResourceGroup) (*v1.ResourceGroup, uint64, error) {
	return set(b, w, b.groups, "PutResourceGroup", g.Name, g, group)
}

func workspace(w *wire.PutWorkspace) v1.Workspace {
	return convert.Workspace(w, w.AdvancedMode == nil || *w.AdvancedMode)
}

func (b *Backend) Workspaces(context.Context, string, server.Page) ([]v1.Workspace, server.Next, error) {
	return gather(b, b.workspaces, "Workspaces", workspace)
}

func (b *Backend) Workspace(_ context.Context, id string) (*v1.Workspace, error) {
	return one(b, b.workspaces, "workspace", id, workspace)
}

func (b *Backend) PutWorkspace(_ context.Context, w server.Write, s *wire.PutWorkspace) (*v1.Workspace, uint64, error) {
	return set(b, w, b.workspaces, "PutWorkspace", s.Id, s, workspace)
}

func (b *Backend) Regions(context.Context, string, server.Page) ([]v1.Region, server.Next, error) {
	return gather(b, b.regions, "Regions", convert.Region)
}

func (b *Backend) Region(_ context.Context, id string) (*v1.Region, error) {
	return one(b, b.regions, "region", id, convert.Region)
}

func (b *Backend) PutRegion(_ context.Context, w server.Write, r *wire.PutRegion) (*v1.Region, uint64, error) {
	return set(b, w, b.regions, "PutRegion", r.Id, r, convert.Region)
}

// gather lists settings by id, one and set read and write a single one.
func gather[W, A any](b *Backend, from map[string]W, call string, show func(W) A) ([]A, server.Next, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for id := range from {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, cmp.Compare)
	var list []A
	for _, id := range ids {
		list = append(list, show(from[id]))
	}
	return list, "", b.fails(call)
}

func one[W, A any](b *Backend, from map[string]W, what, id string, show func(W) A) (*A, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := from[id]
	if !ok {
		return nil, fault.New(fault.NotFound, "%s %q does not exist", what, id)
	}
	a := show(w)
	return &a, nil
}

func set[W, A any](b *Backend, w server.Write, into map[string]W, call, id string, value W, show func(W) A) (*A, uint64, error) {
	if err := b.fails(call); err != nil {
		return nil, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index++
	b.Writes = append(b.Writes, w)
	into[id] = value
	a := show(value)
	return &a, b.index, nil
}
