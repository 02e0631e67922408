package peers

import (
	"slices"
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// TestAFullGroupStarvesNoOther: however much of higher priority waits for a group that is full, another group's free
// slots are given out at once.
func TestAFullGroupStarvesNoOther(t *testing.T) {
	busy, quiet := daily("busy"), daily("quiet")
	busy.Baseline, busy.Priority, quiet.ResourceGroup = "urgent", 8, "other"
	e := newEngine(t, 1, 3, busy, quiet)
	e.submit("busy", 400, &wire.Request{Groups: 1, Gate: wire.Request_NONE})
	e.submit("quiet", 5, &wire.Request{Groups: 1, Gate: wire.Request_NONE})
	got := e.start()
	if n := len(slices.DeleteFunc(got, func(s started) bool { return s.node != "quiet" })); n != 3 {
		t.Errorf("%d of the other group's three slots were given out", n)
	}
}

// TestACapIsTakenByWhatRunsAlone: an instance that waits for a failed one before it takes no place of maxRunning from it,
// so that the failed one can run again.
func TestACapIsTakenByWhatRunsAlone(t *testing.T) {
	n := daily("n")
	n.DependsOnSelf = true
	e := newEngine(t, 4, 1, n)
	p := e.submit("n", 3, &wire.Request{Groups: 1, Gate: wire.Request_NONE, MaxRunning: 1})
	e.start()
	e.end(wire.Outcome_FAILED, all)
	if got := e.start(); len(got) > 0 {
		t.Fatalf("%v starts after a failure", got)
	}
	e.operate(p, wire.Operate_RERUN_FAILED)
	if got := e.work(none); !slices.Equal(got, []started{{"n", 0}, {"n", 1}, {"n", 2}}) {
		t.Errorf("after the rerun %v ran", got)
	}
}

// TestOneSlowDateHoldsNobodyElse: groups are no waves. A date that does not end keeps what comes after it in its group,
// and no other group.
func TestOneSlowDateHoldsNobodyElse(t *testing.T) {
	e := newEngine(t, 3, 1, daily("n"))
	e.submit("n", 9, &wire.Request{Groups: 3})
	slow := started{"n", 0}
	ran := e.work(func(s started) bool { return s == slow })
	for pos := 3; pos < 9; pos++ {
		if !slices.Contains(ran, started{"n", pos}) {
			t.Errorf("date %d waits for the slow one of another group", pos)
		}
	}
	if slices.Contains(ran, started{"n", 1}) {
		t.Error("a date has not waited for the one before it")
	}
}

// TestAFailureHoldsItsGroupAlone: after a failure the other groups' dates run to the end, and with onFailure continue
// those of its own as well.
func TestAFailureHoldsItsGroupAlone(t *testing.T) {
	for _, onFailure := range []wire.Request_OnFailure{wire.Request_HOLD, wire.Request_CONTINUE} {
		e := newEngine(t, 3, 1, daily("n"))
		e.submit("n", 9, &wire.Request{Groups: 3, OnFailure: onFailure})
		e.start()
		e.end(wire.Outcome_FAILED, func(s started) bool { return s.pos == 0 })
		if opens := e.sched.Opens(); len(opens) > 0 {
			e.turn(&wire.Turn{Opens: opens})
		}
		ran := e.work(none)
		own := slices.Contains(ran, started{"n", 1})
		if others := slices.Contains(ran, started{"n", 5}) && slices.Contains(ran, started{"n", 8}); !others || own != (onFailure == wire.Request_CONTINUE) {
			t.Errorf("%s: %v ran after a failure on the first date", onFailure, ran)
		}
	}
}

// TestTheDatesAreThoseAskedFor: both ends are in it, over the end of a leap February, and a date that is named twice runs
// once.
func TestTheDatesAreThoseAskedFor(t *testing.T) {
	e := newEngine(t, 9, 1, daily("n"))
	day := func(m, d int) int32 { return int32(calendar.DateOf(2024, 1, 1)) + int32(31*(m-1)+d-1) } // January and February
	p := e.submit("n", 0, &wire.Request{Groups: 1, Gate: wire.Request_NONE, Dates: []*wire.DateRange{
		{From: day(2, 27), To: int32(today) - 2}, {From: day(2, 28), To: day(2, 28)}, {From: day(1, 31), To: day(1, 31)},
	}})
	var got []string
	for _, d := range p.Dates {
		got = append(got, d.String())
	}
	if want := []string{"2024-01-31", "2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if ran := e.work(none); len(ran) != len(p.Dates) {
		t.Errorf("%v ran", ran)
	}
}

// TestWhatWasStoppedRunsAgain: nothing of a stopped backfill is stranded. Single instances run again while it is stopped,
// and all the rest after a resume.
func TestWhatWasStoppedRunsAgain(t *testing.T) {
	e := newEngine(t, 2, 1, daily("n"))
	p := e.submit("n", 6, &wire.Request{Groups: 1, Gate: wire.Request_NONE})
	e.start()
	e.operate(p, wire.Operate_STOP)
	e.end(wire.Outcome_STOPPED, all)
	if got := e.start(); len(got) > 0 {
		t.Fatalf("%v starts in a stopped backfill", got)
	}
	e.operate(p, wire.Operate_RERUN, e.number(p, "n", 0))
	if got := e.work(none); !slices.Equal(got, []started{{"n", 0}}) {
		t.Fatalf("%v ran: exactly what was named is to run", got)
	}
	e.operate(p, wire.Operate_RERUN_FAILED)
	e.operate(p, wire.Operate_RESUME)
	if got := e.work(none); len(got) != 5 {
		t.Errorf("%v ran after the resume", got)
	}
}

// TestWhatComesAfterIsNotMarked: what waits for a failed instance has no state of its own that somebody must clear. It
// starts by itself when that one has succeeded in the end, or was set to success.
func TestWhatComesAfterIsNotMarked(t *testing.T) {
	for _, mend := range []wire.Operate_Kind{wire.Operate_RERUN, wire.Operate_SET_TO_SUCCESS} {
		e := newEngine(t, 2, 1, daily("up"), daily("down", "up"), daily("last", "down"))
		p := e.submit("up", 1, &wire.Request{Groups: 1})
		e.start()
		e.end(wire.Outcome_FAILED, all)
		if got := e.status(p, "down", 0); got != state.Pending {
			t.Fatalf("what waits for a failed instance has status %d", got)
		}
		e.operate(p, mend, e.number(p, "up", 0))
		e.work(none)
		if got := e.status(p, "last", 0); got != state.Succeeded {
			t.Errorf("after %s the last instance has status %d", mend, got)
		}
	}
}

// TestARerunTakesWhatFailedAlone: what has succeeded on the same date does not run again.
func TestARerunTakesWhatFailedAlone(t *testing.T) {
	e := newEngine(t, 9, 1, daily("root"), daily("good", "root"), daily("bad", "root"), daily("after", "bad"))
	p := e.submit("root", 2, &wire.Request{Groups: 2})
	e.start()
	e.end(wire.Outcome_SUCCEEDED, is("root"))
	e.start()
	e.end(wire.Outcome_FAILED, is("bad"))
	e.work(none)
	e.operate(p, wire.Operate_RERUN_FAILED)
	for _, s := range e.work(none) {
		if s.node != "bad" && s.node != "after" {
			t.Errorf("%v runs again", s)
		}
	}
	if now, _ := e.st.Plan(p.ID); !allSucceeded(now) {
		t.Error("the rerun has not completed the backfill")
	}
}

func allSucceeded(p *state.Plan) bool {
	c := p.Total()
	return c.Success() == p.Size()
}

// TestANodeThatIsRemovedCancelsNothing: a backfill goes on with what it was accepted with, over a new leader as well.
func TestANodeThatIsRemovedCancelsNothing(t *testing.T) {
	e := newEngine(t, 2, 1, daily("n"))
	p := e.submit("n", 5, &wire.Request{Groups: 1, Gate: wire.Request_NONE})
	e.start()
	e.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{"n"}}}})
	e.restart()
	e.work(none)
	if now, _ := e.st.Plan(p.ID); !allSucceeded(now) {
		t.Errorf("it came to %v", now.Total())
	}
}

// TestANewLeaderStrandsNothingAndCountsAlike: what was queued, what runs and the cap are facts, or follow from them.
func TestANewLeaderStrandsNothingAndCountsAlike(t *testing.T) {
	e := newEngine(t, 9, 1, daily("n"))
	p := e.submit("n", 7, &wire.Request{Groups: 1, Gate: wire.Request_NONE, MaxRunning: 2})
	for range 7 {
		e.start()
		e.restart()
		e.start()
		if now, _ := e.st.Plan(p.ID); now.Active() > 2 {
			t.Fatalf("%d run, and two may", now.Active())
		}
		one := false
		e.end(wire.Outcome_SUCCEEDED, func(started) bool { first := !one; one = true; return first })
	}
	if now, _ := e.st.Plan(p.ID); !allSucceeded(now) {
		t.Errorf("it came to %v", now.Total())
	}
}
