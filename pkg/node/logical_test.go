package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// table is a logical node with the key `id`; "base: name city" is a unit.
func table(id string, units ...string) *wire.Node {
	l := &wire.Logical{Table: id, SourceTable: "ods_" + id, Fields: []*wire.LogicalField{{Name: "id", Type: "integer", PrimaryKey: true}}}
	for _, short := range units {
		name, fields, _ := strings.Cut(short, ":")
		u := &wire.Unit{Id: name, Code: "SELECT * FROM src", Fields: strings.Fields(fields)}
		for _, f := range u.Fields {
			if !slices.ContainsFunc(l.Fields, func(known *wire.LogicalField) bool { return known.Name == f }) {
				l.Fields = append(l.Fields, &wire.LogicalField{Name: f, Type: "text"})
			}
		}
		l.Units = append(l.Units, u)
	}
	return &wire.Node{Id: id, Type: node.LogicalDimension, Source: "shop", Logical: l}
}

// showUnits writes a choice as "base: why", units that are left alone in brackets.
func showUnits(units []node.UnitChoice) string {
	var out []string
	for _, u := range units {
		text := u.Unit
		if u.Runs {
			text += ": " + u.Why
		} else {
			text = "(" + text + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func TestR12_2_SelectFields(t *testing.T) {
	for _, c := range []struct {
		name   string
		units  []string
		fields []string
		want   string
	}{
		{"none: the entire table", []string{"base: name city", "score: level"}, nil, "base: the entire table; score: the entire table"},
		{"one field of a unit of its own", []string{"base: name city", "score: level"}, []string{"level"}, "(base); score: produces level"},
		{"one field of a unit with more", []string{"base: name city", "score: level"}, []string{"city"}, "base: produces city; (score)"},
		{"all fields but the key", []string{"base: name", "score: level"}, []string{"name", "level"}, "base: produces name; score: produces level"},
		{"two fields of one unit", []string{"base: name city", "score: level"}, []string{"city", "name"}, "base: produces name, city; (score)"},
		{"a field that two units produce", []string{"base: name city", "geo: city zip", "score: level"}, []string{"city"},
			"base: produces city; geo: produces city; (score)"},
		{"all units of the fields that share a unit with it", []string{"base: name city", "geo: city zip", "score: level"}, []string{"name"},
			"base: produces name; geo: produces city, which shares unit base with name; (score)"},
		{"and of those that share a unit with these", []string{"base: name city", "geo: city zip", "post: zip carrier", "score: level"}, []string{"name"},
			"base: produces name; geo: produces city, which shares unit base with name; post: produces zip, which shares unit geo with city; (score)"},
		{"backwards as well", []string{"base: name city", "geo: city zip", "post: zip carrier", "score: level"}, []string{"carrier"},
			"base: produces city, which shares unit geo with zip; geo: produces zip, which shares unit post with carrier; post: produces carrier; (score)"},
		{"two islands", []string{"a: a1 a2", "b: b1", "c: a2 c1", "d: d1"}, []string{"c1", "d1"},
			"a: produces a2, which shares unit c with c1; (b); c: produces c1; d: produces d1"},
		{"a unit of the key alone is left out", []string{"keys:", "score: level"}, []string{"level"}, "(keys); score: produces level"},
		{"one field twice", []string{"base: name", "score: level"}, []string{"level", "level"}, "(base); score: produces level"},
	} {
		units, err := node.SelectFields(table("dim", c.units...), c.fields)
		if got := showUnits(units); err != nil || got != c.want {
			t.Errorf("%s:\ngot  %s %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestR12_2_SelectFieldsRefuses(t *testing.T) {
	shell := &wire.Node{Id: "sh", Type: "shell", Code: "true"}
	dim := table("dim", "base: name city", "score: level")
	for _, c := range []struct {
		name   string
		spec   *wire.Node
		fields []string
		want   string
	}{
		{"the primary key", dim, []string{"level", "id"},
			`fields[1]: "id" is of the primary key, which every unit writes: it can only be had with the entire table; leave the choice of fields out`},
		{"the source table", dim, []string{"ods_dim"},
			`fields[0]: "ods_dim" is the source table: it can only be had with the entire table; leave the choice of fields out`},
		{"an unknown field", dim, []string{"leevel"}, `fields[0]: there is no field "leevel" (did you mean "level"?): expected fields of the table`},
		{"an empty field", dim, []string{""}, `fields[0]: there is no field "": expected fields of the table`},
		{"the table itself", dim, []string{"dim"}, `fields[0]: there is no field "dim": expected fields of the table`},
		{"a node that is not logical", shell, []string{"level"}, `node: node "sh" is of type shell and has no fields to choose from: take it out`},
		{"the same, without fields", shell, nil, `node: node "sh" is of type shell and has no fields to choose from: take it out`},
	} {
		units, err := node.SelectFields(c.spec, c.fields)
		if err == nil || err.Error() != c.want || !fault.Is(err, fault.Invalid) || units != nil {
			t.Errorf("%s:\ngot  %v %v\nwant %s", c.name, units, err, c.want)
		}
	}
}

// TestR12_2_TheClosureIsTheLeast: what runs is a union of whole islands of units
// that share fields, those that have a selected field and no others.
func TestR12_2_TheClosureIsTheLeast(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		names := []string{"a", "b", "c", "d", "e", "f", "g"}
		var shorts []string
		for i := range rapid.IntRange(1, 6).Draw(r, "units") {
			fields := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID).Draw(r, "fields")
			shorts = append(shorts, fmt.Sprintf("u%d: %s", i, strings.Join(fields, " ")))
		}
		spec := table("dim", shorts...)
		var known []string
		for _, f := range spec.Logical.Fields[1:] {
			known = append(known, f.Name)
		}
		selected := rapid.SliceOfNDistinct(rapid.SampledFrom(known), 1, len(known), rapid.ID).Draw(r, "selected")
		// Every unit has an island; two that share a field have one.
		island := make([]int, len(shorts))
		for i := range island {
			island[i] = i
		}
		shared := func(i, j int) bool {
			return slices.ContainsFunc(spec.Logical.Units[i].Fields, func(f string) bool { return slices.Contains(spec.Logical.Units[j].Fields, f) })
		}
		for range island {
			for i := range island {
				for j := range island {
					if shared(i, j) {
						island[i] = min(island[i], island[j])
					}
				}
			}
		}
		runs := map[int]bool{}
		for i, u := range spec.Logical.Units {
			for _, f := range u.Fields {
				runs[island[i]] = runs[island[i]] || slices.Contains(selected, f)
			}
		}
		units, err := node.SelectFields(spec, selected)
		if err != nil {
			r.Fatal(err)
		}
		for i, u := range units {
			if u.Runs != runs[island[i]] {
				r.Fatalf("%v of %v: %s", selected, shorts, showUnits(units))
			}
		}
	})
}

func TestR12_2_ALogicalNodeIsCompleted(t *testing.T) {
	spec := table("shop.dim", "base: name", "score: level")
	spec.Id = "dim"
	spec.Upstreams = []*wire.Upstream{{Node: "ods"}}
	spec.Logical.Units[1].Upstreams = []string{"ods", "levels"}
	n, _, err := node.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	l := n.Spec.Logical
	if l.Partition != "ds" || l.PartitionValue != "${yyyymmdd}" || node.UnitTable(l, "base") != "shop.dim__base" {
		t.Errorf("%v", l)
	}
	var ups []string
	for _, u := range n.Spec.Upstreams {
		ups = append(ups, u.Node)
	}
	if !slices.Equal(ups, []string{"ods", "levels"}) {
		t.Errorf("what a unit reads is an upstream of the node: %q", ups)
	}
	again, _, err := node.Compile(n.Spec)
	if err != nil || !proto.Equal(again.Spec, n.Spec) {
		t.Errorf("%v %v", again, err)
	}
}

func TestR12_2_ALogicalNodeIsChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*wire.Logical)
		want string // field and words
	}{
		{"no table", func(l *wire.Logical) { l.Table = "" }, `logical.table: "" is no table`},
		{"two schemas", func(l *wire.Logical) { l.Table = "a.b.c" }, `logical.table: "a.b.c" is no table`},
		{"a strange source table", func(l *wire.Logical) { l.SourceTable = "a b" }, `logical.sourceTable: "a b" is no table`},
		{"a strange partition", func(l *wire.Logical) { l.Partition = "d s" }, `logical.partition: "d s" is no column`},
		{"no fields", func(l *wire.Logical) { l.Fields = nil }, `logical.fields: 0 fields: expected 1 to 1000`},
		{"no primary key", func(l *wire.Logical) { l.Fields[0].PrimaryKey = false }, `logical.fields: none is of the primary key`},
		{"a strange field", func(l *wire.Logical) { l.Fields[2].Name, l.Units[0].Fields[1] = "a-b", "a-b" }, `logical.fields[2].name: "a-b" is no field`},
		{"a field twice", func(l *wire.Logical) { l.Fields[2].Name = "NAME" }, `logical.fields[2].name: field "NAME" is there already, upper and lower case alike`},
		{"the partition as a field", func(l *wire.Logical) { l.Partition = "City" }, `logical.fields[2].name: "city" is the column of the partition`},
		{"no type", func(l *wire.Logical) { l.Fields[1].Type = "" }, `logical.fields[1].type: "" is no type: expected text, integer`},
		{"an unknown type", func(l *wire.Logical) { l.Fields[1].Type = "txt" }, `logical.fields[1].type: "txt" is no type (did you mean "text"?)`},
		{"no units", func(l *wire.Logical) { l.Units = nil }, `logical.units: 0 units: expected 1 to 100`},
		{"a strange unit", func(l *wire.Logical) { l.Units[0].Id = "Base" }, `logical.units[0].id: "Base" is no unit`},
		{"a unit twice", func(l *wire.Logical) { l.Units[1].Id = "base" }, `logical.units[1].id: unit "base" is there already`},
		{"a table name too long", func(l *wire.Logical) { l.Table = "shop." + strings.Repeat("t", 60) }, `logical.units[0].id: its table`},
		{"no code", func(l *wire.Logical) { l.Units[1].Code = "" }, `logical.units[1].code: it is empty: expected a query`},
		{"an unknown field of a unit", func(l *wire.Logical) { l.Units[1].Fields = []string{"level", "citty"} },
			`logical.units[1].fields[1]: there is no field "citty" (did you mean "city"?)`},
		{"the key among the fields", func(l *wire.Logical) { l.Units[1].Fields = []string{"id", "level"} }, `logical.units[1].fields[0]: "id" is of the primary key`},
		{"a field listed twice", func(l *wire.Logical) { l.Units[1].Fields = []string{"level", "level"} }, `logical.units[1].fields[1]: field "level" is listed twice`},
		{"a later unit of nothing", func(l *wire.Logical) { l.Units[1].Fields = nil }, `logical.units[1].fields: it is empty`},
		{"a field of no unit", func(l *wire.Logical) { l.Units[0].Fields = []string{"name"} }, `logical.fields[2]: no unit produces field "city"`},
		{"a strange upstream", func(l *wire.Logical) { l.Units[1].Upstreams = []string{"A B"} }, `logical.units[1].upstreams[0]: "A B" is no node id`},
	} {
		spec := table("dim", "base: name city", "score: level")
		c.set(spec.Logical)
		_, _, err := node.Compile(spec)
		var e *fault.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.ContainsFunc(e.Details, func(d fault.Detail) bool { return strings.HasPrefix(d.Field+": "+d.Message, c.want) }) {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, e.Details, c.want)
		}
	}
	none := &wire.Node{Id: "dim", Type: node.LogicalFact, Source: "shop"}
	if _, _, err := node.Compile(none); err == nil || !strings.Contains(err.Error(), "logical: it is missing") {
		t.Errorf("no table at all: %v", err)
	}
}

