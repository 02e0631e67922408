package node_test

import (
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

const (
	massive  = wire.Request_MASSIVE
	advanced = wire.Request_ADVANCED
	chain    = wire.Request_CHAIN
)

// company is a graph over workspaces; "id@workspace upstream…" is a node.
//
//	raw@ods → clean@core → mart@bi → report@bi
//	          clean@core → sums@core → report@bi
//	raw@ods → stock@abroad, and alone@core stands apart
func company(t *testing.T) *node.Graph {
	t.Helper()
	var all []*node.Node
	for _, short := range []string{"raw@ods", "clean@core raw", "mart@bi clean", "sums@core clean", "report@bi mart sums", "stock@abroad raw", "alone@core"} {
		s := spec(short)
		s.Id, s.Workspace, _ = strings.Cut(s.Id, "@")
		s.Name, s.Owner, s.ResourceGroup = "Table "+s.Id, "ana", "small"
		if s.Workspace == "bi" {
			s.Owner, s.ResourceGroup, s.Baseline, s.Priority = "bo", "big", "urgent", 8
		}
		n, _, err := node.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	g, err := node.BuildGraph(all)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// places is where the company's workspaces are; bi has advanced mode off.
func places(id string) node.Workspace {
	if id == "abroad" {
		return node.Workspace{Region: "west", Advanced: true}
	}
	return node.Workspace{Region: "east", Advanced: id != "bi"}
}

func may(workspaces ...string) node.Scope {
	s := node.Scope{Workspace: places, Restricted: true, Allowed: map[string]bool{}}
	for _, w := range workspaces {
		s.Allowed[w] = true
	}
	return s
}

type selects struct {
	name  string
	scope node.Scope
	req   *wire.Request
	want  string
}

func checkSelects(t *testing.T, cases []selects) {
	t.Helper()
	g := company(t)
	for _, c := range cases {
		s, err := node.Select(g, c.req, c.scope)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := show(s); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestR2_3_Massive(t *testing.T) {
	in := node.Scope{Workspace: places}
	checkSelects(t, []selects{
		{"the root's workspace", in, &wire.Request{Mode: massive, Root: "clean"}, "clean:0 sums:1"},
		{"the root, though its workspace is not chosen", in, &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"core"}}, "raw:0 clean:1 sums:2"},
		{"two workspaces", in, &wire.Request{Mode: massive, Root: "clean", Workspaces: []string{"core", "bi"}}, "clean:0 mart:1 sums:1 report:2"},
		{"bridges", in, &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"bi"}}, "raw:0 clean:1?NOT_CHOSEN mart:2 sums:2?NOT_CHOSEN report:3"},
		{"whitelist", in, &wire.Request{Mode: massive, Root: "clean", Whitelist: []string{"report"}}, "clean:0 mart:1?NOT_CHOSEN sums:1 report:2"},
		{"whitelist from another region", in, &wire.Request{Mode: massive, Root: "raw", Whitelist: []string{"stock"}}, "raw:0 stock:1"},
		{"a blacklisted node is a dry run, at the rim too", in, &wire.Request{Mode: massive, Root: "clean", Workspaces: []string{"core", "bi"}, Blacklist: []string{"report", "sums"}},
			"clean:0 mart:1 sums:1?BLACKLISTED report:2?BLACKLISTED"},
		{"without the root", in, &wire.Request{Mode: massive, Root: "clean", WithoutRoot: true}, "clean:0?CURRENT_NODE_CLEARED sums:1"},
		{"blacklisting the root is the same", in, &wire.Request{Mode: massive, Root: "clean", Blacklist: []string{"clean"}}, "clean:0?CURRENT_NODE_CLEARED sums:1"},
		{"both ways", in, &wire.Request{Mode: massive, Root: "clean", WithoutRoot: true, Blacklist: []string{"clean"}}, "clean:0?CURRENT_NODE_CLEARED sums:1"},
		{"blacklisted root outside the workspaces", in, &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"core"}, Blacklist: []string{"raw"}}, "raw:0?CURRENT_NODE_CLEARED clean:1 sums:2"},
		{"no workspace is known", node.Scope{}, &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"abroad"}}, "raw:0 stock:1"},
	})
}

