package dispatch

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// What a session remembers of definitions is bounded: an agent lives through
// plan after plan, and over days it would keep the code of all of them, and the
// leader as many names for each agent. The oldest is forgotten on both sides,
// and sent again should it be used once more.
const (
	mostDefined      = 1024
	mostDefinedBytes = 4 << 20 // as sent; a single one may be larger
)

// defined is what an agent is told of a node of a plan. Node and group are in
// it since a plan that is changed may count its nodes anew.
type defined struct {
	plan      uint64
	node      *wire.Node
	group     string
	version   uint64
	generated calendar.Date // dates that were added to a plan have their own
}

// definition is one that a session knows.
type definition struct {
	defined
	id    uint64
	bytes int
	known int // by so many sessions
}

// definitions are those that any session knows.
type definitions struct {
	all  map[defined]*definition
	last uint64 // id
}

// defines is what one session knows.
type defines struct {
	has   map[*definition]struct{}
	order []*definition // as they were sent
	bytes int
}

// define gives the number of what all attempts of a node version in a plan
// share, and adds it to the message when the session does not know it.
func (c *Core) define(s *session, a *wire.Assign, as *prepared, l *state.Lease) uint64 {
	pinned := &as.p.Nodes[as.at.Node]
	key := defined{as.p.ID, pinned.Spec, l.Group, l.Version, as.generated}
	d := c.definitions.all[key]
	if d == nil {
		c.definitions.last++
		d = &definition{defined: key, id: c.definitions.last}
		c.definitions.all[key] = d
	}
	if _, ok := s.knows.has[d]; ok {
		return d.id
	}
	// Told to forget it by this very message, it still has it.
	if i := slices.Index(a.Forget, d.id); i >= 0 {
		a.Forget = slices.Delete(a.Forget, i, i+1)
	} else {
		sent := c.describe(as, l, d.id)
		d.bytes = proto.Size(sent)
		a.Definitions = append(a.Definitions, sent)
	}
	d.known++
	k := &s.knows
	k.has[d] = struct{}{}
	k.order, k.bytes = append(k.order, d), k.bytes+d.bytes
	for len(k.order) > 1 && (len(k.order) > mostDefined || k.bytes > mostDefinedBytes) {
		a.Forget = append(a.Forget, k.order[0].id)
		c.undefine(k)
	}
	return d.id
}

// describe is a definition as it is sent.
func (c *Core) describe(as *prepared, l *state.Lease, id uint64) *wire.Definition {
	pinned := &as.p.Nodes[as.at.Node]
	spec := pinned.Spec
	if l.Version != pinned.Version {
		if n, ok := c.st.Node(spec.Id); ok {
			spec = withCode(spec, n.Spec.Code)
		}
	}
	return &wire.Definition{
		Id: id, Node: spec, CodeVersion: l.Version, Generated: int32(as.generated), ResourceGroup: l.Group, PlanName: as.p.Name,
	}
}

// undefine takes the oldest definition from what a session knows.
func (c *Core) undefine(k *defines) {
	d := k.order[0]
	k.order, k.bytes = k.order[1:], k.bytes-d.bytes
	delete(k.has, d)
	if d.known--; d.known == 0 {
		delete(c.definitions.all, d.defined)
	}
}
