package standin

import (
	"context"
	"slices"
	"strings"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// newAgents are one that is ready, with two attempts, and one that is lost.
func newAgents() map[string]*v1.Agent {
	yes, no := true, false
	return map[string]*v1.Agent{
		"a1": {
			ID: "a1", Host: "worker-1", Version: "dev", KeeperVersion: "dev", Incarnation: "k1", Boot: "boot1", JoinToken: "t0",
			State: v1.AgentStateReady, Connected: &yes, LastSeen: &At, Attempts: 2, Labels: []v1.Assignment{{Name: "os", Value: "linux"}},
			Groups: []v1.AgentSlots{{Group: "default", Slots: 8, Used: 2, Backfills: 1}},
		},
		"a2": {
			ID: "a2", Host: "worker-2", Version: "old", State: v1.AgentStateLost, Connected: &no, LastSeen: &At,
			Groups: []v1.AgentSlots{{Group: "etl", Slots: 4}},
		},
	}
}

func (b *Backend) Agents(_ context.Context, f server.AgentFilter, _ server.Page) ([]v1.Agent, server.Next, error) {
	if err := b.fails("Agents"); err != nil {
		return nil, "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []v1.Agent
	for _, id := range []string{"a1", "a2"} {
		a, ok := b.agents[id]
		if !ok || f.State != "" && a.State != f.State || f.Group != "" && a.Groups[0].Group != f.Group || !strings.Contains(id+" "+a.Host, f.Contains) ||
			slices.ContainsFunc(f.Labels, func(l *wire.Assignment) bool {
				return !slices.Contains(a.Labels, v1.Assignment{Name: l.Name, Value: l.Value})
			}) {
			continue
		}
		found = append(found, *a)
	}
	return found, "", nil
}

// Agent of one that is drained has an attempt less each time that it is asked for.
func (b *Backend) Agent(_ context.Context, id string) (*v1.AgentDetail, error) {
	if err := b.fails("Agent"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.agents[id]
	if !ok {
		return nil, fault.New(fault.NotFound, "agent %q does not exist", id)
	}
	out := &v1.AgentDetail{Agent: *a}
	for i := range a.Attempts {
		out.Attempts = append(out.Attempts, v1.AgentAttempt{
			Instance: []string{"b1.1", "b1.2"}[i], Node: "orders", Attempt: 1, State: v1.AttemptStateRunning, Since: At, ResourceGroup: "default", Slots: 1,
			Stopping: i == 1, Cause: []string{"", "stopped by bob"}[i],
		})
	}
	if a.Drain != nil {
		drain := *a.Drain
		drain.Remaining = a.Attempts
		out.Agent.Drain = &drain
		a.Attempts = max(0, a.Attempts-1)
	}
	return out, nil
}

func (b *Backend) OperateAgents(_ context.Context, w server.Write, o server.AgentsAct) (*v1.AgentBatch, error) {
	if err := b.fails("OperateAgents"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var wrong []fault.Detail
	for _, id := range o.Agents {
		switch a, ok := b.agents[id]; {
		case !ok:
			wrong = append(wrong, fault.Detail{Field: id, Message: "there is no such agent"})
		case o.Kind == wire.OperateAgents_FORGET && a.State == v1.AgentStateReady:
			wrong = append(wrong, fault.Detail{Field: id, Message: "it is connected: stop it first"})
		}
	}
	if len(wrong) > 0 {
		return nil, fault.New(fault.Conflict, "nothing was changed").WithDetails(wrong...)
	}
	b.index++
	b.Writes = append(b.Writes, w)
	out := &v1.AgentBatch{Index: b.index}
	for _, id := range o.Agents {
		a := b.agents[id]
		switch o.Kind {
		case wire.OperateAgents_FORGET:
			delete(b.agents, id)
			continue
		case wire.OperateAgents_DRAIN:
			a.State, a.Drain = v1.AgentStateDraining, &v1.AgentDrain{By: w.Actor, Why: w.Why, Since: At, Remaining: a.Attempts}
			if o.Within > 0 {
				deadline := At.Add(o.Within)
				a.Drain.Deadline = &deadline
			}
		default:
			a.State, a.Drain = v1.AgentStateReady, nil
		}
		out.Agents = append(out.Agents, *a)
	}
	return out, nil
}

func (b *Backend) CreateJoinToken(_ context.Context, w server.Write, t server.TokenToMake) (*v1.NewJoinToken, error) {
	if err := b.fails("CreateJoinToken"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.keys[w.RequestID]; ok {
		return nil, fault.New(fault.Conflict, "it was made before, and its text is told only once")
	}
	b.index++
	b.Writes = append(b.Writes, w)
	b.keys[w.RequestID] = accepted{hash: w.Hash}
	one := v1.JoinToken{ID: "t1", Description: t.Description, Groups: t.Groups, CreatedBy: w.Actor, CreatedAt: At}
	var until time.Time
	switch {
	case t.ExpiresIn > 0:
		until = At.Add(t.ExpiresIn)
	case !t.ExpiresAt.IsZero():
		until = t.ExpiresAt
	}
	if !until.IsZero() {
		one.ExpiresAt = &until
	}
	b.tokens[one.ID] = one
	return &v1.NewJoinToken{Token: "bfj_t1_secret", JoinToken: one, Index: b.index}, nil
}

func (b *Backend) JoinTokens(context.Context, string, server.Page) ([]v1.JoinToken, server.Next, error) {
	return gather(b, b.tokens, "JoinTokens", func(t v1.JoinToken) v1.JoinToken { return t })
}

func (b *Backend) RevokeJoinToken(_ context.Context, w server.Write, id string) (uint64, error) {
	if err := b.fails("RevokeJoinToken"); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.tokens[id]; !ok {
		return 0, fault.New(fault.NotFound, "there is no join token %q", id)
	}
	b.index++
	b.Writes = append(b.Writes, w)
	delete(b.tokens, id)
	return b.index, nil
}
