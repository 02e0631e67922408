package dbt_test

import (
	"compress/gzip"
	"os"
	"testing"

	"backfleet/pkg/dbt"
	"backfleet/pkg/node"
)

// largeProject is the graph of a real project (testdata/SOURCE.md).
func largeProject(t *testing.T) *dbt.Manifest {
	t.Helper()
	f, err := os.Open("testdata/large.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dbt.Read(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// before gives all that comes before a thing, by way of anything.
func before(id string, parents map[string][]string, known map[string]map[string]bool) map[string]bool {
	if known[id] == nil {
		all := map[string]bool{}
		for _, p := range parents[id] {
			all[p] = true
			for further := range before(p, parents, known) {
				all[further] = true
			}
		}
		known[id] = all
	}
	return known[id]
}

// TestARealProject: its graph is whole, and the order of any two nodes is
// that of dbt, whatever was left out between them.
func TestARealProject(t *testing.T) {
	m := largeProject(t)
	for _, c := range []struct {
		o            dbt.Options
		nodes, edges int
	}{
		{dbt.Options{}, 821, 1751},
		{dbt.Options{Through: []string{"view"}}, 632, 1777},
		{dbt.Options{Kinds: []string{"model"}}, 689, 1394},
		{dbt.Options{Kinds: []string{"model", "seed", "test"}}, 969, 2364},
	} {
		i := made(t, m, c.o)
		if len(i.Nodes) != c.nodes || i.Edges != c.edges || len(i.Warnings) > 0 {
			t.Errorf("%+v: %d nodes, %d edges, %v: expected %d and %d", c.o, len(i.Nodes), i.Edges, i.Warnings, c.nodes, c.edges)
		}
		var compiled []*node.Node
		for _, n := range i.Nodes {
			one, _, err := node.Compile(n.Spec)
			if err != nil {
				t.Fatal(err)
			}
			compiled = append(compiled, one)
		}
		g, err := node.BuildGraph(compiled)
		if err != nil || g.Len() != c.nodes {
			t.Fatal(g, err)
		}
		sameOrder(t, m, i)
	}
}

// sameOrder holds the order of nodes against that of the manifest. No id of
// this project differs from its unique id; tests are apart, as they add to it.
func sameOrder(t *testing.T, m *dbt.Manifest, i *dbt.Import) {
	t.Helper()
	inDBT, here := map[string][]string{}, map[string][]string{}
	for _, r := range m.Resources {
		if r.Kind != dbt.Test {
			inDBT[r.UniqueID] = r.DependsOn
		}
	}
	of := map[string]bool{}
	for _, n := range i.Nodes {
		of[n.Spec.Id] = true
		for _, u := range n.Spec.Upstreams {
			here[n.Spec.Id] = append(here[n.Spec.Id], u.Node)
		}
	}
	wanted, got := map[string]map[string]bool{}, map[string]map[string]bool{}
	pairs := 0
	for id := range inDBT {
		if !of[id] {
			continue
		}
		want, is := before(id, inDBT, wanted), before(id, here, got)
		for u := range of {
			if _, ofDBT := inDBT[u]; ofDBT && want[u] != is[u] {
				t.Errorf("%s before %s: %v, in dbt %v", u, id, is[u], want[u])
			}
			if want[u] {
				pairs++
			}
		}
	}
	if pairs < 5000 {
		t.Errorf("only %d pairs of nodes have an order", pairs)
	}
}
