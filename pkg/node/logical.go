package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Logical tables: fields that units materialise (RULES R12.2).

// Limits of what a logical node may hold.
const (
	MaxFields = 1000
	MaxUnits  = 100
	// maxTableName is what every database takes as a name, in bytes.
	maxTableName = 63
)

// Defaults of the partition of a logical node.
const (
	DefaultPartition      = "ds"
	DefaultPartitionValue = "${yyyymmdd}"
)

// ColumnTypes are the types that a column may have, in a table that
// integration or logical nodes write.
var ColumnTypes = []string{"text", "integer", "decimal", "float", "boolean", "date", "timestamp", "json"}

var (
	columnForm = onUse(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	unitForm   = onUse(`^[a-z0-9_]{1,40}$`)
)

// IsLogical says whether a node is a logical table.
func IsLogical(spec *wire.Node) bool {
	switch spec.GetType() {
	case LogicalDimension, LogicalFact, LogicalAggregate:
		return true
	}
	return false
}

// UnitTable is the table of a unit of a logical node.
func UnitTable(l *wire.Logical, unit string) string { return l.Table + "__" + unit }

// fillLogical fills in what a logical node may leave out. What the units read
// the node reads.
func fillLogical(s *wire.Node) {
	l := s.Logical
	if l == nil {
		return
	}
	l.Partition = cmp.Or(l.Partition, DefaultPartition)
	l.PartitionValue = cmp.Or(l.PartitionValue, DefaultPartitionValue)
	for _, unit := range l.Units {
		for _, id := range unit.Upstreams {
			if ValidID(id) && !slices.ContainsFunc(s.Upstreams, func(u *wire.Upstream) bool { return u.Node == id }) {
				s.Upstreams = append(s.Upstreams, &wire.Upstream{Node: id})
			}
		}
	}
}

// logical checks the table of a logical node.
func (c *checker) logical() {
	l := c.spec.Logical
	c.tableName("logical.table", l.Table)
	if l.SourceTable != "" {
		c.tableName("logical.sourceTable", l.SourceTable)
	}
	if !columnForm().MatchString(l.Partition) {
		c.refuse("logical.partition", "%q is no column: expected a letter or _, then letters, digits and _, at most %d", clip(l.Partition), maxTableName)
	}
	if c.logicalFields(l) {
		c.units(l)
	}
}

// tableName checks the name of a table, which may have a schema before it.
func (c *checker) tableName(field, name string) {
	parts := strings.Split(name, ".")
	if len(parts) > 2 || slices.ContainsFunc(parts, func(p string) bool { return !columnForm().MatchString(p) }) {
		c.refuse(field, "%q is no table: expected a letter or _, then letters, digits and _, at most %d, and a schema with a dot before it where there is one",
			clip(name), maxTableName)
	}
}

// logicalFields checks the fields by themselves; false when it is no use to
// look at the units.
func (c *checker) logicalFields(l *wire.Logical) bool {
	if n := len(l.Fields); n == 0 || n > MaxFields {
		c.refuse("logical.fields", "%d fields: expected 1 to %d", n, MaxFields)
		return false
	}
	keys, seen := 0, map[string]bool{}
	for k, f := range l.Fields {
		at := fmt.Sprintf("logical.fields[%d]", k)
		folded := strings.ToLower(f.Name) // databases differ in whether case counts
		switch {
		case !columnForm().MatchString(f.Name):
			c.refuse(at+".name", "%q is no field: expected a letter or _, then letters, digits and _, at most %d", clip(f.Name), maxTableName)
		case seen[folded]:
			c.refuse(at+".name", "field %q is there already, upper and lower case alike: expected it once", f.Name)
		case folded == strings.ToLower(l.Partition):
			c.refuse(at+".name", "%q is the column of the partition, which the table has by itself: take it out, or choose another partition", f.Name)
		}
		seen[folded] = true
		if !slices.Contains(ColumnTypes, f.Type) {
			c.refuse(at+".type", "%q is no type%s: expected %s", clip(f.Type), didYouMean(f.Type, ColumnTypes), list(ColumnTypes))
		}
		c.text(at+".description", f.Description, MaxText)
		if f.PrimaryKey {
			keys++
		}
	}
	if keys == 0 {
		c.refuse("logical.fields", "none is of the primary key: expected primaryKey: true for those that tell the rows of a partition apart")
	}
	return true
}

// units checks the units and that they produce every field.
func (c *checker) units(l *wire.Logical) {
	if n := len(l.Units); n == 0 || n > MaxUnits {
		c.refuse("logical.units", "%d units: expected 1 to %d", n, MaxUnits)
		return
	}
	name := l.Table[strings.LastIndexByte(l.Table, '.')+1:]
	seen, produced := map[string]bool{}, map[string]bool{}
	for k, u := range l.Units {
		at := unitField(k)
		switch {
		case !unitForm().MatchString(u.Id):
			c.refuse(at+".id", "%q is no unit: expected a to z, 0 to 9 and _, 1 to 40 characters", clip(u.Id))
		case seen[u.Id]:
			c.refuse(at+".id", "unit %q is there already: expected it once", u.Id)
		case len(name)+len("__")+len(u.Id) >= maxTableName: // PostgreSQL calls its index by it and more, cut to so many
			c.refuse(at+".id", "its table %s__%s has a name of more than %d characters: make the unit's or the table's shorter", clip(name), u.Id, maxTableName-1)
		}
		seen[u.Id] = true
		if u.Code == "" {
			c.refuse(at+".code", "it is empty: expected a query that gives the primary key and the unit's fields, by name")
		}
		for j, id := range u.Upstreams {
			if !ValidID(id) {
				c.refuse(fmt.Sprintf("%s.upstreams[%d]", at, j), "%q is no node id", clip(id))
			}
		}
		c.unitFields(l, k, produced)
	}
	for k, f := range l.Fields {
		if !f.PrimaryKey && !produced[f.Name] {
			c.refuse(fmt.Sprintf("logical.fields[%d]", k), "no unit produces field %q: add it to the fields of one, or take it out", clip(f.Name))
		}
	}
}

// unitFields checks what one unit says that it produces.
func (c *checker) unitFields(l *wire.Logical, k int, produced map[string]bool) {
	u, at := l.Units[k], unitField(k)+".fields"
	if len(u.Fields) == 0 && k > 0 {
		c.refuse(at, "it is empty: expected the fields that the unit produces; only the first unit, whose rows are the table's, may have none but the primary key")
	}
	own := map[string]bool{}
	for j, name := range u.Fields {
		field := fmt.Sprintf("%s[%d]", at, j)
		switch f := fieldOf(l, name); {
		case f == nil:
			c.refuse(field, "there is no field %q%s: expected one of the table's", clip(name), didYouMean(name, fieldNames(l)))
		case f.PrimaryKey:
			c.refuse(field, "%q is of the primary key, which every unit has: take it out", name)
		case own[name]:
			c.refuse(field, "field %q is listed twice: take one out", name)
		}
		own[name], produced[name] = true, true
	}
}

func fieldNames(l *wire.Logical) []string {
	names := make([]string, len(l.Fields))
	for i, f := range l.Fields {
		names[i] = f.Name
	}
	return names
}

// fieldsRead are the findings about fields that nodes read of their upstreams:
// each must be one of a logical table's.
func fieldsRead(nodes []*Node) []fault.Detail {
	specs := make(map[string]*wire.Node, len(nodes))
	for _, n := range nodes {
		specs[n.Spec.Id] = n.Spec
	}
	var details []fault.Detail
	for _, n := range nodes {
		for k, u := range n.Spec.Upstreams {
			up := specs[u.Node]
			if len(u.Fields) == 0 || up == nil {
				continue
			}
			at := nodeField(n.Spec.Id, upstreamField(k)+".fields")
			if !IsLogical(up) {
				details = append(details, detail(at, "node %q: %q is of type %s and has no fields: take them out", n.Spec.Id, u.Node, up.Type))
				continue
			}
			for j, name := range u.Fields {
				if fieldOf(up.Logical, name) == nil {
					details = append(details, detail(fmt.Sprintf("%s[%d]", at, j), "node %q: %q has no field %q%s: expected one of its fields",
						n.Spec.Id, u.Node, clip(name), didYouMean(name, fieldNames(up.Logical))))
				}
			}
		}
	}
	return details
}

func fieldOf(l *wire.Logical, name string) *wire.LogicalField {
	for _, f := range l.GetFields() {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// UnitChoice is what a choice of fields means for one unit of a logical node.
type UnitChoice struct {
	Unit string
	Runs bool
	Why  string // for people
}

// SelectFields says which units of a logical node run for some of its fields;
// none are the entire table (RULES R12.2). Those that produce one of the fields
// run, and so do all units of fields that share a unit with these, and so on:
// rows of one unit are then never of another run than what was computed with
// them. The others are left alone. All units come back, in the node's order.
//
// Fields of the primary key and the source table can only be had with the
// entire table. A refusal has the Field `fields[2]`, or `node` where the node is
// no logical table.
func SelectFields(spec *wire.Node, fields []string) ([]UnitChoice, error) {
	l := spec.GetLogical()
	if !IsLogical(spec) || l == nil {
		return nil, fault.Field("node", "node %q is of type %s and has no fields to choose from: take it out", clip(spec.GetId()), spec.GetType())
	}
	units := make([]UnitChoice, len(l.Units))
	for i, u := range l.Units {
		units[i] = UnitChoice{Unit: u.Id, Runs: len(fields) == 0, Why: "the entire table"}
	}
	if len(fields) == 0 {
		return units, nil
	}
	for k, name := range fields {
		if err := mayChoose(l, choice("fields", k), name); err != nil {
			return nil, err
		}
	}
	c := &closure{l: l, units: units, because: map[string]string{}}
	for _, name := range fields {
		c.reach(name, "")
	}
	c.spread()
	for i, u := range l.Units {
		chosen := intersection(u.Fields, fields)
		switch {
		case len(chosen) > 0:
			units[i].Why = "produces " + strings.Join(chosen, ", ")
		case !units[i].Runs:
			units[i].Why = "produces nothing that was selected or shares a unit with it"
		}
	}
	return units, nil
}

// mayChoose refuses what is no part of a table.
func mayChoose(l *wire.Logical, at, name string) error {
	switch f := fieldOf(l, name); {
	case f == nil && name == l.SourceTable && name != "":
		return fault.Field(at, "%q is the source table: it can only be had with the entire table; leave the choice of fields out", name)
	case f == nil:
		return fault.Field(at, "there is no field %q%s: expected fields of the table", clip(name), didYouMean(name, fieldNames(l)))
	case f.PrimaryKey:
		return fault.Field(at, "%q is of the primary key, which every unit writes: it can only be had with the entire table; leave the choice of fields out", name)
	}
	return nil
}

// closure finds the units that run, from field to unit to field.
type closure struct {
	l       *wire.Logical
	units   []UnitChoice
	queue   []string          // fields
	because map[string]string // why each of them is there; empty: it was selected
}

func (c *closure) reach(name, because string) {
	if _, known := c.because[name]; !known {
		c.because[name] = because
		c.queue = append(c.queue, name)
	}
}

func (c *closure) spread() {
	for k := 0; k < len(c.queue); k++ {
		name := c.queue[k]
		for i, u := range c.l.Units {
			if c.units[i].Runs || !slices.Contains(u.Fields, name) {
				continue
			}
			c.units[i].Runs = true
			c.units[i].Why = "produces " + name + c.because[name]
			for _, other := range u.Fields {
				c.reach(other, fmt.Sprintf(", which shares unit %s with %s", u.Id, name))
			}
		}
	}
}

// intersection is what of a list is in another.
func intersection(list, of []string) []string {
	var both []string
	for _, s := range list {
		if slices.Contains(of, s) {
			both = append(both, s)
		}
	}
	return both
}

// readers marks the nodes after a root that depend on a field of it, or on a
// node that does; without fields, all that come after it (RULES R12.2).
func (g *Graph) readers(root int, fields []string) []bool {
	marked := make([]bool, len(g.nodes))
	for _, d := range g.Downstreams(root) {
		for _, u := range g.nodes[d].Spec.Upstreams {
			if u.Node == g.nodes[root].Spec.Id && !u.Previous {
				marked[d] = len(fields) == 0 || len(u.Fields) == 0 || len(intersection(u.Fields, fields)) > 0
			}
		}
	}
	for i := range g.nodes {
		for _, u := range g.Upstreams(i) {
			marked[i] = marked[i] || marked[u]
		}
	}
	return marked
}
