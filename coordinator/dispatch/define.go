package dispatch

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
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
// it since a plan that is changed may count its nodes anew, data sources since
// one that is changed is another message.
type defined struct {
	plan      uint64
	node      *wire.Node
	group     string
	version   uint64
	generated calendar.Date // dates that were added to a plan have their own
	sources   [mostSources]*wire.DataSource
}

// mostSources is how many data sources a node names at most: its own, and those
// from which and to which it moves rows.
const mostSources = 3

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
	code := c.codeOf(pinned, l)
	key := defined{as.p.ID, pinned.Spec, l.Group, l.Version, as.generated, c.sourcesOf(code)}
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
		sent := describe(as, d, code)
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

// describe is a definition as it is sent, with the code of some version.
func describe(as *prepared, d *definition, code *wire.Node) *wire.Definition {
	out := &wire.Definition{
		Id: d.id, Node: d.node, CodeVersion: d.version, Generated: int32(d.generated), ResourceGroup: d.group, PlanName: as.p.Name,
		Units: as.p.Units(as.at.Node),
	}
	if code != d.node {
		out.Node = withCode(d.node, code)
	}
	for _, s := range d.sources {
		if s != nil {
			out.Sources = append(out.Sources, s)
		}
	}
	return out
}

// codeOf is the node whose code an attempt runs: the pinned one, or the newest
// (RULES R1.6).
func (c *Core) codeOf(pinned *plan.Node, l *state.Lease) *wire.Node {
	if l.Version != pinned.Version {
		if n, ok := c.st.Node(pinned.Spec.Id); ok && state.Renews(pinned.Spec, n.Spec) {
			return n.Spec
		}
	}
	return pinned.Spec
}

// sourcesOf are the data sources that code names, as far as they exist. Whether an
// agent may use one is for the agent to say.
func (c *Core) sourcesOf(code *wire.Node) (out [mostSources]*wire.DataSource) {
	if code.Source == "" && code.Integration == nil {
		return out
	}
	for i, name := range node.Sources(code) {
		out[i], _ = c.st.DataSource(name)
	}
	return out
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
