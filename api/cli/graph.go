package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
)

type graphOptions struct {
	*app
	connection *connection
	format     string
	by         string
	up, down   int
}

func (a *app) nodeGraph() *cobra.Command {
	o := &graphOptions{app: a}
	c := &cobra.Command{
		Use: "graph [NODE]", Short: "Draw the graph of nodes, for Graphviz or Mermaid",
		Long: `Writes the nodes and what they wait for as a drawing: all of them, or those
around one node. Dashed are windows of dates and previous cycles; what an edge
says stands at it.`,
		Example: `  backfleet node graph | dot -Tsvg > nodes.svg
  backfleet node graph dwd_orders --up 1 --down 2 --by workspace | dot -Tpng > orders.png
  backfleet node graph dwd_orders --format mermaid`,
		Args: optional,
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), strings.Join(args, "")) },
	}
	c.Flags().StringVar(&o.format, "format", "dot", "dot or mermaid")
	c.Flags().StringVar(&o.by, "by", "none", "put nodes together by none, workspace or owner")
	c.Flags().IntVar(&o.up, "up", -1, "levels of upstreams around NODE; negative: all")
	c.Flags().IntVar(&o.down, "down", -1, "levels of downstreams around NODE; negative: all")
	o.connection = a.connects(c)
	return c
}

// optional takes one argument or none.
func optional(c *cobra.Command, args []string) error { return exactly(min(len(args), 1))(c, args) }

func (o *graphOptions) run(ctx context.Context, around string) error {
	write := map[string]func(io.Writer, *drawing) error{"dot": writeDot, "mermaid": writeMermaid}[o.format]
	by := map[string]func(v1.Node) string{
		"none": func(v1.Node) string { return "" }, "workspace": func(n v1.Node) string { return n.Workspace }, "owner": func(n v1.Node) string { return n.Owner },
	}[o.by]
	switch {
	case write == nil:
		return fault.Field("--format", "%q: expected dot or mermaid", o.format)
	case by == nil:
		return fault.Field("--by", "%q: expected none, workspace or owner", o.by)
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	nodes, err := all(ctx, 0, func(ctx context.Context, cursor string, limit int) ([]v1.Node, string, error) {
		p, err := cl.Nodes(ctx, &v1.ListNodesParams{Cursor: cursor, Limit: limit})
		if err != nil {
			return nil, "", err
		}
		return p.Items, p.Next, nil
	})
	if err != nil {
		return err
	}
	if around != "" {
		if nodes, err = o.near(nodes, around); err != nil {
			return err
		}
	}
	return write(o.Out, draw(nodes, by))
}

// near keeps what lies around a node.
func (o *graphOptions) near(nodes []v1.Node, around string) ([]v1.Node, error) {
	up, down := map[string][]string{}, map[string][]string{}
	for _, n := range nodes {
		up[n.ID] = []string{}
		for _, u := range n.Upstreams {
			up[n.ID] = append(up[n.ID], u.Node)
			down[u.Node] = append(down[u.Node], n.ID)
		}
	}
	if up[around] == nil {
		ids := make([]string, len(nodes))
		for i, n := range nodes {
			ids[i] = n.ID
		}
		return nil, fault.New(fault.NotFound, "there is no node %q%s", around, nearest.Hint(around, ids))
	}
	keep := map[string]bool{around: true}
	reach := func(next map[string][]string, levels int) {
		seen := map[string]bool{around: true}
		for rim := []string{around}; len(rim) > 0 && levels != 0; levels-- {
			var further []string
			for _, id := range rim {
				for _, other := range next[id] {
					if !seen[other] {
						seen[other], keep[other] = true, true
						further = append(further, other)
					}
				}
			}
			rim = further
		}
	}
	reach(up, o.up)
	reach(down, o.down)
	return slices.DeleteFunc(nodes, func(n v1.Node) bool { return !keep[n.ID] }), nil
}

// drawing is what a graph shows, in the order of ids.
type drawing struct {
	groups []drawnGroup
	edges  []drawnEdge
}

type drawnGroup struct {
	name  string
	nodes []v1.Node
}

type drawnEdge struct {
	from, to, says string
}

func draw(nodes []v1.Node, by func(v1.Node) string) *drawing {
	slices.SortFunc(nodes, func(a, b v1.Node) int { return cmp.Or(cmp.Compare(by(a), by(b)), cmp.Compare(a.ID, b.ID)) })
	d := &drawing{}
	drawn := map[string]bool{}
	for _, n := range nodes {
		drawn[n.ID] = true
		if k := len(d.groups); k == 0 || d.groups[k-1].name != by(n) {
			d.groups = append(d.groups, drawnGroup{name: by(n)})
		}
		last := &d.groups[len(d.groups)-1]
		last.nodes = append(last.nodes, n)
	}
	for _, n := range nodes {
		for _, u := range n.Upstreams {
			if drawn[u.Node] {
				d.edges = append(d.edges, drawnEdge{u.Node, n.ID, strings.TrimPrefix(upstreamText([]v1.Upstream{u}), u.Node)})
			}
		}
	}
	return d
}

// writeDot writes a drawing in Graphviz's language, in which quoted text
// escapes quotes and backslashes alone.
func writeDot(w io.Writer, d *drawing) error {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	var b strings.Builder
	b.WriteString("digraph nodes {\n\trankdir=LR\n\tnode [shape=box style=rounded fontname=\"Helvetica\"]\n\tedge [fontname=\"Helvetica\" fontsize=10]\n")
	for i, g := range d.groups {
		indent := "\t"
		if g.name != "" {
			fmt.Fprintf(&b, "\tsubgraph cluster_%d {\n\t\tlabel=%s\n", i, quote(g.name))
			indent = "\t\t"
		}
		for _, n := range g.nodes {
			fmt.Fprintf(&b, "%s%s [label=%s tooltip=%s]\n", indent, quote(n.ID), quote(n.Name), quote(n.Type))
		}
		if g.name != "" {
			b.WriteString("\t}\n")
		}
	}
	for _, e := range d.edges {
		fmt.Fprintf(&b, "\t%s -> %s", quote(e.from), quote(e.to))
		if e.says != "" {
			fmt.Fprintf(&b, " [style=dashed label=%s]", quote(e.says))
		}
		b.WriteString("\n")
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// writeMermaid writes a drawing for Mermaid, whose names are numbered since few
// characters may stand in them.
func writeMermaid(w io.Writer, d *drawing) error {
	quote := func(s string) string { return `"` + strings.NewReplacer(`"`, "#quot;", "#", "#35;").Replace(s) + `"` }
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	name := map[string]string{}
	for i, g := range d.groups {
		if g.name != "" {
			fmt.Fprintf(&b, "  subgraph g%d[%s]\n", i, quote(g.name))
		}
		for _, n := range g.nodes {
			name[n.ID] = fmt.Sprintf("n%d", len(name))
			fmt.Fprintf(&b, "  %s[%s]\n", name[n.ID], quote(n.Name))
		}
		if g.name != "" {
			b.WriteString("  end\n")
		}
	}
	for _, e := range d.edges {
		arrow := "-->"
		if e.says != "" {
			arrow = "-. " + quote(e.says) + " .->"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", name[e.from], arrow, name[e.to])
	}
	_, err := io.WriteString(w, b.String())
	return err
}
