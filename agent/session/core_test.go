package session

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

const (
	lease  = 15 * time.Second
	renew  = 3 * time.Second
	margin = 3 * time.Second
	ahead  = 250 * time.Millisecond
)

type preparer struct{}

func (preparer) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	if d.Node.Code == "bad" {
		return nil, errors.New("parameter x: not assigned")
	}
	return &wire.StartAttempt{Command: []string{"sh"}}, nil
}

func ref(instance uint64) *wire.AttemptRef {
	return &wire.AttemptRef{Plan: 1, Instance: instance, Attempt: 1, Fence: 100 + instance}
}

func key(instance uint64) attempt.Key { return attempt.KeyOf(ref(instance)) }

func welcome() *wire.LeaderMessage {
	return &wire.LeaderMessage{Body: &wire.LeaderMessage_Welcome{Welcome: &wire.Welcome{
		LeaseMs: lease.Milliseconds(), RenewMs: renew.Milliseconds(), MarginMs: margin.Milliseconds(), AheadMs: ahead.Milliseconds()}}}
}

func ack(a *wire.Ack) *wire.LeaderMessage {
	return &wire.LeaderMessage{Body: &wire.LeaderMessage_Ack{Ack: a}}
}

func assign(instances ...uint64) *wire.LeaderMessage {
	a := &wire.Assign{Definitions: []*wire.Definition{{Id: 1, Node: &wire.Node{}}, {Id: 2, Node: &wire.Node{Code: "bad"}}}}
	for _, i := range instances {
		a.Work = append(a.Work, &wire.Work{Ref: ref(i), Definition: 1})
	}
	return &wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}}
}

func ended(instance uint64) *wire.KeptAttempt {
	return &wire.KeptAttempt{Ref: ref(instance), Result: &wire.AttemptResult{Ref: ref(instance), Outcome: wire.Outcome_SUCCEEDED}}
}

func running(instance uint64) *wire.KeptAttempt {
	return &wire.KeptAttempt{Ref: ref(instance), Running: true}
}

// connected is a core with a keeper and a welcome at moment 0, whose first
// renewal (seq 1, moment 0) has gone out.
func connected(t *testing.T, kept ...*wire.KeptAttempt) *Core {
	t.Helper()
	c := NewCore(&wire.Agent{Id: "a"}, preparer{})
	c.KeeperSynced("k1", kept)
	c.Connected(0)
	if e := c.Take(0); len(e.Send) != 1 || len(e.Send[0].GetHello().GetHeld()) != len(kept) {
		t.Fatalf("got %v, want Hello with all %d that are kept", e.Send, len(kept))
	}
	c.Received(0, welcome())
	if r := report(t, c.Take(0)); !r.Renews || r.Seq != 1 {
		t.Fatalf("got %v, want a renewal at once: Hello renews nothing", r)
	}
	return c
}

// report gives the only message that goes out.
func report(t *testing.T, e Effects) *wire.Report {
	t.Helper()
	if len(e.Send) != 1 || e.Send[0].GetReport() == nil {
		t.Fatalf("got %v, want one report", e.Send)
	}
	return e.Send[0].GetReport()
}

func quiet(t *testing.T, e Effects) {
	t.Helper()
	if len(e.Start)+len(e.Extend)+len(e.Stop)+len(e.Send)+len(e.Ship)+len(e.Forget) > 0 || e.Redial != "" {
		t.Fatalf("got %+v, want nothing to do", e)
	}
}

