package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "backfleet/api/v1"
)

// scaleNodes makes all nodes known in one call: as JSON to the API, as YAML
// files to the command line, and with ten times as many edges; and submits a
// backfill of the latter.
func scaleNodes(ctx context.Context, r *run, c *cluster) error {
	_, direct, err := c.leads(ctx)
	if err != nil {
		return err
	}
	n := thousands(strconv.Itoa(r.o.nodes))
	var asJSON, asYAML []float64
	chains := graph(r.o.nodes, 10, func(int) string { return "" })
	for round := range r.o.rounds {
		recode(chains, "json "+strconv.Itoa(round)) // every node changes every time
		start := time.Now()
		if _, err := direct.ApplyNodes(ctx, v1.NodeApplication{Nodes: chains}); err != nil {
			return err
		}
		asJSON = append(asJSON, ms(time.Since(start)))
		recode(chains, "yaml "+strconv.Itoa(round))
		took, err := r.applyYAML(ctx, c, chains)
		if err != nil {
			return err
		}
		asYAML = append(asYAML, took)
	}
	bound, err := r.documentBound(chains)
	if err != nil {
		return err
	}
	r.add(Figure{Row: "scale", What: n + " nodes changed in one call, JSON", Unit: "ms", Rounds: asJSON, Bound: bound})
	r.add(Figure{Row: "scale", What: n + " nodes changed in one call, YAML files by the command line, its process and all", Unit: "ms", Rounds: asYAML, Bound: bound})

	edges := 10 * r.o.nodes
	dense := weave(r.o.nodes, edges, ":")
	start := time.Now()
	if _, err := direct.ApplyNodes(ctx, v1.NodeApplication{Nodes: dense}); err != nil {
		return err
	}
	took := ms(time.Since(start))
	if bound, err = r.documentBound(dense); err != nil {
		return err
	}
	r.add(Figure{Row: "scale", What: fmt.Sprintf("%s nodes with %s edges in one call", n, thousands(strconv.Itoa(edges))), Unit: "ms", Value: took, Bound: bound})
	start = time.Now()
	sub, err := direct.Submit(ctx, request(1, r.o.dates), "")
	if err != nil {
		return err
	}
	what := fmt.Sprintf("a backfill of that, %s instances: request to durable answer", thousands(strconv.FormatInt(sub.Totals.Instances, 10)))
	return r.durable(ctx, Figure{What: what, Value: ms(time.Since(start))}, sub.Totals.Instances >= 10_000_000, "of 10 million")
}

func recode(nodes []v1.Node, code string) {
	for i := range nodes {
		nodes[i].Code = ": " + code
	}
}

// weave is a graph of n nodes and so many edges: one root, then layers of a
// hundred, each node below about ten of the layer before.
func weave(n, edges int, code string) []v1.Node {
	const width = 100
	nodes := graph(n, 1, func(int) string { return code })
	left := edges - min(n-1, width) // what the first layer does not take
	for i := width + 1; i < n; i++ {
		before := 1 + ((i-1)/width-1)*width
		take := left / (n - i)
		left -= take
		nodes[i].Upstreams = nil
		for k := range min(take, width) {
			nodes[i].Upstreams = append(nodes[i].Upstreams, v1.Upstream{Node: nodeID(before + (i*7+k)%width)})
		}
	}
	return nodes
}

// applyYAML writes node files of a hundred documents each and applies their
// folder with the command line.
func (r *run) applyYAML(ctx context.Context, c *cluster, nodes []v1.Node) (float64, error) {
	dir, err := os.MkdirTemp(r.dir, "nodes")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	var text strings.Builder
	for i := range nodes {
		n := &nodes[i]
		fmt.Fprintf(&text, "---\nid: %s\nname: %s\nowner: %s\nparams: {bizdate: $bizdate}\n", n.ID, n.Name, n.Owner)
		if len(n.Upstreams) > 0 {
			fmt.Fprintf(&text, "upstreams: [%s]\n", n.Upstreams[0].Node)
		}
		fmt.Fprintf(&text, "code: %q\n", n.Code)
		if (i+1)%100 == 0 || i+1 == len(nodes) {
			if err := os.WriteFile(filepath.Join(dir, n.ID+".yaml"), []byte(text.String()), 0o600); err != nil {
				return 0, err
			}
			text.Reset()
		}
	}
	cmd := exec.CommandContext(ctx, r.binary, "node", "apply", "-f", dir, "--server", strings.Join(c.Servers, ","), "-o", "json")
	var said strings.Builder
	cmd.Stderr = &said
	start := time.Now()
	out, err := cmd.Output()
	took := ms(time.Since(start))
	if err != nil {
		return 0, fmt.Errorf("node apply: %w\n%s", err, said.String())
	}
	var result v1.NodeApplicationResult
	if err := json.Unmarshal(out, &result); err != nil {
		return 0, fmt.Errorf("node apply said %q: %w", out[:min(len(out), 100)], err)
	}
	if result.Counts.Changed != len(nodes) {
		return 0, fmt.Errorf("node apply changed %d nodes, expected %d", result.Counts.Changed, len(nodes))
	}
	return took, nil
}

// documentBound is what the bare document costs: written as JSON, read again,
// and synced to disk.
func (r *run) documentBound(nodes []v1.Node) (*Bound, error) {
	start := time.Now()
	data, err := json.Marshal(v1.NodeApplication{Nodes: nodes})
	if err != nil {
		return nil, err
	}
	var back v1.NodeApplication
	if err := json.Unmarshal(data, &back); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(r.dir, "document")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return &Bound{fmt.Sprintf("%.1f MB of JSON written, read and synced", float64(len(data))/1e6), ms(time.Since(start))}, nil
}
