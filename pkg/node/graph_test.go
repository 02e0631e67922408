package node_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// spec is a node in short: "c a b" is c with the upstreams a and b.
func spec(short string) *wire.Node {
	parts := strings.Fields(short)
	n := &wire.Node{Id: parts[0], Code: "true"}
	for _, u := range parts[1:] {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: u})
	}
	return n
}

func compile(t testing.TB, shorts ...string) []*node.Node {
	t.Helper()
	var nodes []*node.Node
	for _, s := range shorts {
		n, _, err := node.Compile(spec(s))
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func graph(t testing.TB, shorts ...string) *node.Graph {
	t.Helper()
	g, err := node.BuildGraph(compile(t, shorts...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGraphRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes []string
		want  string
	}{
		{"unknown upstream", []string{"ods_orders", "b ods_order"}, `nodes["b"].upstreams[0]: node "b": there is no node "ods_order" (did you mean "ods_orders"?): add it, or take it out of the upstreams`},
		{"cycle", []string{"a c", "b a", "c x b", "x", "late c"}, `nodes["a"].upstreams[0]: the nodes wait for each other in a circle: a → b → c → a: take one of these upstreams out`},
		{"two nodes", []string{"b a", "a b"}, `nodes["a"].upstreams[0]: the nodes wait for each other in a circle: a → b → a: take one of these upstreams out`},
		{"twice", []string{"a", "a"}, `nodes["a"].id: node "a" is defined twice: an id names one node`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := node.BuildGraph(compile(t, c.nodes...))
			if got := findings(t, err); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestGraphTellsSomeOfManyFindings(t *testing.T) {
	var nodes []*node.Node
	for i := range 250 {
		nodes = append(nodes, &node.Node{Spec: spec(fmt.Sprintf("n%03d absent", i))})
	}
	_, err := node.BuildGraph(nodes)
	lines := strings.Split(findings(t, err), "\n")
	if len(lines) != 101 || !strings.HasSuffix(lines[100], "and 150 more") || !strings.HasPrefix(err.Error(), "the graph of nodes: 250 problems") {
		t.Errorf("%d findings, the last %q", len(lines), lines[len(lines)-1])
	}
}

// drawGraph makes a random acyclic graph and gives its nodes in short, shuffled.
func drawGraph(t *rapid.T, most int) []string {
	count := rapid.IntRange(1, most).Draw(t, "nodes")
	shorts := make([]string, count)
	for i := range shorts {
		shorts[i] = fmt.Sprintf("n%d", rapid.IntRange(0, 9).Draw(t, "prefix")*100+i)
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "edge") == 0 {
				shorts[i] += " " + strings.Fields(shorts[j])[0]
			}
		}
	}
	return rapid.Permutation(shorts).Draw(t, "order")
}

func TestGraphOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		shorts := drawGraph(r, 12)
		g := graph(t, shorts...)
		slices.Reverse(shorts)
		other := graph(t, shorts...)
		for i := range g.Len() {
			n := g.Node(i)
			if other.Node(i).Spec.Id != n.Spec.Id {
				r.Fatalf("the order depends on the input's: %q and %q at %d", n.Spec.Id, other.Node(i).Spec.Id, i)
			}
			if at, ok := g.Index(n.Spec.Id); !ok || at != i {
				r.Fatalf("%q has index %d, want %d", n.Spec.Id, at, i)
			}
			for k, u := range g.Upstreams(i) {
				if int(u) >= i || g.Node(int(u)).Spec.Id != n.Spec.Upstreams[k].Node {
					r.Fatalf("upstream %d of %q is at %d, it at %d", k, n.Spec.Id, u, i)
				}
				if !slices.Contains(g.Downstreams(int(u)), int32(i)) {
					r.Fatalf("%q is not downstream of its upstream", n.Spec.Id)
				}
			}
		}
	})
}

// paths gives, by brute force over all walks, the shortest distances from a
// node; -1 where there is none.
func paths(g *node.Graph, root int) []int32 {
	shortest := slices.Repeat([]int32{-1}, g.Len())
	var walk func(i int, steps int32)
	walk = func(i int, steps int32) {
		if shortest[i] < 0 || steps < shortest[i] {
			shortest[i] = steps
		}
		for _, d := range g.Downstreams(i) {
			walk(int(d), steps+1)
		}
	}
	walk(root, 0)
	return shortest
}

func TestLevelsAndDescendants(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := graph(t, drawGraph(r, 9)...)
		root := rapid.IntRange(0, g.Len()-1).Draw(r, "root")
		want := paths(g, root)
		if got := g.Levels(root); !slices.Equal(got, want) {
			r.Fatalf("levels %v, want %v", got, want)
		}
		for i, level := range want {
			if slices.Contains(g.Descendants(root), int32(i)) != (level > 0) {
				r.Fatalf("node %d at level %d: descendants %v", i, level, g.Descendants(root))
			}
		}
	})
}

