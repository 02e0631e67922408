package service

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func ids(list []v1.Agent) string {
	var all []string
	for _, a := range list {
		all = append(all, a.ID)
	}
	return strings.Join(all, " ")
}

// fleetRig has an agent in each state: ready, silent, lost, gone.
func fleetRig(t *testing.T) *rig {
	r := newRig(t, daily("a"))
	r.turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: "a1", Host: "w1", Incarnation: "k1", Version: "2", KeeperVersion: "1", Boot: "b1", State: wire.Agent_READY, StartedBy: "t1",
		Groups: []*wire.GroupSlots{{Group: "default", Slots: 4}, {Group: "etl", Slots: 1}},
		Labels: []*wire.Assignment{{Name: "os", Value: "linux"}, {Name: "gpu", Value: "true"}},
	}}})
	r.seen["a1"] = Seen{Connected: true, At: r.clock().Add(time.Minute)}
	r.agent("a2", "default", 2, wire.Agent_READY)
	r.seen["a2"] = Seen{At: r.clock()}
	r.agent("a3", "default", 2, wire.Agent_LOST)
	r.agent("a4", "etl", 2, wire.Agent_GONE)
	return r
}

func TestAgentsAreShownWithAllThatIsKnown(t *testing.T) {
	r := fleetRig(t)
	id := r.submit(backfill("a", "2021-01-01..2021-01-03", func(q *wire.Request) { q.Gate = wire.Request_NONE }))
	r.start(id, 0, 2)
	d, err := r.Agent(t.Context(), "a1")
	if err != nil {
		t.Fatal(err)
	}
	a := d.Agent
	if a.State != v1.AgentStateReady || a.Connected == nil || !*a.Connected || !a.LastSeen.Equal(r.clock().Add(time.Minute)) || a.Host != "w1" ||
		a.Version != "2" || a.KeeperVersion != "1" || a.Boot != "b1" || a.Incarnation != "k1" || a.JoinToken != "t1" || a.Attempts != 2 || a.Drain != nil {
		t.Errorf("%+v", a)
	}
	if !slices.Equal(a.Groups, []v1.AgentSlots{{Group: "default", Slots: 4, Used: 2, Backfills: 2}, {Group: "etl", Slots: 1}}) || len(a.Labels) != 2 {
		t.Errorf("%+v %+v", a.Groups, a.Labels)
	}
	if len(d.Attempts) != 2 || d.Attempts[1] != (v1.AgentAttempt{
		Instance: "b1.2", Node: "a", Attempt: 1, State: v1.AttemptStateRunning, Since: moment(r.m.State().NowMs()), ResourceGroup: "default", Slots: 1,
	}) {
		t.Errorf("%+v", d.Attempts)
	}
	if _, err := r.Agent(t.Context(), "a9"); !fault.Is(err, fault.NotFound) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestAgentsAreFiltered(t *testing.T) {
	r := fleetRig(t)
	label := func(name, value string) []*wire.Assignment { return []*wire.Assignment{{Name: name, Value: value}} }
	for _, c := range []struct {
		f    server.AgentFilter
		want string
	}{
		{server.AgentFilter{}, "a1 a2 a3 a4"}, {server.AgentFilter{Contains: "w1"}, "a1"},
		{server.AgentFilter{State: v1.AgentStateReady}, "a1"}, {server.AgentFilter{State: v1.AgentStateSilent}, "a2"},
		{server.AgentFilter{State: v1.AgentStateLost}, "a3"}, {server.AgentFilter{State: v1.AgentStateGone}, "a4"},
		{server.AgentFilter{Group: "etl"}, "a1 a4"}, {server.AgentFilter{Group: "etl", State: v1.AgentStateReady}, "a1"},
		{server.AgentFilter{Labels: label("os", "linux")}, "a1"}, {server.AgentFilter{Labels: label("os", "")}, ""},
		{server.AgentFilter{Labels: append(label("os", "linux"), label("gpu", "false")...)}, ""},
	} {
		got, _, err := r.Agents(t.Context(), c.f, server.Page{Limit: 10})
		if err != nil || ids(got) != c.want {
			t.Errorf("%+v: %q %v, want %q", c.f, ids(got), err, c.want)
		}
	}
	page, next, err := r.Agents(t.Context(), server.AgentFilter{Group: "default"}, server.Page{Limit: 2})
	if err != nil || ids(page) != "a1 a2" {
		t.Fatal(page, err)
	}
	if page, next, err = r.Agents(t.Context(), server.AgentFilter{Group: "default"}, server.Page{Limit: 2, Cursor: next}); err != nil || ids(page) != "a3" || next != "" {
		t.Errorf("the next page: %q %q %v", ids(page), next, err)
	}
}

// TestAFollowerTellsTheFactsAlone: who is connected is not for it to say, and so
// nobody is silent.
func TestAFollowerTellsTheFactsAlone(t *testing.T) {
	r := fleetRig(t)
	r.log.lead("c2")
	got, _, err := r.Agents(t.Context(), server.AgentFilter{}, server.Page{Limit: 10})
	if err != nil || got[1].State != v1.AgentStateReady || got[1].Connected != nil || got[1].LastSeen == nil {
		t.Errorf("%+v %v", got, err)
	}
	g, err := r.ResourceGroup(t.Context(), "default")
	if err != nil || g.AgentStates != (v1.AgentCounts{Ready: 2, Lost: 1}) || g.Waiting != nil {
		t.Errorf("%+v %v", g, err)
	}
}

func TestADrainIsShownUntilSomebodyResumes(t *testing.T) {
	r := fleetRig(t)
	id := r.submit(backfill("a", "2021-01-01..2021-01-03", func(q *wire.Request) { q.Gate = wire.Request_NONE }))
	r.start(id, 0)
	w := write("drain")
	w.Why = "new kernel"
	got, err := r.OperateAgents(t.Context(), w, server.AgentsAct{Kind: wire.OperateAgents_DRAIN, Agents: []string{"a1"}, Within: 10 * time.Minute})
	if err != nil || len(got.Agents) != 1 || got.Index != r.log.index {
		t.Fatalf("%+v %v", got, err)
	}
	a := got.Agents[0]
	if d := a.Drain; a.State != v1.AgentStateDraining || d == nil || d.By != "ann" || d.Why != "new kernel" || d.Remaining != 1 ||
		!d.Since.Equal(r.clock()) || d.Deadline == nil || !d.Deadline.Equal(r.clock().Add(10*time.Minute)) {
		t.Errorf("%+v %+v", a, a.Drain)
	}
	index := r.log.index
	r.pass(time.Minute)
	again, err := r.OperateAgents(t.Context(), w, server.AgentsAct{Kind: wire.OperateAgents_DRAIN, Agents: []string{"a1"}, Within: 10 * time.Minute})
	if err != nil || r.log.index != index || !again.Agents[0].Drain.Deadline.Equal(*a.Drain.Deadline) {
		t.Errorf("sent again: %+v %v", again, err)
	}
	if g, err := r.ResourceGroup(t.Context(), "default"); err != nil || g.AgentStates != (v1.AgentCounts{Draining: 1, Silent: 1, Lost: 1}) || g.Agents != 0 || !g.Unserved {
		t.Errorf("its group: %+v %v", g, err)
	}
	got, err = r.OperateAgents(t.Context(), write("resume"), server.AgentsAct{Kind: wire.OperateAgents_RESUME, Agents: []string{"a1"}})
	if err != nil || got.Agents[0].State != v1.AgentStateReady || got.Agents[0].Drain != nil {
		t.Errorf("resumed: %+v %v", got, err)
	}
	_, err = r.OperateAgents(t.Context(), write("wrong"), server.AgentsAct{Kind: wire.OperateAgents_DRAIN, Agents: []string{"a1", "a8", "a9"}})
	has(t, err.Error(), "a8", "a9")
	if a, _ := r.m.State().Agent("a1"); a.Drain != nil {
		t.Error("one of those named was drained all the same")
	}
}

func TestOnlyWhoIsAwayIsForgotten(t *testing.T) {
	r := fleetRig(t)
	forget := func(id string) error {
		_, err := r.OperateAgents(t.Context(), write("forget "+id), server.AgentsAct{Kind: wire.OperateAgents_FORGET, Agents: []string{id}})
		return err
	}
	if err := forget("a1"); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("one that is there: %v", err)
	}
	for _, id := range []string{"a3", "a4"} {
		if err := forget(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if got, _, _ := r.Agents(t.Context(), server.AgentFilter{}, server.Page{Limit: 10}); ids(got) != "a1 a2" {
		t.Errorf("left are %s", ids(got))
	}
}

func TestWhatIsDoneToAgentsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fleetRig(t)
		r.Start()
		defer r.Stop()
		l := r.listen(server.EventFilter{Types: []v1.EventType{v1.EventTypeAgent}}, "")
		for _, one := range []server.AgentsAct{
			{Kind: wire.OperateAgents_DRAIN, Agents: []string{"a1"}, Within: time.Minute},
			{Kind: wire.OperateAgents_RESUME, Agents: []string{"a1"}},
			{Kind: wire.OperateAgents_FORGET, Agents: []string{"a3"}},
		} {
			if _, err := r.OperateAgents(t.Context(), write(one.Kind.String()), one); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, e := range l.end() {
			got = append(got, strings.TrimSpace(e.Agent+" "+string(e.AgentState)+" "+e.Text))
		}
		want := []string{
			"a1 draining drained by ann at 2021-08-24 12:00:00 UTC, to be empty at 2021-08-24 12:01:00 UTC", "a1 ready resumed", "a3  forgotten",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

// TestAGroupThatABackfillAsksForIsShown although no node and no agent is in it.
func TestAGroupThatABackfillAsksForIsShown(t *testing.T) {
	r := fleetRig(t)
	id := r.submit(backfill("a", "2021-01-01", func(q *wire.Request) { q.ResourceGroup = "night" }))
	g, err := r.ResourceGroup(t.Context(), "night")
	if err != nil || !g.Unserved || g.Waiting == nil || *g.Waiting != 1 {
		t.Fatalf("%+v %v", g, err)
	}
	r.agent("a5", "night", 1, wire.Agent_READY)
	if g, err = r.ResourceGroup(t.Context(), "night"); err != nil || g.Unserved || g.Agents != 1 {
		t.Errorf("with an agent: %+v %v", g, err)
	}
	r.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Agent: "a5", ResourceGroup: "night"}}})
	r.finish(id, ok, "", 0)
	r.agent("a5", "default", 1, wire.Agent_READY)
	if _, err := r.ResourceGroup(t.Context(), "night"); !fault.Is(err, fault.NotFound) {
		t.Errorf("when the backfill is finished: %v", err)
	}
}

