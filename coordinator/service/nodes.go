package service

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Node implements server.Reads. The code version is the node's version, which
// every change of the node counts up.
func (s *Service) Node(_ context.Context, id string) (server.NodeRecord, error) {
	st := s.Machine.State()
	n, ok := st.Node(id)
	if !ok {
		return server.NodeRecord{}, fault.New(fault.NotFound, "there is no node %q", id)
	}
	record := server.NodeRecord{Node: n.Spec, CodeVersion: n.Version}
	g := st.Graph()
	i, _ := g.Index(id)
	for _, d := range g.Downstreams(i) {
		record.Downstreams = append(record.Downstreams, g.Node(int(d)).Spec.Id)
	}
	slices.Sort(record.Downstreams)
	return record, nil
}

// Nodes implements server.Reads.
func (s *Service) Nodes(_ context.Context, f server.NodeQuery, sort v1.NodeSort, page server.Page) ([]*wire.Node, server.Next, error) {
	g := s.Machine.State().Graph()
	by, down := strings.CutPrefix(string(cmp.Or(sort, v1.NodeSortID)), "-")
	list := "node"
	if by != string(v1.NodeSortID) || down || !reflect.DeepEqual(f, server.NodeQuery{}) {
		list = listName("node", string(sort), f)
	}
	last, err := after(page, list)
	if err != nil {
		return nil, "", err
	}
	all := s.nodesBy(g, v1.NodeSort(by))
	step, k := 1, 0
	if down {
		step, k = -1, len(all)-1
	}
	if last != "" {
		if k, err = behind(all, last, down); err != nil {
			return nil, "", err
		}
	}
	var out []*wire.Node
	for shown := 0; k >= 0 && k < len(all); k += step {
		i, _ := g.Index(all[k].id)
		spec := g.Node(i).Spec
		if !agrees(&f, spec, spec.ResourceGroup) {
			continue
		}
		if len(out) == page.Limit {
			return out, cursor(list, all[shown].cursor()), nil
		}
		out, shown = append(out, spec), k
	}
	return out, "", nil
}

// keyed is a node's place in an order.
type keyed struct{ key, id string }

func (a keyed) compare(b keyed) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id))
}

// cursor names a place: the id, and what it is ordered by.
func (a keyed) cursor() string {
	if a.key == "" {
		return a.id
	}
	return strconv.Itoa(len(a.id)) + "." + a.id + a.key
}

// behind is where a list goes on after the place that a cursor names, whether the
// node is still there or not.
func behind(all []keyed, name string, down bool) (int, error) {
	at := keyed{id: name}
	if len(all) > 0 && all[len(all)-1].key != "" {
		size, rest, _ := strings.Cut(name, ".")
		n, err := strconv.Atoi(size)
		if err != nil || n < 0 || n > len(rest) {
			return 0, badCursor()
		}
		at = keyed{key: rest[n:], id: rest[:n]}
	}
	k, found := slices.BinarySearchFunc(all, at, keyed.compare)
	switch {
	case down:
		return k - 1, nil
	case found:
		return k + 1, nil
	}
	return k, nil
}

// ordered is the nodes of a graph, in the orders that were asked for.
type ordered struct {
	of    *node.Graph
	mu    sync.Mutex
	lists map[v1.NodeSort][]keyed
}

// nodesBy gives the nodes of a graph in order. The graph stays the same until
// nodes are applied, so that they are sorted once for all pages.
func (s *Service) nodesBy(g *node.Graph, by v1.NodeSort) []keyed {
	o := s.ordered.Load()
	if o == nil || o.of != g {
		o = &ordered{of: g, lists: map[v1.NodeSort][]keyed{}}
		s.ordered.Store(o)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	list, ok := o.lists[by]
	if !ok {
		list = make([]keyed, g.Len())
		for i := range list {
			n := g.Node(i).Spec
			list[i] = keyed{sortKey(n, by), n.Id}
		}
		slices.SortFunc(list, keyed.compare)
		o.lists[by] = list
	}
	return list
}

// sortKey is what a node is ordered by before its id. It is never empty but for
// the order by id.
func sortKey(n *wire.Node, by v1.NodeSort) string {
	switch by {
	case v1.NodeSortName:
		return "=" + n.Name
	case v1.NodeSortOwner:
		return "=" + n.Owner
	case v1.NodeSortWorkspace:
		return "=" + n.Workspace
	case v1.NodeSortPriority:
		return "=" + strconv.Itoa(int(n.Priority)) // of one digit
	default:
		return ""
	}
}

// matches says whether an id or name contains a lower-case text.
func matches(contains string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), contains) })
}

