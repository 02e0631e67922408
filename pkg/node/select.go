package node

import (
	"fmt"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// DryReason says why a plan has a node only as dry runs (RULES R6). It is
// shown to users as it is.
type DryReason string

// NotChosen: the node was left out and lies on a path between two chosen ones,
// so that order is kept (RULES R2.6).
const NotChosen DryReason = "notChosen"

// Selection is the nodes of a plan, in topological order.
type Selection struct {
	Nodes []Chosen
}

// Chosen is one node of a selection.
type Chosen struct {
	Index int32 // in the graph it was selected from
	ID    string
	Dry   DryReason // empty: it runs
	Level int32     // shortest distance from the request's root
}

// Select finds the nodes of a backfill (RULES R2.1, R2.2, R2.6).
//
// `current` is the root alone. `descendants` is the root, unless it is left
// out, and its descendants: all, or those in the list Nodes, or those that
// pass the name filter and the level bound; the filters do not bear on the
// root. A list cannot be combined with a filter, which would drop nodes that
// were asked for by name. A node on a path between two chosen ones comes as a
// bridge (NotChosen); no other node has an instance, a root that was left out
// included.
//
// A refusal is a *fault.Error of code Invalid or NotFound with the request's
// field. It takes time in proportion to the graph.
func Select(g *Graph, req *wire.Request) (*Selection, error) {
	root, err := find(g, "root", req.Root)
	if err != nil {
		return nil, err
	}
	levels := g.Levels(root)
	chosen := make([]bool, g.Len())
	switch req.Mode {
	case wire.Request_CURRENT:
		if err := nothingButRoot(req); err != nil {
			return nil, err
		}
		chosen[root] = true
	case wire.Request_DESCENDANTS:
		if err := chooseDescendants(g, req, root, levels, chosen); err != nil {
			return nil, err
		}
	default:
		return nil, fault.Field("mode", "%s is not supported by this version: expected current or descendants", strings.ToLower(req.Mode.String()))
	}
	bridge := bridges(g, chosen)
	s := &Selection{}
	for i := range g.Len() {
		c := Chosen{Index: int32(i), ID: g.nodes[i].Spec.Id, Level: levels[i]}
		if bridge[i] {
			c.Dry = NotChosen
		}
		if chosen[i] || bridge[i] {
			s.Nodes = append(s.Nodes, c)
		}
	}
	return s, nil
}

// nothingButRoot refuses fields that mean nothing in the mode current.
func nothingButRoot(req *wire.Request) error {
	const onlyFor = "only the mode descendants has it: leave it out, or ask for descendants"
	switch {
	case len(req.Nodes) > 0:
		return fault.Field("nodes", onlyFor)
	case req.WithoutRoot:
		return fault.Field("withoutRoot", onlyFor)
	case req.NameFilter != "":
		return fault.Field("nameFilter", onlyFor)
	case req.MaxLevel != 0:
		return fault.Field("maxLevel", onlyFor)
	}
	return nil
}

func chooseDescendants(g *Graph, req *wire.Request, root int, levels []int32, chosen []bool) error {
	switch {
	case req.MaxLevel < 0:
		return fault.Field("maxLevel", "%d is no level: expected 1 or more, or 0 for no bound", req.MaxLevel)
	case len(req.Nodes) > 0 && req.NameFilter != "":
		return fault.Field("nameFilter", "it cannot be combined with a list of nodes: choose by list or by filter")
	case len(req.Nodes) > 0 && req.MaxLevel != 0:
		return fault.Field("maxLevel", "it cannot be combined with a list of nodes: choose by list or by filter")
	}
	chosen[root] = !req.WithoutRoot
	if len(req.Nodes) > 0 {
		return chooseListed(g, req, root, levels, chosen)
	}
	filter := strings.ToLower(req.NameFilter)
	some := chosen[root]
	for i, level := range levels {
		if level < 1 || (req.MaxLevel > 0 && level > req.MaxLevel) {
			continue
		}
		if strings.Contains(strings.ToLower(g.nodes[i].Spec.Name), filter) {
			chosen[i], some = true, true
		}
	}
	if !some {
		return fault.Field("withoutRoot", "no descendant of %q is chosen, so that nothing is left to run: widen the filter or keep the root", req.Root)
	}
	return nil
}

func chooseListed(g *Graph, req *wire.Request, root int, levels []int32, chosen []bool) error {
	for k, id := range req.Nodes {
		field := fmt.Sprintf("nodes[%d]", k)
		i, err := find(g, field, id)
		switch {
		case err != nil:
			return err
		case levels[i] < 0:
			return fault.Field(field, "node %q is no descendant of %q: leave it out, or choose another root", id, req.Root)
		case i == root && req.WithoutRoot:
			return fault.Field(field, "node %q is the root, which withoutRoot leaves out: say one of the two", id)
		}
		chosen[i] = true
	}
	return nil
}

// bridges marks the nodes that were not chosen and have a chosen one both
// before and after them.
func bridges(g *Graph, chosen []bool) []bool {
	after := make([]bool, g.Len())
	for i := range g.Len() {
		for _, u := range g.Upstreams(i) {
			after[i] = after[i] || after[u] || chosen[u]
		}
	}
	before := make([]bool, g.Len())
	bridge := make([]bool, g.Len())
	for i := g.Len() - 1; i >= 0; i-- {
		for _, d := range g.Downstreams(i) {
			before[i] = before[i] || before[d] || chosen[d]
		}
		bridge[i] = before[i] && after[i] && !chosen[i]
	}
	return bridge
}

// find looks a node of the request up.
func find(g *Graph, field, id string) (int, error) {
	if id == "" {
		return 0, fault.Field(field, "it is empty: expected the id of a node")
	}
	i, ok := g.Index(id)
	if !ok {
		err := fault.Field(field, "there is no node %q%s", clip(id), g.didYouMean(id))
		err.Code = fault.NotFound
		return 0, err
	}
	return i, nil
}