func TestAnAttemptsLife(t *testing.T) {
	c := connected(t)
	c.Received(time.Second, assign(1, 2))
	e := c.Take(time.Second)
	if len(e.Start) != 2 || e.Start[0].DeadlineNs != int64(lease-margin) || !proto.Equal(e.Start[0].Ref, ref(1)) {
		t.Fatalf("got %v, want two starts whose leases count from the last answered message, at 0", e.Start)
	}
	c.Received(2*time.Second, assign(1)) // again
	quiet(t, c.Take(2*time.Second))
	c.Received(2*time.Second, ack(&wire.Ack{Seq: 1})) // named neither
	quiet(t, c.Take(2*time.Second))
	c.KeeperChanged(running(1))

	if at, ok := c.NextWake(); !ok || at != renew {
		t.Fatalf("next wake at %v, want the renewal at %v", at, renew)
	}
	r := report(t, c.Take(renew))
	if !r.Renews || len(r.Held) != 2 {
		t.Fatalf("got %v, want a renewal of both", r)
	}
	c.Received(4*time.Second, ack(&wire.Ack{Seq: 2}))
	e = c.Take(4 * time.Second)
	if len(e.Extend) != 1 || len(e.Extend[0].Refs) != 2 || e.Extend[0].DeadlineNs != int64(renew+lease-margin) {
		t.Fatalf("got %v, want both extended from when the renewal was sent", e.Extend)
	}

	c.KeeperChanged(ended(1)) // both end together: one report
	c.KeeperChanged(ended(2))
	if r = report(t, c.Take(5*time.Second)); len(r.Results) != 2 || r.Renews {
		t.Fatalf("got %v, want both results in one report", r)
	}
	c.LogSafe(key(1))
	quiet(t, c.Take(5*time.Second))
	c.Received(5*time.Second, ack(&wire.Ack{Seq: 3, Results: []*wire.AttemptRef{ref(1), ref(2)}}))
	if e = c.Take(5 * time.Second); len(e.Forget) != 1 || !proto.Equal(e.Forget[0], ref(1)) {
		t.Fatalf("got %v, want the one forgotten whose log is safe", e.Forget)
	}
	if r = report(t, c.Take(6*time.Second)); len(r.Held) != 0 {
		t.Fatalf("got %v, want no acknowledged attempt in the list", r.Held)
	}
	c.LogSafe(key(2))
	if e = c.Take(6 * time.Second); len(e.Forget) != 1 {
		t.Fatalf("got %v, want the other forgotten, too", e.Forget)
	}
	c.Received(6*time.Second, assign(1))
	c.KeeperChanged(running(2))
	if e = c.Take(6 * time.Second); len(e.Start) != 0 || c.Running() != 0 {
		t.Fatal("an attempt that is over came back")
	}
}

func TestReconnectingDisturbsNothingAndRepeatsResults(t *testing.T) {
	c := connected(t)
	c.Received(0, assign(1, 2))
	c.Take(0)
	c.KeeperChanged(ended(1))
	c.Take(0)
	c.Disconnected()
	quiet(t, c.Take(time.Minute))
	if _, wakes := c.NextWake(); wakes {
		t.Fatal("without a stream there is nothing to wake for")
	}
	c.Connected(time.Minute)
	if h := c.Take(time.Minute).Send[0].GetHello(); len(h.Held) != 2 || h.Agent.Incarnation != "k1" {
		t.Fatalf("got %v, want both held", h)
	}
	c.Received(time.Minute, ack(&wire.Ack{Seq: 9})) // before the welcome: of no meaning
	c.Received(time.Minute, welcome())
	r := report(t, c.Take(time.Minute))
	if r.Seq != 1 || !r.Renews || len(r.Results) != 1 || len(r.Held) != 2 {
		t.Fatalf("got %v, want the result again, and a renewal of both", r)
	}
}

func TestWhatTheLeaderDoesNotKnowIsKilled(t *testing.T) {
	c := connected(t, running(1), ended(2))
	c.Received(0, ack(&wire.Ack{Seq: 1, Unknown: []*wire.AttemptRef{ref(1), ref(2), ref(3)}}))
	e := c.Take(0)
	if len(e.Stop) != 1 || !proto.Equal(e.Stop[0].Ref, ref(1)) || e.Stop[0].GraceMs != 0 || len(e.Extend) != 0 {
		t.Fatalf("got %+v, want the running one killed and nothing extended", e)
	}
}

