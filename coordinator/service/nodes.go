package service

import (
	"context"
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
	ids := make([]string, g.Len())
	for i := range ids {
		ids[i] = g.Node(i).Spec.Id
	}
	slices.Sort(ids)
	shown, next, err := names(ids, page, "node", func(id string) bool { return matches(contains, id, spec(id).Name) })
	var out []*wire.Node
	for _, id := range shown {
		out = append(out, spec(id))
	}
	return out, next, err
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
		return &v1.NodeApplicationResult{
			Changes: foreseen(change), Warnings: findings(change.Warnings), DryRun: true, Index: st.Index(),
		}, nil
	}
	found := nodeWarnings(nodes)
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		change, err := node.Apply(allNodes(st), nodes, remove)
		if err != nil {
			return err
		}
		found = findings(change.Warnings)
		c.Body = &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes, Remove: remove}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return applied(answer, found), nil
}

func allNodes(st *state.State) []*node.Node {
	g := st.Graph()
	out := make([]*node.Node, g.Len())
	for i := range out {
		out[i] = g.Node(i)
	}
	return out
}

func applied(answer *wire.Answer, w []v1.Warning) *v1.NodeApplicationResult {
	out := &v1.NodeApplicationResult{Changes: []v1.NodeChange{}, Warnings: w, Index: answer.Index}
	for _, c := range answer.Nodes {
		out.Changes = append(out.Changes, v1.NodeChange{ID: c.Id, Change: changeWords[c.Kind]})
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
