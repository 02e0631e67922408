package dispatch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// on is an agent x of a keeper, on a host since a boot.
func on(incarnation, host, boot string) *wire.Agent {
	return &wire.Agent{Id: "x", Incarnation: incarnation, Host: host, Boot: boot}
}

// workingOn is an agent x on host h1 that was given both instances of b1.
func workingOn(t *testing.T) (*bench, Conn, []*wire.AttemptRef) {
	t.Helper()
	b := newBench(t, job)
	c := b.helloAs(on("k1", "h1", "boot1"))
	b.turns()
	b.submit(2, &wire.Request{Root: "a"})
	b.turns()
	_, work, _, _ := b.take(c)
	if len(work) != 2 {
		t.Fatalf("got %v, want work for two slots", work)
	}
	return b, c, refs(work)
}

func (b *bench) drain(within time.Duration, ids ...string) {
	b.t.Helper()
	o := &wire.OperateAgents{Kind: wire.OperateAgents_DRAIN, Agents: ids}
	if within > 0 {
		o.DeadlineMs = b.now.Add(within).UnixMilli()
	}
	b.write(&wire.Command{Actor: "ann", Body: &wire.Command_OperateAgents{OperateAgents: o}})
}

func (b *bench) onAgents(k wire.OperateAgents_Kind, ids ...string) {
	b.t.Helper()
	b.write(&wire.Command{Actor: "ann", Body: &wire.Command_OperateAgents{OperateAgents: &wire.OperateAgents{Kind: k, Agents: ids}}})
}

func (b *bench) agent(id string) *state.Agent {
	b.t.Helper()
	a, ok := b.st.Agent(id)
	if !ok {
		b.t.Fatalf("there is no agent %s", id)
	}
	return a
}

// lost are the attempts of b1 that were lost, with their causes.
func (b *bench) lost() (causes []string) {
	p, _ := b.st.Plan(1)
	for i := range p.Size() {
		for _, a := range b.st.Attempts(p, i) {
			if a.Outcome == wire.Outcome_LOST {
				causes = append(causes, a.Cause)
			}
		}
	}
	return causes
}

func TestR14_3_OneProcessHasAnID(t *testing.T) {
	for _, c := range []struct {
		name  string
		other *wire.Agent
		says  string // empty: it is let in
		lost  string // of the attempts of the former; empty: they go on
	}{
		{"another host", on("k2", "h2", "boot9"), `connected already, from host "h1"; this one is on host "h2"`, ""},
		{"the same host, another folder", on("k2", "h1", "boot1"), `connected already, from host "h1"`, ""},
		{"a host whose boot is not known", on("k2", "h1", ""), `connected already`, ""},
		{"after a restart of the host", on("k2", "h1", "boot2"), "", `host "h1" of agent "x" was restarted`},
		{"the same keeper", on("k1", "h1", "boot1"), "", "the agent does not hold it any more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, former, _ := workingOn(t)
			now := b.helloAs(c.other)
			if why := b.ended[now]; c.says == "" && why != "" || !strings.Contains(why, c.says) {
				t.Fatalf("it is refused with %q, expected %q", why, c.says)
			}
			if in := c.says == ""; in != (b.ended[former] != "") {
				t.Errorf("the former stream ended with %q", b.ended[former])
			}
			b.turns()
			got := b.lost()
			if c.lost == "" && len(got) > 0 || c.lost != "" && !slices.Equal(got, []string{c.lost, c.lost}) {
				t.Errorf("lost are %q, expected %q of both", got, c.lost)
			}
			if _, work, _, _ := b.take(now); len(work) != len(got) {
				t.Errorf("the other one is given %v", work)
			}
		})
	}
}

