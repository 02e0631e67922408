package state

import (
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// auto is a daily node that the schedule runs.
func auto(id string, ups ...string) *wire.Node {
	n := daily(id, ups...)
	n.Auto = true
	return n
}

func generate(d calendar.Date) *wire.Command {
	return &wire.Command{Body: &wire.Command_Generate{Generate: &wire.Generate{
		Date: int32(d), ClusterZone: "UTC", Zones: []*wire.Zone{{Name: "UTC"}}, Today: int32(today),
	}}}
}

func expire(plans ...uint64) *wire.Command {
	return &wire.Command{Body: &wire.Command_Expire{Expire: &wire.Expire{Plans: plans}}}
}

func editPlan(e *wire.EditPlan) *wire.Command {
	e.Zones, e.Today = []*wire.Zone{{Name: "UTC"}}, int32(today)
	return &wire.Command{Actor: "bob", Why: "because", Body: &wire.Command_EditPlan{EditPlan: e}}
}

func TestGenerateMakesThePlanOfADateOnce(t *testing.T) {
	m := ready(t, auto("a"), auto("b", "a"), daily("c", "b"))
	d := today // T is tomorrow
	if _, ok := m.s.GeneratedThrough(); ok {
		t.Fatal("nothing was generated yet")
	}
	a := m.must(generate(d))
	p, ok := m.s.AutoPlan(d)
	if !ok || p.ID != a.Plan || a.Instances != 2 || p.Size() != 2 || !p.Auto || p.Name != "schedule_20210824" {
		t.Fatalf("answered %v, plan %+v", a, p)
	}
	if again := m.must(generate(d)); again.Plan != a.Plan || again.Instances != 0 {
		t.Errorf("the second time gave %v", again)
	}
	if through, ok := m.s.GeneratedThrough(); !ok || through != d {
		t.Errorf("generated through %s", through)
	}
	m.must(generate(d - 3)) // missed after an outage
	if p := m.plan(2); p.Dry(plan.Place{}) != wire.DryRun_BEFORE_SWITCHED_ON {
		t.Error("the nodes were not switched on then")
	}
	if through, _ := m.s.GeneratedThrough(); through != d {
		t.Errorf("an older date moved it back to %s", through)
	}
	if len(m.s.PlansOf("a")) > 0 {
		t.Error("the schedule's plans are no backfills")
	}
	var open []uint64
	m.s.AutoPlans(func(p *Plan) { open = append(open, p.ID) })
	if !slices.Equal(open, []uint64{1, 2}) {
		t.Errorf("unfinished are %v", open)
	}
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.run(1, 1, wire.Outcome_FAILED)
	open = nil
	restored(t, m.s).AutoPlans(func(p *Plan) { open = append(open, p.ID) })
	m.s.AutoPlans(func(p *Plan) { open = append(open, p.ID) })
	if !slices.Equal(open, []uint64{2, 2}) {
		t.Errorf("unfinished are then %v", open)
	}
	m.must(op(wire.Operate_RERUN_FAILED, of(1)))
	open = nil
	m.s.AutoPlans(func(p *Plan) { open = append(open, p.ID) })
	if !slices.Equal(open, []uint64{1, 2}) {
		t.Errorf("unfinished are at last %v", open)
	}
}

func TestGenerateWithoutNodesSettlesTheDate(t *testing.T) {
	m := ready(t, daily("a"))
	if a := m.must(generate(today)); a.Plan != 0 || a.Instances != 0 {
		t.Errorf("answered %v", a)
	}
	if through, ok := m.s.GeneratedThrough(); !ok || through != today {
		t.Error("the date is not settled")
	}
	m.must(apply(auto("b")))
	if a := m.must(generate(today)); a.Instances != 1 {
		t.Errorf("a node switched on later gave %v", a)
	}
}

// TestGenerateExtendsAPlanInUse: a node that is applied gets its instances in
// the plan that runs already, and nothing of it is disturbed.
func TestGenerateExtendsAPlanInUse(t *testing.T) {
	m := ready(t, auto("m"), auto("n", "m"))
	d := today // T is tomorrow
	m.must(generate(d))
	fence := m.grant(1, 0)
	m.must(op(wire.Operate_FREEZE, of(1, 1)))
	paused := auto("a") // comes first in the order of the graph
	paused.Mode = wire.Node_PAUSED
	m.must(apply(paused, auto("z", "n")))
	if a := m.must(generate(d)); a.Plan != 1 || a.Instances != 2 {
		t.Fatalf("answered %v", a)
	}
	p := m.plan(1)
	for id, want := range map[string]Status{"m": Running, "n": Frozen, "a": Frozen, "z": Pending} {
		i, ok := p.Find(id, d, p.Cycle(plan.Place{}).Unix)
		if !ok || p.Status(i) != want {
			t.Errorf("%s is %d, expected %d", id, p.Status(i), want)
		}
		n, _ := p.NodeIndex(id)
		if c := p.NodeCounts(n); c[want] != 1 {
			t.Errorf("%s is counted as %v", id, c)
		}
	}
	if c := p.DateCounts(0); c != p.Total() || c[Running] != 1 || c[Frozen] != 2 || c[Pending] != 1 {
		t.Errorf("the date counts %v", c)
	}
	if i, _ := p.Find("m", d, p.Cycle(plan.Place{}).Unix); i != 0 {
		t.Errorf("the number of m became %d", i)
	}
	if restored(t, m.s).Hash() != m.s.Hash() {
		t.Error("a snapshot does not hold it all")
	}
	m.finish(1, 0, fence, wire.Outcome_SUCCEEDED)
	m.status(1, 0, Succeeded)
}

func TestTheMomentOfSwitchingOnIsAFact(t *testing.T) {
	m := ready(t, daily("a"))
	since := func(id string) int64 {
		n, _ := m.s.Node(id)
		return n.AutoSinceMs
	}
	if since("a") != 0 {
		t.Fatal("it is not switched on")
	}
	m.must(apply(auto("a"), auto("b")))
	on := m.now
	changed := auto("a")
	changed.Code = "echo changed"
	m.must(apply(changed))
	if since("a") != on || since("b") != on {
		t.Errorf("since %d and %d, expected %d", since("a"), since("b"), on)
	}
	m.s = restored(t, m.s)
	if since("a") != on {
		t.Error("a snapshot loses it")
	}
	m.must(apply(daily("a")))
	m.must(apply(auto("a")))
	if since("a") != m.now {
		t.Error("switched on again, it counts from then")
	}
	m.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{"b"}}}})
	m.must(apply(auto("b")))
	if since("b") != m.now {
		t.Error("a node that comes back counts from then")
	}
	// T of yesterday's data was at midnight: before it was switched on.
	m.must(generate(today - 1))
	if at, ok := m.plan(1).Locate(0); !ok || m.plan(1).Dry(at) != wire.DryRun_BEFORE_SWITCHED_ON {
		t.Error("a cycle before it is to be a dry run")
	}
}

