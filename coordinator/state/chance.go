package state

import (
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Obstacle is why an operation cannot be done to an instance as it stands; the zero
// value: it can.
type Obstacle struct {
	Kind  ObstacleKind
	Text  string // for people
	Agent string // of QueuedAtAgent
}

// ObstacleKind says an Obstacle for machines.
type ObstacleKind uint8

// What stands in the way of operations.
const (
	NoObstacle ObstacleKind = iota
	Runs
	RunsAlready // and is asked to start
	IsFrozen
	IsNotFrozen
	HasNotFailed
	WaitsAlready
	HasFailed
	HasSucceeded
	IsBeingStopped
	QueuedAtAgent
	NoUpstream // that could be removed
)

// InTheWay says why an operation cannot be done to an instance as it stands (RULES
// R9). It is what an operation itself is checked by. Removing an upstream is possible
// if any of them can be.
func (s *State) InTheWay(k wire.Operate_Kind, p *Plan, at plan.Place) Obstacle {
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
