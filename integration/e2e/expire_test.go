package e2e

import (
	"context"
	"testing"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
	"backfleet/pkg/fault"
)

// TestR10_1_FinishedBackfillsAreForgotten: a minute after its last change a
// finished backfill is gone on every coordinator; one that still runs is not.
func TestR10_1_FinishedBackfillsAreForgotten(t *testing.T) {
	t.Parallel() // it mostly waits
	s := start(t, fleet.Config{Coordinators: 3, Agents: 1, CoordinatorFlags: []string{"--keep-instances", "1m"}})
	s.Apply(rig.Node{ID: "quick", Code: "trace end\n"}, rig.Node{ID: "long", Code: rig.Waits("go")})
	days := []string{"2012-01-01..2012-01-05"}
	long, quick := s.submit(v1.BackfillRequest{Root: "long", Dates: days}), s.submit(v1.BackfillRequest{Root: "quick", Dates: days})
	s.Succeeded(quick, 5)
	for i, c := range s.Coordinators {
		one, err := s.Client(s.Servers[i])
		s.Must(err)
		s.Must(fleet.Until(s.Ctx, c.Name+" has forgotten "+quick, func(ctx context.Context) (bool, error) {
			_, err := one.Backfill(ctx, quick)
			return fault.CodeOf(err) == fault.NotFound, err
		}))
		if _, err := one.Backfill(s.Ctx, long); err != nil {
			t.Errorf("%s does not show %s, which runs: %v", c.Name, long, err)
		}
	}
	s.Open("go")
	s.Succeeded(long, 5)
}
