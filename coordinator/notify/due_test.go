package notify

import (
	"backfleet/coordinator/cycle"
	"strings"
	"testing"
	"time"

	"backfleet/pkg/wire"
)

const (
	failure  = wire.Occasion_FAILURE
	success  = wire.Occasion_SUCCESS
	finished = wire.Occasion_FINISHED
	stuck    = wire.Occasion_STUCK
)

// story is a world whose clock is moved by hand.
type story struct {
	*world
	now time.Time
}

func newStory(t *testing.T) *story {
	s := &story{now: time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)}
	s.world = newWorld(t, func() time.Time { return s.now })
	return s
}

func (s *story) wait(d time.Duration) { s.now = s.now.Add(d) }

func (s *story) tells(want ...string) {
	s.t.Helper()
	if got := s.due(Settings{}); got != strings.Join(want, "\n") {
		s.t.Errorf("at %s it tells\n%s\nexpected\n%s", s.now.Format("15:04:05"), got, strings.Join(want, "\n"))
	}
}

func TestR15_6_FailuresOfTenSecondsAreToldTogether(t *testing.T) {
	s := newStory(t)
	s.submit(5, on("ops", failure), daily("a"))
	s.tells()
	s.run(1, 3, wire.Outcome_FAILED)
	s.tells()
	s.wait(9 * time.Second)
	s.run(1, 1, wire.Outcome_FAILED)
	s.tells()
	s.wait(time.Second)
	s.tells(`b1/failure/ops/@0: backfill b1 "orders": 2 instances have failed, the first of them a of 2024-10-05 (exit status 1)`)
	s.wait(time.Hour)
	s.run(1, 2, wire.Outcome_FAILED)
	s.wait(time.Hour)
	s.tells()
	// Another person's act begins anew, and tells of what fails from then on.
	s.operate(1, wire.Operate_RERUN, 2)
	s.tells()
	s.wait(time.Minute)
	s.tells()
	s.run(1, 2, wire.Outcome_FAILED)
	s.wait(10 * time.Second)
	s.tells(`b1/failure/ops/@1: backfill b1 "orders": a of 2024-10-06 has failed (exit status 1)`)
	s.operate(1, wire.Operate_STOP)
	s.wait(time.Hour)
	s.tells()
}

// TestR15_6_AFailureIsNotForgottenForAnotherAct: one that was not told yet when
// somebody set something going is told with what follows.
func TestR15_6_AFailureIsNotForgottenForAnotherAct(t *testing.T) {
	s := newStory(t)
	s.submit(5, on("ops", failure), daily("a"))
	s.run(1, 0, wire.Outcome_FAILED)
	s.wait(5 * time.Second)
	s.run(1, 1, wire.Outcome_FAILED)
	s.operate(1, wire.Operate_RERUN, 1)
	s.wait(5 * time.Second)
	s.tells(`b1/failure/ops/@1: backfill b1 "orders": a of 2024-10-04 has failed (exit status 1)`)
}

func TestR15_6_SuccessAndTheEnd(t *testing.T) {
	s := newStory(t)
	s.submit(2, on("ops", success, finished, failure), daily("a"))
	s.run(1, 0, wire.Outcome_SUCCEEDED)
	s.tells()
	s.grant(1, 1)
	s.tells()
	s.end(1, 1, wire.Outcome_FAILED)
	s.tells(
		`b1/finished/ops/@0: backfill b1 "orders": finished, 1 of 2 instances have succeeded, 1 have failed`,
		`b1/failure/ops/@0: backfill b1 "orders": a of 2024-10-05 has failed (exit status 1)`)
	s.wait(time.Hour)
	s.tells()
	s.operate(1, wire.Operate_SET_TO_SUCCESS, 1) // it has finished before, and nothing has run since
	s.tells(`b1/success/ops/@1: backfill b1 "orders": all 2 instances have succeeded`)
	s.wait(time.Hour)
	s.tells()
	s.operate(1, wire.Operate_RERUN, 1)
	s.tells()
	s.wait(time.Second)
	s.run(1, 1, wire.Outcome_SUCCEEDED)
	s.tells(
		`b1/success/ops/@2: backfill b1 "orders": all 2 instances have succeeded`,
		`b1/finished/ops/@2: backfill b1 "orders": finished, 2 of 2 instances have succeeded`)
	s.wait(time.Second)
	s.operate(1, wire.Operate_RERUN, 0)
	s.wait(time.Second)
	s.run(1, 0, wire.Outcome_SUCCEEDED)
	s.tells(
		`b1/success/ops/@3: backfill b1 "orders": all 2 instances have succeeded`,
		`b1/finished/ops/@3: backfill b1 "orders": finished, 2 of 2 instances have succeeded`)
}

func TestR15_6_WhatAPersonHoldsHasNotFinished(t *testing.T) {
	s := newStory(t)
	s.submit(2, on("ops", finished, stuck), daily("a"))
	s.run(1, 0, wire.Outcome_SUCCEEDED)
	s.operate(1, wire.Operate_PAUSE)
	s.wait(2 * time.Hour)
	s.tells()
	s.operate(1, wire.Operate_RESUME)
	s.operate(1, wire.Operate_FREEZE, 1)
	s.wait(2 * time.Hour)
	s.tells()
	s.operate(1, wire.Operate_UNFREEZE, 1)
	s.operate(1, wire.Operate_STOP)
	s.tells(`b1/finished/ops/@4: backfill b1 "orders": finished, 1 of 2 instances have succeeded, 1 have not run`)
	s.wait(2 * time.Hour)
	s.tells()
}

