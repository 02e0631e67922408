package node_test

import (
	"fmt"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// show writes a selection as "id:level", dry ones with a "?" behind.
func show(s *node.Selection) string {
	var out []string
	for _, c := range s.Nodes {
		text := fmt.Sprintf("%s:%d", c.ID, c.Level)
		if c.Dry != wire.DryRun_DRY_RUN_NONE {
			text += "?" + c.Dry.String()
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestR2_2_Select(t *testing.T) {
	// a → b → d → e → f, a → c → e, c → g; z stands apart.
	g := graph(t, "a", "b a", "c a", "d b", "e d c", "f e", "g c", "z")
	const current, descendants = wire.Request_CURRENT, wire.Request_DESCENDANTS
	for _, c := range []struct {
		name string
		req  *wire.Request
		want string
	}{
		{"current", &wire.Request{Mode: current, Root: "b"}, "b:0"},
		{"all", &wire.Request{Mode: descendants, Root: "a"}, "a:0 b:1 c:1 d:2 g:2 e:2 f:3"},
		{"from the middle", &wire.Request{Mode: descendants, Root: "b"}, "b:0 d:1 e:2 f:3"},
		{"level", &wire.Request{Mode: descendants, Root: "a", MaxLevel: 1}, "a:0 b:1 c:1"},
		{"name, whatever the case", &wire.Request{Mode: descendants, Root: "a", NameFilter: "E"}, "a:0 b:1?NOT_CHOSEN c:1?NOT_CHOSEN d:2?NOT_CHOSEN e:2"},
		{"list", &wire.Request{Mode: descendants, Root: "a", Nodes: []string{"f", "b"}}, "a:0 b:1 c:1?NOT_CHOSEN d:2?NOT_CHOSEN e:2?NOT_CHOSEN f:3"},
		{"without root", &wire.Request{Mode: descendants, Root: "a", WithoutRoot: true, Nodes: []string{"c", "f"}}, "c:1 e:2?NOT_CHOSEN f:3"},
		{"without root, all", &wire.Request{Mode: descendants, Root: "c", WithoutRoot: true}, "g:1 e:1 f:2"},
		{"the level may need a bridge", &wire.Request{Mode: descendants, Root: "a", MaxLevel: 2, WithoutRoot: true}, "b:1 c:1 d:2 g:2 e:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := node.Select(g, c.req, node.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			if got := show(s); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestR2_1_CurrentIsOneNode(t *testing.T) {
	g := graph(t, "a", "b a", "c b")
	for _, id := range []string{"a", "b", "c"} {
		s, err := node.Select(g, &wire.Request{Mode: wire.Request_CURRENT, Root: id}, node.Scope{})
		if err != nil || show(s) != id+":0" {
			t.Errorf("%s: got %v %v", id, s, err)
		}
	}
}

func TestR2_2_SelectRefuses(t *testing.T) {
	g := graph(t, "orders", "b orders", "z")
	const current, descendants = wire.Request_CURRENT, wire.Request_DESCENDANTS
	for _, c := range []struct {
		req  *wire.Request
		code fault.Code
		want string
	}{
		{&wire.Request{Mode: current}, fault.Invalid, `root: it is empty: expected the id of a node`},
		{&wire.Request{Mode: current, Root: "order"}, fault.NotFound, `root: there is no node "order" (did you mean "orders"?)`},
		{&wire.Request{Root: "b"}, fault.Invalid, `mode: mode_unspecified is no mode: expected current, descendants, massive, advanced or chain`},
		{&wire.Request{Mode: 77, Root: "b"}, fault.Invalid, `mode: 77 is no mode: expected current, descendants, massive, advanced or chain`},
		{&wire.Request{Mode: current, Root: "b", Nodes: []string{"b"}}, fault.Invalid, `nodes: it means nothing in the mode current: leave it out, or ask for descendants or advanced`},
		{&wire.Request{Mode: current, Root: "b", WithoutRoot: true}, fault.Invalid, `withoutRoot: it means nothing in the mode current: leave it out, or ask for descendants or massive`},
		{&wire.Request{Mode: current, Root: "b", NameFilter: "x"}, fault.Invalid, `nameFilter: it means nothing in the mode current: leave it out, or ask for descendants`},
		{&wire.Request{Mode: current, Root: "b", MaxLevel: 1}, fault.Invalid, `maxLevel: it means nothing in the mode current: leave it out, or ask for descendants`},
		{&wire.Request{Mode: descendants, Root: "b", MaxLevel: -1}, fault.Invalid, `maxLevel: -1 is no level: expected 1 or more, or 0 for no bound`},
		{&wire.Request{Mode: descendants, Root: "orders", Nodes: []string{"b"}, NameFilter: "b"}, fault.Invalid, `nameFilter: it cannot be combined with a list of nodes: choose by list or by filter`},
		{&wire.Request{Mode: descendants, Root: "orders", Nodes: []string{"b"}, MaxLevel: 1}, fault.Invalid, `maxLevel: it cannot be combined with a list of nodes: choose by list or by filter`},
		{&wire.Request{Mode: descendants, Root: "orders", Nodes: []string{"b", "z"}}, fault.Invalid, `nodes[1]: node "z" is no descendant of "orders": leave it out, or choose another root`},
		{&wire.Request{Mode: descendants, Root: "orders", Nodes: []string{"c"}}, fault.NotFound, `nodes[0]: there is no node "c" (did you mean "b"?)`},
		{&wire.Request{Mode: descendants, Root: "orders", Nodes: []string{"orders"}, WithoutRoot: true}, fault.Invalid, `nodes[0]: node "orders" is the root, which withoutRoot leaves out: say one of the two`},
		{&wire.Request{Mode: descendants, Root: "b", WithoutRoot: true}, fault.Invalid, `withoutRoot: no descendant of "b" is chosen, so that nothing is left to run: choose more, or keep the root`},
	} {
		_, err := node.Select(g, c.req, node.Scope{})
		if err == nil || err.Error() != c.want || !fault.Is(err, c.code) {
			t.Errorf("%v:\ngot  %v (%s)\nwant %s (%s)", c.req, err, fault.CodeOf(err), c.want, c.code)
		}
	}
}
