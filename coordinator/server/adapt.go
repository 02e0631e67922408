package server

import (
	"context"
	"time"

	"backfleet/coordinator/service"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// clusterLog is the replicated log as the service and the schedule want it.
type clusterLog struct{ s *Server }

// Propose takes new work only while there is room for it; a stop or a pause is
// small and must never fail for want of space.
func (l clusterLog) Propose(ctx context.Context, c *wire.Command) (uint64, *state.Result, error) {
	if c.GetSubmit() != nil || c.GetApplyNodes() != nil || c.GetGenerate() != nil || c.GetEditPlan() != nil {
		if err := l.s.checkSpace(); err != nil {
			return 0, nil, err
		}
	}
	return l.s.log.Propose(ctx, c)
}

func (l clusterLog) AppliedIndex() uint64 { return l.s.node.Applied() }

// WaitIndex also keeps readers from a state that was only just opened: until
// this coordinator has caught up with a leader once, what it knows may be as
// old as its last snapshot, or nothing at all.
func (l clusterLog) WaitIndex(ctx context.Context, index uint64) error {
	if !l.s.caughtUp.Load() {
		now, err := l.s.readIndex(ctx)
		if err != nil {
			return err
		}
		index = max(index, now)
	}
	if err := l.s.node.WaitIndex(ctx, index); err != nil {
		return err
	}
	l.s.caughtUp.Store(true)
	return nil
}

// catchUp waits until this coordinator has caught up with a leader once, or ctx
// ends.
func (s *Server) catchUp(ctx context.Context) {
	again := time.NewTicker(catchUpEvery)
	defer again.Stop()
	for s.current(ctx) != nil {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// catchUpEvery is how soon a leader is looked for again.
const catchUpEvery = 100 * time.Millisecond

func (l clusterLog) ReadIndex(ctx context.Context) (uint64, error) {
	return l.s.readIndex(ctx)
}

func (l clusterLog) Leader() (id string, self bool) {
	id, _ = l.s.node.Leader()
	_, established := l.s.node.Established()
	return id, id == l.s.cfg.ID && established
}

func (l clusterLog) TransferLeadership(ctx context.Context, to string) error {
	return l.s.node.TransferLeadership(ctx, to)
}

func (l clusterLog) Standing() service.Standing {
	st := l.s.node.Stats()
	out := service.Standing{Term: st.Term, Commit: st.Commit, Snapshot: st.LastSnapshot, Generation: l.s.node.Generation(), Err: l.s.node.Err(), CaughtUp: l.s.caughtUp.Load(), Stopping: l.s.stopping.Load()}
	members, err := l.s.node.Servers()
	if err != nil && out.Err == nil {
		out.Err = err
	}
	for _, m := range members {
		out.Members = append(out.Members, service.Member{ID: m.ID, RaftAddress: m.RaftAddress, Voter: m.Voter})
	}
	return out
}

// seen is what the dispatcher knows of agents, as the service wants it.
func (s *Server) seen(ctx context.Context) (map[string]service.Seen, error) {
	contacts, err := s.agents.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]service.Seen, len(contacts))
	for id, c := range contacts {
		out[id] = service.Seen{Connected: c.Connected, At: c.Heard}
	}
	return out, nil
}

func listenError(name, addr string, err error) error {
	e := fault.Wrap(err, fault.Unavailable, "%s cannot be listened on: another process has it, or it is not this host's: choose another with --%s", addr, name)
	e.Field = name
	return e
}

func (s *Server) scheme() string {
	if s.secure != nil {
		return "https://"
	}
	return "http://"
}
