package e2e

import (
	"context"
	"testing"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

// TestR13_1_ALargePlanOutlivesItsCoordinators: in the middle of a plan of many
// instances a follower is killed until the others have cut their logs beyond
// what it has, so that it comes back by a snapshot while work goes on; then all
// are killed at once. Nothing is lost and nothing runs twice, and in the end all
// of them count the same.
func TestR13_1_ALargePlanOutlivesItsCoordinators(t *testing.T) {
	t.Parallel()
	const (
		days      = largeDays
		instances = days * 24 * 60
		trailing  = 20
	)
	s := start(t, fleet.Config{Coordinators: 3, CoordinatorFlags: []string{
		"--lease", "60s", "--raft-snapshot-entries", "60", "--raft-snapshot-bytes", "1000000", "--raft-trailing-entries", "20",
	}})
	s.Apply(rig.Node{ID: "minute", Fields: []string{`schedule: {minutely: {from: "00:00", to: "23:59", every: 1m}}`}, Code: "true\n"})
	agent := s.simulate("sim", 2000)
	id := s.submit(v1.BackfillRequest{Root: "minute", Dates: []string{"2012-01-01.." + day(days-1)}, Gate: v1.GateNone})
	after := func(n int) {
		t.Helper()
		s.Until("so many instances have run", func() bool {
			ran, err := agent.count()
			s.Must(err)
			return ran >= n
		})
	}
	after(instances / 10)
	leader, err := s.Leader(s.Ctx)
	s.Must(err)
	var follower, led int
	for i, c := range s.Coordinators {
		if c == leader {
			led = i
		} else {
			follower = i
		}
	}
	has, err := s.metric(s.Servers[follower], "backfleet_raft_applied_index")
	s.Must(err)
	s.Must(s.Coordinators[follower].Kill())
	s.Until("the log is cut beyond what the follower has", func() bool {
		snapshot, err := s.metric(s.Servers[led], "backfleet_raft_snapshot_index")
		return err == nil && snapshot > has+3*trailing
	})
	s.Must(s.Coordinators[follower].Start())
	s.Until("the follower is back by a snapshot", func() bool {
		snapshot, err := s.metric(s.Servers[follower], "backfleet_raft_snapshot_index")
		return err == nil && snapshot > has+trailing
	})
	ran, err := agent.count()
	s.Must(err)
	t.Logf("%s is back by a snapshot after %d instances", s.Coordinators[follower].Name, ran)
	if ran > instances*9/10 {
		t.Errorf("%d of %d instances had run: nothing goes on meanwhile", ran, instances)
	}
	after(min(ran+instances/10, instances*95/100))
	for _, c := range s.Coordinators {
		s.Must(c.Kill())
	}
	ran, _ = agent.count()
	t.Logf("all are killed after %d instances", ran)
	for _, c := range s.Coordinators {
		s.Must(c.Start())
	}
	s.Succeeded(id, instances)
	if ran, err := agent.count(); err != nil || ran != instances {
		t.Errorf("%d instances have run, %v: expected each of %d once", ran, err, instances)
	}
	for i, c := range s.Coordinators {
		one, err := s.Client(s.Servers[i])
		s.Must(err)
		s.Must(fleet.Until(s.Ctx, c.Name+" counts all", func(ctx context.Context) (bool, error) {
			b, err := one.Backfill(ctx, id)
			return err == nil && b.Receipt.Succeeded == instances && b.Receipt.Generated == instances && b.Receipt.Running == 0, err
		}))
	}
}
