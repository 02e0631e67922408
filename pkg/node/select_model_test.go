package node_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// model is a naive second implementation of R2: sets of ids and loops over all
// of them, on distances between every two nodes.
type model struct {
	ids   []string // in the graph's order
	specs map[string]*wire.Node
	dist  map[string]map[string]int // steps along dependencies; no entry: no path
	scope node.Scope
	req   *wire.Request

	bad    []string // fields that the rules refuse
	fields []string // chosen of the root
	chosen map[string]bool
	dry    map[string]wire.DryRun
}

func newModel(g *node.Graph, scope node.Scope, req *wire.Request) *model {
	m := &model{specs: map[string]*wire.Node{}, dist: map[string]map[string]int{}, scope: scope, req: req, chosen: map[string]bool{}, dry: map[string]wire.DryRun{}}
	for i := range g.Len() {
		s := g.Node(i).Spec
		m.ids, m.specs[s.Id], m.dist[s.Id] = append(m.ids, s.Id), s, map[string]int{s.Id: 0}
	}
	for range m.ids { // one step further each time
		for _, from := range m.ids {
			for _, id := range m.ids {
				for _, u := range m.specs[id].Upstreams {
					steps, reached := m.dist[from][u.Node]
					known, already := m.dist[from][id]
					if reached && !u.Previous && (!already || steps+1 < known) {
						m.dist[from][id] = steps + 1
					}
				}
			}
		}
	}
	return m
}

func (m *model) refuse(field string, k int) {
	m.bad = append(m.bad, field)
	if k >= 0 {
		m.bad[len(m.bad)-1] += "[" + strconv.Itoa(k) + "]"
	}
}

func (m *model) permitted(id string) bool {
	return !m.scope.Restricted || m.scope.Allowed[m.specs[id].Workspace]
}

// choices looks at what the request says of fields (RULES R12.2).
func (m *model) choices() {
	seen := map[string]bool{}
	for k, c := range m.req.Fields {
		at := fmt.Sprintf("fields[%d]", k)
		if s := m.specs[c.Node]; s == nil || s.Logical == nil || seen[c.Node] {
			m.bad = append(m.bad, at+".node")
		}
		for j, f := range c.Fields {
			if !strings.Contains("a b c d", f) {
				m.refuse(at+".fields", j)
			}
		}
		if seen[c.Node] = true; c.Node == m.req.Root {
			m.fields = c.Fields
		}
	}
}

// below says that id comes after the root by the fields that are chosen of it.
func (m *model) below(id string) bool {
	for _, u := range m.specs[id].Upstreams {
		switch {
		case u.Previous:
		case u.Node != m.req.Root:
			if m.below(u.Node) {
				return true
			}
		case len(m.fields) == 0 || len(u.Fields) == 0 || slices.ContainsFunc(u.Fields, func(f string) bool { return slices.Contains(m.fields, f) }):
			return true
		}
	}
	return false
}

// mayBe says that id is the root or may be chosen as a descendant.
func (m *model) mayBe(id string) bool { return id == m.req.Root || m.below(id) }

// after says that id is the root or comes after it.
func (m *model) after(id string) bool {
	_, is := m.dist[m.req.Root][id]
	return is
}

func (m *model) take(id string) {
	if m.permitted(id) {
		m.chosen[id] = true
	} else {
		m.dry[id] = wire.DryRun_NOT_PERMITTED
	}
}

// run gives what Select should: the nodes, or the fields one of which it names.
func (m *model) run() (string, []string) {
	if m.req.Mode != wire.Request_ADVANCED {
		if m.specs[m.req.Root] == nil {
			return "", []string{"root"}
		}
		if !m.permitted(m.req.Root) {
			m.refuse("root", -1)
		}
	}
	m.choices()
	switch m.req.Mode {
	case wire.Request_CURRENT:
		m.chosen[m.req.Root] = true
	case wire.Request_DESCENDANTS:
		m.descendants()
	case wire.Request_MASSIVE:
		m.massive()
	case wire.Request_ADVANCED:
		m.advanced()
	case wire.Request_CHAIN:
		m.chain()
	}
	for k, c := range m.req.Fields {
		if (!m.chosen[c.Node] || m.dry[c.Node] != 0) && c.Node != m.req.Root {
			m.bad = append(m.bad, fmt.Sprintf("fields[%d].node", k))
		}
	}
	for id := range m.chosen {
		if m.dry[id] == 0 {
			return m.show(), m.bad
		}
	}
	return "", append(m.bad, "withoutRoot", "blacklist", "filters")
}

