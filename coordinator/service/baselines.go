package service

import (
	"context"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// Baselines implements server.People. Nodes that name the same baseline have the
// same priority.
func (s *Service) Baselines(_ context.Context, contains string, page server.Page) ([]v1.Baseline, server.Next, error) {
	known := map[string]v1.Baseline{}
	eachSpec(s.Machine.State(), func(n *wire.Node) {
		known[n.Baseline] = v1.Baseline{Name: n.Baseline, Priority: int(n.Priority), Nodes: known[n.Baseline].Nodes + 1}
	})
	return settings(known, contains, page, "baseline", func(_ string, b v1.Baseline) v1.Baseline { return b })
}
