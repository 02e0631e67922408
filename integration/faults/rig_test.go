package faults

import (
	"fmt"
	"os"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/drill/network"
)

const inside = "BACKFLEET_FAULTS_BINARY" // set: we are in a namespace of our own

var binary = os.Getenv(inside)

// TestMain builds the binary, then starts itself again where the network is
// its own and it may make others.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		built, done := binary, func() {}
		var err error
		if built == "" {
			built, done, err = rig.Build("../..")
		}
		defer done()
		there, status := false, 1
		if err == nil {
			there, status, err = network.Enter(inside + "=" + built)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if there {
			return m.Run()
		}
		return status
	}())
}

// site is a fleet under test.
type site struct{ *rig.Rig }

func start(t *testing.T, config fleet.Config) *site {
	t.Helper()
	config.Binary = binary
	return &site{rig.Start(t, config)}
}

// apply makes a node known. Fields are further lines of its file.
func (s *site) apply(id, code string, fields ...string) {
	s.T.Helper()
	s.Apply(rig.Node{ID: id, Code: code, Fields: fields})
}

// submit backfills one node, a group for each date, and gives the id.
func (s *site) submit(node, dates string) string {
	s.T.Helper()
	return s.Submit(v1.BackfillRequest{Mode: v1.ModeCurrent, Root: node, Dates: []v1.DateRangeText{dates}, Groups: 10, Gate: v1.GateNone})
}

// on gives the instances of a backfill that an agent runs.
func (s *site) on(id string, agent *fleet.Process) (list []string) {
	s.T.Helper()
	page, err := s.API.Instances(s.Ctx, id, &v1.ListInstancesParams{Limit: 1000})
	s.Must(err)
	for _, i := range page.Items {
		if i.Agent == agent.Name && i.State == v1.StateRunning {
			list = append(list, i.ID)
		}
	}
	return list
}

// traced checks the attempts' own notes: so many began, so many of them were
// killed, no two of an instance overlapped and fences only grew.
func (s *site) traced(attempts, killed int) {
	s.T.Helper()
	if got := s.Traced(); got.Attempts != attempts || got.Unended != killed {
		s.T.Errorf("%d attempts, %d of them killed, want %d and %d", got.Attempts, got.Unended, attempts, killed)
	}
}

// last lets time go by in which nothing may happen.
func (s *site) last(d time.Duration) {
	s.T.Helper()
	select {
	case <-time.After(d):
	case <-s.Ctx.Done():
		s.T.Fatal(s.Ctx.Err())
	}
}
