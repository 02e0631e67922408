package state

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

const golden4 = "testdata/snapshot-4.zst" // with drains, join tokens, labels, weights and exit codes

// fullStory is longerStory with what becomes of agents: a3, which has a label, is
// drained, and what it runs is to end; a2 has said goodbye; of two join tokens
// one is left.
func fullStory(t testing.TB) *machine {
	m := longerStory(t)
	heavy := daily("heavy")
	heavy.Slots, heavy.Requires = 2, []*wire.Assignment{{Name: "gpu", Value: "true"}}
	heavy.ExitCodes = []*wire.ExitCode{{Code: 1, Meaning: wire.ExitCode_SKIP}}
	heavy.Limits = &wire.Limits{MemoryBytes: 1 << 30, Nice: 5}
	m.must(apply(heavy))
	a3 := agent("a3", 4)
	a3.Labels, a3.Boot, a3.KeeperVersion, a3.StartedBy = heavy.Requires, "b00t", "0.9", "east"
	m.must(putToken(&wire.PutJoinToken{Id: "west", SecretHash: TokenHash("one")}))
	m.must(putToken(&wire.PutJoinToken{Id: "east", SecretHash: TokenHash("two"), Groups: []string{"default"}, ExpiresMs: m.now + 1_000_000, Description: "the east"}))
	m.must(revoke("west"))
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{a3, as(agent("a2", 3), wire.Agent_GONE)}}))
	m.must(submit(current("heavy", 3))) // plan 8
	m.must(turn(&wire.Turn{Grants: []*wire.Grant{
		{Plan: 8, Instance: 0, Agent: "a3", ResourceGroup: "default"}, {Plan: 8, Instance: 1, Agent: "a3", ResourceGroup: "default"},
	}}))
	m.finish(8, 0, m.index, wire.Outcome_FAILED) // skipped
	m.must(group(&wire.PutResourceGroup{Name: "big", Description: "for large ones", LogKeepMs: 24 * 3_600_000}))
	m.drain(1, "a3")
	m.named("a3")
	return m
}

func TestGoldenSnapshotOfTheFourthForm(t *testing.T) {
	holds(t, golden4, fullStory(t).untagged(), func(m *machine) {
		l, _ := m.s.Lease(8, 1)
		a3, _ := m.s.Agent("a3")
		if !l.Draining || a3.State != wire.Agent_DRAINING || a3.Leases != 1 || a3.Used[0] != 2 || a3.HeardMs == 0 {
			t.Fatalf("the drained agent is %+v, its lease %+v", a3, l)
		}
		m.status(8, 0, Succeeded)
		m.finish(8, 1, l.Fence, wire.Outcome_STOPPED)
		m.status(8, 1, Again)
		m.must(onAgents(wire.OperateAgents_RESUME, "a3"))
		m.must(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: 8, Instance: 1, Agent: "a3", ResourceGroup: "default"}}}))
		m.must(onAgents(wire.OperateAgents_FORGET, "a2"))
		m.must(revoke("east"))
		back := proto.CloneOf(a3.Agent)
		back.Boot = "another"
		m.must(turn(&wire.Turn{Agents: []*wire.Agent{back, agent("a2", 3)}}))
		m.goOnLong()
	})
}