func TestAJoinTokenIsKnownByItsHashAlone(t *testing.T) {
	r := fleetRig(t)
	ask := server.TokenToMake{Description: "rack 7", Groups: []string{"default", "etl"}, ExpiresIn: time.Hour}
	made, err := r.CreateJoinToken(t.Context(), write("k"), ask)
	if err != nil {
		t.Fatal(err)
	}
	id, isToken := state.TokenID(made.Token)
	kept, known := r.m.State().JoinToken(id)
	if !isToken || !known || id != made.JoinToken.ID || string(kept.Token.SecretHash) != string(state.TokenHash(made.Token)) {
		t.Fatalf("%+v, kept as %v", made, kept)
	}
	if secret := strings.TrimPrefix(made.Token, "bfj_"+id+"_"); len(secret) != 52 || strings.ToLower(secret) != secret { // 256 bits, five a letter
		t.Errorf("the secret %q", secret)
	}
	if strings.Contains(kept.String(), made.Token) {
		t.Error("the facts have the secret")
	}
	if j := made.JoinToken; j.Description != "rack 7" || !slices.Equal(j.Groups, ask.Groups) || j.CreatedBy != "ann" || !j.CreatedAt.Equal(r.clock()) ||
		j.ExpiresAt == nil || !j.ExpiresAt.Equal(r.clock().Add(time.Hour)) || j.Expired || made.Index != r.log.index {
		t.Errorf("%+v", made)
	}
	other, err := r.CreateJoinToken(t.Context(), write("k2"), server.TokenToMake{})
	if err != nil || other.Token == made.Token || other.JoinToken.ID == made.JoinToken.ID || other.JoinToken.ExpiresAt != nil {
		t.Errorf("another: %+v %v", other, err)
	}
	index := r.log.index
	_, err = r.CreateJoinToken(t.Context(), write("k"), ask)
	if fault.CodeOf(err) != fault.Conflict || r.log.index != index {
		t.Errorf("the same again: %v", err)
	}
	has(t, err.Error(), id, "revoke")
	_, err = r.CreateJoinToken(t.Context(), write("past"), server.TokenToMake{ExpiresAt: r.clock().Add(-time.Second)})
	if e, coded := err.(*fault.Error); !coded || e.Field != "expiresAt" {
		t.Errorf("a moment that has passed: %v", err)
	}
}

