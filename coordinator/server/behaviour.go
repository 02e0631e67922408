package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// behaviourAfter is how long all coordinators must have agreed to newer rules:
// long enough to see that one which was just upgraded stays up.
const behaviourAfter = time.Minute

// agrees is the newest version of the rules that this coordinator agrees to.
func (c *Config) agrees() uint32 {
	if c.BehaviourMax > 0 {
		return min(c.BehaviourMax, state.Newest)
	}
	return state.Newest
}

// saysBehaviour is what a coordinator says of its rules; the first binaries say
// nothing.
func saysBehaviour(said uint32) uint32 { return max(said, state.First) }

// upgradeRules raises the rules in force, while this coordinator leads, once every
// member has agreed to newer ones without a break. A member that does not answer
// has not agreed.
func (s *Server) upgradeRules(ctx context.Context) {
	look := time.NewTicker(min(max(s.cfg.BehaviourAfter/6, 200*time.Millisecond), 10*time.Second))
	defer look.Stop()
	var to uint32
	var since time.Time
	for s.machine.State().Behaviour() < state.Newest {
		switch agreed := s.agreedBehaviour(ctx); {
		case agreed != to:
			to, since = agreed, time.Now()
		case to > s.machine.State().Behaviour() && time.Since(since) >= s.cfg.BehaviourAfter:
			s.raiseBehaviour(ctx, to)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// agreedBehaviour is the newest version of the rules that every member agrees to
// now; 0: one of them does not say.
func (s *Server) agreedBehaviour(ctx context.Context) uint32 {
	members, err := s.node.Servers()
	agreed := s.cfg.agrees()
	if err != nil || agreed <= s.machine.State().Behaviour() {
		return 0
	}
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	told := s.standings(ctx, ids)
	for _, id := range ids {
		t := told[id]
		if t.Err != nil || t.StandingResponse == nil {
			return 0
		}
		agreed = min(agreed, saysBehaviour(t.Behaviour))
	}
	return agreed
}

// raiseBehaviour puts newer rules in force, if all members agree still: nobody
// joins meanwhile.
func (s *Server) raiseBehaviour(ctx context.Context, to uint32) {
	s.joining.Lock()
	defer s.joining.Unlock()
	if s.agreedBehaviour(ctx) != to {
		return
	}
	from := s.machine.State().Behaviour()
	cmd := &wire.Command{Actor: s.self.Id, Body: &wire.Command_RaiseBehaviour{RaiseBehaviour: &wire.RaiseBehaviour{To: to}}}
	if _, _, err := s.log.Propose(ctx, cmd); err != nil {
		s.cfg.Logger.Warn("newer rules could not be put in force; trying again", "error", err)
		return
	}
	s.cfg.Logger.Info("newer rules are in force: every coordinator knows them, and older binaries cannot come back", "from", from, "to", to)
}

// outdated says why a coordinator's binary is too old for the rules in force.
// Called on the leader, with joining held.
func (p *peer) outdated(ctx context.Context, r *wire.JoinRequest) error {
	if _, err := p.node.ReadIndex(ctx); err != nil { // also, that the facts are those of now
		return status.Error(codes.Unavailable, err.Error())
	}
	knows, inForce := saysBehaviour(r.Behaviour), p.log.State().Behaviour()
	if knows >= inForce {
		return nil
	}
	err := status.Errorf(codes.Unavailable, "coordinator %s runs version %q, which knows rules of version %d, and in force are those of version %d: start the version that the other coordinators run",
		r.Server.Id, r.Server.Version, knows, inForce)
	if time.Since(p.refusedOld) > time.Minute { // it goes on asking, and the first binaries do not say what they were told
		p.refusedOld = time.Now()
		p.logger.Warn("a coordinator was not taken in", "reason", status.Convert(err).Message())
	}
	return err
}

// rules tells which version of the rules is in force.
type rules struct{ s *Server }

var behaviourInForce = gauge("behaviour", "The version of the rules in force in the cluster.")

// Describe implements prometheus.Collector.
func (rules) Describe(ch chan<- *prometheus.Desc) { ch <- behaviourInForce }

// Collect implements prometheus.Collector.
func (r rules) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(behaviourInForce, prometheus.GaugeValue, float64(r.s.machine.State().Behaviour()))
}