func TestR15_6_StuckIsWhatNobodyHolds(t *testing.T) {
	s := newStory(t)
	s.submit(3, on("ops", stuck), daily("a"))
	s.grant(1, 0)
	s.wait(5 * time.Hour)
	s.tells() // it runs
	s.end(1, 0, wire.Outcome_SUCCEEDED)
	s.wait(29*time.Minute + 59*time.Second)
	s.tells()
	s.wait(time.Second)
	s.tells(`b1/stuck/ops/@0: backfill b1 "orders": nothing has run or ended since 2026-03-10 13:00:00 UTC, and 2 instances have not begun`)
	s.wait(time.Hour)
	s.tells()
	s.operate(1, wire.Operate_RERUN, 0)
	s.wait(30 * time.Minute)
	s.tells(`b1/stuck/ops/@1: backfill b1 "orders": nothing has run or ended since 2026-03-10 14:30:00 UTC, and 3 instances have not begun`)
}

// TestR15_6_WhatWaitsForItsTimeIsNotStuck, and not when its time has just come.
func TestR15_6_WhatWaitsForItsTimeIsNotStuck(t *testing.T) {
	s := newStory(t)
	s.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{daily("a")}}}})
	s.accept(&wire.Request{
		Name: "later", Mode: wire.Request_CURRENT, Root: "a", Dates: []*wire.DateRange{{From: 20000, To: 20001}}, Groups: 1,
		NotBeforeMs: s.now.Add(5 * time.Hour).UnixMilli(), Notify: on("ops", stuck),
	})
	p, _ := s.m.State().Plan(1)
	w := WantsOf(p)
	s.wait(4 * time.Hour)
	v := Look(s.m.State(), p, w, 0, s.now, Settings{})
	if !v.Timed || len(v.Due) > 0 || v.Next.Sub(s.now) != time.Minute {
		t.Fatalf("it waits for its time, and the view is %+v", v)
	}
	calm := s.now.UnixMilli()
	s.wait(time.Hour)
	if v := Look(s.m.State(), p, w, calm, s.now, Settings{StuckAfter: 2 * time.Hour}); v.Timed || len(v.Due) > 0 || v.Next.Sub(s.now) != time.Hour {
		t.Errorf("its time has come an hour after it was seen to wait, and the view is %+v", v)
	}
	s.wait(time.Hour)
	if v := Look(s.m.State(), p, w, calm, s.now, Settings{StuckAfter: 2 * time.Hour}); len(v.Due) != 1 {
		t.Errorf("it is stuck, and the view is %+v", v)
	}
}

func TestR15_6_NodesTellOfTheirOwn(t *testing.T) {
	s := newStory(t)
	a, b := daily("a"), daily("b", "a")
	a.Notify = on("ops", success, failure)
	b.Notify = []*wire.Subscription{{Channel: "ops"}, {Channel: "team", On: []wire.Occasion{finished, stuck}}}
	s.submit(2, nil, a, b)
	of := func(id string, pos int) uint64 {
		p, _ := s.m.State().Plan(1)
		n, _ := p.NodeIndex(id)
		from, _ := p.NodeRange(pos, n)
		return from
	}
	s.run(1, of("a", 0), wire.Outcome_SUCCEEDED)
	s.tells()
	s.run(1, of("a", 1), wire.Outcome_SUCCEEDED)
	s.tells(`b1/success/ops/a@0: node a in backfill b1 "orders": all 2 instances have succeeded`)
	s.run(1, of("b", 0), wire.Outcome_FAILED)
	s.wait(10 * time.Second)
	s.tells(`b1/failure/ops/b@0: backfill b1 "orders": b of 2024-10-04 has failed (exit status 1)`)
	s.wait(30 * time.Minute)
	s.tells(`b1/stuck/team/b@0: node b in backfill b1 "orders": nothing has run or ended since 2026-03-10 08:00:00 UTC, and 1 instance has not begun`)
	s.run(1, of("b", 1), wire.Outcome_SUCCEEDED)
	s.tells(`b1/finished/team/b@0: node b in backfill b1 "orders": finished, 1 of 2 instances have succeeded, 1 have failed`)
	if got := s.outbox(); len(got) != 2 { // there is no channel team
		t.Errorf("the outbox has %v", got)
	}
}

// TestR15_6_TheScheduleTellsToo: of the nodes that ask for it.
func TestR15_6_TheScheduleTellsToo(t *testing.T) {
	s := newStory(t)
	a := daily("a")
	a.Auto, a.Notify = true, on("ops")
	s.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{a, daily("b")}}}})
	s.now = time.Date(2026, 3, 10, 22, 0, 0, 0, time.UTC)
	days, err := cycle.View(s.m.State(), cycle.Defaults, s.now)
	if err != nil {
		t.Fatal(err)
	}
	g, err := days.Generate(20522)
	if err != nil {
		t.Fatal(err)
	}
	s.must(&wire.Command{Body: &wire.Command_Generate{Generate: g}})
	s.wait(48 * time.Hour)
	s.run(1, 0, wire.Outcome_FAILED)
	s.wait(time.Minute)
	s.tells(`b1/failure/ops/a@0: the schedule of 2026-03-10: a of 2026-03-10 has failed (exit status 1)`)
}

func TestNobodyWantsToKnow(t *testing.T) {
	s := newStory(t)
	s.submit(2, nil, daily("a"))
	p, _ := s.m.State().Plan(1)
	if w := WantsOf(p); w != nil {
		t.Errorf("wants: %+v", w)
	}
	if v := Look(s.m.State(), p, nil, 0, s.now, Settings{}); len(v.Due) > 0 || v.Looks > 0 || !v.Next.IsZero() {
		t.Errorf("and yet %+v", v)
	}
}