func TestR2_4_Advanced(t *testing.T) {
	in := node.Scope{} // every workspace takes part
	checkSelects(t, []selects{
		{"a list", in, &wire.Request{Mode: advanced, Nodes: []string{"alone", "stock"}}, "alone:0 stock:0"},
		{"a list with bridges", in, &wire.Request{Mode: advanced, Nodes: []string{"report", "raw"}},
			"raw:0 clean:1?NOT_CHOSEN mart:2?NOT_CHOSEN sums:2?NOT_CHOSEN report:3"},
		{"levels from the nearest top", in, &wire.Request{Mode: advanced, Nodes: []string{"clean", "report", "alone"}}, "alone:0 clean:0 mart:1?NOT_CHOSEN sums:1?NOT_CHOSEN report:2"},
		{"workspace", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Workspace: "core"}}}, "alone:0 clean:0 sums:1"},
		{"owner", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Owner: "bo"}}}, "mart:0 report:1"},
		{"priority", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Priority: 8}}}, "mart:0 report:1"},
		{"resource group", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{ResourceGroup: "big"}}}, "mart:0 report:1"},
		{"name", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Name: "table S"}}}, "stock:0 sums:0"},
		{"id", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Id: "AR"}}}, "mart:0"},
		{"type", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Type: "shell", Id: "stock"}}}, "stock:0"},
		{"all that is set must agree", in, &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Workspace: "core", Id: "s"}}}, "sums:0"},
		{"any filter, and the list", in, &wire.Request{Mode: advanced, Nodes: []string{"alone"}, Filters: []*wire.NodeFilter{{Id: "stock"}, {Id: "raw"}}}, "alone:0 raw:0 stock:1"},
	})
}

func TestR2_5_Chain(t *testing.T) {
	in := node.Scope{Workspace: places}
	checkSelects(t, []selects{
		{"every path", in, &wire.Request{Mode: chain, Root: "clean", End: "report"}, "clean:0 mart:1 sums:1 report:2"},
		{"neighbours", in, &wire.Request{Mode: chain, Root: "raw", End: "stock"}, "raw:0 stock:1"},
	})
}

func TestR2_9_NotPermitted(t *testing.T) {
	checkSelects(t, []selects{
		{"in the middle of all descendants", may("ods", "bi", "abroad"), &wire.Request{Mode: wire.Request_DESCENDANTS, Root: "raw"},
			"raw:0 clean:1?NOT_PERMITTED stock:1 mart:2 sums:2?NOT_PERMITTED report:3"},
		{"at the rim", may("core"), &wire.Request{Mode: wire.Request_DESCENDANTS, Root: "clean"}, "clean:0 mart:1?NOT_PERMITTED sums:1 report:2?NOT_PERMITTED"},
		{"in the middle of a chain", may("ods", "bi"), &wire.Request{Mode: chain, Root: "raw", End: "mart"}, "raw:0 clean:1?NOT_PERMITTED mart:2"},
		{"a bridge", may("ods", "bi"), &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"bi"}},
			"raw:0 clean:1?NOT_PERMITTED mart:2 sums:2?NOT_PERMITTED report:3"},
		{"matched by a filter", may("ods", "abroad"), &wire.Request{Mode: advanced, Filters: []*wire.NodeFilter{{Id: "clean"}, {Id: "stock"}}}, "clean:0?NOT_PERMITTED stock:0"},
		{"blacklisted anyway", may("core"), &wire.Request{Mode: massive, Root: "clean", Blacklist: []string{"sums"}}, "clean:0 sums:1?BLACKLISTED"},
	})
}

