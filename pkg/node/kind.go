package node

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// Which fields belong to which type of node (RULES R12).

// kind is what belongs to a type beside the fields that all nodes have.
type kind struct {
	name   string
	block  string // the field that only this type has; empty: none
	asked  bool   // the block must be there
	noCode string // why it has no code; empty: it must have some
	source presence
}

// presence says whether a type has a data source of its own.
type presence uint8

const (
	never presence = iota
	mayBe
	always
)

const unitsHaveCode = "its units have code of their own"

// kindOf are the types, in the order in which they are told.
var kindOf = []kind{
	{name: Shell},
	{name: Python, block: "python"},
	{name: SQL, block: "sql", source: always},
	{name: HTTP, block: "http", asked: true, noCode: "what it sends is in http"},
	{name: Check, block: "check", source: mayBe},
	{name: Integration, block: "integration", asked: true, noCode: "what it moves is in integration"},
	{name: LogicalDimension, block: "logical", asked: true, noCode: unitsHaveCode, source: always},
	{name: LogicalFact, block: "logical", asked: true, noCode: unitsHaveCode, source: always},
	{name: LogicalAggregate, block: "logical", asked: true, noCode: unitsHaveCode, source: always},
	{name: Virtual, noCode: "nothing of it runs, it is there for the order"},
}

// blocks are the fields that only some types have.
var blocks = []struct {
	name  string
	given func(*wire.Node) bool
	check func(*checker)
}{
	{"python", func(n *wire.Node) bool { return n.Python != nil }, (*checker).python},
	{"sql", func(n *wire.Node) bool { return n.Sql != nil }, (*checker).sql},
	{"http", func(n *wire.Node) bool { return n.Http != nil }, (*checker).http},
	{"check", func(n *wire.Node) bool { return n.Check != nil }, (*checker).expectation},
	{"integration", func(n *wire.Node) bool { return n.Integration != nil }, (*checker).integration},
	{"logical", func(n *wire.Node) bool { return n.Logical != nil }, (*checker).logical},
}

// Types are the names of all types of nodes.
func Types() []string { return typesWith(func(kind) bool { return true }) }

func typesWith(has func(kind) bool) []string {
	var names []string
	for _, k := range kindOf {
		if has(k) {
			names = append(names, k.name)
		}
	}
	return names
}

// kind checks that a node has what belongs to its type, and nothing else. An
// unknown type has no kind.
func (c *checker) kind() (kind, bool) {
	s := c.spec
	i := slices.IndexFunc(kindOf, func(k kind) bool { return k.name == s.Type })
	if i < 0 {
		c.refuse("type", "%q is no type of a node%s: expected %s", clip(s.Type), didYouMean(s.Type, Types()), list(Types()))
		return kind{}, false
	}
	k := kindOf[i]
	for _, b := range blocks {
		given := b.given(s)
		switch {
		case given && b.name != k.block:
			owners := typesWith(func(k kind) bool { return k.block == b.name })
			c.refuse(b.name, "a node of type %s has none: take it out, or make it type: %s", k.name, list(owners))
		case b.name == k.block && k.asked && !given:
			c.refuse(b.name, "it is missing: a node of type %s says there what it does", k.name)
		case b.name == k.block:
			b.check(c)
		}
	}
	c.ownSource(k)
	return k, true
}

// ownSource checks the data source of a node that names one for itself.
func (c *checker) ownSource(k kind) {
	switch source := c.spec.Source; {
	case source != "" && k.source == never && k.name == Integration:
		c.refuse("source", "a node of type integration names it where it is used: write integration.from.source or integration.to.source")
	case source != "" && k.source == never:
		owners := typesWith(func(k kind) bool { return k.source != never })
		c.refuse("source", "a node of type %s has none: take it out, or make it type: %s", k.name, list(owners))
	case source == "" && k.source == always:
		c.refuse("source", "it is missing: expected the name of the data source that a node of type %s works on", k.name)
	case source != "":
		c.sourceName("source", source)
	}
}

// sourceName checks the name of a data source. Whether there is such a one is
// for those to say who know them.
func (c *checker) sourceName(field, name string) {
	if !idForm().MatchString(name) {
		c.refuse(field, "%q is no name of a data source: expected a to z, 0 to 9 and _, then also . and -, 1 to 128 characters", clip(name))
	}
}

// plainBlocks takes out the blocks that say no more than their absence, and
// gives an order to what has none.
func plainBlocks(s *wire.Node) {
	if proto.Size(s.Sql) == 0 {
		s.Sql = nil
	}
	if proto.Size(s.Python) == 0 {
		s.Python = nil
	}
	if proto.Size(s.Check) == 0 {
		s.Check = nil
	}
	if s.Http != nil {
		slices.SortFunc(s.Http.Headers, byName)
		slices.Sort(s.Http.Expect)
	}
}

func byName(a, b *wire.Assignment) int { return cmp.Compare(a.Name, b.Name) }
