package service

import (
	"context"
	"slices"
	"time"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Seen is what the leader knows of an agent beyond the facts.
type Seen struct {
	Connected bool
	At        time.Time // when it was last heard of
}

// fleet is one request's look at agents.
type fleet struct {
	st   *state.State
	seen map[string]Seen // nil: this coordinator does not lead
}

func (s *Service) fleet(ctx context.Context) *fleet {
	f := &fleet{st: s.Machine.State()}
	if seen, err := s.Seen(ctx); err == nil {
		f.seen = seen
	}
	return f
}

// state is what the facts say, or silent for an agent that should be connected
// and is not.
func (f *fleet) state(a *state.Agent) v1.AgentState {
	if a.Lives() && f.seen != nil && !f.seen[a.Id].Connected {
		return v1.AgentStateSilent
	}
	return agentWords[a.State]
}

func (f *fleet) show(a *state.Agent) v1.Agent {
	out := v1.Agent{
		ID: a.Id, Host: a.Host, State: f.state(a), Version: a.Version, KeeperVersion: a.KeeperVersion, Incarnation: a.Incarnation,
		Boot: a.Boot, JoinToken: a.StartedBy, Labels: convert.Assignments(a.Labels), Groups: []v1.AgentSlots{}, Attempts: a.Leases,
	}
	heardMs := a.HeardMs
	if f.seen != nil {
		seen := f.seen[a.Id]
		out.Connected = &seen.Connected
		if !seen.At.IsZero() {
			heardMs = max(heardMs, seen.At.UnixMilli())
		}
	}
	out.LastSeen = maybe(heardMs)
	for i, g := range a.Groups {
		out.Groups = append(out.Groups, v1.AgentSlots{
			Group: g.Group, Slots: int(g.Slots), Used: int(a.Used[i]), Backfills: int(a.Backfills[i]), Ahead: int(a.Ahead[i]),
		})
	}
	if d := a.Drain; d != nil {
		out.Drain = &v1.AgentDrain{By: d.Actor, Why: d.Why, Since: moment(d.SinceMs), Deadline: maybe(d.DeadlineMs), Remaining: out.Attempts}
	}
	return out
}

// matches says whether an agent is what a filter asks for.
func (f *fleet) matches(a *state.Agent, of server.AgentFilter) bool {
	if !matches(of.Contains, a.Id, a.Host) || of.State != "" && f.state(a) != of.State {
		return false
	}
	if of.Group != "" && !slices.ContainsFunc(a.Groups, func(g *wire.GroupSlots) bool { return g.Group == of.Group }) {
		return false
	}
	for _, want := range of.Labels {
		if !slices.ContainsFunc(a.Labels, func(l *wire.Assignment) bool { return l.Name == want.Name && l.Value == want.Value }) {
			return false
		}
	}
	return true
}

// Agents implements server.Fleet.
func (s *Service) Agents(ctx context.Context, filter server.AgentFilter, page server.Page) ([]v1.Agent, server.Next, error) {
	f := s.fleet(ctx)
	var ids []string
	f.st.Agents(func(a *state.Agent) { ids = append(ids, a.Id) })
	shown, next, err := names(ids, page, "agent", func(id string) bool {
		a, _ := f.st.Agent(id)
		return f.matches(a, filter)
	})
	return f.list(shown), next, err
}

// list shows agents, those that there are.
func (f *fleet) list(ids []string) []v1.Agent {
	var out []v1.Agent
	for _, id := range ids {
		if a, ok := f.st.Agent(id); ok {
			out = append(out, f.show(a))
		}
	}
	return out
}

// mostHeld is how many of an agent's attempts are shown.
const mostHeld = 1000

// Agent implements server.Fleet.
func (s *Service) Agent(ctx context.Context, id string) (*v1.AgentDetail, error) {
	f := s.fleet(ctx)
	a, ok := f.st.Agent(id)
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no agent %q", id)
	}
	out := &v1.AgentDetail{Agent: f.show(a)}
	f.st.Leases(func(l *state.Lease) { // by plan and instance
		if l.Agent == id && len(out.Attempts) < mostHeld {
			out.Attempts = append(out.Attempts, f.attempt(l))
		}
	})
	return out, nil
}

func (f *fleet) attempt(l *state.Lease) v1.AgentAttempt {
	out := v1.AgentAttempt{
		Instance: plan.FormatInstance(l.Plan, l.Instance), Attempt: int(l.Attempt), State: v1.AttemptStateRunning, Since: moment(l.GrantedMs),
		ResourceGroup: l.Group, Slots: int(l.Weight), Stopping: l.Ending(), Cause: l.Cause,
	}
	if l.Ahead {
		out.State = v1.AttemptStateQueued
	}
	if p, ok := f.st.Plan(l.Plan); ok {
		if at, ok := p.Locate(l.Instance); ok {
			out.Node = p.Nodes[at.Node].Spec.Id
		}
	}
	return out
}

// OperateAgents implements server.Writes.
func (s *Service) OperateAgents(ctx context.Context, w server.Write, o server.AgentsAct) (*v1.AgentBatch, error) {
	answer, err := s.once(ctx, w, func(_ *state.State, c *wire.Command) error {
		body := &wire.OperateAgents{Kind: o.Kind, Agents: o.Agents}
		if o.Within > 0 {
			body.DeadlineMs = s.Now().Add(o.Within).UnixMilli()
		}
		c.Body = &wire.Command_OperateAgents{OperateAgents: body}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &v1.AgentBatch{Agents: s.fleet(ctx).list(o.Agents), Warnings: sentences(answer.Warnings), Index: answer.Index}, nil
}

// agentsOf counts the agents of a resource group by state.
func (f *fleet) agentsOf(group string) (n v1.AgentCounts) {
	f.st.Agents(func(a *state.Agent) {
		if !slices.ContainsFunc(a.Groups, func(g *wire.GroupSlots) bool { return g.Group == group }) {
			return
		}
		switch f.state(a) {
		case v1.AgentStateReady:
			n.Ready++
		case v1.AgentStateDraining:
			n.Draining++
		case v1.AgentStateSilent:
			n.Silent++
		case v1.AgentStateLost:
			n.Lost++
		case v1.AgentStateGone:
			n.Gone++
		}
	})
	return n
}
