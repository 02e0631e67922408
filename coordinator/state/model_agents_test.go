package state

import (
	"slices"
	"testing"

	"backfleet/pkg/wire"
)

// ready says whether an agent takes work: it says so, and nobody drains it.
func (m *model) ready(id string) bool {
	a := m.agents[id]
	return a != nil && a.State == wire.Agent_READY && m.drains[id] == nil
}

func (m *model) leasesOf(id string) (out []*modelLease) {
	for _, l := range m.leases {
		if l.agent == id {
			out = append(out, l)
		}
	}
	return out
}

// drain follows what a drain means for what an agent holds.
func (m *model) drain(id string, nowMs int64) {
	d := m.drains[id]
	if d == nil {
		return
	}
	for _, l := range m.leasesOf(id) {
		switch {
		case l.stopping || l.yielding:
		case d.DeadlineMs > 0 && d.DeadlineMs <= nowMs:
			l.draining, l.recalled = true, false
		case l.ahead && !l.draining:
			l.recalled = true
		}
	}
}

// allowsAgents says whether an operation on agents is possible as a whole.
func (m *model) allowsAgents(o *wire.OperateAgents) bool {
	for _, id := range o.Agents {
		a := m.agents[id]
		if a == nil {
			return false
		}
		away := a.State == wire.Agent_LOST || a.State == wire.Agent_GONE
		if o.Kind == wire.OperateAgents_FORGET && (!away || len(m.leasesOf(id)) > 0) {
			return false
		}
	}
	return len(o.Agents) > 0
}

func (m *model) operateAgents(o *wire.OperateAgents, nowMs int64) {
	for _, id := range o.Agents {
		switch o.Kind {
		case wire.OperateAgents_DRAIN:
			if d := m.drains[id]; d == nil || d.DeadlineMs != o.DeadlineMs {
				m.drains[id] = &wire.Drain{DeadlineMs: o.DeadlineMs}
				m.drain(id, nowMs)
			}
		case wire.OperateAgents_RESUME:
			delete(m.drains, id)
		case wire.OperateAgents_FORGET:
			delete(m.drains, id)
			delete(m.agents, id)
		}
	}
}

// checkAgents compares the agents with the state.
func (m *model) checkAgents(t testing.TB, s *State) {
	t.Helper()
	n := 0
	s.Agents(func(a *Agent) {
		n++
		own := m.agents[a.Id]
		if own == nil {
			t.Fatalf("agent %s should be forgotten", a.Id)
		}
		want := own.State
		if want == wire.Agent_READY && m.drains[a.Id] != nil {
			want = wire.Agent_DRAINING
		}
		if a.State != want || a.Agent.State != own.State || (a.Drain == nil) != (m.drains[a.Id] == nil) ||
			a.Drain.GetDeadlineMs() != m.drains[a.Id].GetDeadlineMs() || a.Leases != len(m.leasesOf(a.Id)) {
			t.Fatalf("agent %s is %s (says %s), drained by %v, holds %d, expected %s (%s), %v, %d",
				a.Id, a.State, a.Agent.State, a.Drain, a.Leases, want, own.State, m.drains[a.Id], len(m.leasesOf(a.Id)))
		}
	})
	if n != len(m.agents) {
		t.Fatalf("%d agents, expected %d", n, len(m.agents))
	}
	tokens := 0
	s.JoinTokens(func(x *wire.SnapshotJoinToken) {
		tokens++
		if want := m.tokens[x.Token.Id]; want == nil || !slices.Equal(want.Groups, x.Token.Groups) || want.ExpiresMs != x.Token.ExpiresMs {
			t.Fatalf("join token %v, expected %v", x, want)
		}
	})
	if tokens != len(m.tokens) {
		t.Fatalf("%d join tokens, expected %d", tokens, len(m.tokens))
	}
}

// agents makes operations on agents that are mostly possible.
func (g *generator) agents(s *State) *wire.Command {
	o := &wire.OperateAgents{Kind: pick(g, []wire.OperateAgents_Kind{
		wire.OperateAgents_DRAIN, wire.OperateAgents_DRAIN, wire.OperateAgents_RESUME, wire.OperateAgents_RESUME, wire.OperateAgents_FORGET,
	})}
	for range 1 + g.IntN(2) {
		o.Agents = append(o.Agents, pick(g, agentIDs))
	}
	if o.Kind == wire.OperateAgents_RESUME && !g.oneIn(4) {
		o.Agents = nil
		s.Agents(func(a *Agent) { o.Agents = append(o.Agents, a.Id) })
	}
	if o.Kind == wire.OperateAgents_FORGET {
		s.Agents(func(a *Agent) {
			if !a.Lives() && a.Leases == 0 && !g.oneIn(4) {
				o.Agents = []string{a.Id}
			}
		})
	}
	if o.Kind == wire.OperateAgents_DRAIN && !g.oneIn(3) {
		o.DeadlineMs = s.NowMs() + g.Int64N(300)
	}
	return &wire.Command{Actor: "bob", Why: "drawn", Body: &wire.Command_OperateAgents{OperateAgents: o}}
}

// joinToken makes and revokes a few tokens.
func (g *generator) joinToken(s *State) *wire.Command {
	id := pick(g, []string{"t1", "t2", "t3"})
	if g.oneIn(3) {
		return &wire.Command{Actor: "bob", Body: &wire.Command_RevokeJoinToken{RevokeJoinToken: &wire.RevokeJoinToken{Id: id}}}
	}
	x := &wire.PutJoinToken{Id: id, SecretHash: TokenHash(pick(g, []string{"one", "two"})), Groups: pick(g, [][]string{nil, {"default"}, {"a", "b"}})}
	if g.oneIn(2) {
		x.ExpiresMs = s.NowMs() + 1000
	}
	return &wire.Command{Actor: "bob", Body: &wire.Command_PutJoinToken{PutJoinToken: x}}
}
