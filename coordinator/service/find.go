package service

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"backfleet/api/convert"
	"backfleet/api/server"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// listName is what the cursors of a list begin with: its order and its filter are
// in it, so that the next of one question is refused by another.
func listName(list, sort string, filter any) string {
	if sort != "" {
		list += "-" + strings.ReplaceAll(sort, "-", "down-")
	}
	text, err := json.Marshal(filter)
	if err != nil {
		panic(err) // filters are plain values
	}
	h := fnv.New32a()
	h.Write(text)
	return list + "@" + strconv.FormatUint(uint64(h.Sum32()), 36)
}

// agrees says whether a node passes a filter. group is the resource group that it
// runs in.
func agrees(f *server.NodeQuery, n *wire.Node, group string) bool {
	if f == nil {
		return true
	}
	in := func(set []string, text string) bool { return len(set) == 0 || slices.Contains(set, text) }
	switch {
	case !in(f.IDs, n.Id), !in(f.Types, n.Type), !in(f.Owners, n.Owner), !in(f.Workspaces, n.Workspace),
		!in(f.ResourceGroups, group), !in(f.Baselines, n.Baseline):
		return false
	case f.Owner != "" && n.Owner != f.Owner:
		return false
	case f.Auto != nil && n.Auto != *f.Auto:
		return false
	case len(f.Priorities) > 0 && !slices.Contains(f.Priorities, int(n.Priority)):
		return false
	case len(f.Modes) > 0 && !slices.Contains(f.Modes, convert.NodeMode(n)):
		return false
	case len(f.Kinds) > 0 && !slices.Contains(f.Kinds, convert.ScheduleKind(n)):
		return false
	}
	return (f.Contains == "" || matches(f.Contains, n.Id, n.Name)) && (f.Name == "" || matches(f.Name, n.Name))
}

// chosen lists the nodes of a plan that pass a filter, in the plan's order; all:
// there is no filter.
func chosen(p *plan.Plan, f *server.NodeQuery) (list []int, all bool) {
	if f == nil {
		return nil, true
	}
	try := func(n int) {
		if agrees(f, p.Nodes[n].Spec, p.ResourceGroup(n)) {
			list = append(list, n)
		}
	}
	if len(f.IDs) > 0 { // those are found at once
		for _, id := range f.IDs {
			if n, ok := p.NodeIndex(id); ok {
				try(n)
			}
		}
		slices.Sort(list)
		return slices.Compact(list), false
	}
	for n := range p.Nodes {
		try(n)
	}
	return list, false
}

// inPlan refuses to be asked for a node that a plan has not.
func inPlan(p *plan.Plan, f *server.NodeQuery) error {
	if f == nil {
		return nil
	}
	for _, id := range f.IDs {
		if _, ok := p.NodeIndex(id); !ok {
			return fault.Field("node", "node %q is not in the backfill: expected one of its nodes", id)
		}
	}
	return nil
}

// nodeSearch finds out which plans have a node that passes a filter. Plans of the
// same part of the graph share their nodes, and are looked through once.
type nodeSearch struct {
	*reading
	f     *server.NodeQuery
	known map[nodeList]bool
}

type nodeList struct {
	first *plan.Node
	group string // that the plan's request gives to all of them
}

// in says whether a plan has such a node. A node costs a quarter of a glance.
func (s *nodeSearch) in(p *state.Plan) bool {
	if s.f == nil || len(p.Nodes) == 0 {
		return s.f == nil
	}
	if len(s.f.IDs) > 0 {
		list, _ := chosen(p.Plan, s.f)
		return len(list) > 0
	}
	key := nodeList{&p.Nodes[0], p.Request.ResourceGroup}
	found, ok := s.known[key]
	if !ok {
		for n := 0; n < len(p.Nodes) && !found; n++ {
			found = agrees(s.f, p.Nodes[n].Spec, p.ResourceGroup(n))
		}
		s.glances -= len(p.Nodes)/4 + 1
		s.known[key] = found
	}
	return found
}
