package service

import (
	"context"
	"maps"
	"slices"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// Baselines implements server.People.
func (s *Service) Baselines(_ context.Context, contains string, page server.Page) ([]v1.Baseline, server.Next, error) {
	known := map[string]map[int]int{} // nodes by priority, by baseline
	eachSpec(s.Machine.State(), func(n *wire.Node) {
		if known[n.Baseline] == nil {
			known[n.Baseline] = map[int]int{}
		}
		known[n.Baseline][int(n.Priority)]++
	})
	return settings(known, contains, page, "baseline", func(name string, nodes map[int]int) v1.Baseline {
		out := v1.Baseline{Name: name}
		for _, priority := range slices.Backward(slices.Sorted(maps.Keys(nodes))) {
			out.Nodes += nodes[priority]
			out.Priorities = append(out.Priorities, v1.BaselinePriority{Priority: priority, Nodes: nodes[priority]})
		}
		return out
	})
}