func TestR2_SelectRefuses(t *testing.T) {
	g := company(t)
	in := node.Scope{Workspace: places}
	filters := func(f ...*wire.NodeFilter) *wire.Request { return &wire.Request{Mode: advanced, Filters: f} }
	for _, c := range []struct {
		name  string
		scope node.Scope
		req   *wire.Request
		code  fault.Code
		want  string
	}{
		{"R2.3 other region", in, &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"core", "abroad"}}, fault.Invalid,
			`workspaces[1]: workspace "abroad" is in region "west", the root "raw" in region "east": expected workspaces of one region`},
		{"R2.3 unknown workspace", in, &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"cor"}}, fault.NotFound, `workspaces[0]: no node is in a workspace "cor" (did you mean "core"?)`},
		{"R2.3 both lists", in, &wire.Request{Mode: massive, Root: "raw", Whitelist: []string{"mart"}, Blacklist: []string{"sums", "mart"}}, fault.Invalid,
			`whitelist[0]: node "mart" is in the blacklist as well: expected it in one of the two lists`},
		{"R2.3 unknown in whitelist", in, &wire.Request{Mode: massive, Root: "raw", Whitelist: []string{"mrt"}}, fault.NotFound, `whitelist[0]: there is no node "mrt" (did you mean "mart"?)`},
		{"R2.3 unknown in blacklist", in, &wire.Request{Mode: massive, Root: "raw", Blacklist: []string{""}}, fault.Invalid, `blacklist[0]: it is empty: expected the id of a node`},
		{"R2.3 whitelist no descendant", in, &wire.Request{Mode: massive, Root: "clean", Whitelist: []string{"stock"}}, fault.Invalid,
			`whitelist[0]: node "stock" is no descendant of "clean": leave it out, or choose another root`},
		{"R2.3 blacklist no descendant", in, &wire.Request{Mode: massive, Root: "clean", Blacklist: []string{"alone"}}, fault.Invalid,
			`blacklist[0]: node "alone" is no descendant of "clean": leave it out, or choose another root`},
		{"R2.3 whitelist inside", in, &wire.Request{Mode: massive, Root: "clean", Whitelist: []string{"sums"}}, fault.Invalid,
			`whitelist[0]: node "sums" is in workspace "core", whose descendants are chosen already: take it out`},
		{"R2.3 blacklist outside", in, &wire.Request{Mode: massive, Root: "clean", Blacklist: []string{"mart"}}, fault.Invalid,
			`blacklist[0]: node "mart" is in workspace "bi", of which nothing is chosen: take it out`},
		{"R2.3 whitelisted root", in, &wire.Request{Mode: massive, Root: "clean", Whitelist: []string{"clean"}}, fault.Invalid, `whitelist[0]: node "clean" is the root, which is chosen without it: take it out`},
		{"R2.3 nothing left", in, &wire.Request{Mode: massive, Root: "report", WithoutRoot: true}, fault.Invalid,
			`withoutRoot: no descendant of "report" is chosen, so that nothing is left to run: choose more, or keep the root`},
		{"R2.3 all blacklisted", in, &wire.Request{Mode: massive, Root: "clean", Blacklist: []string{"clean", "sums"}}, fault.Invalid,
			`blacklist: no descendant of "clean" is chosen, so that nothing is left to run: choose more, or keep the root`},
		{"R2.3 a filter", in, &wire.Request{Mode: massive, Root: "clean", NameFilter: "x"}, fault.Invalid, `nameFilter: it means nothing in the mode massive: leave it out, or ask for descendants`},
		{"R2.3 a list", in, &wire.Request{Mode: massive, Root: "clean", Nodes: []string{"mart"}}, fault.Invalid, `nodes: it means nothing in the mode massive: leave it out, or ask for descendants or advanced`},
		{"R2.4 nothing", in, &wire.Request{Mode: advanced}, fault.Invalid, `nodes: nothing is chosen: expected ids of nodes, or filters`},
		{"R2.4 unknown", in, &wire.Request{Mode: advanced, Nodes: []string{"raw", "rav"}}, fault.NotFound, `nodes[1]: there is no node "rav" (did you mean "raw"?)`},
		{"R2.4 switched off", in, &wire.Request{Mode: advanced, Nodes: []string{"raw", "mart"}}, fault.Invalid,
			`nodes[1]: node "mart": workspace "bi" has the mode advanced switched off: leave its nodes out, or use another mode`},
		{"R2.4 switched off, by a filter", in, filters(&wire.NodeFilter{Priority: 8}), fault.Invalid,
			`filters[0]: node "mart": workspace "bi" has the mode advanced switched off: leave its nodes out, or use another mode`},
		{"R2.4 no match", in, filters(&wire.NodeFilter{Id: "raw"}, &wire.NodeFilter{Owner: "cy"}), fault.Invalid, `filters[1]: no node matches it: widen it, or take it out`},
		{"R2.4 unknown workspace", in, filters(&wire.NodeFilter{Workspace: "corr"}), fault.NotFound, `filters[0].workspace: no node is in a workspace "corr" (did you mean "core"?)`},
		{"R2.4 no priority", in, filters(&wire.NodeFilter{Priority: 2}), fault.Invalid, `filters[0].priority: 2 is no priority of a node: expected 1, 3, 5, 7 or 8`},
		{"R2.4 empty filter", in, filters(&wire.NodeFilter{}), fault.Invalid, `filters[0]: it is empty: expected one or more of workspace, owner, priority, name, id, type and resourceGroup`},
		{"R2.4 absent filter", in, filters(nil), fault.Invalid, `filters[0]: it is empty: expected one or more of workspace, owner, priority, name, id, type and resourceGroup`},
		{"R2.4 a root", in, &wire.Request{Mode: advanced, Root: "raw", Nodes: []string{"raw"}}, fault.Invalid,
			`root: it means nothing in the mode advanced: leave it out, or ask for current, descendants, massive or chain`},
		{"R2.5 no end", in, &wire.Request{Mode: chain, Root: "raw"}, fault.Invalid, `end: it is empty: expected the id of a node`},
		{"R2.5 unknown end", in, &wire.Request{Mode: chain, Root: "raw", End: "reports"}, fault.NotFound, `end: there is no node "reports" (did you mean "report"?)`},
		{"R2.5 end is start", in, &wire.Request{Mode: chain, Root: "raw", End: "raw"}, fault.Invalid, `end: it is the start, "raw": expected another node, or the mode current`},
		{"R2.5 backwards", in, &wire.Request{Mode: chain, Root: "report", End: "raw"}, fault.Invalid, `end: "raw" comes before the start "report", not after it: swap the two`},
		{"R2.5 no path", in, &wire.Request{Mode: chain, Root: "clean", End: "stock"}, fault.Invalid,
			`end: no path of dependencies leads from "clean" to "stock": choose an end among the descendants of the start`},
		{"R2.5 without root", in, &wire.Request{Mode: chain, Root: "raw", End: "mart", WithoutRoot: true}, fault.Invalid, `withoutRoot: it means nothing in the mode chain: leave it out, or ask for descendants or massive`},
		{"R2.9 root", may("bi"), &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"bi"}}, fault.Denied, `root: you may not run node "raw" of workspace "ods": leave it out, or ask for the right to`},
		{"R2.9 workspace", may("ods"), &wire.Request{Mode: massive, Root: "raw", Workspaces: []string{"ods", "bi"}}, fault.Denied, `workspaces[1]: you may not run nodes of workspace "bi": leave it out, or ask for the right to`},
		{"R2.9 whitelist", may("ods"), &wire.Request{Mode: massive, Root: "raw", Whitelist: []string{"mart"}}, fault.Denied, `whitelist[0]: you may not run node "mart" of workspace "bi": leave it out, or ask for the right to`},
		{"R2.9 list", may("ods"), &wire.Request{Mode: advanced, Nodes: []string{"raw", "clean"}}, fault.Denied, `nodes[1]: you may not run node "clean" of workspace "core": leave it out, or ask for the right to`},
		{"R2.9 end", may("ods"), &wire.Request{Mode: chain, Root: "raw", End: "mart"}, fault.Denied, `end: you may not run node "mart" of workspace "bi": leave it out, or ask for the right to`},
		{"R2.9 all that a filter matches", may("ods"), filters(&wire.NodeFilter{Id: "clean"}), fault.Denied, `filters: you may run none of the nodes that the filters match: choose nodes of your workspaces`},
	} {
		_, err := node.Select(g, c.req, c.scope)
		if err == nil || err.Error() != c.want || !fault.Is(err, c.code) {
			t.Errorf("%s:\ngot  %v (%s)\nwant %s (%s)", c.name, err, fault.CodeOf(err), c.want, c.code)
		}
	}
}