// An id goes to another host only when what the former runs has ended: nobody
// has seen the end of its processes.
func TestR14_3_AnIDMovesWhenItsLeasesAreOver(t *testing.T) {
	b, c, held := workingOn(t)
	b.now = b.now.Add(5 * time.Second)
	b.renew(c, 1, held...)
	b.turns()
	b.core.Gone(c)
	b.now = b.now.Add(4 * time.Second)
	early := b.helloAs(on("k2", "h2", "boot9"))
	if why := b.ended[early]; !strings.Contains(why, `holds 2 attempts on host "h1", and this one is on host "h2"`) || !strings.Contains(why, "in 12s") {
		t.Fatalf("ended with %q", why)
	}
	b.turns()
	b.status(1, 0, state.Running)
	b.lead() // a new leader gives a full term, and knows as much
	late := b.helloAs(on("k2", "h2", "boot9"))
	if why := b.ended[late]; !strings.Contains(why, "in 16s") {
		t.Fatalf("a new leader ends it with %q", why)
	}
	b.now = b.now.Add(15*time.Second + time.Millisecond)
	b.turns()
	in := b.helloAs(on("k2", "h2", "boot9"))
	b.turns()
	if w, work, _, _ := b.take(in); w == nil || len(work) != 2 || work[0].Ref.Attempt != 2 {
		t.Fatalf("then it gets %v and %v: %q", w, work, b.ended[in])
	}
	if got := b.lost(); len(got) != 2 || !strings.Contains(got[0], "silent until the lease ended") {
		t.Errorf("lost are %q", got)
	}
}

func TestR14_3_AnIDMovesAtOnceWhenNothingRuns(t *testing.T) {
	b := newBench(t, job)
	c := b.helloAs(on("k1", "h1", "boot1"))
	b.turns()
	b.core.Gone(c)
	moved := b.helloAs(on("k2", "h2", "boot2"))
	b.turns()
	if w, _, _, _ := b.take(moved); w == nil || b.agent("x").Host != "h2" {
		t.Errorf("refused with %q, registered as %v", b.ended[moved], b.agent("x"))
	}
}

// What the host's restart took is lost at once and once, whoever tells it: the
// new keeper of what it finds written down, the leader of the rest.
func TestR14_3_WhatARestartTookIsLostOnce(t *testing.T) {
	b, c, held := workingOn(t)
	b.core.Gone(c)
	again := b.helloAs(on("k2", "h1", "boot2"), held[0])
	report := &wire.Report{Seq: 1, Results: []*wire.AttemptResult{ended(held[0], wire.Outcome_LOST), ended(held[1], wire.Outcome_LOST)}}
	b.core.Report(again, report, b.now)
	b.turns()
	b.core.Report(again, proto.CloneOf(report), b.now)
	b.turns()
	if got := b.lost(); len(got) != 2 {
		t.Errorf("lost are %q", got)
	}
	if _, work, _, acks := b.take(again); len(work) != 2 || len(acks) != 2 || len(acks[0].Results) != 2 {
		t.Errorf("got %v, acknowledged %v", work, acks)
	}
}

func TestR14_1_AnAgentThatLeavesIsGoneAtOnce(t *testing.T) {
	b, c, held := workingOn(t)
	b.core.Report(c, &wire.Report{Seq: 7, Draining: true, Leaving: true, Results: []*wire.AttemptResult{ended(held[0], wire.Outcome_SUCCEEDED)}}, b.now)
	b.turns()
	if a := b.agent("x"); a.State != wire.Agent_GONE || a.Leases != 0 {
		t.Fatalf("it is %s and holds %d", a.State, a.Leases)
	}
	b.status(1, 0, state.Succeeded)
	b.status(1, 1, state.Again) // what it has no result for does not run
	if got := b.lost(); !slices.Equal(got, []string{`agent "x" has ended`}) {
		t.Errorf("lost are %q", got)
	}
	_, work, _, acks := b.take(c)
	if len(work) > 0 || !slices.ContainsFunc(acks, func(a *wire.Ack) bool { return a.Seq == 7 }) {
		t.Errorf("it was given %v and told %v", work, acks)
	}
	b.core.Report(c, &wire.Report{Seq: 8, Renews: true}, b.now) // on a stream that is over
	b.now = b.now.Add(time.Minute)
	b.turns()
	if a := b.agent("x"); a.State != wire.Agent_GONE {
		t.Errorf("later it is %s", a.State)
	}
	b.lead()
	b.now = b.now.Add(time.Minute)
	b.turns()
	if a := b.agent("x"); a.State != wire.Agent_GONE {
		t.Errorf("under a new leader it is %s", a.State)
	}
	b.helloAs(on("k2", "h1", "boot1"))
	b.turns()
	if a := b.agent("x"); a.State != wire.Agent_READY {
		t.Errorf("back again it is %s", a.State)
	}
}

