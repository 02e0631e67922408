package node

import (
	"cmp"
	"slices"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// current is the root alone (RULES R2.1).
func (s *selector) current() error {
	s.chosen[s.root] = true
	return nil
}

// descendants is the root and those after it (RULES R2.2).
func (s *selector) descendants() error {
	req := s.req
	switch {
	case req.MaxLevel < 0:
		return fault.Field("maxLevel", "%d is no level: expected 1 or more, or 0 for no bound", req.MaxLevel)
	case len(req.Nodes) > 0 && req.NameFilter != "":
		return fault.Field("nameFilter", "it cannot be combined with a list of nodes: choose by list or by filter")
	case len(req.Nodes) > 0 && req.MaxLevel != 0:
		return fault.Field("maxLevel", "it cannot be combined with a list of nodes: choose by list or by filter")
	}
	s.chosen[s.root] = !req.WithoutRoot
	if len(req.Nodes) > 0 {
		return s.listed()
	}
	for i, level := range s.levels {
		if s.below[i] && (req.MaxLevel == 0 || level <= req.MaxLevel) && contains(s.g.nodes[i].Spec.Name, req.NameFilter) {
			s.take(i)
		}
	}
	return nil
}

func (s *selector) listed() error {
	for k, id := range s.req.Nodes {
		field := choice("nodes", k)
		i, err := s.named(field, id)
		if err == nil {
			err = s.afterRoot(field, i)
		}
		switch {
		case err != nil:
			return err
		case i == s.root && s.req.WithoutRoot:
			return fault.Field(field, "node %q is the root, which withoutRoot leaves out: say one of the two", id)
		}
		s.chosen[i] = true
	}
	return nil
}

// afterRoot refuses a node that is neither the root nor after it, by the fields
// that are chosen of it.
func (s *selector) afterRoot(field string, i int) error {
	switch {
	case i == s.root || s.below[i]:
		return nil
	case s.levels[i] > 0:
		return fault.Field(field, "node %q depends on none of the fields that are chosen of %q: leave it out, or choose a field that it needs",
			s.g.nodes[i].Spec.Id, s.req.Root)
	default:
		return fault.Field(field, "node %q is no descendant of %q: leave it out, or choose another root", s.g.nodes[i].Spec.Id, s.req.Root)
	}
}

// massive is the descendants in whole workspaces, corrected by two lists
// (RULES R2.3).
func (s *selector) massive() error {
	inside, err := s.workspaces()
	if err != nil {
		return err
	}
	if err := s.oneList(); err != nil {
		return err
	}
	s.chosen[s.root] = true
	for i := range s.levels {
		if s.below[i] && inside[s.g.nodes[i].Spec.Workspace] {
			s.take(i)
		}
	}
	if err := s.whitelist(inside); err != nil {
		return err
	}
	if s.req.WithoutRoot {
		s.leaveOut(s.root, wire.DryRun_CURRENT_NODE_CLEARED)
	}
	return s.blacklist(inside)
}

func (s *selector) leaveOut(i int, why wire.DryRun) { s.chosen[i], s.dry[i] = false, why }

// workspaces is the set of those that are chosen; none given: the root's.
func (s *selector) workspaces() (map[string]bool, error) {
	own := s.g.nodes[s.root].Spec.Workspace
	if len(s.req.Workspaces) == 0 {
		return map[string]bool{own: true}, nil
	}
	known := make(map[string]bool)
	for _, n := range s.g.nodes {
		known[n.Spec.Workspace] = true
	}
	region := s.scope.workspace(own).Region
	inside := make(map[string]bool, len(s.req.Workspaces))
	for k, id := range s.req.Workspaces {
		field := choice("workspaces", k)
		switch other := s.scope.workspace(id).Region; {
		case !known[id]:
			return nil, s.noWorkspace(field, id)
		case other != region:
			return nil, fault.Field(field, "workspace %q is in region %q, the root %q in region %q: expected workspaces of one region",
				clip(id), other, s.req.Root, region)
		case s.scope.Restricted && !s.scope.Allowed[id]:
			return nil, denied(field, "you may not run nodes of workspace %q: leave it out, or ask for the right to", clip(id))
		}
		inside[id] = true
	}
	return inside, nil
}

func (s *selector) noWorkspace(field, id string) error {
	var known []string
	for _, n := range s.g.nodes {
		known = append(known, n.Spec.Workspace)
	}
	slices.Sort(known)
	err := fault.Field(field, "no node is in a workspace %q%s", clip(id), didYouMean(id, slices.Compact(known)))
	err.Code = fault.NotFound
	return err
}

// oneList refuses a node that both lists name.
func (s *selector) oneList() error {
	black := make(map[string]bool, len(s.req.Blacklist))
	for _, id := range s.req.Blacklist {
		black[id] = true
	}
	for k, id := range s.req.Whitelist {
		if black[id] {
			return fault.Field(choice("whitelist", k), "node %q is in the blacklist as well: expected it in one of the two lists", clip(id))
		}
	}
	return nil
}

// whitelist takes descendants outside the workspaces.
func (s *selector) whitelist(inside map[string]bool) error {
	for k, id := range s.req.Whitelist {
		field := choice("whitelist", k)
		i, err := s.named(field, id)
		if err == nil {
			err = s.afterRoot(field, i)
		}
		switch {
		case err != nil:
			return err
		case i == s.root:
			return fault.Field(field, "node %q is the root, which is chosen without it: take it out", id)
		case inside[s.g.nodes[i].Spec.Workspace]:
			return fault.Field(field, "node %q is in workspace %q, whose descendants are chosen already: take it out", id, s.g.nodes[i].Spec.Workspace)
		}
		s.chosen[i] = true
	}
	return nil
}

// blacklist makes dry runs of descendants inside the workspaces. To blacklist
// the root is to leave it out.
func (s *selector) blacklist(inside map[string]bool) error {
	for k, id := range s.req.Blacklist {
		field := choice("blacklist", k)
		i, err := s.find(field, id)
		if err == nil {
			err = s.afterRoot(field, i)
		}
		switch {
		case err != nil:
			return err
		case i == s.root:
			s.leaveOut(i, wire.DryRun_CURRENT_NODE_CLEARED)
		case !inside[s.g.nodes[i].Spec.Workspace]:
			return fault.Field(field, "node %q is in workspace %q, of which nothing is chosen: take it out", id, s.g.nodes[i].Spec.Workspace)
		default:
			s.leaveOut(i, wire.DryRun_BLACKLISTED)
		}
	}
	return nil
}

// advanced is any set of nodes (RULES R2.4).
func (s *selector) advanced() error {
	if len(s.req.Nodes) == 0 && len(s.req.Filters) == 0 {
		return fault.Field("nodes", "nothing is chosen: expected ids of nodes, or filters")
	}
	for k, f := range s.req.Filters {
		if err := s.filter(choice("filters", k), f); err != nil {
			return err
		}
	}
	for k, id := range s.req.Nodes {
		field := choice("nodes", k)
		i, err := s.named(field, id)
		if err == nil {
			err = s.mayBeAdvanced(field, i)
		}
		if err != nil {
			return err
		}
		s.chosen[i], s.dry[i] = true, wire.DryRun_DRY_RUN_NONE
	}
	return nil
}

// mayBeAdvanced refuses a node of a workspace that has the mode switched off.
func (s *selector) mayBeAdvanced(field string, i int) error {
	n := s.g.nodes[i].Spec
	if !s.scope.workspace(n.Workspace).Advanced {
		return fault.Field(field, "node %q: workspace %q has the mode advanced switched off: leave its nodes out, or use another mode", n.Id, n.Workspace)
	}
	return nil
}

// filter takes the nodes that agree with all that is set in it.
func (s *selector) filter(field string, f *wire.NodeFilter) error {
	switch f.GetPriority() {
	case 0, 1, 3, 5, 7, 8:
	default:
		return fault.Field(field+".priority", "%d is no priority of a node: expected 1, 3, 5, 7 or 8", f.Priority)
	}
	if cmp.Or(f.GetWorkspace(), f.GetOwner(), f.GetName(), f.GetId(), f.GetType(), f.GetResourceGroup()) == "" && f.GetPriority() == 0 {
		return fault.Field(field, "it is empty: expected one or more of workspace, owner, priority, name, id, type and resourceGroup")
	}
	some, inWorkspace := false, f.Workspace == ""
	for i, n := range s.g.nodes {
		inWorkspace = inWorkspace || n.Spec.Workspace == f.Workspace
		if !matches(n.Spec, f) {
			continue
		}
		if err := s.mayBeAdvanced(field, i); err != nil {
			return err
		}
		s.take(i)
		some = true
	}
	switch {
	case !inWorkspace:
		return s.noWorkspace(field+".workspace", f.Workspace)
	case !some:
		return fault.Field(field, "no node matches it: widen it, or take it out")
	}
	return nil
}

func matches(n *wire.Node, f *wire.NodeFilter) bool {
	for _, exact := range [][2]string{{f.Workspace, n.Workspace}, {f.Owner, n.Owner}, {f.Type, n.Type}, {f.ResourceGroup, n.ResourceGroup}} {
		if exact[0] != "" && exact[0] != exact[1] {
			return false
		}
	}
	return (f.Priority == 0 || f.Priority == n.Priority) && contains(n.Name, f.Name) && contains(n.Id, f.Id)
}

// contains is the fuzzy search of RULES R11; the empty text is in every other.
func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// chain is a start, an end and what lies between (RULES R2.5).
func (s *selector) chain() error {
	end, err := s.named("end", s.req.End)
	switch {
	case err != nil:
		return err
	case end == s.root:
		return fault.Field("end", "it is the start, %q: expected another node, or the mode current", s.req.Root)
	case s.levels[end] < 0 && s.g.Levels(end)[s.root] >= 0:
		return fault.Field("end", "%q comes before the start %q, not after it: swap the two", s.req.End, s.req.Root)
	case s.levels[end] < 0:
		return fault.Field("end", "no path of dependencies leads from %q to %q: choose an end among the descendants of the start", s.req.Root, s.req.End)
	}
	leads := make([]bool, s.g.Len()) // to the end
	leads[end] = true
	for i := end; i >= s.root; i-- {
		for _, d := range s.g.Downstreams(i) {
			leads[i] = leads[i] || leads[d]
		}
		if leads[i] && s.levels[i] >= 0 {
			s.take(i)
		}
	}
	return nil
}
