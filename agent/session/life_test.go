package session

import (
	"testing"
	"time"

	"backfleet/pkg/wire"
)

// drainedCore is a core whose leader knows that it drains, at moment 0.
func drainedCore(t *testing.T, kept ...*wire.KeptAttempt) *Core {
	t.Helper()
	c := connected(t, kept...)
	c.Drain()
	r := report(t, c.Take(0))
	c.Received(0, ack(&wire.Ack{Seq: r.Seq}))
	c.Take(0)
	return c
}

func TestItLeavesWhenEveryResultIsAFact(t *testing.T) {
	c := drainedCore(t, running(1))
	c.Leave()
	quiet(t, c.Take(0)) // not with an attempt running
	c.KeeperChanged(ended(1))
	r := report(t, c.Take(0))
	if len(r.Results) != 1 || r.Leaving {
		t.Fatalf("got %v, want the result, and no farewell before it is a fact", r)
	}
	c.Received(0, ack(&wire.Ack{Seq: r.Seq, Results: []*wire.AttemptRef{ref(1)}}))
	if r = report(t, c.Take(0)); !r.Leaving || len(r.Held) != 0 || c.Left() {
		t.Fatalf("got %v, want the farewell", r)
	}
	c.Disconnected() // it may not have arrived
	c.Connected(0)
	c.Take(0)
	c.Received(0, welcome())
	if r = report(t, c.Take(0)); r.Leaving || !r.Draining {
		t.Fatalf("got %v, want that it drains, first", r)
	}
	c.Received(0, ack(&wire.Ack{Seq: r.Seq}))
	if r = report(t, c.Take(0)); !r.Leaving {
		t.Fatalf("got %v, want the farewell again", r)
	}
	c.Received(0, ack(&wire.Ack{Seq: r.Seq}))
	if !c.Left() {
		t.Error("the leader has answered, and it has not left")
	}
}

func TestWhatIsGivenUpRunsAgainElsewhere(t *testing.T) {
	c := connected(t, running(1), running(2), running(3))
	stop := assign()
	stop.GetAssign().Stops = []*wire.StopWork{{Ref: ref(3), GraceMs: 5000, Cause: "by ann"}}
	c.Received(0, stop)
	c.Take(0)
	c.Drain()
	c.GiveUp(10*time.Second, "empty by now")
	if e := c.Take(0); len(e.Stop) != 2 || e.Stop[0].GraceMs != 10_000 || e.Stop[0].Cause != "empty by now" || e.Stop[0].Recall {
		t.Fatalf("got %v, want the two that nobody has stopped", e.Stop)
	}
	for i, kept := range map[uint64]wire.Outcome{1: wire.Outcome_STOPPED, 2: wire.Outcome_FAILED, 3: wire.Outcome_STOPPED} {
		m := ended(i)
		m.Result.Outcome = kept
		c.KeeperChanged(m)
	}
	got := map[uint64]wire.Outcome{}
	for _, r := range report(t, c.Take(0)).Results {
		got[r.Ref.Instance] = r.Outcome
	}
	if got[1] != wire.Outcome_LOST || got[2] != wire.Outcome_FAILED || got[3] != wire.Outcome_STOPPED {
		t.Errorf("got %v, want only the one that the agent stopped to count as lost", got)
	}
}

// TestAStopIsSaidAgain: the keeper may have become another program while it was
// on the way.
func TestAStopIsSaidAgain(t *testing.T) {
	c := connected(t, running(1), running(2))
	stop := assign()
	stop.GetAssign().Stops = []*wire.StopWork{{Ref: ref(1), GraceMs: 5000, Cause: "by ann"}}
	c.Received(0, stop)
	c.Take(0)
	c.KeeperLost()
	c.Take(0)
	c.KeeperSynced("k1", []*wire.KeptAttempt{running(1), running(2)})
	if e := c.Take(0); len(e.Stop) != 1 || e.Stop[0].Cause != "by ann" || len(e.Start) != 0 {
		t.Errorf("got %+v, want the stop again", e)
	}
	c.KeeperLost()
	c.KeeperSynced("k1", []*wire.KeptAttempt{ended(1), running(2)})
	if e := c.Take(0); len(e.Stop) != 0 {
		t.Errorf("got %v, want nothing said of one that has ended", e.Stop)
	}
}

func TestStatus(t *testing.T) {
	c := connected(t, running(1), &wire.KeptAttempt{Ref: ref(2), Running: true, Queued: true, Ahead: true})
	c.Received(time.Second, ack(&wire.Ack{Seq: 1})) // what was said at 0 counts
	c.Received(time.Second, assign(3))
	c.KeeperChanged(ended(4))
	s := c.status(2 * time.Second)
	if !s.Connected || s.AnsweredMs != 2000 || s.Draining || len(s.Attempts) != 4 {
		t.Fatalf("%+v", s)
	}
	for i, want := range []AttemptStatus{
		{Instance: "b1.1", Attempt: 1, Fence: 101, State: "running", LeaseMs: 10_000},
		{Instance: "b1.2", Attempt: 1, Fence: 102, State: "waiting", LeaseMs: 10_000},
		{Instance: "b1.3", Attempt: 1, Fence: 103, State: "starting", LeaseMs: 10_000},
		{Instance: "b1.4", Attempt: 1, Fence: 104, State: "ended", Outcome: "SUCCEEDED"},
	} {
		if s.Attempts[i] != want {
			t.Errorf("got %+v, want %+v", s.Attempts[i], want)
		}
	}
}
