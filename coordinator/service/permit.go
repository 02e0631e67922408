package service

import (
	"fmt"
	"slices"

	"backfleet/api/server"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// permit refuses to have nodes run that the actor may not run: what a
// submission refuses, a rerun or a forced start must not let through (RULES
// R2.9).
func permit(st *state.State, w server.Write, kind wire.Operate_Kind, targets []*wire.Target) error {
	runs := kind == wire.Operate_RERUN || kind == wire.Operate_RERUN_FAILED || kind == wire.Operate_FORCE_RUN
	if !w.Restricted || !runs {
		return nil
	}
	var wrong []fault.Detail
	deny := func(what string, spec *wire.Node) {
		if len(wrong) < 100 {
			wrong = append(wrong, fault.Detail{Field: what, Message: fmt.Sprintf("you may not run node %q of workspace %q", spec.Id, spec.Workspace)})
		}
	}
	for _, t := range targets {
		p, ok := st.Plan(t.Plan)
		if !ok {
			continue // the log says so
		}
		for n := range p.Nodes {
			spec := p.Nodes[n].Spec
			c := p.NodeCounts(n)
			if kind == wire.Operate_RERUN_FAILED && c[state.Failed]+c[state.Stopped] > 0 && !slices.Contains(w.Workspaces, spec.Workspace) {
				deny(plan.FormatID(p.ID), spec)
			}
		}
		for _, i := range t.Instances {
			at, ok := p.Locate(i)
			if !ok || p.Dry(at) != wire.DryRun_DRY_RUN_NONE {
				continue
			}
			if spec := p.Nodes[at.Node].Spec; !slices.Contains(w.Workspaces, spec.Workspace) {
				deny(plan.FormatInstance(p.ID, i), spec)
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.Denied, "not all of it is yours to run: nothing was changed").WithDetails(wrong...)
}