// ApplyNodes implements server.Writes.
func (s *Service) ApplyNodes(ctx context.Context, w server.Write, nodes []*wire.Node, remove []string, dryRun bool) (*v1.NodeApplicationResult, error) {
	if dryRun {
		st := s.Machine.State()
		if err := mayApply(st, w, nodes, remove); err != nil {
			return nil, err
		}
		change, err := node.Apply(allNodes(st), nodes, remove)
		if err != nil {
			return nil, err
		}
		out := application(foreseen(change), append(findings(change.Warnings), namedWarnings(st, nodes)...), st.Index())
		out.DryRun = true
		return out, nil
	}
	var found []v1.Warning
	tried := false
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		if err := mayApply(st, w, nodes, remove); err != nil {
			return err
		}
		change, err := node.Apply(allNodes(st), nodes, remove)
		if err != nil {
			return err
		}
		found, tried = append(findings(change.Warnings), namedWarnings(st, nodes)...), true
		c.Body = &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes, Remove: remove}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !tried { // it was answered before
		found = append(nodeWarnings(nodes), namedWarnings(s.Machine.State(), nodes)...)
	}
	changes := make([]v1.NodeChange, 0, len(answer.Nodes))
	for _, c := range answer.Nodes {
		changes = append(changes, v1.NodeChange{ID: c.Id, Change: changeWords[c.Kind]})
	}
	return application(changes, found, answer.Index), nil
}

// Of an application so many changes and warnings are told one by one.
const (
	changesTold  = 1000
	warningsTold = 100
)

// application tells what became of the nodes: how many in all, and the first
// of them, those that are unchanged last.
func application(all []v1.NodeChange, w []v1.Warning, index uint64) *v1.NodeApplicationResult {
	out := &v1.NodeApplicationResult{Warnings: w, Index: index}
	var rest []v1.NodeChange
	out.Changes = []v1.NodeChange{}
	for _, c := range all {
		switch c.Change {
		case v1.ChangeAdded:
			out.Counts.Added++
		case v1.ChangeChanged:
			out.Counts.Changed++
		case v1.ChangeRemoved:
			out.Counts.Removed++
		default:
			out.Counts.Unchanged++
			rest = append(rest, c)
			continue
		}
		out.Changes = append(out.Changes, c)
	}
	out.Changes = append(out.Changes, rest...)
	out.Changes = out.Changes[:min(changesTold, len(out.Changes))]
	if more := len(w) - warningsTold; more > 0 {
		out.Warnings = append(w[:warningsTold:warningsTold], v1.Warning{Message: fmt.Sprintf("and %d more", more)})
	}
	return out
}

func allNodes(st *state.State) []*node.Node {
	g := st.Graph()
	out := make([]*node.Node, g.Len())
	for i := range out {
		out[i] = g.Node(i)
	}
	return out
}

// foreseen lists a change in the order in which the log answers it.
func foreseen(c *node.Change) []v1.NodeChange {
	out := []v1.NodeChange{}
	for _, part := range []struct {
		word v1.Change
		ids  []string
	}{
		{v1.ChangeAdded, c.Added}, {v1.ChangeChanged, c.Changed}, {v1.ChangeUnchanged, c.Unchanged}, {v1.ChangeRemoved, c.Removed},
	} {
		for _, id := range part.ids {
			out = append(out, v1.NodeChange{ID: id, Change: part.word})
		}
	}
	return out
}

func findings(list []node.Warning) []v1.Warning {
	out := make([]v1.Warning, 0, len(list))
	for _, f := range list {
		out = append(out, v1.Warning{Message: f.Message, Field: f.Field, Where: f.Where})
	}
	return out
}

// nodeWarnings finds again what applying nodes warned of, which depends on each
// node alone.
func nodeWarnings(nodes []*wire.Node) []v1.Warning {
	var all []node.Warning
	for _, spec := range nodes {
		alone := proto.CloneOf(spec)
		alone.Upstreams = nil // other nodes are not at hand
		if change, err := node.Apply(nil, []*wire.Node{alone}, nil); err == nil {
			all = append(all, change.Warnings...)
		}
	}
	return findings(all)
}