// TestTwoRequestsWithOneKeyMakeOneToken: a retry that comes while the first is
// still under way does not get a text that lets nobody in.
func TestTwoRequestsWithOneKeyMakeOneToken(t *testing.T) {
	r := newRig(t)
	var inner error
	r.log.before = func() { // the first is about to be written when the second comes
		r.log.before = nil
		_, inner = r.CreateJoinToken(t.Context(), write("k"), server.TokenToMake{})
	}
	_, outer := r.CreateJoinToken(t.Context(), write("k"), server.TokenToMake{})
	if inner != nil || fault.CodeOf(outer) != fault.Conflict {
		t.Errorf("inner %v, outer %v", inner, outer)
	}
}

func TestJoinTokensAreListedAndRevoked(t *testing.T) {
	r := fleetRig(t)
	var made []string
	for _, key := range []string{"x", "y", "z"} {
		one, err := r.CreateJoinToken(t.Context(), write(key), server.TokenToMake{Description: "for " + key, ExpiresIn: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, one.JoinToken.ID)
	}
	slices.Sort(made)
	r.turn(&wire.Turn{Agents: []*wire.Agent{{Id: "a7", State: wire.Agent_READY, StartedBy: made[1]}, {Id: "a8", State: wire.Agent_LOST, StartedBy: made[1]}}})
	r.pass(time.Hour)
	page, next, err := r.JoinTokens(t.Context(), "", server.Page{Limit: 2})
	if err != nil || len(page) != 2 || page[0].ID != made[0] || page[1].Agents != 2 || !page[1].Expired {
		t.Errorf("%+v %v", page, err)
	}
	if page, next, err = r.JoinTokens(t.Context(), "", server.Page{Limit: 2, Cursor: next}); err != nil || len(page) != 1 || next != "" {
		t.Errorf("the next page: %+v %v", page, err)
	}
	if page, _, _ = r.JoinTokens(t.Context(), "for y", server.Page{Limit: 9}); len(page) != 1 {
		t.Errorf("for y: %+v", page)
	}
	index, err := r.RevokeJoinToken(t.Context(), write("revoke"), made[1])
	if err != nil || index != r.log.index {
		t.Errorf("revoked: %d %v", index, err)
	}
	if _, err := r.RevokeJoinToken(t.Context(), write("once more"), made[1]); !fault.Is(err, fault.NotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if page, _, _ = r.JoinTokens(t.Context(), "", server.Page{Limit: 9}); len(page) != 2 {
		t.Errorf("left: %+v", page)
	}
}
