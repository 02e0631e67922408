package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
func (s *Service) Nodes(_ context.Context, contains string, page server.Page) ([]*wire.Node, server.Next, error) {
	g := s.Machine.State().Graph()
	spec := func(id string) *wire.Node {
		i, _ := g.Index(id)
		return g.Node(i).Spec
	}
	shown, next, err := names(s.nodeIDs(g), page, "node", func(id string) bool {
		return contains == "" || matches(contains, id, spec(id).Name)
	})
	var out []*wire.Node
	for _, id := range shown {
		out = append(out, spec(id))
	}
	return out, next, err
}

// ordered is the ids of a graph's nodes, in order.
type ordered struct {
	of  *node.Graph
	ids []string
}

// nodeIDs gives the ids of a graph's nodes in order. The graph stays the same
// until nodes are applied, so that they are sorted once for all pages.
func (s *Service) nodeIDs(g *node.Graph) []string {
	if o := s.ordered.Load(); o != nil && o.of == g {
		return o.ids
	}
	o := &ordered{of: g, ids: make([]string, g.Len())}
	for i := range o.ids {
		o.ids[i] = g.Node(i).Spec.Id
	}
	slices.Sort(o.ids)
	s.ordered.Store(o)
	return o.ids
}

// matches says whether an id or name contains a lower-case text.
func matches(contains string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), contains) })
}

// ApplyNodes implements server.Writes.
func (s *Service) ApplyNodes(ctx context.Context, w server.Write, nodes []*wire.Node, remove []string, dryRun bool) (*v1.NodeApplicationResult, error) {
	if dryRun {
		st := s.Machine.State()
		change, err := node.Apply(allNodes(st), nodes, remove)
		if err != nil {
			return nil, err
		}
		out := application(foreseen(change), append(findings(change.Warnings), sourceWarnings(st, nodes)...), st.Index())
		out.DryRun = true
		return out, nil
	}
	var found []v1.Warning
	tried := false
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		change, err := node.Apply(allNodes(st), nodes, remove)
		if err != nil {
			return err
		}
		found, tried = append(findings(change.Warnings), sourceWarnings(st, nodes)...), true
		c.Body = &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes, Remove: remove}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !tried { // it was answered before
		found = append(nodeWarnings(nodes), sourceWarnings(s.Machine.State(), nodes)...)
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
