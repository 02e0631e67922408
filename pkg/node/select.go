package node

import (
	"fmt"
	"slices"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Selection is the nodes of a plan, in topological order.
type Selection struct {
	Nodes []Chosen
}

// Chosen is one node of a selection.
type Chosen struct {
	Index int32 // in the graph it was selected from
	ID    string
	Dry   wire.DryRun // why it comes as dry runs only; DRY_RUN_NONE: it runs
	Level int32       // see Select
}

// Scope is what bears on a selection beside the nodes: where they are, and
// what the actor may run. The zero value bounds nothing.
type Scope struct {
	Workspace  func(id string) Workspace // nil: every one is in the region default, with advanced mode
	Restricted bool                      // the actor may run nodes of the Allowed workspaces only (RULES R2.9)
	Allowed    map[string]bool           // workspaces
}

// Workspace is what a selection has to know of one.
type Workspace struct {
	Region   string
	Advanced bool // the mode advanced may take nodes of it (RULES R2.4)
}

func (s Scope) workspace(id string) Workspace {
	if s.Workspace == nil {
		return Workspace{Region: "default", Advanced: true}
	}
	return s.Workspace(id)
}

func (s Scope) permits(n *Node) bool { return !s.Restricted || s.Allowed[n.Spec.Workspace] }

// Select finds the nodes of a backfill (RULES R2).
//
//   - `current` is the root alone.
//   - `descendants` is the root, unless it is left out, and its descendants:
//     all, or those in the list Nodes, or those that pass the name filter and
//     the level bound, which do not bear on the root. A list cannot be combined
//     with a filter, which would drop nodes that were asked for by name.
//   - `massive` is the root and its descendants in the workspaces (none given:
//     the root's), with the whitelist's from outside them and without the
//     blacklist's. A root that is left out or blacklisted and every blacklisted
//     node is a dry run.
//   - `advanced` is the nodes of the list and those that any filter matches.
//   - `chain` is the root, the end and every node on a path between them.
//
// Where fields of the root are chosen, the descendants of the modes descendants
// and massive are only those that depend on one of these fields, or on a node
// that does (RULES R12.2). The choices of fields are checked here, too: each is
// of a logical node that runs.
//
// A node on a path between two chosen ones comes as a dry run (R2.6); no other
// node has an instance. A node that the actor may not run is refused when it
// was named, and a dry run when it comes with others (R2.9).
//
// The level of a node is its shortest distance from the root; in advanced and
// chain from any node of the selection that has none of it before it.
//
// A refusal is a *fault.Error of code Invalid, NotFound or Denied with the
// request's field. It takes time in proportion to the graph.
func Select(g *Graph, req *wire.Request, scope Scope) (*Selection, error) {
	if err := checkMode(req); err != nil {
		return nil, err
	}
	s := &selector{g: g, req: req, scope: scope, chosen: make([]bool, g.Len()), dry: make([]wire.DryRun, g.Len())}
	choose := map[wire.Request_Mode]func() error{
		wire.Request_CURRENT: s.current, wire.Request_DESCENDANTS: s.descendants, wire.Request_MASSIVE: s.massive,
		wire.Request_ADVANCED: s.advanced, wire.Request_CHAIN: s.chain,
	}[req.Mode]
	if req.Mode != wire.Request_ADVANCED {
		if err := s.findRoot(); err != nil {
			return nil, err
		}
	}
	for _, step := range []func() error{s.fields, choose, s.somethingLeft, s.fieldsRun} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s.selection(), nil
}

// selector is one selection while it is made.
type selector struct {
	g      *Graph
	req    *wire.Request
	scope  Scope
	root   int     // not in the mode advanced
	levels []int32 // from the root, -1: no descendant; not in the mode advanced
	below  []bool  // may be chosen as a descendant; not in the mode advanced
	chosen []bool
	dry    []wire.DryRun // of those that the request takes as dry runs
}

func (s *selector) findRoot() error {
	root, err := s.named("root", s.req.Root)
	if err != nil {
		return err
	}
	s.root, s.levels = root, s.g.Levels(root)
	return nil
}

// find looks a node of the request up.
func (s *selector) find(field, id string) (int, error) {
	if id == "" {
		return 0, fault.Field(field, "it is empty: expected the id of a node")
	}
	i, ok := s.g.Index(id)
	if !ok {
		err := fault.Field(field, "there is no node %q%s", clip(id), s.g.didYouMean(id))
		err.Code = fault.NotFound
		return 0, err
	}
	return i, nil
}

// named looks up a node that the request asks to run by its id, which the
// actor must be permitted.
func (s *selector) named(field, id string) (int, error) {
	i, err := s.find(field, id)
	if err != nil {
		return 0, err
	}
	if n := s.g.nodes[i]; !s.scope.permits(n) {
		return 0, denied(field, "you may not run node %q of workspace %q: leave it out, or ask for the right to", id, n.Spec.Workspace)
	}
	return i, nil
}

func denied(field, format string, args ...any) error {
	err := fault.Field(field, format, args...)
	err.Code = fault.Denied
	return err
}

// take chooses a node that comes with others; one that the actor may not run
// is a dry run.
func (s *selector) take(i int) {
	if s.scope.permits(s.g.nodes[i]) {
		s.chosen[i] = true
	} else {
		s.dry[i] = wire.DryRun_NOT_PERMITTED
	}
}

// selection adds the bridges and the levels.
func (s *selector) selection() *Selection {
	levels := s.levels
	if s.req.Mode == wire.Request_ADVANCED {
		levels = s.levelsFromTops()
	}
	bridge := bridges(s.g, s.chosen)
	selected := &Selection{}
	for i, n := range s.g.nodes {
		c := Chosen{Index: int32(i), ID: n.Spec.Id, Dry: s.dry[i], Level: levels[i]}
		switch {
		case s.chosen[i] || c.Dry != wire.DryRun_DRY_RUN_NONE:
		case !bridge[i]:
			continue
		case s.scope.permits(n):
			c.Dry = wire.DryRun_NOT_CHOSEN
		default:
			c.Dry = wire.DryRun_NOT_PERMITTED
		}
		selected.Nodes = append(selected.Nodes, c)
	}
	return selected
}

// levelsFromTops gives the shortest distance from any node of the selection
// that has none of it before it, at any distance.
func (s *selector) levelsFromTops() []int32 {
	var tops []int32
	after := make([]bool, s.g.Len()) // a selected node comes before
	for i := range s.g.Len() {
		for _, u := range s.g.Upstreams(i) {
			after[i] = after[i] || after[u] || s.selected(int(u))
		}
		if s.selected(i) && !after[i] {
			tops = append(tops, int32(i))
		}
	}
	return s.g.levels(tops)
}

func (s *selector) selected(i int) bool {
	return s.chosen[i] || s.dry[i] != wire.DryRun_DRY_RUN_NONE
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

// modeWords are the modes as a request has them.
var modeWords = map[wire.Request_Mode]string{
	wire.Request_CURRENT: "current", wire.Request_DESCENDANTS: "descendants", wire.Request_MASSIVE: "massive",
	wire.Request_ADVANCED: "advanced", wire.Request_CHAIN: "chain",
}

// checkMode refuses an unknown mode and the fields that mean nothing in it: a
// request that has one was meant otherwise.
func checkMode(req *wire.Request) error {
	word, known := modeWords[req.Mode]
	if !known {
		return fault.Field("mode", "%s is no mode: expected current, descendants, massive, advanced or chain", strings.ToLower(req.Mode.String()))
	}
	const current, descendants, massive = wire.Request_CURRENT, wire.Request_DESCENDANTS, wire.Request_MASSIVE
	const advanced, chain = wire.Request_ADVANCED, wire.Request_CHAIN
	for _, f := range []struct {
		field string
		given bool
		modes []wire.Request_Mode
	}{
		{"root", req.Root != "", []wire.Request_Mode{current, descendants, massive, chain}},
		{"nodes", len(req.Nodes) > 0, []wire.Request_Mode{descendants, advanced}},
		{"withoutRoot", req.WithoutRoot, []wire.Request_Mode{descendants, massive}},
		{"nameFilter", req.NameFilter != "", []wire.Request_Mode{descendants}},
		{"maxLevel", req.MaxLevel != 0, []wire.Request_Mode{descendants}},
		{"workspaces", len(req.Workspaces) > 0, []wire.Request_Mode{massive}},
		{"whitelist", len(req.Whitelist) > 0, []wire.Request_Mode{massive}},
		{"blacklist", len(req.Blacklist) > 0, []wire.Request_Mode{massive}},
		{"end", req.End != "", []wire.Request_Mode{chain}},
		{"filters", len(req.Filters) > 0, []wire.Request_Mode{advanced}},
	} {
		if f.given && !slices.Contains(f.modes, req.Mode) {
			var words []string
			for _, m := range f.modes {
				words = append(words, modeWords[m])
			}
			return fault.Field(f.field, "it means nothing in the mode %s: leave it out, or ask for %s", word, list(words))
		}
	}
	return nil
}

// fields checks the choices of fields, and finds the descendants that they leave
// (RULES R12.2).
func (s *selector) fields() error {
	var ofRoot []string
	seen := map[string]bool{}
	for k, c := range s.req.Fields {
		at := choice("fields", k)
		i, err := s.find(at+".node", c.GetNode())
		if err != nil {
			return err
		}
		if _, err := SelectFields(s.g.nodes[i].Spec, c.Fields); err != nil {
			e := err.(*fault.Error)
			e.Field = at + "." + e.Field
			return e
		}
		if seen[c.Node] {
			return fault.Field(at+".node", "node %q has a choice of fields already: expected one, with all of its fields", c.Node)
		}
		seen[c.Node] = true
		if s.isRoot(i) {
			ofRoot = c.Fields
		}
	}
	if s.levels != nil {
		s.below = s.g.readers(s.root, ofRoot)
	}
	return nil
}

func (s *selector) isRoot(i int) bool { return s.levels != nil && i == s.root }

// fieldsRun refuses choices of fields of nodes that do not run. Those of a root
// that is left out say which descendants there are.
func (s *selector) fieldsRun() error {
	for k, c := range s.req.Fields {
		if i, _ := s.g.Index(c.Node); !s.chosen[i] && !s.isRoot(i) {
			return fault.Field(choice("fields", k)+".node", "node %q does not run in this backfill: leave its fields out, or choose the node, too", c.Node)
		}
	}
	return nil
}

// somethingLeft refuses a selection of which nothing runs.
func (s *selector) somethingLeft() error {
	if slices.Contains(s.chosen, true) {
		return nil
	}
	field := "withoutRoot"
	switch {
	case s.req.Mode == wire.Request_ADVANCED:
		return denied("filters", "you may run none of the nodes that the filters match: choose nodes of your workspaces")
	case s.req.Mode == wire.Request_MASSIVE && !s.req.WithoutRoot:
		field = "blacklist"
	}
	return fault.Field(field, "no descendant of %q is chosen, so that nothing is left to run: choose more, or keep the root", s.req.Root)
}

// choice is a place in a list of the request, for a refusal.
func choice(list string, k int) string { return fmt.Sprintf("%s[%d]", list, k) }
