package state

import (
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// InTheWay says why an operation cannot be done to an instance as it stands; empty
// when it can (RULES R9). It is what an operation itself is checked by. Removing an
// upstream is possible if any of them can be.
func (s *State) InTheWay(k wire.Operate_Kind, p *Plan, at plan.Place) string {
	i := p.Instance(at)
	l, _ := s.Lease(p.ID, i)
	return p.inTheWay(k, l, i, func() string {
		if p.waitsForAny(at, i) {
			return ""
		}
		return "it waits for no upstream"
	})
}

// waitsForAny says whether there is a node that can be taken out of what an instance
// waits for.
func (p *Plan) waitsForAny(at plan.Place, i uint64) (found bool) {
	spec := p.Nodes[at.Node].Spec
	is := func(id string) bool {
		found = found || p.keeps(at, i, id) == ""
		return found
	}
	if spec.DependsOnSelf && is(spec.Id) {
		return true
	}
	for _, u := range spec.Upstreams {
		if is(u.Node) {
			return true
		}
	}
	p.Upstreams(at, func(up int, _, _ uint64) bool { return !is(p.Nodes[up].Spec.Id) })
	p.Abroad(at, func(n plan.Need) bool { return !is(n.Node) })
	return found
}