func TestR6_PausedNodesAreFrozenAtAcceptance(t *testing.T) {
	paused := daily("b", "a")
	paused.Mode = wire.Node_PAUSED
	m := ready(t, daily("a"), paused, daily("c", "b"))
	r := &wire.Request{Mode: wire.Request_DESCENDANTS, Root: "a", Dates: days(3)}
	m.must(submit(r))
	if c := m.plan(1).Total(); c[Frozen] != 0 {
		t.Errorf("by default a backfill runs them: %v", c)
	}
	keep := &wire.Request{Mode: wire.Request_DESCENDANTS, Root: "a", Dates: days(3), PausedNodes: wire.Request_KEEP}
	m.must(submit(keep))
	p := m.plan(2)
	if c := p.Total(); c[Frozen] != 3 || c[Pending] != 6 {
		t.Errorf("the plan counts %v", c)
	}
	for i := range p.Size() {
		at, _ := p.Locate(i)
		if (p.Status(i) == Frozen) != (p.Nodes[at.Node].Spec.Id == "b") {
			t.Errorf("instance %d is %d", i, p.Status(i))
		}
	}
	if restored(t, m.s).Hash() != m.s.Hash() {
		t.Error("a snapshot does not hold it")
	}
	m.must(op(wire.Operate_UNFREEZE, of(2)))
	if c := p.Total(); m.plan(2).Total()[Frozen] != 0 || c[Frozen] != 3 {
		t.Error("unfreeze took none, or changed an older state")
	}
}

