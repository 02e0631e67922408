package service

import (
	"context"
	"io"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/backup"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Cluster implements server.Reads.
func (s *Service) Cluster(ctx context.Context, standing bool) (*v1.Cluster, error) {
	today, err := s.today()
	if err != nil {
		return nil, err
	}
	st := s.Machine.State()
	leader, _ := s.Log.Leader()
	log := s.Log.Standing()
	out := &v1.Cluster{
		Self: s.ServerID, Leader: leader, Term: log.Term, AppliedIndex: s.Log.AppliedIndex(), CommitIndex: log.Commit,
		SnapshotIndex: log.Snapshot, Version: s.Version, Behaviour: int(st.Behaviour()), Generation: wire.GenerationText(log.Generation), Zone: s.Zone, Today: today.String(),
		Servers: []v1.ClusterServer{},
	}
	for _, m := range log.Members {
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
	if standing {
		s.standings(ctx, out)
	}
	return out, nil
}

// standings adds what each coordinator says of itself, or why it says nothing.
func (s *Service) standings(ctx context.Context, c *v1.Cluster) {
	ids := make([]string, len(c.Servers))
	for i := range ids {
		ids[i] = c.Servers[i].ID
	}
	told := s.Standings(ctx, ids)
	own := s.Log.AppliedIndex()
	for i := range c.Servers {
		out := &c.Servers[i]
		switch t, ok := told[out.ID]; {
		case !ok:
			out.Silent = "it was not asked"
		case t.Err != nil:
			out.Silent = t.Err.Error()
		default:
			out.Standing = &v1.ServerStanding{
				Term: t.Term, AppliedIndex: t.Applied, CommitIndex: t.Commit, FirstIndex: t.FirstLog, LastIndex: t.LastLog,
				Behind: max(0, int64(own)-int64(t.Applied)), LastContact: maybe(t.ContactMs), LogBytes: int64(t.LogBytes),
				SnapshotIndex: t.Snapshot, SnapshotBytes: int64(t.SnapshotBytes), SnapshotAt: maybe(t.SnapshotMs),
				AttemptLogBytes: int64(t.AttemptLogBytes), Behaviour: int(max(t.Behaviour, state.First)),
			}
			if t.DiskFree != nil {
				free := int64(*t.DiskFree)
				out.Standing.DiskFree = &free
			}
		}
	}
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

// RemoveServer implements server.Writes. The membership changes first, then the
// facts forget the addresses: a request that is repeated goes on where it broke off.
func (s *Service) RemoveServer(ctx context.Context, w server.Write, id string, force bool) (uint64, error) {
	if err := least(w, wire.Role_ADMIN, "the members of the cluster"); err != nil {
		return 0, err
	}
	answer, err := kept(s.Machine.State(), w)
	if err != nil || answer != nil {
		return answer.GetIndex(), err
	}
	err = s.Log.RemoveServer(ctx, id, force)
	if _, known := s.Machine.State().Server(id); err != nil && !(fault.Is(err, fault.NotFound) && known) {
		return 0, err
	}
	c := command(w)
	c.Body = &wire.Command_RemoveServer{RemoveServer: &wire.RemoveServer{Id: id}}
	index, _, err := s.Log.Propose(ctx, c)
	return index, err
}

// SaveSnapshot implements server.LeaderReads.
func (s *Service) SaveSnapshot(ctx context.Context, w server.Write, out io.Writer) error {
	if err := least(w, wire.Role_ADMIN, "backups"); err != nil {
		return err
	}
	index, err := s.Log.ReadIndex(ctx)
	if err == nil {
		err = s.Log.WaitIndex(ctx, index)
	}
	if err == nil && w.Via != "" {
		err = s.RecordRefusals(ctx, []*wire.Refusal{{
			AtMs: s.Now().UnixMilli(), Actor: w.Actor, Via: w.Via, From: w.From, Operation: w.Operation, Target: "cluster/snapshot",
		}}, 0)
	}
	if err != nil {
		return err
	}
	st := s.Machine.State()
	log := s.Log.Standing()
	return backup.Write(out, backup.Header{
		Cluster: s.Name, Generation: log.Generation, Index: st.Index(), Term: log.Term, Behaviour: st.Behaviour(), Version: s.Version,
		Time: s.Now().UTC().Truncate(time.Millisecond), Counts: counted(st),
	}, func(w io.Writer) error {
		_, err := st.WriteTo(w)
		return err
	})
}

func counted(st *state.State) backup.Counts {
	n := backup.Counts{Nodes: st.Graph().Len(), Running: st.LeaseCount()}
	st.Plans(0, func(p *state.Plan) bool {
		n.Backfills++
		n.Instances += int(p.Size())
		return true
	})
	st.Agents(func(*state.Agent) { n.Agents++ })
	st.Users(func(*wire.SnapshotUser) { n.Users++ })
	return n
}
