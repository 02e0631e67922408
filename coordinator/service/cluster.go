package service

import (
	"context"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

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

// TransferLeadership implements server.Writes. It is the one thing that people do
// and that is no entry of the log, so it is recorded by itself, before it
// happens: afterwards this coordinator can record nothing.
func (s *Service) TransferLeadership(ctx context.Context, w server.Write, to string) (string, error) {
	if err := least(w, wire.Role_ADMIN, "who leads"); err != nil {
		return "", err
	}
	if to != "" {
		known := false
		for _, m := range s.Log.Standing().Members {
			known = known || m.ID == to
		}
		if !known {
			return "", fault.Field("to", "there is no coordinator %q in the cluster", to)
		}
	}
	if w.Via != "" {
		err := s.RecordRefusals(ctx, []*wire.Refusal{{
			AtMs: s.Now().UnixMilli(), Actor: w.Actor, Via: w.Via, From: w.From, Operation: w.Operation, Target: "server/" + to, RequestId: w.RequestID,
		}}, 0)
		if err != nil {
			return "", err
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
