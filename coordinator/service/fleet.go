package service

import (
	"context"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
)

// Agents implements server.Reads.
func (s *Service) Agents(_ context.Context, contains string, page server.Page) ([]v1.Agent, server.Next, error) {
	st := s.Machine.State()
	var ids []string
	st.Agents(func(a *state.Agent) { ids = append(ids, a.Id) })
	shown, next, err := names(ids, page, "agent", func(id string) bool {
		a, _ := st.Agent(id)
		return matches(contains, id, a.Host)
	})
	var out []v1.Agent
	for _, id := range shown {
		a, _ := st.Agent(id)
		out = append(out, agent(a))
	}
	return out, next, err
}

func agent(a *state.Agent) v1.Agent {
	out := v1.Agent{
		ID: a.Id, Host: a.Host, Version: a.Version, State: agentWords[a.State], Incarnation: a.Incarnation,
		Groups: []v1.AgentSlots{}, Labels: convert.Assignments(a.Labels),
	}
	for i, g := range a.Groups {
		out.Groups = append(out.Groups, v1.AgentSlots{Group: g.Group, Slots: int(g.Slots), Used: int(a.Used[i])})
	}
	return out
}

// Cluster implements server.Reads.
func (s *Service) Cluster(context.Context) (*v1.Cluster, error) {
	today, err := s.today()
	if err != nil {
		return nil, err
	}
	st := s.Machine.State()
	leader, _ := s.Log.Leader()
	standing := s.Log.Standing()
	out := &v1.Cluster{
		Self: s.ServerID, Leader: leader, Term: standing.Term, AppliedIndex: s.Log.AppliedIndex(), CommitIndex: standing.Commit,
		SnapshotIndex: standing.Snapshot, Version: s.Version, Behaviour: state.Behaviour, Zone: s.Zone, Today: today.String(),
		Servers: []v1.ClusterServer{},
	}
	for _, m := range standing.Members {
		server := v1.ClusterServer{ID: m.ID, RaftAddress: m.RaftAddress, Role: v1.ServerRoleNonVoter}
		switch {
		case m.ID == leader:
			server.Role = v1.ServerRoleLeader
		case m.Voter:
			server.Role = v1.ServerRoleVoter
		}
		if v, ok := st.Server(m.ID); ok {
			server.RPCAddress, server.HTTPAddress, server.Version = v.RpcAddress, v.HttpAddress, v.Version
		}
		out.Servers = append(out.Servers, server)
	}
	return out, nil
}

// TransferLeadership implements server.Writes.
func (s *Service) TransferLeadership(ctx context.Context, to string) (string, error) {
	if to != "" {
		known := false
		for _, m := range s.Log.Standing().Members {
			known = known || m.ID == to
		}
		if !known {
			return "", fault.Field("to", "there is no coordinator %q in the cluster", to)
		}
	}
	if err := s.Log.TransferLeadership(ctx, to); err != nil {
		return "", err
	}
	leader, _ := s.Log.Leader()
	if leader == s.ServerID {
		leader = "" // not known yet
	}
	return leader, nil
}