// TestR2_FieldsOfOtherModesAreRefused: every field of the selection, in every
// mode in which it means nothing.
func TestR2_FieldsOfOtherModesAreRefused(t *testing.T) {
	g := company(t)
	const current, descendants = wire.Request_CURRENT, wire.Request_DESCENDANTS
	for _, c := range []struct {
		field string
		set   func(*wire.Request)
		modes string // in which it does mean something
	}{
		{"nodes", func(r *wire.Request) { r.Nodes = []string{"mart"} }, "DESCENDANTS ADVANCED"},
		{"withoutRoot", func(r *wire.Request) { r.WithoutRoot = true }, "DESCENDANTS MASSIVE"},
		{"nameFilter", func(r *wire.Request) { r.NameFilter = "a" }, "DESCENDANTS"},
		{"maxLevel", func(r *wire.Request) { r.MaxLevel = 1 }, "DESCENDANTS"},
		{"workspaces", func(r *wire.Request) { r.Workspaces = []string{"core"} }, "MASSIVE"},
		{"whitelist", func(r *wire.Request) { r.Whitelist = []string{"mart"} }, "MASSIVE"},
		{"blacklist", func(r *wire.Request) { r.Blacklist = []string{"sums"} }, "MASSIVE"},
		{"end", func(r *wire.Request) { r.End = "report" }, "CHAIN"},
		{"filters", func(r *wire.Request) { r.Filters = []*wire.NodeFilter{{Id: "mart"}} }, "ADVANCED"},
	} {
		for _, mode := range []wire.Request_Mode{current, descendants, massive, advanced, chain} {
			req := &wire.Request{Mode: mode, Root: "clean"}
			switch mode {
			case advanced:
				req.Root, req.Nodes = "", []string{"raw"}
			case chain:
				req.End = "report"
			}
			c.set(req)
			_, err := node.Select(g, req, node.Scope{})
			var field string
			if e, ok := err.(*fault.Error); ok {
				field = e.Field
			}
			if means := strings.Contains(c.modes, mode.String()); means && err != nil || !means && field != c.field {
				t.Errorf("%s in mode %s: %v", c.field, mode, err)
			}
		}
	}
}
