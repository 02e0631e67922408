package state

import (
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// TestR5_8_AFrozenInstanceOfAStoppedPlanOverlaps: it holds its cycle, so the
// submission says so.
func TestR5_8_AFrozenInstanceOfAStoppedPlanOverlaps(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 1)))
	m.must(op(wire.Operate_FREEZE, of(1, 0)))
	m.must(op(wire.Operate_STOP, of(1)))
	if a := m.must(submit(current("a", 1))); len(a.Warnings) != 1 {
		t.Errorf("warnings: %v", a.Warnings)
	}
	r := current("a", 1)
	r.Overlap = wire.Request_OVERLAP_REFUSE
	m.refused(fault.Conflict, submit(r))
}
