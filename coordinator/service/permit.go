package service

import (
	"fmt"
	"slices"
	"strings"

	"backfleet/api/convert"
	"backfleet/api/server"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// permit decides what a person may do to which nodes, backfills and instances
// (RULES R15.2). It is asked by the leader with the rights of the moment. Which
// role an operation takes at all the API has seen to; here it is asked once more,
// so that no way around it does anything.
type permit struct {
	st *state.State
	w  server.Write
	no denial
}

// least refuses whoever has not at least a role.
func least(w server.Write, role wire.Role, what string) error {
	if w.Role >= role {
		return nil
	}
	return fault.New(fault.Denied, "%s is for %ss, and you are %s: ask one", what, convert.Role(role), convert.WithArticle(w.Role))
}

// denial collects what is not somebody's.
type denial struct {
	details []fault.Detail
	more    int
}

func (d *denial) add(field, format string, args ...any) {
	const most = 100
	if len(d.details) == most {
		d.more++
		return
	}
	d.details = append(d.details, fault.Detail{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (d *denial) err(what string) error {
	if len(d.details) == 0 {
		return nil
	}
	if d.more > 0 {
		d.details = append(d.details, fault.Detail{Message: fmt.Sprintf("and %d more", d.more)})
	}
	return fault.New(fault.Denied, "not all of it is yours to %s: nothing was changed", what).WithDetails(d.details...)
}

// theirs says whether a workspace is the actor's own.
func (p *permit) theirs(workspace string) bool {
	return !p.w.Restricted || slices.Contains(p.w.Workspaces, workspace)
}

// workspace of a node of a plan is where the node is now; of one that is gone,
// where it was.
func (p *permit) workspace(spec *wire.Node) string {
	if n, ok := p.st.Node(spec.Id); ok {
		return n.Spec.Workspace
	}
	return spec.Workspace
}

// mayApply refuses nodes whose workspace, the old or the new one, is not theirs.
func mayApply(st *state.State, w server.Write, nodes []*wire.Node, remove []string) error {
	if err := least(w, wire.Role_DEVELOPER, "changing nodes"); err != nil {
		return err
	}
	p := &permit{st: st, w: w}
	for i, n := range nodes {
		if !p.theirs(n.Workspace) {
			p.no.add(fmt.Sprintf("nodes[%d].workspace", i), "workspace %q of node %q is not yours", n.Workspace, n.Id)
		}
		if old, ok := st.Node(n.Id); ok && !p.theirs(old.Spec.Workspace) && old.Spec.Workspace != n.Workspace {
			p.no.add(fmt.Sprintf("nodes[%d]", i), "node %q is of workspace %q, which is not yours", n.Id, old.Spec.Workspace)
		}
	}
	for i, id := range remove {
		if old, ok := st.Node(id); ok && !p.theirs(old.Spec.Workspace) {
			p.no.add(fmt.Sprintf("remove[%d]", i), "node %q is of workspace %q, which is not yours", id, old.Spec.Workspace)
		}
	}
	return p.no.err("change")
}

// maySubmit refuses a submission by who may start none. Which nodes of the chain
// they may run is for the plan to find (RULES R2.9).
func maySubmit(w server.Write, r *wire.Request) error {
	if err := least(w, wire.Role_DEVELOPER, "starting a backfill"); err != nil {
		return err
	}
	return mayPrioritize(w, r.GetPriority() != 0)
}

// mayPrioritize refuses to set a priority (RULES R7.6).
func mayPrioritize(w server.Write, sets bool) error {
	if !sets {
		return nil
	}
	return least(w, wire.Role_OPERATOR, "setting a priority")
}

// mayEdit refuses to change a backfill that is not theirs to steer.
func mayEdit(st *state.State, w server.Write, e *wire.EditPlan) error {
	if err := least(w, wire.Role_DEVELOPER, "changing a backfill"); err != nil {
		return err
	}
	if err := mayPrioritize(w, e.Priority != nil); err != nil {
		return err
	}
	p := &permit{st: st, w: w}
	if of, ok := st.Plan(e.Plan); ok {
		p.steers(of)
	}
	return p.no.err("change")
}

// mayOperate refuses an operation on what is not theirs: backfills and dates that
// they do not steer, instances of other nodes in these, and whatever would have
// nodes run that they may not run, for what a submission refuses a rerun must not
// let through (RULES R2.9).
func mayOperate(st *state.State, w server.Write, kind wire.Operate_Kind, targets []*wire.Target) error {
	what := strings.ToLower(strings.ReplaceAll(kind.String(), "_", " "))
	if err := least(w, wire.Role_DEVELOPER, what); err != nil {
		return err
	}
	if err := mayPrioritize(w, kind == wire.Operate_SET_PRIORITY); err != nil || !w.Restricted {
		return err
	}
	p := &permit{st: st, w: w}
	for _, t := range targets {
		of, ok := st.Plan(t.Plan)
		if !ok {
			continue // the log says so
		}
		if len(t.Instances) == 0 {
			p.steers(of)
		}
		if kind == wire.Operate_RERUN_FAILED {
			p.runsFailed(of)
		}
		p.instances(of, kind, t.Instances)
	}
	return p.no.err("do this to")
}

// steers notes a backfill that the actor does not steer: they began it, or all of
// its nodes that really run are theirs.
func (p *permit) steers(of *state.Plan) bool {
	if foreign := p.foreign(of); foreign != nil {
		who := "was begun by " + of.Actor
		if of.Auto {
			who = "is the schedule's"
		}
		p.no.add(plan.FormatID(of.ID), "it %s and runs node %q of workspace %q, which is not yours", who, foreign.Id, p.workspace(foreign))
		return false
	}
	return true
}

// foreign is a node that keeps the actor from steering a backfill; nil: they do.
func (p *permit) foreign(of *state.Plan) *wire.Node {
	if !of.Auto && of.Actor == p.w.Actor {
		return nil
	}
	for i := range of.Nodes {
		n := &of.Nodes[i]
		if n.DryRun == wire.DryRun_DRY_RUN_NONE && !p.theirs(p.workspace(n.Spec)) {
			return n.Spec
		}
	}
	return nil
}

// runsFailed notes nodes of which something would run again that the actor may
// not run.
func (p *permit) runsFailed(of *state.Plan) {
	for n := range of.Nodes {
		spec := of.Nodes[n].Spec
		if c := of.NodeCounts(n); c[state.Failed]+c[state.Stopped] > 0 && !p.theirs(p.workspace(spec)) {
			p.no.add(plan.FormatID(of.ID), "you may not run node %q of workspace %q", spec.Id, p.workspace(spec))
		}
	}
}

// instances notes those that are not the actor's. In a backfill that they steer
// they may do to any what does not have it run.
func (p *permit) instances(of *state.Plan, kind wire.Operate_Kind, list []uint64) {
	runs := kind == wire.Operate_RERUN || kind == wire.Operate_FORCE_RUN
	steers := len(list) > 0 && p.foreign(of) == nil
	for _, i := range list {
		at, ok := of.Locate(i)
		if !ok {
			continue // the log says so
		}
		spec := of.Nodes[at.Node].Spec
		workspace := p.workspace(spec)
		switch {
		case p.theirs(workspace), steers && (!runs || of.Dry(at) != wire.DryRun_DRY_RUN_NONE):
		case runs:
			p.no.add(plan.FormatInstance(of.ID, i), "you may not run node %q of workspace %q", spec.Id, workspace)
		default:
			p.no.add(plan.FormatInstance(of.ID, i), "node %q is of workspace %q, which is not yours, and you did not begin the backfill", spec.Id, workspace)
		}
	}
}
