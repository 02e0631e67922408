package sim

import (
	"slices"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// operateAgents applies RULES R14.
func (m *model) operateAgents(before *state.State, o *wire.OperateAgents) {
	for _, id := range o.Agents {
		switch o.Kind {
		case wire.OperateAgents_DRAIN:
			m.drains[id] = o.DeadlineMs
		case wire.OperateAgents_RESUME:
			delete(m.drains, id)
		case wire.OperateAgents_FORGET:
			delete(m.drains, id)
			m.w.report.Departed++
			if a, ok := before.Agent(id); !ok || a.State != wire.Agent_LOST && a.State != wire.Agent_GONE {
				m.w.violated("R14.1", "%s is forgotten, and is %v", id, a)
			}
			before.Leases(func(l *state.Lease) {
				if l.Agent == id {
					m.w.violated("R14.1", "%s is forgotten, and holds b%d.%d", id, l.Plan, l.Instance)
				}
			})
		}
	}
}

// agents judges agents after an entry that names them: nothing runs at one that
// is gone, and what one holds that is drained is called back, or to end when the
// time is over.
func (m *model) agents(after *state.State, ids []string) {
	for _, id := range ids {
		if a, ok := after.Agent(id); ok && a.State == wire.Agent_GONE {
			for key, p := range m.w.table.live {
				if p.k.h.id == id {
					m.w.violated("R14.1", "%s is gone, and runs %v", id, key)
				}
			}
		}
	}
	if len(ids) == 0 || len(m.drains) == 0 {
		return
	}
	after.Leases(func(l *state.Lease) {
		until, drained := m.drains[l.Agent]
		if !drained || !slices.Contains(ids, l.Agent) {
			return
		}
		over := until > 0 && until <= after.NowMs()
		if l.Ahead && !l.Ending() || over && !l.Stopping && !l.Yielding && !l.Draining {
			m.w.violated("R14.2", "%s is drained until %d, it is %d, and b%d.%d goes on there: %+v", l.Agent, until, after.NowMs(), l.Plan, l.Instance, l)
		}
	})
}
