package state

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func dateSpan(from, to calendar.Date) []*wire.DateRange {
	return []*wire.DateRange{{From: int32(from), To: int32(to)}}
}

// count says what a plan must count, by going through its instances.
func count(t *testing.T, m *machine, id uint64) {
	t.Helper()
	for _, s := range []*State{m.s, restored(t, m.s)} {
		p, _ := s.Plan(id)
		var total Counts
		dates, nodes := make([]Counts, len(p.Dates)), make([]Counts, len(p.Nodes))
		for i := range p.Size() {
			at, ok := p.Locate(i)
			if !ok {
				t.Fatalf("instance %d is nowhere", i)
			}
			total[p.Status(i)]++
			dates[at.Pos][p.Status(i)]++
			nodes[at.Node][p.Status(i)]++
		}
		if p.Total() != total {
			t.Fatalf("R13.6: it counts %v, its instances %v", p.Total(), total)
		}
		for pos := range dates {
			if p.DateCounts(pos) != dates[pos] {
				t.Fatalf("R13.6: %s counts %v, its instances %v", p.Dates[pos], p.DateCounts(pos), dates[pos])
			}
		}
		for n := range nodes {
			if p.NodeCounts(n) != nodes[n] {
				t.Fatalf("R13.6: %s counts %v, its instances %v", p.Nodes[n].Spec.Id, p.NodeCounts(n), nodes[n])
			}
		}
		if s.Hash() != m.s.Hash() {
			t.Fatal("a snapshot does not hold it all")
		}
	}
}

func TestR9_AnEditMovesCountersAndKeepsNumbers(t *testing.T) {
	m := ready(t, daily("b"), daily("a", "b"), daily("c", "a"), daily("0"))
	d := today - 10
	r := &wire.Request{Mode: wire.Request_CURRENT, Root: "a", Dates: dateSpan(d, d+3), OnFailure: wire.Request_CONTINUE}
	m.must(submit(r))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.run(1, 1, wire.Outcome_FAILED)
	m.must(turn(&wire.Turn{Opens: []*wire.OpenDate{{Plan: 1, Position: 2}}}))
	fence := m.grant(1, 2)
	m.must(op(wire.Operate_SET_PRIORITY, of(1, 3), of(1, 3)))
	m.must(op(wire.Operate_FREEZE, of(1, 3)))
	if _, diff, err := m.s.TryEdit(&wire.EditPlan{
		Plan: 1, AddDates: dateSpan(d-5, d-4), AddNodes: []string{"c"}, MaxRunning: proto.Int32(1),
		Zones: []*wire.Zone{{Name: "UTC"}}, Today: int32(today),
	}, m.now); err != nil || diff.Added != 8 {
		t.Fatalf("a trial gives %+v, %v", diff, err)
	}
	if m.plan(1).Size() != 4 {
		t.Fatal("the trial changed the plan")
	}
	a := m.must(editPlan(&wire.EditPlan{Plan: 1, AddDates: dateSpan(d-5, d-4), AddNodes: []string{"c"}, MaxRunning: proto.Int32(1)}))
	p := m.plan(1)
	if a.Plan != 1 || a.Instances != 8 || p.Size() != 12 || len(p.Dates) != 6 {
		t.Fatalf("answered %v, the plan has %d instances on %d dates", a, p.Size(), len(p.Dates))
	}
	for i, want := range []Status{Succeeded, Failed, Running, Frozen} {
		at, _ := p.Locate(uint64(i))
		if m.status(1, uint64(i), want); p.Dates[at.Pos] != d+calendar.Date(i) || p.Nodes[at.Node].Spec.Id != "a" {
			t.Errorf("number %d is now %s on %s", i, p.Nodes[at.Node].Spec.Id, p.Dates[at.Pos])
		}
	}
	if pos, _ := p.Position(d + 2); len(p.Opened) != 1 || !p.IsOpened(pos) {
		t.Errorf("opened are %v", p.Opened)
	}
	if at, _ := p.Locate(3); p.PriorityOf(at) != 7 || !slices.Equal(m.s.PlansOf("c"), []uint64{1}) {
		t.Error("a priority or the plans of a node are lost")
	}
	lines := p.Operations()
	if line := lines[len(lines)-1]; !line.Edit || line.Actor != "bob" || line.Why != "because" || line.Detail == "" || line.Count != 8 {
		t.Errorf("the log says %v", line)
	}
	count(t, m, 1)
	m.finish(1, 2, fence, wire.Outcome_SUCCEEDED)
	m.run(1, 4, wire.Outcome_SUCCEEDED)
	m.run(1, 11, wire.Outcome_SUCCEEDED)
	count(t, m, 1)
}

