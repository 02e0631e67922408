package session

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

func assignAhead(instances ...uint64) *wire.LeaderMessage {
	m := assign(instances...)
	for _, w := range m.GetAssign().Work {
		w.Ahead, w.Priority = true, int32(w.Ref.Instance)
	}
	m.GetAssign().Definitions[0].ResourceGroup = "g"
	return m
}

func stopOf(recall bool, instances ...uint64) *wire.LeaderMessage {
	a := &wire.Assign{}
	for _, i := range instances {
		a.Stops = append(a.Stops, &wire.StopWork{Ref: ref(i), Recall: recall, GraceMs: 1000, Cause: "by ann"})
	}
	return &wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}}
}

func waiting(instance uint64) *wire.KeptAttempt {
	return &wire.KeptAttempt{Ref: ref(instance), Running: true, Queued: true, Ahead: true}
}

func begun(instance uint64) *wire.KeptAttempt {
	return &wire.KeptAttempt{Ref: ref(instance), Running: true, Ahead: true}
}

func recalled(instance uint64) *wire.KeptAttempt {
	return &wire.KeptAttempt{Ref: ref(instance), Ahead: true, Result: &wire.AttemptResult{Ref: ref(instance), Outcome: wire.Outcome_RECALLED}}
}

func TestWorkGrantedAheadIsHandedOnAndItsStartReported(t *testing.T) {
	c := connected(t)
	c.agent.Groups = []*wire.GroupSlots{{Group: "f", Slots: 7}, {Group: "g", Slots: 3}}
	c.Received(0, assignAhead(1, 2))
	e := c.Take(0)
	if len(e.Start) != 2 {
		t.Fatalf("got %v, want two starts", e.Start)
	}
	if s := e.Start[1]; !s.Ahead || s.Priority != 2 || s.Group != "g" || s.Slots != 3 || s.AheadMs != ahead.Milliseconds() {
		t.Errorf("got %v, want it to say what it may wait for, how long and before whom", s)
	}
	c.KeeperChanged(waiting(1))
	quiet(t, c.Take(time.Second))
	c.KeeperChanged(begun(1))
	c.KeeperChanged(begun(2))
	c.KeeperChanged(ended(2)) // too short to be told of: its result says all
	if r := report(t, c.Take(time.Second)); len(r.Started) != 1 || !proto.Equal(r.Started[0], ref(1)) || len(r.Results) != 1 || r.Renews {
		t.Fatalf("got %v, want one start and one result", r)
	}
	c.KeeperChanged(begun(1))
	quiet(t, c.Take(time.Second)) // said once
	c.Disconnected()
	c.Connected(time.Second)
	c.Received(time.Second, welcome())
	if e := c.Take(time.Second); len(e.Send[1].GetReport().Started) != 1 {
		t.Fatalf("got %v, want the start said again: the stream before may have lost it", e.Send)
	}
	c.Received(time.Second, assign(3))
	c.KeeperChanged(running(3))
	c.KeeperChanged(begun(3)) // the keeper knows better than anybody what was granted ahead
	c.Take(time.Second)
}

func TestARestartedSessionHoldsWhatWaits(t *testing.T) {
	c := connected(t, waiting(1), begun(2), running(3)) // hello names all three
	c.Disconnected()
	c.Connected(0)
	c.Received(0, welcome())
	r := c.Take(0).Send[1].GetReport()
	if len(r.Held) != 3 || len(r.Started) != 1 || !proto.Equal(r.Started[0], ref(2)) {
		t.Fatalf("got %v, want all three held, and told of the one granted ahead that runs", r)
	}
}

func TestARecallIsForWhatHasNotStarted(t *testing.T) {
	c := connected(t, waiting(1), begun(2), running(3))
	c.Take(0)
	c.Received(0, stopOf(true, 1, 2, 3, 4))
	e := c.Take(0)
	if len(e.Stop) != 1 || !e.Stop[0].Recall || !proto.Equal(e.Stop[0].Ref, ref(1)) || e.Stop[0].Cause != "by ann" {
		t.Fatalf("got %v, want the one called back that waits", e.Stop)
	}
	c.Received(0, stopOf(false, 1, 2))
	if e := c.Take(0); len(e.Stop) != 2 || e.Stop[0].Recall {
		t.Fatalf("got %v, want both stopped, recalled before or not", e.Stop)
	}
	c.KeeperChanged(recalled(1))
	if r := report(t, c.Take(0)); len(r.Results) != 1 || r.Results[0].Outcome != wire.Outcome_RECALLED {
		t.Fatalf("got %v, want it given back", r)
	}
}

func TestADrainingAgentGivesBackWhatWaits(t *testing.T) {
	c := connected(t, waiting(1), begun(2), running(3))
	c.Received(0, assignAhead(4))
	c.Take(0)
	c.Drain()
	e := c.Take(0)
	if len(e.Stop) != 2 || !e.Stop[0].Recall || !proto.Equal(e.Stop[0].Ref, ref(1)) || !proto.Equal(e.Stop[1].Ref, ref(4)) {
		t.Fatalf("got %v, want those called back that wait, here or on the way to the keeper", e.Stop)
	}
	seq := report(t, e).Seq
	c.Received(0, assignAhead(5)) // was on its way
	e = c.Take(0)
	if r := report(t, e); len(e.Start) != 0 || len(r.Results) != 1 || r.Results[0].Outcome != wire.Outcome_RECALLED || r.Results[0].ExitCode != 0 {
		t.Fatalf("got %v, want it given back at once", e)
	}
	c.Received(0, ack(&wire.Ack{Seq: seq}))
	if c.Drained() {
		t.Fatal("drained while work is to be given back")
	}
	c.KeeperChanged(recalled(1))
	c.KeeperChanged(begun(4)) // got its slot first
	r := report(t, c.Take(0))
	if len(r.Results) != 1 || len(r.Started) != 1 {
		t.Fatalf("got %v, want one given back and one started", r)
	}
	c.Received(0, ack(&wire.Ack{Seq: r.Seq, Results: []*wire.AttemptRef{ref(1)}}))
	if !c.Drained() {
		t.Error("want it drained: the leader knows all that it gets back")
	}
}

// BenchmarkTenThousandLeases is an agent that holds 10,000: a renewal of all,
// and the extension that its answer brings.
func BenchmarkTenThousandLeases(b *testing.B) {
	c := NewCore(&wire.Agent{Id: "a"}, preparer{})
	var kept []*wire.KeptAttempt
	for i := range uint64(10_000) {
		kept = append(kept, running(i))
	}
	c.KeeperSynced("k", kept)
	c.Connected(0)
	c.Received(0, welcome())
	now := time.Duration(0)
	c.Take(now)
	b.ReportAllocs()
	seq, bytes := uint64(1), 0
	for b.Loop() {
		c.Received(now, ack(&wire.Ack{Seq: seq}))
		seq++
		now += renew
		e := c.Take(now)
		if len(e.Send) != 1 || len(e.Extend) != 1 || len(e.Extend[0].Refs) != len(kept) {
			b.Fatalf("%d messages and %d extensions, want one of each, for all", len(e.Send), len(e.Extend))
		}
		data, err := proto.Marshal(e.Send[0])
		if err != nil {
			b.Fatal(err)
		}
		bytes = len(data)
	}
	b.ReportMetric(float64(bytes), "B/renewal")
}
