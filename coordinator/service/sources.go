package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/datasource"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

const sourceList = "data source"

// sources are the data sources that were set. One that is only named by a node is
// none: nobody knows where it is.
func sources(st *state.State) map[string]*wire.DataSource {
	known := map[string]*wire.DataSource{}
	st.DataSources(func(d *wire.DataSource) { known[d.Name] = d })
	return known
}

func showSource(st *state.State) func(string, *wire.DataSource) v1.DataSource {
	use := st.SourceUse()
	return func(name string, d *wire.DataSource) v1.DataSource {
		out := convert.DataSource(d)
		out.Nodes = use[name]
		return out
	}
}

// DataSources implements server.Settings.
func (s *Service) DataSources(_ context.Context, contains string, page server.Page) ([]v1.DataSource, server.Next, error) {
	st := s.Machine.State()
	return settings(sources(st), contains, page, sourceList, showSource(st))
}

// DataSource implements server.Settings.
func (s *Service) DataSource(_ context.Context, name string) (*v1.DataSource, error) {
	st := s.Machine.State()
	return setting(sources(st), sourceList, name, showSource(st))
}

// PutDataSource implements server.Writes.
func (s *Service) PutDataSource(ctx context.Context, w server.Write, d *wire.DataSource) (*v1.DataSource, uint64, error) {
	answer, err := s.once(ctx, w, func(_ *state.State, c *wire.Command) error {
		c.Body = &wire.Command_PutDataSource{PutDataSource: &wire.PutDataSource{Source: d}}
		_, err := datasource.Compile(d) // what is in the log is read by many: nothing goes there to be refused
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	out, err := s.DataSource(ctx, d.Name)
	return out, answer.Index, err
}

// RemoveDataSource implements server.Writes.
func (s *Service) RemoveDataSource(ctx context.Context, w server.Write, name string) (uint64, error) {
	return s.put(ctx, w, &wire.Command{Body: &wire.Command_RemoveDataSource{RemoveDataSource: &wire.RemoveDataSource{Name: name}}})
}

// unknownSource is a data source that a node names and that does not exist.
type unknownSource struct{ node, field, name string }

// unknownSources finds what nodes name and nobody has set: a warning only, for
// data sources may come later.
func unknownSources(st *state.State, nodes []*wire.Node) (out []unknownSource) {
	for _, n := range nodes {
		for _, name := range node.Sources(n) {
			if _, ok := st.DataSource(name); ok {
				continue
			}
			field := "source"
			switch name {
			case n.Integration.GetFrom().GetSource():
				field = "integration.from.source"
			case n.Integration.GetTo().GetSource():
				field = "integration.to.source"
			}
			out = append(out, unknownSource{n.Id, field, name})
		}
	}
	return out
}

const unknownSourceText = `there is no data source "{source}" yet: until it is applied, what names it fails`

// sourceWarnings are those of nodes that are applied.
func sourceWarnings(st *state.State, nodes []*wire.Node) (out []v1.Warning) {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b *wire.Node) int { return cmp.Compare(a.Id, b.Id) })
	for _, u := range unknownSources(st, nodes) {
		w := warning("dataSource", `node "{node}": `+unknownSourceText, "node", u.node, "source", u.name)
		w.Field = fmt.Sprintf("nodes[%q].%s", u.node, u.field)
		out = append(out, w)
	}
	return out
}

// warnSources warns of nodes that would fail for want of their data source.
func (a *ahead) warnSources() {
	for n := range a.p.Nodes {
		if a.p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		for _, u := range unknownSources(a.st, []*wire.Node{a.p.Nodes[n].Spec}) {
			a.warn("dataSource", u.node, unknownSourceText, "source", u.name)
		}
	}
}