func TestR6_DryRunsByTheCalendarHaveNoLease(t *testing.T) {
	weekly := daily("a")
	weekly.Schedule = &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1} // Mondays
	m := ready(t, weekly)
	m.must(submit(current("a", 7)))
	really := 0
	for i := range uint64(7) {
		r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Instance: i, Agent: "a1", ResourceGroup: "default"}}}))
		if len(r.Refused) == 0 {
			really++
			if d := m.plan(1).Dates[i]; (d+1).String() != "2021-08-23" && (d+1).String() != "2021-08-16" {
				t.Errorf("%s really runs", d)
			}
		}
	}
	if really != 1 {
		t.Errorf("%d of 7 days really run", really)
	}
}

func TestR10_1_WhatHasChangedMeanwhileIsKept(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 1)))
	m.must(submit(current("a", 2)))
	p, _ := m.s.Plan(1)
	old := p.ChangedMs
	m.must(op(wire.Operate_PAUSE, of(1)))
	late := &wire.Command{Body: &wire.Command_Expire{Expire: &wire.Expire{Plans: []uint64{1}, UnchangedSinceMs: old}}}
	err := m.refused(fault.Conflict, late)
	if len(err.Details) != 1 || err.Details[0].Field != "b1" {
		t.Errorf("named %v", err.Details)
	}
	if _, ok := m.s.Plan(1); !ok {
		t.Error("what a person did to a plan was forgotten with it")
	}
	late.GetExpire().UnchangedSinceMs = m.s.NowMs()
	m.must(late)
}

func TestR10_1_ExpireForgetsAPlanAndAllThatIsIts(t *testing.T) {
	m := ready(t, auto("a"), daily("b", "a"))
	m.must(submit(&wire.Request{Mode: wire.Request_DESCENDANTS, Root: "a", Dates: days(2)}))
	m.must(submit(current("b", 1)))
	m.must(generate(today - 1))
	fence := m.grant(1, 0)
	err := m.refused(fault.NotFound, expire(2, 1, 9))
	if len(err.Details) != 2 || err.Details[0].Field != "b1" || err.Details[1].Field != "b9" {
		t.Fatalf("named %v", err.Details)
	}
	m.refused(fault.Conflict, expire(1))
	m.refused(fault.Invalid, expire())
	m.finish(1, 0, fence, wire.Outcome_SUCCEEDED)
	if a := m.must(expire(1, 3, 1)); a.Instances != 5 {
		t.Errorf("%d instances forgotten, expected 5", a.Instances)
	}
	for _, id := range []uint64{1, 3} {
		if _, ok := m.s.Plan(id); ok {
			t.Errorf("plan %d is still there", id)
		}
	}
	if _, ok := m.s.AutoPlan(today - 1); ok {
		t.Error("the schedule's plan is still found by its date")
	}
	m.s.AutoPlans(func(p *Plan) { t.Errorf("%s is listed as unfinished", p.Name) })
	if got := m.s.PlansOf("b"); !slices.Equal(got, []uint64{2}) || len(m.s.PlansOf("a")) > 0 {
		t.Errorf("plans of b are %v, of a %v", got, m.s.PlansOf("a"))
	}
	m.refused(fault.NotFound, op(wire.Operate_STOP, of(1)))
	if r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Agent: "a1", ResourceGroup: "default"}}})); len(r.Refused) != 1 {
		t.Error("an instance that was forgotten was leased")
	}
	if a := m.must(submit(current("a", 1))); a.Plan != 4 {
		t.Errorf("the id %d is given out again", a.Plan)
	}
	if s := restored(t, m.s); s.Hash() != m.s.Hash() {
		t.Error("a snapshot brings it back")
	}
	if o, version, ok := m.s.LastOutcome("a", today-3, 0); !ok || o != wire.Outcome_SUCCEEDED || version != 1 {
		t.Errorf("what was run is forgotten too: %v %d %v", o, version, ok)
	}
}

