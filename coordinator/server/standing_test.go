package server

import (
	"context"
	"path/filepath"
	"testing"

	v1 "backfleet/api/v1"
)

// Any coordinator tells what all say of themselves; one that is down is shown as
// silent, and nothing is made up for it.
func TestCoordinatorsAreAskedAboutThemselves(t *testing.T) {
	one := alone(t, Config{})
	dir := t.TempDir()
	two, err := Start(within(t), Config{
		ID: "c2", DataDir: filepath.Join(dir, "c2"), HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Raft: "127.0.0.1:0", Join: []string{one.RPCAddress()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = two.Stop(context.Background()) })
	of := func(s *Server, id string) v1.ClusterServer {
		t.Helper()
		c, err := s.service.Cluster(within(t), true)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range c.Servers {
			if one.ID == id {
				return one
			}
		}
		return v1.ClusterServer{}
	}
	for _, asked := range []*Server{one, two} {
		until(t, "both tell, and the newcomer has heard from the leader", func() bool {
			a, b := of(asked, "c1").Standing, of(asked, "c2").Standing
			return a != nil && b != nil && b.AppliedIndex > 0 && b.LastContact != nil
		})
		for id, s := range map[string]*Server{"c1": one, "c2": two} {
			got := of(asked, id).Standing
			if got.LogBytes <= 0 || got.LastIndex == 0 || got.FirstIndex == 0 || got.Term == 0 || got.AppliedIndex > s.node.Applied() {
				t.Errorf("%s of %s: %+v", asked.cfg.ID, id, got)
			}
			if free, _ := freeBytes(s.cfg.DataDir); got.DiskFree == nil || free > 0 && *got.DiskFree <= 0 {
				t.Errorf("%s of %s: free %v", asked.cfg.ID, id, got.DiskFree)
			}
			if leads := id == "c1"; leads != (got.LastContact == nil) {
				t.Errorf("%s of %s: last heard from the leader %v", asked.cfg.ID, id, got.LastContact)
			}
		}
	}
	if err := two.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := of(one, "c2"); got.Standing != nil || got.Silent == "" {
		t.Errorf("one that is down: %+v", got)
	}
	if got := of(one, "c1"); got.Standing == nil {
		t.Errorf("the asked one: %+v", got)
	}
}