func TestR9_WhatIsDroppedBecomesADryRunAndWhatRunsGoesOn(t *testing.T) {
	m := ready(t, daily("a"), daily("b", "a"))
	d := today - 10
	m.must(submit(&wire.Request{Mode: wire.Request_DESCENDANTS, Root: "a", Dates: dateSpan(d, d+2)}))
	fence := m.grant(1, 2) // a on the second day
	m.must(op(wire.Operate_FREEZE, of(1, 3, 5)))
	m.must(turn(&wire.Turn{Missed: []*wire.Missed{{Plan: 1, Instances: []uint64{3}}}}))
	m.must(editPlan(&wire.EditPlan{Plan: 1, DropDates: dateSpan(d+1, d+1)}))
	m.status(1, 2, Running)
	m.status(1, 3, Pending) // else it would be frozen for ever
	m.status(1, 5, Frozen)
	count(t, m, 1)
	m.must(turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: 1, Instances: []uint64{0, 2, 3}}}}))
	m.status(1, 0, Pending)
	m.status(1, 2, Running)
	m.status(1, 3, DryRun)
	m.finish(1, 2, fence, wire.Outcome_SUCCEEDED)
	m.status(1, 2, Succeeded)
	m.must(editPlan(&wire.EditPlan{Plan: 1, DropNodes: []string{"b"}}))
	m.status(1, 5, Pending)
	m.must(turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: 1, Instances: []uint64{1, 5}}}}))
	m.status(1, 1, DryRun)
	m.status(1, 5, DryRun)
	count(t, m, 1)
}

func TestR9_AddedInstancesOfPausedNodesAreFrozenAndOthersAreLeft(t *testing.T) {
	paused := daily("a")
	paused.Mode = wire.Node_PAUSED
	m := ready(t, paused)
	d := today - 10
	m.must(submit(&wire.Request{Mode: wire.Request_CURRENT, Root: "a", Dates: dateSpan(d, d+1), PausedNodes: wire.Request_KEEP}))
	m.must(op(wire.Operate_UNFREEZE, of(1, 0)))
	m.must(editPlan(&wire.EditPlan{Plan: 1, AddDates: dateSpan(d-1, d-1)}))
	for i, want := range []Status{Pending, Frozen, Frozen} {
		m.status(1, uint64(i), want)
	}
	count(t, m, 1)
}

func TestR9_EditsThatAreRefused(t *testing.T) {
	theirs := auto("b")
	theirs.Workspace = "w2"
	m := ready(t, daily("a"), theirs)
	d := today - 10
	m.must(submit(&wire.Request{Mode: wire.Request_CURRENT, Root: "a", Dates: dateSpan(d, d)}))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.must(submit(&wire.Request{Mode: wire.Request_CURRENT, Root: "a", Dates: dateSpan(d, d), Overlap: wire.Request_OVERLAP_REFUSE}))
	m.must(generate(today))
	m.must(submit(&wire.Request{Mode: wire.Request_CURRENT, Root: "a", Dates: dateSpan(d+1, d+1)}))
	for name, c := range map[string]struct {
		code fault.Code
		e    *wire.EditPlan
	}{
		"no such plan":   {fault.NotFound, &wire.EditPlan{Plan: 9, Groups: proto.Int32(2)}},
		"finished":       {fault.Conflict, &wire.EditPlan{Plan: 1, Groups: proto.Int32(2)}},
		"the schedule's": {fault.Conflict, &wire.EditPlan{Plan: 3, Priority: proto.Int32(7)}},
		"nothing":        {fault.Invalid, &wire.EditPlan{Plan: 2}},
		"groups":         {fault.Invalid, &wire.EditPlan{Plan: 2, Groups: proto.Int32(11)}},
		"overlap":        {fault.Conflict, &wire.EditPlan{Plan: 2, AddDates: dateSpan(d+1, d+1)}},
		"not permitted":  {fault.Denied, &wire.EditPlan{Plan: 2, AddNodes: []string{"b"}, Restricted: true, Workspaces: []string{"w1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			m.t = t
			m.refused(c.code, editPlan(c.e))
		})
	}
	m.t = t
	m.must(editPlan(&wire.EditPlan{Plan: 2, Groups: proto.Int32(11), MaxGroups: 12}))
	m.must(editPlan(&wire.EditPlan{Plan: 2, AddDates: dateSpan(d-1, d-1), MaxGroups: 12}))
}

// TestR9_EditsOfOneStateLeaveItAlone: as with every other edit.
func TestR9_EditsOfOneStateLeaveItAlone(t *testing.T) {
	m := ready(t, daily("a"))
	d := today - 300
	m.must(submit(&wire.Request{Mode: wire.Request_CURRENT, Root: "a", Dates: dateSpan(d, d+200)}))
	m.run(1, 70, wire.Outcome_SUCCEEDED)
	old, hash := m.s, m.s.Hash()
	for k := range calendar.Date(3) {
		next, r := old.Apply(old.Index()+1, editPlan(&wire.EditPlan{Plan: 1, AddDates: dateSpan(d-10*(k+1), d-1)}))
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		p, _ := next.Plan(1)
		if at, _ := p.Locate(70); p.Dates[at.Pos] != d+70 || p.DateCounts(at.Pos)[Succeeded] != 1 {
			t.Errorf("the 71st day became %s", p.Dates[at.Pos])
		}
		if old.Hash() != hash {
			t.Fatal("an edit changed the State that it began with")
		}
	}
	if p, _ := old.Plan(1); p.Dates[70] != d+70 || p.Size() != 201 || p.DateCounts(70)[Succeeded] != 1 {
		t.Error("the plan was changed")
	}
}
