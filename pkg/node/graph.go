package node

import (
	"cmp"
	"slices"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Graph is the nodes and their dependencies: immutable, safe for concurrent
// use. A node's index is its place in the topological order, so that every
// upstream has a smaller index than its downstream; among nodes with the same
// longest path from a source the order is that of the ids. The same nodes give
// the same indexes whatever order they came in (RULES R13.7).
//
// An upstream with a window of dates is an edge like any other, also when the
// window leaves out D itself. A dependency on a previous cycle, of the node
// itself, its children or a named node, is none (RULES R5.3): what it waits
// for lies before it in time.
type Graph struct {
	nodes []*Node
	index map[string]int32
	up    edges // in the order of Spec.Upstreams
	down  edges // ascending
}

// edges holds the neighbours of all nodes in one slice: those of node i lie at
// start[i] to start[i+1].
type edges struct {
	start []int32
	to    []int32
}

func (e edges) of(i int) []int32 { return e.to[e.start[i]:e.start[i+1]:e.start[i+1]] }

// BuildGraph orders the nodes. It refuses two nodes of one id, an upstream
// that is not among them, and a cycle, which it names in order: "a → b → c →
// a" says that b runs after a. The nodes' specs are those that Compile gave.
// The error carries one fault.Detail for each finding, with a Field such as
// `nodes["a"].upstreams[2]`.
func BuildGraph(nodes []*Node) (*Graph, error) {
	sorted := slices.SortedFunc(slices.Values(nodes), func(a, b *Node) int { return cmp.Compare(a.Spec.Id, b.Spec.Id) })
	var details []fault.Detail
	g := &Graph{nodes: sorted, index: make(map[string]int32, len(sorted))}
	for i, n := range sorted {
		if _, twice := g.index[n.Spec.Id]; twice {
			details = append(details, detail(nodeField(n.Spec.Id, "id"), "node %q is defined twice: an id names one node", n.Spec.Id))
		}
		g.index[n.Spec.Id] = int32(i)
	}
	if details = append(details, g.resolve()...); len(details) > 0 {
		return nil, problems("the graph of nodes", details)
	}
	g.turnRound()
	depth, ordered := g.depths()
	if !ordered {
		return nil, problems("the graph of nodes", []fault.Detail{g.cycle(depth)})
	}
	g.renumber(depth)
	g.turnRound()
	return g, nil
}

// resolve finds the indexes of the upstreams' ids.
func (g *Graph) resolve() []fault.Detail {
	var details []fault.Detail
	g.up.start = make([]int32, 1, len(g.nodes)+1)
	for _, node := range g.nodes {
		for k, u := range node.Spec.Upstreams {
			i, ok := g.index[u.Node]
			if ok && u.Previous {
				continue
			}
			if !ok {
				nearest := ""
				if len(details) < maxFindings { // more are not shown
					nearest = g.didYouMean(u.Node)
				}
				details = append(details, detail(nodeField(node.Spec.Id, upstreamField(k)),
					"node %q: there is no node %q%s: add it, or take it out of the upstreams", node.Spec.Id, clip(u.Node), nearest))
			}
			g.up.to = append(g.up.to, i)
		}
		g.up.start = append(g.up.start, int32(len(g.up.to)))
	}
	return details
}

// turnRound makes the edges to downstreams of those to upstreams.
func (g *Graph) turnRound() {
	n := len(g.nodes)
	g.down = edges{start: make([]int32, n+1), to: make([]int32, len(g.up.to))}
	for _, u := range g.up.to {
		g.down.start[u+1]++
	}
	for i := range n {
		g.down.start[i+1] += g.down.start[i]
	}
	next := slices.Clone(g.down.start)
	for i := range n {
		for _, u := range g.up.of(i) {
			g.down.to[next[u]] = int32(i)
			next[u]++
		}
	}
}

// depths gives each node's longest path from a node without upstreams; false
// when a cycle leaves nodes without one (-1).
func (g *Graph) depths() ([]int32, bool) {
	waits := make([]int32, len(g.nodes))
	depth := slices.Repeat([]int32{-1}, len(g.nodes))
	var ready []int32
	for i := range g.nodes {
		if waits[i] = int32(len(g.up.of(i))); waits[i] == 0 {
			ready, depth[i] = append(ready, int32(i)), 0
		}
	}
	reached := make([]int32, len(g.nodes))
	for k := 0; k < len(ready); k++ {
		i := ready[k]
		for _, d := range g.down.of(int(i)) {
			reached[d] = max(reached[d], depth[i]+1)
			if waits[d]--; waits[d] == 0 {
				ready, depth[d] = append(ready, d), reached[d]
			}
		}
	}
	return depth, len(ready) == len(g.nodes)
}

// renumber puts the nodes, which are sorted by id, in order of depth, and so in
// a topological order.
func (g *Graph) renumber(depth []int32) {
	order := make([]int32, len(g.nodes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(depth[a], depth[b]) })
	place := make([]int32, len(order))
	nodes := make([]*Node, len(order))
	for i, was := range order {
		place[was], nodes[i] = int32(i), g.nodes[was]
		g.index[nodes[i].Spec.Id] = int32(i)
	}
	up := edges{start: make([]int32, 1, len(g.up.start)), to: make([]int32, 0, len(g.up.to))}
	for _, was := range order {
		for _, u := range g.up.of(int(was)) {
			up.to = append(up.to, place[u])
		}
		up.start = append(up.start, int32(len(up.to)))
	}
	g.nodes, g.up = nodes, up
}

// cycle names a cycle among the nodes without a depth, beginning at its
// smallest id. Every such node has such an upstream, so walking up from one
// of them must come back.
func (g *Graph) cycle(depth []int32) fault.Detail {
	at := int32(slices.Index(depth, -1))
	var walk []int32
	seen := make(map[int32]int)
	for {
		if first, again := seen[at]; again {
			walk = walk[first:]
			break
		}
		seen[at] = len(walk)
		walk = append(walk, at)
		for _, u := range g.up.of(int(at)) {
			if depth[u] < 0 {
				at = u
				break
			}
		}
	}
	slices.Reverse(walk) // walked against the edges
	least := slices.Index(walk, slices.Min(walk))
	walk = append(walk[least:], walk[:least]...)
	names := make([]string, 0, len(walk)+1)
	for _, i := range append(walk, walk[0]) {
		names = append(names, g.nodes[i].Spec.Id)
	}
	last := walk[len(walk)-1]
	k := slices.IndexFunc(g.nodes[walk[0]].Spec.Upstreams, func(u *wire.Upstream) bool { return !u.Previous && u.Node == g.nodes[last].Spec.Id })
	return detail(nodeField(names[0], upstreamField(k)), "the nodes wait for each other in a circle: %s: take one of these upstreams out", shortCircle(names))
}

// shortCircle writes a cycle; a very long one loses its middle.
func shortCircle(names []string) string {
	const ends = 10
	if len(names) > 2*ends+1 {
		names = slices.Concat(names[:ends], []string{"…"}, names[len(names)-ends:])
	}
	return strings.Join(names, " → ")
}

func (g *Graph) didYouMean(id string) string {
	ids := make([]string, len(g.nodes))
	for i, n := range g.nodes {
		ids[i] = n.Spec.Id
	}
	return didYouMean(id, ids)
}

// Len is the number of nodes.
func (g *Graph) Len() int { return len(g.nodes) }

// Node is the node at index i, in [0, Len).
func (g *Graph) Node(i int) *Node { return g.nodes[i] }

// Index finds a node by id.
func (g *Graph) Index(id string) (int, bool) {
	i, ok := g.index[id]
	return int(i), ok
}

// Upstreams gives the indexes of node i's upstreams in the order of its
// Spec.Upstreams, without those of which it needs the previous cycle. The
// slice is shared: do not change it.
func (g *Graph) Upstreams(i int) []int32 { return g.up.of(i) }

// Downstreams gives the indexes of the nodes that have i as an upstream,
// ascending: its first-level children (RULES R5.3). The slice is shared: do not change it.
func (g *Graph) Downstreams(i int) []int32 { return g.down.of(i) }

// Levels gives for every node its shortest distance from the root, 0 for the
// root itself and -1 for a node that is no descendant (RULES R2.2).
func (g *Graph) Levels(root int) []int32 {
	return g.levels([]int32{int32(root)})
}

// levels gives for every node its shortest distance from the nearest of some
// nodes; -1 for one that comes after none of them.
func (g *Graph) levels(from []int32) []int32 {
	levels := slices.Repeat([]int32{-1}, len(g.nodes))
	for _, i := range from {
		levels[i] = 0
	}
	queue := slices.Clone(from)
	for k := 0; k < len(queue); k++ {
		for _, d := range g.down.of(int(queue[k])) {
			if levels[d] < 0 {
				levels[d] = levels[queue[k]] + 1
				queue = append(queue, d)
			}
		}
	}
	return levels
}

// Descendants gives the indexes of all that come after the root, at any
// distance, in topological order; the root is not among them.
func (g *Graph) Descendants(root int) []int32 {
	var found []int32
	for i, level := range g.Levels(root) {
		if level > 0 {
			found = append(found, int32(i))
		}
	}
	return found
}
