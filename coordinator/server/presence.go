package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backfleet/coordinator/state"
	"backfleet/pkg/presence"
	"backfleet/pkg/wire"
)

// bePresent keeps this coordinator in the directory, and follows which agents
// are in it, until ctx ends. The directory's loss harms nothing.
func (s *Server) bePresent(ctx context.Context, beside *sync.WaitGroup) {
	if s.cfg.Announcer != nil {
		beside.Go(func() {
			if err := s.cfg.Announcer.Announce(ctx, s.member(0), s.announced); err != nil {
				s.cfg.Logger.Error("the coordinator is not in the directory", "error", err)
			}
		})
	}
	if s.cfg.Directory != nil {
		beside.Go(func() { s.watchAgents(ctx) })
	}
}

// member is the coordinator as others find it: by its rpc address, where each
// tells who leads. term is that in which this one leads, 0 while it does not.
func (s *Server) member(term uint64) presence.Member {
	return presence.Member{
		Kind: presence.Coordinator, ID: s.self.Id, Address: s.self.RpcAddress, Leader: term > 0, Term: term,
		Meta: map[string]string{"http": s.self.HttpAddress, "raft": s.self.RaftAddress, "version": s.self.Version},
	}
}

// announceLead has the directory say that this coordinator leads, or with a
// term of 0 that it does no more.
func (s *Server) announceLead(term uint64) { presence.Offer(s.announced, s.member(term)) }

// watchAgents keeps the newest list of agents in the directory.
func (s *Server) watchAgents(ctx context.Context) {
	lists, err := s.cfg.Directory.Watch(ctx, presence.Agent)
	if err != nil {
		s.cfg.Logger.Warn("the directory's agents cannot be followed", "error", err)
		return
	}
	for list := range lists {
		s.living.Store(&list)
		s.cfg.Logger.Debug("agents in the directory", "agents", len(list))
	}
}

var (
	certificateEnds = gauge("certificate_expiry_timestamp_seconds", "When the certificate in use ends, and the last of the authorities (of: certificate, authority), in Unix time.", "of")
	directoryAgents = gauge("directory_agents", "Agents in the directory, by resource group and by whether they have a session with the leader, as the facts have it.", "group", "session")
)

// surroundings tells what is around this coordinator: certificates, and agents
// in the directory.
type surroundings struct{ s *Server }

// Describe implements prometheus.Collector.
func (surroundings) Describe(ch chan<- *prometheus.Desc) {
	ch <- certificateEnds
	ch <- directoryAgents
}

// Collect implements prometheus.Collector.
func (c surroundings) Collect(ch chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if c.s.secure != nil {
		certificate, authority := c.s.secure.Expiry()
		put(certificateEnds, seconds(certificate), "certificate")
		put(certificateEnds, seconds(authority), "authority")
	}
	living := c.s.living.Load()
	if living == nil {
		return
	}
	var heard []string
	c.s.machine.State().Agents(func(a *state.Agent) {
		if a.State == wire.Agent_READY || a.State == wire.Agent_DRAINING {
			heard = append(heard, a.Id)
		}
	})
	slices.Sort(heard)
	type key struct{ group, session string }
	counts := map[key]float64{}
	for _, m := range *living {
		session := "no"
		if _, ok := slices.BinarySearch(heard, m.ID); ok {
			session = "yes"
		}
		for _, group := range m.Groups {
			counts[key{group, "yes"}] += 0 // both are there for comparison
			counts[key{group, "no"}] += 0
			counts[key{group, session}]++
		}
	}
	for k, n := range counts {
		put(directoryAgents, n, k.group, k.session)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