func TestLargeGraph(t *testing.T) {
	const count, fan = 10_000, 10
	random := rand.New(rand.NewPCG(1, 2))
	nodes := make([]*node.Node, count)
	for i := range nodes {
		s := spec(fmt.Sprintf("n%05d", i))
		picked := map[int]bool{}
		for len(picked) < min(fan, i) {
			u := i - 1 - random.IntN(min(i, 500))
			if !picked[u] {
				picked[u] = true
				s.Upstreams = append(s.Upstreams, &wire.Upstream{Node: fmt.Sprintf("n%05d", u)})
			}
		}
		nodes[i] = &node.Node{Spec: s}
	}
	start := time.Now()
	g, err := node.BuildGraph(nodes)
	if err != nil {
		t.Fatal(err)
	}
	built := time.Now()
	s, err := node.Select(g, &wire.Request{Mode: wire.Request_DESCENDANTS, Root: g.Node(0).Spec.Id}, node.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built in %v, selected %d in %v", built.Sub(start), len(s.Nodes), time.Since(built))
	if len(s.Nodes) != count {
		t.Errorf("selected %d nodes, want %d", len(s.Nodes), count)
	}
}

// TestR5_3_PreviousCyclesAreNoEdges: what waits for a cycle before its own
// neither orders the nodes nor closes a circle; the upstream must exist.
func TestR5_3_PreviousCyclesAreNoEdges(t *testing.T) {
	previous := func(short, of string, at int) *node.Node {
		s := spec(short)
		s.DependsOnSelf, s.DependsOnChildren = true, true
		s.Upstreams = slices.Insert(s.Upstreams, at, &wire.Upstream{Node: of, Previous: true})
		n, _, err := node.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	g, err := node.BuildGraph([]*node.Node{previous("a", "c", 0), previous("b a", "d", 0), previous("c b a", "d", 1), previous("d", "a", 0)})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"a": " → b c", "d": " → ", "b": "a → c", "c": "b a → "} {
		var names [2][]string
		i, _ := g.Index(id)
		for k, edges := range [][]int32{g.Upstreams(i), g.Downstreams(i)} {
			for _, e := range edges {
				names[k] = append(names[k], g.Node(int(e)).Spec.Id)
			}
		}
		if got := strings.Join(names[0], " ") + " → " + strings.Join(names[1], " "); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	_, err = node.BuildGraph([]*node.Node{previous("a", "gone", 0)})
	if got, want := findings(t, err), `nodes["a"].upstreams[0]: node "a": there is no node "gone": add it, or take it out of the upstreams`; got != want {
		t.Errorf("got %s", got)
	}
	_, err = node.BuildGraph([]*node.Node{previous("a b", "c", 0), previous("b a", "c", 0), previous("c", "a", 0)})
	if got, want := findings(t, err), `nodes["a"].upstreams[1]: the nodes wait for each other in a circle: a → b → a: take one of these upstreams out`; got != want {
		t.Errorf("got %s", got)
	}
}
