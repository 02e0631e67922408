package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
)

// site is a cluster as an operator has it: something starts coordinators again
// when they end, and their process ids are in files.
type site struct {
	*fleet.Fleet
	dir string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	s.Fleet, err = fleet.Start(ctx, fleet.Config{Binary: os.Getenv(built), Dir: s.dir, Coordinators: 3, Agents: 1, CoordinatorFlags: []string{"--cluster-name", "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	watching, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for _, c := range s.Coordinators {
		wait.Go(func() {
			for watching.Err() == nil {
				if err := os.WriteFile(s.pid(c), fmt.Append(nil, c.Pid()), 0o600); err != nil {
					t.Error(err)
				}
				if _, err := c.Wait(watching); err == nil && watching.Err() == nil {
					if err := c.Start(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	t.Cleanup(func() {
		stop()
		wait.Wait()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) pid(c *fleet.Process) string { return filepath.Join(s.dir, c.Name+".pid") }

// options are those of a drill that an operator begins.
func (s *site) options(kind string) Options {
	signal := func(name string) string {
		return "kill -s " + name + " $(cat " + filepath.Join(s.dir, "{id}.pid") + ")"
	}
	return Options{Kind: kind, Times: 1, Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Cluster: &Cluster{
		Client: s.Fleet.Options(s.Servers...), Kill: signal("KILL"), Restart: signal("TERM"), Group: "default", In: strings.NewReader("shop\n"), Within: 30 * time.Second,
	}}
}

func TestRealCluster(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	api, err := s.Client(s.Servers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("guard rails", func(t *testing.T) { s.guardRails(t, api) })
	for _, kind := range []string{"leader-kill", "rolling-restart"} {
		t.Run(kind, func(t *testing.T) {
			o := s.options(kind)
			if kind == "leader-kill" {
				o.Cluster.Restart = ""
			}
			err := Run(t.Context(), o)
			t.Logf("%s\n%s", o.Err, o.Out)
			if err != nil {
				t.Error(err)
			}
			if list, err := api.Nodes(t.Context(), &v1.ListNodesParams{Consistency: v1.ConsistencyLinearizable}); err != nil || len(list.Items) > 0 {
				t.Errorf("nodes are left: %v, %v", list, err)
			}
		})
	}
	t.Run("stops when it is not whole", func(t *testing.T) {
		o := s.options("rolling-restart")
		o.Times, o.Cluster.Within = 3, 2*time.Second
		o.Cluster.Restart = "kill -s STOP $(cat " + filepath.Join(s.dir, "{id}.pid") + ") && echo {id} >>" + filepath.Join(s.dir, "struck")
		err := Run(t.Context(), o)
		struck, _ := os.ReadFile(filepath.Join(s.dir, "struck"))
		for _, c := range s.Coordinators {
			if err := c.Signal(syscall.SIGCONT); err != nil {
				t.Error(err)
			}
		}
		var broken *Broken
		if !errors.As(err, &broken) || !strings.Contains(err.Error(), "not whole again") || strings.Count(string(struck), "\n") != 1 {
			t.Errorf("got %v after %q, want it to stop after the first coordinator", err, struck)
		}
	})
}

// guardRails: each refusal names its reason, and nothing is done.
func (s *site) guardRails(t *testing.T, api *client.Client) {
	for _, c := range []struct {
		name, want string
		change     func(*Options)
	}{
		{"another fault", "leader-kill and rolling-restart", func(o *Options) { o.Kind = "disk-full" }},
		{"too often", "at most 10", func(o *Options) { o.Times = 11 }},
		{"no command", "--kill", func(o *Options) { o.Cluster.Kill = "" }},
		{"no group", "--resource-group", func(o *Options) { o.Cluster.Group = "" }},
		{"nobody in the group", "no agent of", func(o *Options) { o.Cluster.Group = "other" }},
		{"another name", "is not the name of this cluster", func(o *Options) { o.Cluster.In = strings.NewReader("prod\n") }},
		{"no name", "nobody has typed", func(o *Options) { o.Cluster.In = strings.NewReader("") }},
		{"another name by flag", "is not the name of this cluster", func(o *Options) { o.Cluster.Yes = "prod" }},
	} {
		o := s.options("leader-kill")
		c.change(&o)
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	s.whileOthersDrill(t, api)
	for _, c := range s.Coordinators {
		if !c.Running() {
			t.Errorf("%s does not run any more", c.Name)
		}
	}
}

func (s *site) whileOthersDrill(t *testing.T, api *client.Client) {
	ctx := t.Context()
	if _, err := api.ApplyNodes(ctx, v1.NodeApplication{Nodes: []v1.Node{{ID: "other", Name: "other", Owner: "drill", Type: "shell", Code: "sleep 100"}}}); err != nil {
		t.Fatal(err)
	}
	sub, err := api.Submit(ctx, v1.BackfillRequest{Mode: v1.ModeCurrent, Root: "other", Dates: []v1.DateRangeText{"2012-01-01"}, Name: "drill-of-another"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(ctx, s.options("leader-kill")); err == nil || !strings.Contains(err.Error(), "another drill is under way") {
		t.Errorf("beside another drill: %v", err)
	}
	if _, err := api.Operate(ctx, v1.BackfillsOperation{Backfills: []v1.BackfillID{sub.ID}, Operation: v1.BackfillOperationStop}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Wait(ctx, sub.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ApplyNodes(ctx, v1.NodeApplication{Remove: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
}

// TestStanding: what keeps a cluster from surviving a loss is said by name.
func TestStanding(t *testing.T) {
	fine := func() *v1.Cluster {
		c := &v1.Cluster{Leader: "c1"}
		for i := range 3 {
			c.Servers = append(c.Servers, v1.ClusterServer{ID: fmt.Sprint("c", i+1), Role: v1.ServerRoleVoter, Standing: &v1.ServerStanding{}})
		}
		return c
	}
	if err := standing(fine()); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*v1.Cluster){
		"2 coordinators have a vote":   func(c *v1.Cluster) { c.Servers[2].Role = v1.ServerRoleNonVoter },
		"c2 does not answer (refused)": func(c *v1.Cluster) { c.Servers[1].Standing, c.Servers[1].Silent = nil, "refused" },
		"c3 is 101 entries behind":     func(c *v1.Cluster) { c.Servers[2].Standing.Behind = 101 },
		"c1 has 5 MB free":             func(c *v1.Cluster) { c.Servers[0].Standing.DiskFree = new(int64(5 << 20)) },
		"nobody leads":                 func(c *v1.Cluster) { c.Leader = "" },
	} {
		c := fine()
		change(c)
		if err := standing(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