func TestBadWorkFailsWithItsCause(t *testing.T) {
	c := connected(t)
	a := assign()
	a.GetAssign().Work = []*wire.Work{{Ref: ref(1), Definition: 2}, {Ref: ref(2), Definition: 7}}
	c.Received(0, a)
	c.Received(lease, assign(3)) // the lease of what comes now may be over
	e := c.Take(time.Second)
	r := report(t, e)
	if len(e.Start) != 0 || len(e.Ship) != 3 || len(r.Results) != 3 {
		t.Fatalf("got %+v, want three results, three empty logs and no start", e)
	}
	for i, want := range []wire.Outcome{wire.Outcome_FAILED, wire.Outcome_FAILED, wire.Outcome_LOST} {
		if r.Results[i].Outcome != want || r.Results[i].Cause == "" {
			t.Errorf("got %v, want %v with a cause", r.Results[i], want)
		}
	}
	for i := range uint64(3) {
		c.LogSafe(key(i + 1))
	}
	c.Received(time.Second, ack(&wire.Ack{Seq: 2, Results: []*wire.AttemptRef{ref(1), ref(2), ref(3)}}))
	quiet(t, c.Take(time.Second)) // the keeper never had them
}

func TestANewKeeperMeansThatAllIsLost(t *testing.T) {
	c := connected(t, running(1))
	c.Received(0, assign(2))
	c.Take(0)
	c.KeeperLost()
	if e := c.Take(0); e.Redial == "" {
		t.Fatal("without a keeper the stream must be given up: it can renew nothing")
	}
	c.KeeperSynced("k2", nil)
	c.Connected(time.Second)
	c.Received(time.Second, welcome())
	e := c.Take(time.Second)
	if len(e.Send) != 2 || e.Send[0].GetHello().Agent.Incarnation != "k2" || len(e.Send[1].GetReport().Results) != 2 {
		t.Fatalf("got %v, want both reported as lost by a new incarnation", e.Send)
	}
}

func TestAStartOnItsWayToTheSameKeeperIsRepeated(t *testing.T) {
	c := connected(t)
	c.Received(0, assign(1))
	c.Take(0)
	c.KeeperLost()
	c.Take(0)
	c.KeeperSynced("k1", nil)
	if e := c.Take(0); len(e.Start) != 1 {
		t.Fatalf("got %v, want the start again: nobody knows whether it arrived", e)
	}
}

func TestASilentLeaderIsLeft(t *testing.T) {
	c := connected(t)
	if at, _ := c.NextWake(); at != renew {
		t.Fatalf("next wake at %v, want %v", at, renew)
	}
	if e := c.Take(renew); e.Redial == "" || len(e.Send) != 0 {
		t.Fatalf("got %+v, want the stream given up", e)
	}
	c.Received(renew, assign(1))
	quiet(t, c.Take(renew))
}

func TestStopAndDrain(t *testing.T) {
	c := connected(t, running(1))
	stop := assign()
	stop.GetAssign().Stops = []*wire.StopWork{{Ref: ref(1), GraceMs: 5000, Cause: "by ann"}, {Ref: ref(9)}}
	c.Received(0, stop)
	c.Received(0, stop)
	if e := c.Take(0); len(e.Stop) != 1 || e.Stop[0].GraceMs != 5000 || e.Stop[0].Cause != "by ann" {
		t.Fatalf("got %v, want one stop", e.Stop)
	}
	c.Drain()
	r := report(t, c.Take(0))
	if !r.Draining || c.Drained() {
		t.Fatalf("got %v, want that it drains, and no more yet", r)
	}
	c.Received(0, ack(&wire.Ack{Seq: r.Seq}))
	if !c.Drained() || c.Running() != 1 {
		t.Error("want it drained once the leader has answered, with its attempt running")
	}
}

func TestLateWordsOfForgottenAttemptsAreRecognised(t *testing.T) {
	var r recent
	for i := range uint64(remembered + 10) {
		r.add(key(i))
	}
	for i, want := range map[uint64]bool{9: false, 10: true, remembered + 9: true} {
		if r.has(key(i)) != want {
			t.Errorf("%s remembered: %v, want %v", fmt.Sprint(key(i)), !want, want)
		}
	}
}