func TestR14_2_ADrainedAgentIsEmptyAtTheDeadline(t *testing.T) {
	b, c, held := workingOn(t)
	spare := b.hello("y", "k9")
	b.turns()
	b.drain(20*time.Second, "x")
	b.submit(3, &wire.Request{Root: "a", Name: "more"})
	b.turns()
	if _, work, stops, _ := b.take(c); len(work)+len(stops) > 0 {
		t.Fatalf("it is given %v and stopped %v", work, stops)
	}
	b.take(spare)
	for range 6 {
		b.now = b.now.Add(3 * time.Second)
		b.renew(c, 1, held...)
		b.renew(spare, 1)
		b.turns()
	}
	if at, ok := b.core.NextWake(); !ok || !at.Equal(noon.Add(20*time.Second)) {
		t.Errorf("the next wake is at %s, the deadline at %s", at, noon.Add(20*time.Second))
	}
	b.now = noon.Add(20 * time.Second)
	b.turns()
	_, _, stops, _ := b.take(c)
	if len(stops) != 2 || stops[0].GraceMs != 10_000 || stops[0].Recall || stops[0].Cause != "agent x is drained by ann" {
		t.Fatalf("at the deadline it is told %v", stops)
	}
	b.renew(c, 2, held...)
	b.turns()
	if _, _, stops, _ = b.take(c); len(stops) > 0 {
		t.Errorf("told twice: %v", stops)
	}
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(held[0], wire.Outcome_FAILED), ended(held[1], wire.Outcome_FAILED)}}, b.now)
	b.turns()
	p, _ := b.st.Plan(1)
	if a := b.st.Attempts(p, 0); len(a) != 1 || a[0].Outcome != wire.Outcome_DRAINED || p.Failures != 0 {
		t.Errorf("it ended as %+v", a)
	}
	if a := b.agent("x"); a.State != wire.Agent_DRAINING || a.Leases != 0 {
		t.Errorf("it is %s and holds %d", a.State, a.Leases)
	}
	if at, ok := b.core.NextWake(); ok && !at.After(b.now) {
		t.Errorf("what is over wakes at %s", at)
	}
	b.onAgents(wire.OperateAgents_RESUME, "x")
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 || work[0].Ref.Attempt != 2 { // the other went to y
		t.Errorf("resumed, it is given %v", work)
	}
}

// A drain outlives leaders and streams, and an agent that was away is told when
// it is back.
func TestR14_2_ADrainOutlivesLeadersAndStreams(t *testing.T) {
	b, c, held := workingOn(t)
	b.drain(10*time.Second, "x")
	b.core.Gone(c)
	b.lead()
	b.now = b.now.Add(11 * time.Second)
	b.turns()
	if l, _ := b.st.Lease(1, 0); !l.Draining {
		t.Fatalf("the lease is %+v", l)
	}
	again := b.helloAs(on("k1", "h1", "boot1"), held...)
	b.turns()
	if _, work, stops, _ := b.take(again); len(stops) != 2 || len(work) > 0 {
		t.Errorf("it is given %v and told %v", work, stops)
	}
	b.lead()
	third := b.helloAs(on("k1", "h1", "boot1"), held...)
	b.turns()
	if _, _, stops, _ := b.take(third); len(stops) != 2 {
		t.Errorf("a new leader tells %v", stops)
	}
	b.now = b.now.Add(16 * time.Second)
	b.turns()
	if p, _ := b.st.Plan(1); b.st.Attempts(p, 0)[0].Outcome != wire.Outcome_DRAINED {
		t.Errorf("silent after that, it ended as %+v", b.st.Attempts(p, 0))
	}
	if a := b.agent("x"); a.State != wire.Agent_LOST || a.Drain == nil {
		t.Errorf("it is %s, drained %v", a.State, a.Drain)
	}
}

func TestR14_2_WhatWaitsAtADrainedAgentIsCalledBack(t *testing.T) {
	b, c, work := quick(t, 10)
	b.drain(0, "x")
	b.turns()
	_, more, stops, _ := b.take(c)
	if len(more) > 0 || len(stops) != len(work)-2 || !stops[0].Recall || !strings.HasPrefix(stops[0].Cause, "agent x is drained") {
		t.Fatalf("it is told %v, and holds %d ahead", stops, len(work)-2)
	}
}