func (m *model) descendants() {
	for _, id := range m.ids {
		switch steps := m.dist[m.req.Root][id]; {
		case id == m.req.Root:
			if !m.req.WithoutRoot {
				m.chosen[id] = true
			}
		case m.below(id) && len(m.req.Nodes) == 0 && (m.req.MaxLevel == 0 || steps <= int(m.req.MaxLevel)) &&
			strings.Contains(strings.ToLower(m.specs[id].Name), strings.ToLower(m.req.NameFilter)):
			m.take(id)
		}
	}
	for k, id := range m.req.Nodes {
		if m.specs[id] == nil || !m.permitted(id) || !m.mayBe(id) || id == m.req.Root && m.req.WithoutRoot {
			m.refuse("nodes", k)
		}
		m.chosen[id] = true
	}
}

func (m *model) massive() {
	region := func(w string) string { return m.scope.Workspace(w).Region }
	own := m.specs[m.req.Root].Workspace
	inside := map[string]bool{}
	for k, w := range m.req.Workspaces {
		used := slices.ContainsFunc(m.ids, func(id string) bool { return m.specs[id].Workspace == w })
		if !used || region(w) != region(own) || m.scope.Restricted && !m.scope.Allowed[w] {
			m.refuse("workspaces", k)
		}
		inside[w] = true
	}
	if len(m.req.Workspaces) == 0 {
		inside[own] = true
	}
	for _, id := range m.ids {
		if m.mayBe(id) && (inside[m.specs[id].Workspace] || id == m.req.Root) {
			m.take(id)
		}
	}
	for k, id := range m.req.Whitelist {
		if m.specs[id] == nil || !m.permitted(id) || !m.mayBe(id) || id == m.req.Root || inside[m.specs[id].Workspace] || slices.Contains(m.req.Blacklist, id) {
			m.refuse("whitelist", k)
		}
		m.chosen[id] = true
	}
	for k, id := range m.req.Blacklist {
		if m.specs[id] == nil || !m.mayBe(id) || id != m.req.Root && !inside[m.specs[id].Workspace] {
			m.refuse("blacklist", k)
		}
		m.dry[id] = wire.DryRun_BLACKLISTED
	}
	if m.req.WithoutRoot || slices.Contains(m.req.Blacklist, m.req.Root) {
		m.dry[m.req.Root] = wire.DryRun_CURRENT_NODE_CLEARED
	}
}

func (m *model) advanced() {
	if len(m.req.Nodes)+len(m.req.Filters) == 0 {
		m.refuse("nodes", -1)
	}
	for k, f := range m.req.Filters {
		some := false
		for _, id := range m.ids {
			n := m.specs[id]
			if f.Workspace != "" && f.Workspace != n.Workspace || f.Owner != "" && f.Owner != n.Owner || f.Priority != 0 && f.Priority != n.Priority ||
				f.Type != "" && f.Type != n.Type || f.ResourceGroup != "" && f.ResourceGroup != n.ResourceGroup ||
				!strings.Contains(strings.ToLower(n.Name), strings.ToLower(f.Name)) || !strings.Contains(strings.ToLower(n.Id), strings.ToLower(f.Id)) {
				continue
			}
			some = true
			if !m.scope.Workspace(n.Workspace).Advanced {
				m.refuse("filters", k)
			}
			m.take(id)
		}
		if !some || f.Workspace+f.Owner+f.Type+f.ResourceGroup+f.Name+f.Id == "" && f.Priority == 0 {
			m.refuse("filters", k)
			m.bad = append(m.bad, fmt.Sprintf("filters[%d].workspace", k))
		}
	}
	for k, id := range m.req.Nodes {
		if m.specs[id] == nil || !m.permitted(id) || !m.scope.Workspace(m.specs[id].Workspace).Advanced {
			m.refuse("nodes", k)
		}
		m.chosen[id] = true
	}
}

func (m *model) chain() {
	if m.specs[m.req.End] == nil || !m.permitted(m.req.End) || m.req.End == m.req.Root || !m.after(m.req.End) {
		m.refuse("end", -1)
	}
	for _, id := range m.ids {
		if _, before := m.dist[id][m.req.End]; before && m.after(id) {
			m.take(id)
		}
	}
}

