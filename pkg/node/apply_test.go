package node_test

import (
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

func specs(shorts ...string) []*wire.Node {
	var all []*wire.Node
	for _, s := range shorts {
		all = append(all, spec(s))
	}
	return all
}

func TestApplySaysWhatWouldChange(t *testing.T) {
	existing := compile(t, "a", "b a", "c b", "gone")
	changed := spec("b a")
	changed.Owner = "ana"
	for _, order := range [][]*wire.Node{{spec("a"), changed, spec("d c")}, {spec("d c"), changed, spec("a")}} {
		c, err := node.Apply(existing, order, []string{"gone"})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []struct {
			name string
			got  []string
			want string
		}{{"added", c.Added, "d"}, {"changed", c.Changed, "b"}, {"unchanged", c.Unchanged, "a"}, {"removed", c.Removed, "gone"}} {
			if strings.Join(l.got, " ") != l.want {
				t.Errorf("%s: %v, want %s", l.name, l.got, l.want)
			}
		}
		var after []string
		for _, n := range c.Nodes {
			after = append(after, n.Spec.Id)
		}
		if !slices.Equal(after, []string{"a", "b", "c", "d"}) || c.Graph.Len() != 4 {
			t.Errorf("afterwards: %v", after)
		}
		if c.Nodes[0] != existing[0] {
			t.Error("an unchanged node was replaced")
		}
	}
	if existing[1].Spec.Owner != "" {
		t.Error("an existing node was changed")
	}
}

func TestApplyRefuses(t *testing.T) {
	core := func(id string, priority int32) *wire.Node {
		n := spec(id)
		n.Baseline, n.Priority = "core", priority
		return n
	}
	held, _, err := node.Compile(core("z", 7))
	if err != nil {
		t.Fatal(err)
	}
	existing := append(compile(t, "a", "b a"), held)
	for _, c := range []struct {
		name   string
		specs  []*wire.Node
		remove []string
		want   string
	}{
		{"circle with an existing one", specs("a b"), nil, `nodes["a"].upstreams[0]: the nodes wait for each other in a circle: a → b → a: take one of these upstreams out`},
		{"unknown", specs("c d"), nil, `nodes["c"].upstreams[0]: node "c": there is no node "d" (did you mean "a"?): add it, or take it out of the upstreams`},
		{"twice", specs("c", "c"), nil, `nodes["c"].id: node "c" is defined twice: an id names one node`},
		{"still needed", nil, []string{"a"}, `nodes["b"].upstreams[0]: node "b": there is no node "a" (did you mean "b"?): add it, or take it out of the upstreams`},
		{"no such", nil, []string{"nothing"}, `: remove: there is no node "nothing" to remove`},
		{"both", specs("c"), []string{"c"}, `nodes["c"].id: node "c" is both applied and removed: say one of the two`},
		{"baseline", []*wire.Node{core("c", 8)}, nil, `nodes["c"].baseline.priority: node "c": baseline "core" has priority 8 here and 7 in node "z": give a baseline one priority`},
		{"field", []*wire.Node{{Id: "c", Code: "x", Retries: 101}}, nil, `nodes["c"].retries: node "c": 101: expected 0 to 100`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := node.Apply(existing, c.specs, c.remove)
			if got := findings(t, err); got != strings.TrimPrefix(c.want, ": ") {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestApplyLocatesFindings: what only shows when the nodes meet has file and
// line too.
func TestApplyLocatesFindings(t *testing.T) {
	files, _, err := node.Read(folder("n/ab.yaml", "id: a\ncode: x\nupstreams:\n  - b\n---\nid: b\ncode: x\nupstreams: [x, {node: c}]\n"), ".", node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = node.Apply(compile(t, "x"), files.Nodes, nil)
	located := files.Locate(err.(*fault.Error).Details)
	want := `n/ab.yaml:8:16: upstreams[1]: node "b": there is no node "c" (did you mean "a"?): add it, or take it out of the upstreams`
	if got := findings(t, fault.New(fault.Invalid, "").WithDetails(located...)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, err = node.Apply(nil, append(files.Nodes, spec("x"), spec("c a")), nil)
	located = files.Locate(err.(*fault.Error).Details)
	want = `n/ab.yaml:4:5: upstreams[0]: the nodes wait for each other in a circle: a → b → c → a: take one of these upstreams out`
	want = strings.Replace(want, "a → b → c → a", "a → c → b → a", 1)
	if got := findings(t, fault.New(fault.Invalid, "").WithDetails(located...)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
