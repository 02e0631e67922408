package service

import (
	"context"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func planKind(p *plan.Plan) v1.PlanKind {
	if p.Auto {
		return v1.PlanKindAuto
	}
	return v1.PlanKindBackfill
}

// ofKind says whether a list of this kind shows a plan.
func ofKind(p *plan.Plan, kind v1.PlanFilter) bool {
	return kind == v1.PlanFilterAll || v1.PlanFilter(planKind(p)) == kind
}

// notHere refuses what this version cannot do.
func notHere(what string) error {
	return fault.New(fault.Conflict, "%s is not possible on this coordinator: bring it to the version of the client", what)
}

// Operate implements server.Writes.
func (s *Service) Operate(ctx context.Context, w server.Write, o server.BatchOperation) (*v1.OperationBatch, error) {
	if len(o.Targets) != 1 || len(o.Targets[0].Dates) > 0 || o.AllDescendants || len(o.Descendants) > 0 {
		return nil, notHere("an operation of this form")
	}
	t := o.Targets[0]
	kinds := map[wire.Operate_Kind]wire.PlanOperation_Kind{
		wire.Operate_STOP: wire.PlanOperation_STOP, wire.Operate_PAUSE: wire.PlanOperation_PAUSE, wire.Operate_RESUME: wire.PlanOperation_RESUME,
	}
	var one *v1.Operation
	var err error
	switch kind, ofPlan := kinds[o.Kind]; {
	case o.Kind == wire.Operate_RERUN, o.Kind == wire.Operate_RERUN_FAILED:
		one, err = s.rerun(ctx, w, t.Plan, t.Instances, o.Kind == wire.Operate_RERUN_FAILED)
	case ofPlan && len(t.Instances) == 0:
		one, err = s.operatePlan(ctx, w, t.Plan, kind)
	default:
		return nil, notHere("this operation")
	}
	if err != nil {
		return nil, err
	}
	return &v1.OperationBatch{Instances: one.Instances, Backfills: []v1.Operation{*one}, Index: one.Index}, nil
}

// Edit implements server.Writes.
func (s *Service) Edit(context.Context, server.Write, *wire.EditPlan, bool) (*v1.EditResult, error) {
	return nil, notHere("a change of a backfill")
}

// Operations implements server.Reads.
func (s *Service) Operations(context.Context, uint64, server.Page) ([]v1.OperationRecord, server.Next, error) {
	return nil, "", notHere("a list of operations")
}

// Schedule implements server.Reads.
func (s *Service) Schedule(context.Context, server.DateFilter, server.Page) (*v1.SchedulePage, error) {
	return nil, notHere("a list of the schedule's days")
}

// ResourceGroups implements server.Settings.
func (s *Service) ResourceGroups(context.Context, string, server.Page) ([]v1.ResourceGroup, server.Next, error) {
	return nil, "", notHere("a list of resource groups")
}

// ResourceGroup implements server.Settings.
func (s *Service) ResourceGroup(context.Context, string) (*v1.ResourceGroup, error) {
	return nil, notHere("a look at a resource group")
}

// Workspaces implements server.Settings.
func (s *Service) Workspaces(context.Context, string, server.Page) ([]v1.Workspace, server.Next, error) {
	return nil, "", notHere("a list of workspaces")
}

// Workspace implements server.Settings.
func (s *Service) Workspace(context.Context, string) (*v1.Workspace, error) {
	return nil, notHere("a look at a workspace")
}

// Regions implements server.Settings.
func (s *Service) Regions(context.Context, string, server.Page) ([]v1.Region, server.Next, error) {
	return nil, "", notHere("a list of regions")
}

// Region implements server.Settings.
func (s *Service) Region(context.Context, string) (*v1.Region, error) {
	return nil, notHere("a look at a region")
}

// PutResourceGroup implements server.Writes.
func (s *Service) PutResourceGroup(context.Context, server.Write, *wire.PutResourceGroup) (*v1.ResourceGroup, uint64, error) {
	return nil, 0, notHere("setting a resource group")
}

// PutWorkspace implements server.Writes.
func (s *Service) PutWorkspace(context.Context, server.Write, *wire.PutWorkspace) (*v1.Workspace, uint64, error) {
	return nil, 0, notHere("setting a workspace")
}

// PutRegion implements server.Writes.
func (s *Service) PutRegion(context.Context, server.Write, *wire.PutRegion) (*v1.Region, uint64, error) {
	return nil, 0, notHere("setting a region")
}