func TestR12_2_FieldsOfUpstreamsAreKnown(t *testing.T) {
	reads := func(up string, fields ...string) *wire.Node {
		return &wire.Node{Id: "mart", Code: "true", Upstreams: []*wire.Upstream{{Node: up, Fields: fields}}}
	}
	dim, shell := table("dim", "base: name"), &wire.Node{Id: "sh", Code: "true"}
	if _, err := node.Apply(nil, []*wire.Node{dim, reads("dim", "name", "id")}, nil); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		reads *wire.Node
		want  string
	}{
		{reads("dim", "nam"), `nodes["mart"].upstreams[0].fields[0]: node "mart": "dim" has no field "nam" (did you mean "name"?): expected one of its fields`},
		{reads("sh", "name"), `nodes["mart"].upstreams[0].fields: node "mart": "sh" is of type shell and has no fields: take them out`},
	} {
		_, err := node.Apply(nil, []*wire.Node{dim, shell, c.reads}, nil)
		var e *fault.Error
		if !errors.As(err, &e) || len(e.Details) != 1 || e.Details[0].Field+": "+e.Details[0].Message != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	// The table may not lose a field that somebody reads.
	first, err := node.Apply(nil, []*wire.Node{table("dim", "base: name city"), reads("dim", "city")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Apply(first.Nodes, []*wire.Node{dim}, nil); err == nil || !strings.Contains(err.Error(), `"dim" has no field "city"`) {
		t.Errorf("%v", err)
	}
}

// shop is a logical root and what reads which of its fields:
//
//	dim → levels (level) → report ← names (name), any (no fields)
//	dim → both (name, level);  names → deep → report
func shop(t *testing.T) *node.Graph {
	t.Helper()
	specs := []*wire.Node{table("dim", "base: name city", "score: level")}
	for _, short := range []string{"levels dim/level", "names dim/name", "any dim", "both dim/name/level", "deep names", "report levels deep", "apart"} {
		words := strings.Fields(short)
		n := &wire.Node{Id: words[0], Code: "true"}
		for _, u := range words[1:] {
			parts := strings.Split(u, "/")
			n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: parts[0], Fields: parts[1:]})
		}
		specs = append(specs, n)
	}
	change, err := node.Apply(nil, specs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return change.Graph
}

func of(root string, fields ...string) []*wire.FieldChoice {
	return []*wire.FieldChoice{{Node: root, Fields: fields}}
}

func TestR12_2_DownstreamChoiceByField(t *testing.T) {
	g := shop(t)
	const current, descendants = wire.Request_CURRENT, wire.Request_DESCENDANTS
	for _, c := range []struct {
		name string
		req  *wire.Request
		want string
	}{
		{"the entire table: all", &wire.Request{Mode: descendants, Root: "dim"}, "dim:0 any:1 both:1 levels:1 names:1 deep:2 report:2"},
		{"named without fields: all", &wire.Request{Mode: descendants, Root: "dim", Fields: of("dim")}, "dim:0 any:1 both:1 levels:1 names:1 deep:2 report:2"},
		{"level", &wire.Request{Mode: descendants, Root: "dim", Fields: of("dim", "level")},
			"dim:0 any:1 both:1 levels:1 names:1?NOT_CHOSEN deep:2?NOT_CHOSEN report:2"}, // they lie between
		{"name", &wire.Request{Mode: descendants, Root: "dim", Fields: of("dim", "name")}, "dim:0 any:1 both:1 levels:1?NOT_CHOSEN names:1 deep:2 report:2"},
		{"a field that nobody names", &wire.Request{Mode: descendants, Root: "dim", Fields: of("dim", "city")}, "dim:0 any:1"},
		{"levels are counted as ever", &wire.Request{Mode: descendants, Root: "dim", Fields: of("dim", "name"), MaxLevel: 2, NameFilter: "report"}, "dim:0 levels:1?NOT_CHOSEN names:1?NOT_CHOSEN deep:2?NOT_CHOSEN report:2"},
		{"by list", &wire.Request{Mode: descendants, Root: "dim", Fields: of("dim", "level"), Nodes: []string{"report"}},
			"dim:0 levels:1?NOT_CHOSEN names:1?NOT_CHOSEN deep:2?NOT_CHOSEN report:2"},
		{"without the root", &wire.Request{Mode: descendants, Root: "dim", WithoutRoot: true, Fields: of("dim", "level")}, "any:1 both:1 levels:1 report:2"},
		{"massive", &wire.Request{Mode: massive, Root: "dim", Fields: of("dim", "level")}, "dim:0 any:1 both:1 levels:1 names:1?NOT_CHOSEN deep:2?NOT_CHOSEN report:2"},
		{"current", &wire.Request{Mode: current, Root: "dim", Fields: of("dim", "level")}, "dim:0"},
		{"advanced: the choice is free", &wire.Request{Mode: advanced, Nodes: []string{"dim", "names"}, Fields: of("dim", "level")}, "dim:0 names:1"},
		{"chain: as ever", &wire.Request{Mode: chain, Root: "dim", End: "deep", Fields: of("dim", "level")}, "dim:0 names:1 deep:2"},
	} {
		s, err := node.Select(g, c.req, node.Scope{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := show(s); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestR12_2_SelectRefusesFields(t *testing.T) {
	g := shop(t)
	const current, descendants = wire.Request_CURRENT, wire.Request_DESCENDANTS
	for _, c := range []struct {
		name string
		req  *wire.Request
		want string
	}{
		{"the primary key", &wire.Request{Mode: current, Root: "dim", Fields: of("dim", "id")},
			`fields[0].fields[0]: "id" is of the primary key, which every unit writes: it can only be had with the entire table; leave the choice of fields out`},
		{"an unknown node", &wire.Request{Mode: current, Root: "dim", Fields: of("dimm", "level")}, `fields[0].node: there is no node "dimm" (did you mean "dim"?)`},
		{"no node", &wire.Request{Mode: current, Root: "dim", Fields: of("", "level")}, `fields[0].node: it is empty: expected the id of a node`},
		{"an unknown field", &wire.Request{Mode: current, Root: "dim", Fields: of("dim", "level", "cty")},
			`fields[0].fields[1]: there is no field "cty" (did you mean "city"?): expected fields of the table`},
		{"not logical", &wire.Request{Mode: descendants, Root: "dim", Fields: of("names", "name")},
			`fields[0].node: node "names" is of type shell and has no fields to choose from: take it out`},
		{"twice", &wire.Request{Mode: current, Root: "dim", Fields: append(of("dim", "level"), of("dim", "name")...)},
			`fields[1].node: node "dim" has a choice of fields already: expected one, with all of its fields`},
		{"of a node that does not run", &wire.Request{Mode: current, Root: "names", Fields: of("dim", "level")},
			`fields[0].node: node "dim" does not run in this backfill: leave its fields out, or choose the node, too`},
		{"a named node that needs another field", &wire.Request{Mode: descendants, Root: "dim", Nodes: []string{"levels", "deep"}, Fields: of("dim", "level")},
			`nodes[1]: node "deep" depends on none of the fields that are chosen of "dim": leave it out, or choose a field that it needs`},
		{"a blacklisted one", &wire.Request{Mode: massive, Root: "dim", Blacklist: []string{"names"}, Fields: of("dim", "level")},
			`blacklist[0]: node "names" depends on none of the fields that are chosen of "dim": leave it out, or choose a field that it needs`},
		{"none is left", &wire.Request{Mode: descendants, Root: "dim", WithoutRoot: true, NameFilter: "deep", Fields: of("dim", "level")},
			`withoutRoot: no descendant of "dim" is chosen, so that nothing is left to run: choose more, or keep the root`},
	} {
		_, err := node.Select(g, c.req, node.Scope{})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, c.want)
		}
	}
}