// show adds the bridges and levels, and writes the selection as show does.
func (m *model) show() string {
	runs := func(id string) bool { return m.chosen[id] && m.dry[id] == 0 }
	between := func(id string) bool {
		before, after := false, false
		for _, other := range m.ids {
			if other != id && runs(other) {
				_, is := m.dist[other][id]
				before = before || is
				_, is = m.dist[id][other]
				after = after || is
			}
		}
		return before && after
	}
	var out []string
	for _, id := range m.ids {
		why := m.dry[id]
		switch {
		case runs(id) || why != 0:
		case between(id) && m.permitted(id):
			why = wire.DryRun_NOT_CHOSEN
		case between(id):
			why = wire.DryRun_NOT_PERMITTED
		default:
			continue
		}
		text := id + ":" + strconv.Itoa(m.level(id))
		if why != 0 {
			text += "?" + why.String()
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func (m *model) level(id string) int {
	if m.req.Mode != wire.Request_ADVANCED {
		return m.dist[m.req.Root][id]
	}
	in := func(id string) bool { return m.chosen[id] || m.dry[id] != 0 }
	level := 1000
	for _, top := range m.ids {
		steps, is := m.dist[top][id]
		for _, above := range m.ids {
			if _, before := m.dist[above][top]; in(above) && above != top && before {
				is = false
			}
		}
		if is && in(top) {
			level = min(level, steps)
		}
	}
	return level
}

// drawNodes makes a random graph whose nodes differ in all that a selection
// looks at, with dependencies on previous cycles that run in circles.
func drawNodes(r *rapid.T) *node.Graph {
	var all []*node.Node
	shorts := drawGraph(r, 9)
	var ids []string
	for _, s := range shorts {
		ids = append(ids, strings.Fields(s)[0])
	}
	for _, short := range shorts {
		s := spec(short)
		s.Name = rapid.SampledFrom([]string{"Orders ", "rates "}).Draw(r, "name") + s.Id
		s.Workspace = rapid.SampledFrom([]string{"sales", "core", "far"}).Draw(r, "workspace")
		s.Owner = rapid.SampledFrom([]string{"", "ana", "bo"}).Draw(r, "owner")
		s.ResourceGroup = rapid.SampledFrom([]string{"", "big"}).Draw(r, "group")
		s.Priority = rapid.SampledFrom([]int32{1, 8}).Draw(r, "priority")
		s.Baseline = "b" + strconv.Itoa(int(s.Priority))
		previous := rapid.SampledFrom(ids).Draw(r, "previous")
		if previous != s.Id && !slices.ContainsFunc(s.Upstreams, func(u *wire.Upstream) bool { return u.Node == previous }) && rapid.Bool().Draw(r, "has") {
			at := rapid.IntRange(0, len(s.Upstreams)).Draw(r, "at")
			s.Upstreams = slices.Insert(s.Upstreams, at, &wire.Upstream{Node: previous, Previous: true})
		}
		if rapid.IntRange(0, 2).Draw(r, "logical") > 0 {
			s.Type, s.Code, s.Source, s.Logical = node.LogicalDimension, "", "shop", table("t", "u: a b", "v: b c", "w: d").Logical
		}
		for _, u := range s.Upstreams {
			u.Fields = rapid.SampledFrom([][]string{nil, {"a"}, {"b", "d"}, {"c"}, {"id"}}).Draw(r, "fields read")
		}
		n, _, err := node.Compile(s)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, n)
	}
	g, err := node.BuildGraph(all)
	if err != nil {
		r.Fatal(err)
	}
	return g
}

func drawScope(r *rapid.T) node.Scope {
	off := rapid.SampledFrom([]string{"", "", "", "core"}).Draw(r, "advancedOff")
	return node.Scope{
		Workspace: func(id string) node.Workspace {
			region := "near"
			if id == "far" {
				region = "distant"
			}
			return node.Workspace{Region: region, Advanced: id != off}
		},
		Restricted: rapid.IntRange(0, 3).Draw(r, "restricted") == 3,
		Allowed:    map[string]bool{"sales": true, "core": rapid.Bool().Draw(r, "coreAllowed")},
	}
}

// drawRequest makes a request of a mode, most often one that makes sense.
func drawRequest(r *rapid.T, g *node.Graph, mode wire.Request_Mode) *wire.Request {
	seldom := func(name string) bool { return rapid.IntRange(0, 19).Draw(r, name) == 19 }
	id := func(name string, of []int32) string {
		switch {
		case seldom("unknown"):
			return "unknown"
		case len(of) == 0 || seldom("any"):
			return g.Node(rapid.IntRange(0, g.Len()-1).Draw(r, name)).Spec.Id
		}
		return g.Node(int(rapid.SampledFrom(of).Draw(r, name))).Spec.Id
	}
	some := func(name string, most int, of []int32) []string {
		var list []string
		for range rapid.IntRange(0, most).Draw(r, name+"Count") {
			list = append(list, id(name, of))
		}
		return list
	}
	req := &wire.Request{Mode: mode}
	var after []int32 // the root
	if mode != wire.Request_ADVANCED {
		req.Root = id("root", nil)
		if i, ok := g.Index(req.Root); ok {
			after = g.Descendants(i)
		}
	}
	switch req.Mode {
	case wire.Request_DESCENDANTS:
		req.WithoutRoot = rapid.Bool().Draw(r, "withoutRoot")
		if rapid.Bool().Draw(r, "list") {
			req.Nodes = some("nodes", 3, after)
		} else {
			req.NameFilter = rapid.SampledFrom([]string{"", "1", "ORD", "rates"}).Draw(r, "filter")
			req.MaxLevel = int32(rapid.IntRange(0, 3).Draw(r, "maxLevel"))
		}
	case wire.Request_MASSIVE:
		req.WithoutRoot = rapid.Bool().Draw(r, "withoutRoot")
		req.Workspaces = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"sales", "sales", "sales", "core", "core", "core", "far", "none"}), 0, 2, rapid.ID).Draw(r, "workspaces")
		own := ""
		if i, ok := g.Index(req.Root); ok {
			own = g.Node(i).Spec.Workspace
		}
		var inside, outside []int32
		for _, i := range after {
			n := g.Node(int(i)).Spec
			if slices.Contains(req.Workspaces, n.Workspace) || len(req.Workspaces) == 0 && n.Workspace == own {
				inside = append(inside, i)
			} else {
				outside = append(outside, i)
			}
		}
		req.Whitelist, req.Blacklist = some("whitelist", 2, outside), some("blacklist", 2, inside)
	case wire.Request_ADVANCED:
		req.Nodes = some("nodes", 4, nil)
		for range rapid.IntRange(0, 2).Draw(r, "filters") {
			req.Filters = append(req.Filters, &wire.NodeFilter{
				Workspace:     rapid.SampledFrom([]string{"", "", "", "sales", "sales", "core", "core", "none"}).Draw(r, "workspace"),
				Owner:         rapid.SampledFrom([]string{"", "", "", "ana", "bo"}).Draw(r, "owner"),
				Priority:      rapid.SampledFrom([]int32{0, 0, 0, 8, 8, 1, 5}).Draw(r, "priority"),
				Name:          rapid.SampledFrom([]string{"", "rders"}).Draw(r, "name"),
				Id:            rapid.SampledFrom([]string{"", "", "N", "1"}).Draw(r, "id"),
				Type:          rapid.SampledFrom([]string{"", "", "", "shell", "shell", "sql"}).Draw(r, "type"),
				ResourceGroup: rapid.SampledFrom([]string{"", "", "big"}).Draw(r, "group"),
			})
		}
	case wire.Request_CHAIN:
		req.End = id("end", after)
	}
	if rapid.Bool().Draw(r, "with fields") {
		drawFields(r, g, req, seldom)
	}
	return req
}

