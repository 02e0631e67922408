package state

import (
	"testing"

	"backfleet/pkg/wire"
)

// TestR5_6_AnAgentThatUsesMoreThanItHasTakesNoSlotOfAnother: its leases go on
// after it has said that it has fewer slots.
func TestR5_6_AnAgentThatUsesMoreThanItHasTakesNoSlotOfAnother(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 2)))
	m.grant(1, 0)
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a1", 0), agent("a2", 1)}}))
	if u := m.s.GroupUse("default"); u.Slots != 1 || u.Used != 0 {
		t.Errorf("%+v: expected the one slot of a2 to be free", u)
	}
}
