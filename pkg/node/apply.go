package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Change is what applying nodes would do, checked as a whole. The lists hold
// ids, sorted; every spec is in exactly one of the first three.
type Change struct {
	Added     []string
	Changed   []string
	Unchanged []string
	Removed   []string

	Nodes    []*Node // all nodes afterwards, sorted by id
	Graph    *Graph  // of them
	Warnings []Warning
}

// Apply checks that specs may be added to, or replace, the existing nodes, and
// that the ids in remove may go, all at once; it changes nothing itself. The
// result does not depend on the order of any argument.
//
// The error has a fault.Detail for each finding; a Field is a path such as
// `nodes["dwd_orders"].upstreams[2]`, for which Files.Locate finds file and
// line.
func Apply(existing []*Node, specs []*wire.Node, remove []string) (*Change, error) {
	a := &application{nodes: make(map[string]*Node, len(existing)+len(specs)), written: make(map[string]bool, len(specs)), change: &Change{}}
	for _, n := range existing {
		a.nodes[n.Spec.Id] = n
	}
	specs = slices.SortedStableFunc(slices.Values(specs), func(x, y *wire.Node) int { return cmp.Compare(x.Id, y.Id) })
	for _, spec := range specs {
		if a.written[spec.Id] {
			a.details = append(a.details, detail(nodeField(spec.Id, "id"), "node %q is defined twice: an id names one node", clip(spec.Id)))
			continue
		}
		a.written[spec.Id] = true
		a.put(spec)
	}
	a.remove(remove)
	if len(a.details) > 0 {
		return nil, problems("the nodes", a.details)
	}
	return a.finish()
}

type application struct {
	nodes   map[string]*Node
	written map[string]bool // ids among the specs
	change  *Change
	details []fault.Detail
}

func (a *application) put(spec *wire.Node) {
	n, warnings, err := Compile(spec)
	if err != nil {
		a.details = append(a.details, named(spec.Id, err.(*fault.Error).Details)...)
		return
	}
	a.change.Warnings = append(a.change.Warnings, named(spec.Id, warnings)...)
	id := n.Spec.Id
	old, exists := a.nodes[id]
	switch {
	case !exists:
		a.change.Added = append(a.change.Added, id)
	case proto.Equal(old.Spec, n.Spec):
		a.change.Unchanged = append(a.change.Unchanged, id)
		return // the old one is shared already
	default:
		a.change.Changed = append(a.change.Changed, id)
	}
	a.nodes[id] = n
}

// named puts the findings about one node among those about many.
func named(id string, details []fault.Detail) []fault.Detail {
	named := slices.Clone(details)
	for i := range named {
		named[i].Field = nodeField(id, named[i].Field)
		named[i].Message = fmt.Sprintf("node %q: %s", clip(id), named[i].Message)
	}
	return named
}

func (a *application) remove(ids []string) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		_, exists := a.nodes[id]
		switch {
		case a.written[id]:
			a.details = append(a.details, detail(nodeField(id, "id"), "node %q is both applied and removed: say one of the two", id))
		case !exists:
			a.details = append(a.details, detail("remove", "there is no node %q to remove", clip(id)))
		default:
			a.change.Removed = append(a.change.Removed, id)
			delete(a.nodes, id)
		}
	}
}

func (a *application) finish() (*Change, error) {
	c := a.change
	c.Nodes = slices.SortedFunc(maps.Values(a.nodes), func(x, y *Node) int { return cmp.Compare(x.Spec.Id, y.Spec.Id) })
	details := append(a.baselines(), fieldsRead(c.Nodes)...)
	graph, err := BuildGraph(c.Nodes)
	if err != nil {
		details = append(details, err.(*fault.Error).Details...)
	}
	if len(details) > 0 {
		return nil, problems("the nodes", details)
	}
	c.Graph = graph
	return c, nil
}

// baselines refuses one baseline with two priorities: it is a promise, and the
// nodes only say that they belong to it (RULES R0). The finding is about a node
// that is applied, as the others agree already.
func (a *application) baselines() []fault.Detail {
	var details []fault.Detail
	first := make(map[string]*Node)
	for _, applied := range []bool{false, true} {
		for _, n := range a.change.Nodes {
			s := n.Spec
			if a.written[s.Id] != applied {
				continue
			}
			f, seen := first[s.Baseline]
			if !seen {
				first[s.Baseline] = n
			} else if f.Spec.Priority != s.Priority {
				details = append(details, detail(nodeField(s.Id, "baseline.priority"), "node %q: baseline %q has priority %d here and %d in node %q: give a baseline one priority",
					s.Id, s.Baseline, s.Priority, f.Spec.Priority, f.Spec.Id))
			}
		}
	}
	return details
}
