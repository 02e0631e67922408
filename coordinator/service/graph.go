package service

import (
	"context"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
)

// What one graph has at most.
const (
	graphNodes = 20_000
	graphEdges = 200_000
)

// Graph implements server.Overview.
func (s *Service) Graph(_ context.Context, q server.GraphQuery) (*v1.Graph, error) {
	g := s.Machine.State().Graph()
	near, err := around(g, q)
	if err != nil {
		return nil, err
	}
	out := &v1.Graph{Nodes: make([]v1.GraphNode, 0, min(g.Len(), graphNodes)), Edges: []int{}}
	place := make([]int, g.Len()) // in the answer, from 1; 0: left out
	kept := 0
	for i := range place {
		if n := g.Node(i).Spec; near(i) && agrees(q.Nodes, n, n.ResourceGroup) {
			if kept++; kept <= graphNodes {
				out.Nodes = append(out.Nodes, convert.GraphNode(n))
				place[i] = kept
			}
		}
	}
	if kept > graphNodes {
		return nil, fault.Field("root", "it would be %d nodes, and one graph has at most %d: name roots with up and down, or a workspace or an owner", kept, graphNodes)
	}
	for i, at := range place {
		if at == 0 {
			continue
		}
		for _, u := range g.Upstreams(i) {
			if place[u] > 0 {
				out.Edges = append(out.Edges, place[u]-1, at-1)
			}
		}
	}
	if n := len(out.Edges) / 2; n > graphEdges {
		return nil, fault.Field("root", "it would be %d edges, and one graph has at most %d: name roots with up and down, or a workspace or an owner", n, graphEdges)
	}
	return out, nil
}

// around says which nodes are within reach of the roots.
func around(g *node.Graph, q server.GraphQuery) (func(i int) bool, error) {
	if len(q.Roots) == 0 {
		return func(int) bool { return true }, nil
	}
	var roots []int32
	for _, id := range q.Roots {
		i, ok := g.Index(id)
		if !ok {
			return nil, fault.Field("root", "there is no node %q", id)
		}
		roots = append(roots, int32(i))
	}
	near := make([]bool, g.Len())
	reach(near, roots, q.Up, g.Upstreams)
	reach(near, roots, q.Down, g.Downstreams)
	return func(i int) bool { return near[i] }, nil
}

// reach marks what is so many levels from some nodes at most; nil: at any.
func reach(near []bool, from []int32, levels *int, next func(int) []int32) {
	seen := make([]bool, len(near))
	for level := 0; len(from) > 0; level++ {
		var after []int32
		for _, i := range from {
			if seen[i] {
				continue
			}
			seen[i], near[i] = true, true
			if levels == nil || level < *levels {
				after = append(after, next(int(i))...)
			}
		}
		from = after
	}
}