func TestR5_8_BackfillsAndTheSchedule(t *testing.T) {
	m := ready(t, auto("a"))
	m.must(generate(today))
	over := &wire.Request{Mode: wire.Request_CURRENT, Root: "a", Dates: []*wire.DateRange{{From: int32(today), To: int32(today)}}}
	a := m.must(submit(over))
	if !slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.Contains(w, "b1.0") }) {
		t.Errorf("warnings are %q", a.Warnings)
	}
	fence := m.grant(1, 0)
	r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 2, Agent: "a1", ResourceGroup: "default"}}}))
	if len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Err.Error(), "b1.0") {
		t.Fatalf("both run at once: %+v", r)
	}
	m.finish(1, 0, fence, wire.Outcome_LOST)
	m.grant(2, 0)
	if r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 1, Agent: "a1", ResourceGroup: "default"}}})); len(r.Refused) != 1 {
		t.Fatal("both run at once")
	}
	if !m.plan(1).Holds(0) {
		t.Error("an auto instance that waits holds a later backfill")
	}
	m.must(op(wire.Operate_FREEZE, of(1, 0)))
	if m.plan(1).Holds(0) {
		t.Error("a frozen auto instance holds no backfill")
	}
	var seen []uint64
	m.s.Elsewhere(0, "a", today, m.plan(1).Cycle(plan.Place{}).Unix, func(p *Plan, _ uint64) bool {
		seen = append(seen, p.ID)
		return true
	})
	if !slices.Equal(seen, []uint64{2, 1}) {
		t.Errorf("elsewhere are %v", seen)
	}
}

func TestR7_5_GroupUse(t *testing.T) {
	m := ready(t, auto("a"), daily("b"))
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a2", 5)}}))
	m.must(generate(today))
	m.must(submit(current("b", 3)))
	m.grant(1, 0)
	m.grant(2, 0)
	fence := m.grant(2, 1)
	if u := m.s.GroupUse("default"); u != (GroupUse{Slots: 15, Used: 3, Backfills: 2}) {
		t.Fatalf("use is %+v", u)
	}
	if u := restored(t, m.s).GroupUse("default"); u != (GroupUse{Slots: 15, Used: 3, Backfills: 2}) {
		t.Fatalf("after a restore it is %+v", u)
	}
	m.finish(2, 1, fence, wire.Outcome_SUCCEEDED)
	silent := agent("a2", 5)
	silent.State = wire.Agent_LOST
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{silent}}))
	if u := m.s.GroupUse("default"); u != (GroupUse{Slots: 10, Used: 2, Backfills: 1}) {
		t.Errorf("use is %+v", u)
	}
	away := agent("a1", 4)
	away.Groups[0].Group = "other"
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{away}}))
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a1", 2)}})) // and back
	if u := m.s.GroupUse("default"); u != (GroupUse{Slots: 2, Used: 2, Backfills: 1}) {
		t.Errorf("after leaving and coming back it is %+v", u)
	}
	var leases []uint64
	m.s.LeasesOf(2, func(l *Lease) { leases = append(leases, l.Instance) })
	if !slices.Equal(leases, []uint64{0}) {
		t.Errorf("leases of plan 2 are %v", leases)
	}
}
