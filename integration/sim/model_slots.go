package sim

import (
	"slices"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// aheadPerSlot is how many attempts may wait for each slot: each counts for a
// millisecond at least, of 40.
const aheadPerSlot = 40

// caps judges slots, what is granted ahead and maxRunning after a turn that gave
// some (RULES R4.8, R13). What is granted ahead counts as running.
func (m *model) caps(st *state.State, turn *wire.Turn) {
	used, ahead, running := map[string]int{}, map[string]int{}, map[uint64]int32{}
	st.Leases(func(l *state.Lease) {
		running[l.Plan]++
		weight := max(1, int(m.nodeOf(l).Slots))
		// What has started took the slot of one whose end may not be a fact yet.
		if l.Ahead || l.Started {
			ahead[l.Agent+"/"+l.Group] += weight
		} else {
			used[l.Agent+"/"+l.Group] += weight
		}
	})
	slots := map[string]int{}
	st.Agents(func(a *state.Agent) {
		for _, g := range a.Groups {
			at := a.Id + "/" + g.Group
			slots[at] = int(g.Slots)
			switch n, more := used[at], ahead[at]; {
			case n > int(g.Slots):
				m.w.violated("R7.8", "what runs at agent %s takes %d slots of %s, and it has %d", a.Id, n, g.Group, g.Slots)
			case n+more > int(g.Slots)+state.MaxAhead, more > (1+aheadPerSlot)*int(g.Slots):
				m.w.violated("R5.1", "agent %s holds %d in %s and %d ahead, and has %d slots", a.Id, n, g.Group, more, g.Slots)
			}
		}
	})
	for _, g := range turn.Grants {
		l, ok := st.Lease(g.Plan, g.Instance)
		if ok && l.Fence == st.Index() {
			m.suits(st, l)
		}
		if ok && l.Fence == st.Index() && g.Ahead {
			m.grantedAhead(l, used[g.Agent+"/"+l.Group]+ahead[g.Agent+"/"+l.Group], slots[g.Agent+"/"+l.Group])
		}
		if p := m.plans[g.Plan]; ok && l.Fence == st.Index() && p.req.MaxRunning > 0 && running[p.id] > p.req.MaxRunning {
			m.w.violated("R4.8", "b%d runs %d, and may run %d", p.id, running[p.id], p.req.MaxRunning)
		}
	}
}

// nodeOf is a lease's node, as its plan pins it.
func (m *model) nodeOf(l *state.Lease) *wire.Node {
	p := m.plans[l.Plan]
	return p.nodes[p.keys[l.Instance].node]
}

// suits judges whether an agent has the labels that a lease's node requires
// (RULES R7.7).
func (m *model) suits(st *state.State, l *state.Lease) {
	a, _ := st.Agent(l.Agent)
	n := m.nodeOf(l)
	if len(n.Requires) > 0 {
		m.w.report.Labelled++
	}
	if n.Slots > 1 {
		m.w.report.Heavy++
	}
	for _, want := range n.Requires {
		if !slices.ContainsFunc(a.Labels, func(x *wire.Assignment) bool { return x.Name == want.Name && x.Value == want.Value }) {
			m.w.violated("R7.7", "b%d.%d of node %s is granted to %s, which has not %s=%s", l.Plan, l.Instance, n.Id, a.Id, want.Name, want.Value)
		}
	}
}

// means is what an exit code means to a node (RULES R9).
func means(n *wire.Node, code int32) wire.ExitCode_Meaning {
	for _, e := range n.ExitCodes {
		if e.Code == code {
			return e.Meaning
		}
	}
	return wire.ExitCode_RETRY
}

// grantedAhead judges a lease beyond its agent's slots: only of a node that has
// been seen to take little time, and not while the agent has a free slot.
func (m *model) grantedAhead(l *state.Lease, held, slots int) {
	m.w.report.Ahead++
	m.w.client.interfere(l)
	key := m.plans[l.Plan].keys[l.Instance]
	if n := m.nodeOf(l); n.Slots > 1 || len(n.Requires) > 0 {
		m.w.violated("R9", "b%d.%d %v is granted ahead, and asks for more than one slot anywhere", l.Plan, l.Instance, key)
	}
	if least, known := m.briefest[key.node]; !known || least > aheadPerSlot {
		m.w.violated("R5.1", "b%d.%d %v is granted ahead, and nothing of its node was ever short", l.Plan, l.Instance, key)
	}
	if held <= slots {
		m.w.violated("R5.1", "b%d.%d is granted ahead on %s, which holds %d in %s and has %d slots", l.Plan, l.Instance, l.Agent, held, l.Group, slots)
	}
}
