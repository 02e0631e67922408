package faults

import (
	"fmt"
	"testing"
	"time"

	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/drill/network"
)

// A cut ends a direction between the coordinators and an agent, or both.
type cut struct {
	name string
	ways func(agent string) []network.Way
}

// coordinators stay where the test is.
var coordinators = []string{network.Here}

var cuts = []cut{
	{"both ways", func(agent string) []network.Way { return network.Between(coordinators, []string{agent}) }},
	{"to the coordinators", func(agent string) []network.Way { return network.Ways([]string{agent}, coordinators) }},
	{"from the coordinators", func(agent string) []network.Way { return network.Ways(coordinators, []string{agent}) }},
}

// TestR13_2_Cuts: agents are cut off in each way, first for less than a lease,
// which nobody notices, then for more: their attempts are dead before others
// begin, and nothing else is disturbed (RULES R13.2, R13.5).
func TestR13_2_Cuts(t *testing.T) {
	const lease, short = 10 * time.Second, 2 * time.Second
	var agents []string // those that are cut off; the last stays beside the coordinators
	for i := range cuts {
		agents = append(agents, fmt.Sprint("a", i+1))
	}
	n, err := network.New(agents...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	s := start(t, n.Place(fleet.Config{
		Coordinators: 3, Agents: len(cuts) + 1, Slots: 2, CoordinatorFlags: []string{"--lease", lease.String()},
	}))
	const slots = 2 * 4
	s.apply("long", rig.Waits("go"))
	id := s.submit("long", "2012-01-01..2012-01-08")
	s.Until("all run", func() bool { return s.Noted("start ") == slots })

	for i, c := range cuts {
		s.Must(n.Cut(c.ways(agents[i])...))
	}
	s.last(short)
	for i, c := range cuts {
		s.Must(n.Heal(c.ways(agents[i])...))
	}
	s.last(lease) // in which whoever missed its renewals would have been killed
	if got := s.Noted("start "); got != slots {
		t.Fatalf("after a cut of %s with a lease of %s %d attempts have begun, want %d", short, lease, got, slots)
	}

	for i, c := range cuts {
		s.Must(n.Cut(c.ways(agents[i])...))
	}
	for i, c := range cuts {
		s.Until("the attempts of "+s.Agents[i].Name+", cut off "+c.name+", are taken back", func() bool { return len(s.on(id, s.Agents[i])) == 0 })
	}
	if got := len(s.on(id, s.Agents[len(cuts)])); got != 2 {
		t.Errorf("the agent that was not cut off runs %d instances, want 2", got)
	}
	for i, c := range cuts {
		s.Must(n.Heal(c.ways(agents[i])...))
	}
	s.Until("all run again", func() bool { return s.Noted("start ") == slots+2*len(cuts) })
	s.Open("go")
	s.Succeeded(id, slots)
	s.traced(slots+2*len(cuts), 2*len(cuts))
}