func TestNothingGoesAheadToWhoDoesNotKnowOfIt(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.core.sessions[c].ahead = false
	b.turns()
	b.submit(2, &wire.Request{Root: "a"})
	b.turns()
	_, first, _, _ := b.take(c)
	b.report(c, &wire.Report{Results: []*wire.AttemptResult{ran(b, first[0].Ref, 10), ran(b, first[1].Ref, 10)}})
	b.submit(90, &wire.Request{Root: "a"})
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 2 || work[0].Ahead || work[1].Ahead {
		t.Errorf("it is given %v, expected what its two slots take", work)
	}
}

// An agent that drains by itself gets nothing when its stream was broken, until
// it says otherwise.
func TestR14_2_AnAgentThatDrainsByItselfStaysSo(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.core.Report(c, &wire.Report{Draining: true}, b.now)
	b.turns()
	b.core.Gone(c)
	b.submit(1, &wire.Request{Root: "a"})
	again := b.hello("x", "k1")
	b.turns()
	if _, work, _, _ := b.take(again); work != nil {
		t.Fatalf("it is given %v", work)
	}
	b.renew(again, 1) // a new process of it, which does not drain
	b.turns()
	if _, work, _, _ := b.take(again); len(work) != 1 {
		t.Fatalf("then it is given %v", work)
	}
}

func TestR14_4_ARevokedTokenEndsItsSessions(t *testing.T) {
	b := newBench(t, job)
	token := &wire.PutJoinToken{Id: "t", SecretHash: state.TokenHash("secret")}
	b.write(&wire.Command{Body: &wire.Command_PutJoinToken{PutJoinToken: token}})
	joined := b.helloAs(&wire.Agent{Id: "x", Incarnation: "k", StartedBy: "t"})
	other := b.hello("y", "k")
	b.turns()
	if b.agent("x").StartedBy != "t" {
		t.Error("it is not known what let it in")
	}
	b.write(&wire.Command{Body: &wire.Command_RevokeJoinToken{RevokeJoinToken: &wire.RevokeJoinToken{Id: "t"}}})
	if why := b.ended[joined]; !strings.Contains(why, `join token "t"`) || b.ended[other] != "" {
		t.Errorf("ended are %q and %q", why, b.ended[other])
	}
	b.submit(4, &wire.Request{Root: "a"})
	b.turns()
	if _, work, _, _ := b.take(joined); work != nil {
		t.Errorf("it is given %v", work)
	}
}

func TestContactsTellWhoIsConnected(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.hello("y", "k1")
	b.turns()
	b.now = b.now.Add(2 * time.Second)
	b.renew(c, 1)
	b.now = b.now.Add(time.Second)
	b.core.Gone(c)
	got := b.core.Contacts()
	if x := got["x"]; x.Connected || !x.Heard.Equal(noon.Add(2*time.Second)) {
		t.Errorf("x: %+v", x)
	}
	if y := got["y"]; !y.Connected || !y.Heard.Equal(noon) {
		t.Errorf("y: %+v", y)
	}
	b.lead()
	if got := b.core.Contacts(); len(got) != 0 {
		t.Errorf("a new leader has heard of %v", got)
	}
}

// What is forgotten leaves nothing behind, and may come back.
func TestR14_1_AForgottenAgentLeavesNothingBehind(t *testing.T) {
	b := newBench(t, job)
	c := b.hello("x", "k1")
	b.turns()
	b.core.Report(c, &wire.Report{Seq: 1, Leaving: true}, b.now)
	b.turns()
	b.now = b.now.Add(time.Minute)
	b.turns()
	b.onAgents(wire.OperateAgents_FORGET, "x")
	b.turns()
	if len(b.core.workers) > 0 || len(b.core.deadlines) > 0 {
		t.Errorf("%d workers are left", len(b.core.workers))
	}
	c = b.hello("x", "k2")
	b.submit(1, &wire.Request{Root: "a"})
	b.turns()
	if _, work, _, _ := b.take(c); len(work) != 1 {
		t.Errorf("back again it is given %v", work)
	}
}
