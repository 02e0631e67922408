package state

import (
	"fmt"
	"slices"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// generate makes the schedule's instances of a date for every node that is
// switched on and has none yet. That nothing is to be made is an answer too: the
// date is done.
func (e *Edit) generate(g *wire.Generate) (*wire.Answer, error) {
	d := calendar.Date(g.Date)
	in := plan.AutoInput{
		ID: e.s.nextPlan, NowMs: e.s.nowMs, Today: calendar.Date(g.Today), Date: d, ClusterZone: g.ClusterZone, Zones: g.Zones,
		Graph: e.s.graph, Version: e.s.version,
		SinceMs: func(id string) int64 { n, _ := e.s.nodes.Get([]byte(id)); return n.AutoSinceMs },
	}
	if before, ok := e.s.AutoPlan(d - 1); ok {
		in.Known = []*plan.Plan{before.Plan}
	}
	answer := &wire.Answer{}
	if was, ok := e.s.AutoPlan(d); ok {
		next, more, err := was.Extend(in)
		if err != nil {
			return nil, err
		}
		answer.Plan = was.ID
		if more {
			answer.Instances = next.Size() - was.Size()
			p, _ := e.plan(was.ID)
			e.adopt(p, next)
			e.changes = append(e.changes, Change{Kind: PlanChanged, Plan: p.ID})
		}
	} else {
		built, err := plan.BuildAuto(in)
		if err != nil {
			return nil, err
		}
		if built != nil {
			answer.Plan, answer.Instances = built.ID, built.Size()
			e.accept(built)
			e.s.autos, _, _ = e.s.autos.Insert(keyDate(d), built.ID)
		}
	}
	if !e.s.generates || d > e.s.generated {
		e.s.generated, e.s.generates = d, true
	}
	return answer, nil
}

// adopt puts another form of a plan in the place of the present one: with more
// dates or nodes, which keep the numbers that there were. What is counted by
// position and by node moves with them.
func (e *Edit) adopt(p *Plan, built *plan.Plan) {
	old, first := p.Plan, p.Size()
	p.Plan, p.slots = built, e.s.slots(built)
	p.status.grow(e.mark, built.Size())
	p.history.grow(e.mark, built.Size()>>chunkBits)
	position := func(pos int) uint64 { to, _ := built.Position(old.Dates[pos]); return uint64(to) }
	p.dates = e.moved(&p.dates, len(old.Dates), len(built.Dates), position)
	p.perNode = e.moved(&p.perNode, len(old.Nodes), len(built.Nodes), func(n int) uint64 {
		to, _ := built.NodeIndex(old.Nodes[n].Spec.Id)
		return uint64(to)
	})
	opened := make([]uint32, len(p.Opened))
	for i, pos := range p.Opened {
		opened[i] = uint32(position(int(pos)))
	}
	slices.Sort(opened)
	p.Opened = opened
	p.ChangedMs = e.s.nowMs
	e.freezePaused(p, first)
}

// moved gives counters their new places.
func (e *Edit) moved(was *column[Counts], from, size int, to func(int) uint64) column[Counts] {
	out := newColumn[Counts](uint64(size))
	for i := range from {
		if c := was.get(uint64(i)); c.Started() > 0 {
			*out.at(e.mark, to(i)) = c
		}
	}
	return out
}

// TryEdit gives the plan that a change of a running plan would make, and what
// would be different, without making it: the same function serves the preview
// and the log (RULES R9).
func (s *State) TryEdit(ed *wire.EditPlan, nowMs int64) (*plan.Plan, plan.Difference, error) {
	none := plan.Difference{}
	p, ok := s.Plan(ed.Plan)
	if !ok {
		return nil, none, noPlan(ed.Plan)
	}
	if !p.Unfinished() {
		return nil, none, fault.New(fault.Conflict, "backfill %s: it is finished: submit another one", plan.FormatID(p.ID))
	}
	next, diff, err := p.Edit(ed, plan.EditInput{
		NowMs: nowMs, Graph: s.graph, Version: s.version, Scope: s.Scope(ed.Restricted, ed.Workspaces),
	})
	if err != nil {
		return nil, none, err
	}
	if err := s.refuseOverlaps(next); err != nil {
		return nil, none, err
	}
	return next, diff, nil
}

// editPlan changes a plan that is not finished (RULES R9).
func (e *Edit) editPlan(c *wire.Command, ed *wire.EditPlan) (*wire.Answer, error) {
	next, diff, err := e.s.TryEdit(ed, e.s.nowMs)
	if err != nil {
		return nil, err
	}
	p, _ := e.plan(ed.Plan)
	e.adopt(p, next)
	e.s.list(e.mark, p)
	dropped := e.letGo(p, &diff)
	line := e.newLine(c, p)
	line.Edit, line.Detail, line.Count = true, diff.String(), diff.Added+dropped
	e.write(c, p, line)
	return &wire.Answer{Plan: p.ID, Instances: line.Count, Warnings: plan.Texts(append(next.Warnings(), e.s.Overlaps(next)...))}, nil
}

// letGo unfreezes what a change of the plan has dropped: a dry run that stays
// frozen would hold the rest for ever. It counts what has not started.
func (e *Edit) letGo(p *Plan, diff *plan.Difference) (unstarted uint64) {
	e.untold = true
	var was before
	drop := func(pos, n int) {
		from, to := p.NodeRange(pos, n)
		for i := from; i < to; i++ {
			st := p.Status(i)
			if st.Frozen() {
				at, _ := p.Locate(i)
				e.set(p, at, i, was.of(p, i))
			}
			if st.Waits() || st.Frozen() || e.recallDropped(p, i, st) {
				unstarted++
			}
		}
	}
	for _, d := range diff.DroppedDates {
		pos, _ := p.Position(d)
		for n := range p.Nodes {
			drop(pos, n)
		}
	}
	for _, id := range diff.DroppedNodes {
		n, _ := p.NodeIndex(id)
		for pos, d := range p.Dates {
			if _, twice := slices.BinarySearch(diff.DroppedDates, d); !twice {
				drop(pos, n)
			}
		}
	}
	e.untold = false
	return unstarted
}

// expire forgets plans whose time is over, all or none (RULES R10.1). What
// their cycles came to stays with the nodes.
func (e *Edit) expire(x *wire.Expire) (*wire.Answer, error) {
	no := &refusal{verb: "forget"}
	ids := slices.Compact(slices.Sorted(slices.Values(x.Plans)))
	answer := &wire.Answer{}
	for _, id := range ids {
		switch p, ok := e.s.Plan(id); {
		case !ok:
			no.add(fault.NotFound, plan.FormatID(id), "there is no such backfill")
		case p.Active() > 0:
			no.add(fault.Conflict, plan.FormatID(id), fmt.Sprintf("%d of its instances run", p.Active()))
		case x.UnchangedSinceMs > 0 && p.ChangedMs > x.UnchangedSinceMs:
			no.add(fault.Conflict, plan.FormatID(id), "it has changed since it was found to be old: its time begins anew")
		default:
			answer.Instances += p.Size()
		}
	}
	if len(ids) == 0 {
		return nil, fault.Field("plans", "none is named: there is nothing to forget")
	}
	if err := no.err(); err != nil {
		return nil, err
	}
	plans := e.s.plans.Txn()
	for _, id := range ids {
		p, _ := e.s.Plan(id)
		plans.Delete(key1(id))
		if p.Auto {
			e.s.autos, _, _ = e.s.autos.Delete(keyDate(p.Dates[0]))
			e.s.autosOpen, _, _ = e.s.autosOpen.Delete(key1(id))
		} else {
			e.s.unlist(e.mark, p)
		}
		e.untell(id)
		e.changes = append(e.changes, Change{Kind: PlanExpired, Plan: id})
	}
	e.s.plans = plans.Commit()
	return answer, nil
}
