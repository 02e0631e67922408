package raftnode

import (
	"net"
	"strings"
	"testing"

	"backfleet/pkg/fault"
)

// Leadership goes to exactly who was named, and nowhere when that one cannot
// lead.
func TestTransferToANamedVoter(t *testing.T) {
	all, leader := cluster(t, nil)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close() // takes connections and never answers: it cannot catch up
	if err := leader.AddServer(within(t), "slow", nobody.Addr().String()); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]struct {
		code fault.Code
		says string
	}{
		"c9":   {fault.NotFound, `"c9" is not a member`},
		"slow": {fault.Conflict, "slow has no vote yet"},
	} {
		if err := leader.TransferLeadership(within(t), to); !fault.Is(err, want.code) || !strings.Contains(err.Error(), want.says) {
			t.Errorf("to %s: %v", to, err)
		}
	}
	if err := leader.TransferLeadership(within(t), leader.ID()); err != nil {
		t.Errorf("to itself: %v", err)
	}
	if !leader.IsLeader() {
		t.Fatal("a refused transfer cost it leadership")
	}
	if err := others(all, leader)[0].TransferLeadership(within(t), ""); !fault.Is(err, fault.Unavailable) {
		t.Errorf("asked of a follower: %v", err)
	}
	for _, target := range others(all, leader) { // both, so that no chance can pass for obedience
		if err := leader.TransferLeadership(within(t), target.ID()); err != nil {
			t.Fatalf("to %s: %v", target.ID(), err)
		}
		eventually(t, target.ID()+" leads", func() bool { _, ok := target.Established(); return ok })
		mustPropose(t, target, "by "+target.ID())
		leader = target
	}
}
