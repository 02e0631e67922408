package client_test

import (
	"testing"

	"backfleet/api/client"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// Levels of a graph are counted from 0, so that none at all is not the same as not
// saying how many.
func TestOverviews(t *testing.T) {
	backend := standin.New()
	c := connect(t, client.Options{}, coordinator(t, backend))
	ctx := within(t)
	if _, err := c.ApplyNodes(ctx, v1.NodeApplication{Nodes: []v1.Node{{ID: "a", Code: "x"}, {ID: "b", Code: "x", Upstreams: []v1.Upstream{{Node: "a"}}}}}); err != nil {
		t.Fatal(err)
	}
	none := 0
	g, err := c.Graph(ctx, &v1.GetGraphParams{Root: []string{"a"}, Down: &none})
	if err != nil || len(g.Nodes) != 2 || len(g.Edges) != 2 || g.Edges[0] != 0 || g.Edges[1] != 1 {
		t.Fatalf("%+v, %v", g, err)
	}
	if q := backend.Asked[len(backend.Asked)-1].(server.GraphQuery); q.Down == nil || *q.Down != 0 || q.Up != nil {
		t.Errorf("asked for %+v", q)
	}
	m, err := c.Map(ctx, "b1", &v1.GetMapParams{Rows: 64})
	if err != nil || string(m.Cells) != "\x01\xff" {
		t.Errorf("%+v, %v", m, err)
	}
	if w := backend.Asked[len(backend.Asked)-1].(server.MapWindow); w != (server.MapWindow{Rows: 64, Columns: 512}) {
		t.Errorf("asked for %+v", w)
	}
	if f, err := c.Failures(ctx, "b1", nil); err != nil || f.Items[0].Examples[0].Instance != "b1.1" {
		t.Errorf("%+v, %v", f, err)
	}
	if l, err := c.Coverage(ctx, "a", &v1.GetCoverageParams{DateFrom: "2012-01-01", DateTo: "2012-01-02"}); err != nil || l.To != "2012-01-02" {
		t.Errorf("%+v, %v", l, err)
	}
	if n, err := c.NextRuns(ctx, "a", nil); err != nil || len(n.Items) != 10 {
		t.Errorf("%+v, %v", n, err)
	}
	runs := 0
	for r, err := range c.AllRuns(ctx, "b", nil) {
		if runs++; err != nil || r.Seconds != 90 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if _, err := c.Runs(ctx, "nowhere", nil); runs != 1 || !fault.Is(err, fault.NotFound) {
		t.Errorf("%d runs, and of no node: %v", runs, err)
	}
	if s, err := c.Standings(ctx); err != nil || s.Servers[0].Standing == nil || s.Servers[1].Silent == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := c.Cluster(ctx); err != nil || s.Servers[0].Standing != nil {
		t.Errorf("%+v, %v", s, err)
	}
}