// drawFields chooses fields of the root, most often, and now and then of another
// node.
func drawFields(r *rapid.T, g *node.Graph, req *wire.Request, seldom func(string) bool) {
	names := []string{"a", "b", "c", "d"}
	if seldom("no fields") {
		names = append(names, "id", "nope")
	}
	var ids []string
	for i := range g.Len() {
		if s := g.Node(i).Spec; s.Logical != nil && (s.Id != req.Root || req.Mode == wire.Request_ADVANCED) && seldom("of another node") {
			ids = append(ids, s.Id)
		}
	}
	if i, ok := g.Index(req.Root); ok && (g.Node(i).Spec.Logical != nil || seldom("not logical")) {
		ids = append(ids, req.Root)
	}
	if seldom("twice") {
		ids = append(ids, ids...)
	}
	for _, id := range ids {
		req.Fields = append(req.Fields, &wire.FieldChoice{Node: id, Fields: rapid.SliceOfN(rapid.SampledFrom(names), 0, 2).Draw(r, "fields")})
	}
}

// TestR2_SelectAgreesWithTheModel: for every mode, what is selected is what
// the rules say word for word, and what is refused names a field at fault.
func TestR2_SelectAgreesWithTheModel(t *testing.T) {
	for mode := wire.Request_CURRENT; mode <= wire.Request_CHAIN; mode++ {
		t.Run(mode.String(), rapid.MakeCheck(func(r *rapid.T) {
			g := drawNodes(r)
			for range 10 {
				agree(r, g, drawScope(r), drawRequest(r, g, mode))
			}
		}))
	}
}

func agree(r *rapid.T, g *node.Graph, scope node.Scope, req *wire.Request) {
	want, bad := newModel(g, scope, req).run()
	s, err := node.Select(g, req, scope)
	switch e, coded := err.(*fault.Error); {
	case len(bad) > 0 && (!coded || !slices.Contains(bad, e.Field)):
		r.Fatalf("%v\ngot  %v\nwant one of the fields %v", req, err, bad)
	case len(bad) == 0 && err != nil:
		r.Fatalf("%v\ngot  %v\nwant %s", req, err, want)
	case err == nil && show(s) != want:
		r.Fatalf("%v\ngot  %s\nwant %s", req, show(s), want)
	}
}
