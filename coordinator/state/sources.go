package state

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// DataSource finds a data source. What it gives is never changed: another
// definition is another message.
func (s *State) DataSource(name string) (*wire.DataSource, bool) { return s.sources.Get([]byte(name)) }

// DataSources calls f for every data source, by name.
func (s *State) DataSources(f func(*wire.DataSource)) {
	s.sources.Root().Walk(func(_ []byte, d *wire.DataSource) bool { f(d); return false })
}

// SourceUse counts for each data source the nodes that name it, whether it exists
// or not. It looks at every node.
func (s *State) SourceUse() map[string]int {
	use := map[string]int{}
	for i := range s.graph.Len() {
		for _, name := range node.Sources(s.graph.Node(i).Spec) {
			use[name]++
		}
	}
	return use
}

// putDataSource adds or replaces a data source. One that is put as it is stays
// the same message, so that whoever knows it by that is told nothing.
func (e *Edit) putDataSource(source *wire.DataSource) (*wire.Answer, error) {
	d, err := datasource.Compile(source)
	if err != nil {
		return nil, err
	}
	if old, ok := e.s.DataSource(d.Name); ok && proto.Equal(old, d) {
		return &wire.Answer{}, nil
	}
	e.s.sources, _, _ = e.s.sources.Insert([]byte(d.Name), d)
	e.changes = append(e.changes, Change{Kind: SourcesChanged})
	return &wire.Answer{}, nil
}

// mostInTheWay is how many nodes a refusal names.
const mostInTheWay = 10

// removeDataSource is refused while a node names it. A plan that pins an older
// version of a node may still do so: its attempts then fail and say it.
func (e *Edit) removeDataSource(name string) (*wire.Answer, error) {
	sources, _, ok := e.s.sources.Delete([]byte(name))
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no data source %q: it was removed before, or never was", name)
	}
	var users []string
	for i := range e.s.graph.Len() {
		if spec := e.s.graph.Node(i).Spec; slices.Contains(node.Sources(spec), name) {
			users = append(users, spec.Id)
		}
	}
	if n := len(users); n > 0 {
		slices.Sort(users)
		refusal := fault.New(fault.Conflict, "data source %q is named by %d nodes: remove these, or give them another", name, n)
		if n == 1 {
			refusal = fault.New(fault.Conflict, "data source %q is named by a node: remove it, or give it another", name)
		}
		for _, id := range users[:min(n, mostInTheWay)] {
			refusal.WithDetails(fault.Detail{Field: fmt.Sprintf("nodes[%q]", id), Message: "it names the data source"})
		}
		if n > mostInTheWay {
			refusal.WithDetails(fault.Detail{Message: fmt.Sprintf("and %d more", n-mostInTheWay)})
		}
		return nil, refusal
	}
	e.s.sources = sources
	e.changes = append(e.changes, Change{Kind: SourcesChanged})
	return &wire.Answer{}, nil
}
