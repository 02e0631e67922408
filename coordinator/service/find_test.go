package service

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// owned is a node of somebody's.
func owned(id, owner, workspace, kind string, ups ...string) *wire.Node {
	n := daily(id, func(n *wire.Node) { n.Owner, n.Workspace, n.Name = owner, workspace, "Node "+strings.ToUpper(id) })
	if n.Type = kind; kind == "virtual" {
		n.Code = ""
	}
	for _, up := range ups {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: up})
	}
	return n
}

// world is a rig with six nodes of three people, and backfills of them.
func world(t *testing.T) *rig {
	r := newRig(t, owned("a", "ann", "shop", "shell"), owned("b", "bob", "shop", "shell", "a"), owned("c", "ann", "ads", "shell", "b"),
		owned("d", "cyd", "ads", "virtual", "c"), owned("e", "bob", "lab", "shell"), owned("f", "cyd", "lab", "shell", "e"))
	r.agent("a1", "default", 1000, wire.Agent_READY)
	r.agent("a2", "default", 1000, wire.Agent_READY)
	return r
}

func tree6(id, dates string) *wire.Request {
	return backfill(id, dates, func(q *wire.Request) { q.Mode, q.Gate = wire.Request_DESCENDANTS, wire.Request_NONE })
}

// everyPage walks a list to its end. between is called after each page.
func everyPage[T any](t *testing.T, ask func(server.Page) ([]T, server.Next, error), limit int, between func()) (all []T) {
	t.Helper()
	for at := ""; ; {
		items, next, err := ask(server.Page{Limit: limit, Cursor: at})
		if err != nil || len(items) > limit {
			t.Fatal(len(items), err)
		}
		all = append(all, items...)
		if at = next; at == "" {
			return all
		}
		between()
	}
}

func TestNodesByWhatTheyAre(t *testing.T) {
	r := world(t)
	no := false
	for want, q := range map[string]server.NodeQuery{
		"a b c d e f": {}, "a c": {Owners: []string{"ann"}}, "b e": {Owner: "bob"}, "c d e f": {Workspaces: []string{"ads", "lab"}},
		"d": {Types: []string{"virtual"}}, "b": {Contains: "b", Workspaces: []string{"shop"}}, "c e": {IDs: []string{"e", "c", "z"}},
		"f": {Name: "node f"}, "a b c d e f ": {Auto: &no, Modes: []v1.NodeMode{v1.NodeModeNormal}, Kinds: []v1.ScheduleKind{v1.ScheduleKindDaily}},
		"": {Priorities: []int{8}},
	} {
		list, _, err := r.Nodes(t.Context(), q, "", server.Page{Limit: 9})
		var got []string
		for _, n := range list {
			got = append(got, n.Id)
		}
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("%+v: %v, expected %v, %v", q, got, wanted, err)
		}
	}
	for sort, want := range map[v1.NodeSort]string{
		"id": "abcdef", "-id": "fedcba", "owner": "acbedf", "-owner": "fdebca", "workspace": "cdefab", "-name": "fedcba", "priority": "abcdef",
	} {
		got := ""
		for _, n := range everyPage(t, func(p server.Page) ([]*wire.Node, server.Next, error) {
			return r.Nodes(t.Context(), server.NodeQuery{}, sort, p)
		}, 1, func() {}) {
			got += n.Id
		}
		if got != want {
			t.Errorf("by %s: %s, expected %s", sort, got, want)
		}
	}
	_, next, _ := r.Nodes(t.Context(), server.NodeQuery{}, "owner", server.Page{Limit: 2})
	for name, ask := range map[string]func() error{
		"order": func() error {
			_, _, err := r.Nodes(t.Context(), server.NodeQuery{}, "name", server.Page{Limit: 2, Cursor: next})
			return err
		},
		"filter": func() error {
			_, _, err := r.Nodes(t.Context(), server.NodeQuery{Name: "x"}, "owner", server.Page{Limit: 2, Cursor: next})
			return err
		},
	} {
		if ask() == nil {
			t.Errorf("a cursor of another %s was taken", name)
		}
	}
}

func TestBackfillsByWhatTheyAre(t *testing.T) {
	r := world(t)
	one := r.submit(tree6("a", "2021-01-01..2021-01-05"))
	r.now = r.now.Add(48 * time.Hour)
	two := r.submit(tree6("e", "2021-01-03"))
	three := r.submit(backfill("c", "2021-02-01", func(q *wire.Request) { q.Mode = wire.Request_CURRENT }))
	p3, _ := r.m.State().Plan(three)
	r.run(three, wire.Outcome_SUCCEEDED, 0)
	p2, _ := r.m.State().Plan(two)
	r.run(two, wire.Outcome_FAILED, 0)
	ids := func(q server.PlanQuery) (got []uint64) {
		q.Kind = v1.PlanFilterBackfill
		for _, s := range everyPage(t, func(p server.Page) ([]v1.BackfillSummary, server.Next, error) { return r.Backfills(t.Context(), q, p) }, 1, func() {}) {
			id, _ := plan.ParseID(s.ID)
			got = append(got, id)
		}
		return got
	}
	later := r.now.Add(-time.Hour)
	for name, c := range map[string]struct {
		q    server.PlanQuery
		want []uint64
	}{
		"all":         {server.PlanQuery{}, []uint64{three, two, one}},
		"oldest":      {server.PlanQuery{Sort: v1.BackfillSortCreated}, []uint64{one, two, three}},
		"by name":     {server.PlanQuery{Sort: v1.BackfillSortName}, []uint64{one, three, two}},
		"by state":    {server.PlanQuery{Sort: v1.BackfillSortState}, []uint64{two, one, three}},
		"ids":         {server.PlanQuery{IDs: []uint64{one, three}}, []uint64{three, one}},
		"name":        {server.PlanQuery{Contains: strings.ToLower(p2.Name)}, []uint64{two}},
		"from":        {server.PlanQuery{CreatedFrom: &later}, []uint64{three, two}},
		"to":          {server.PlanQuery{CreatedTo: &later}, []uint64{one}},
		"by":          {server.PlanQuery{CreatedBy: []string{p3.Actor}}, []uint64{three, two, one}},
		"by nobody":   {server.PlanQuery{Creator: "nobody"}, nil},
		"dates":       {server.PlanQuery{From: ref("2021-01-04"), To: ref("2021-01-31")}, []uint64{one}},
		"node":        {server.PlanQuery{Nodes: server.OneNode("c")}, []uint64{three, one}},
		"owner":       {server.PlanQuery{Nodes: &server.NodeQuery{Owner: "bob"}}, []uint64{two, one}},
		"one node":    {server.PlanQuery{Nodes: &server.NodeQuery{Owner: "bob", Workspaces: []string{"lab"}}}, []uint64{two}},
		"states":      {server.PlanQuery{States: []v1.State{v1.StateSucceeded, v1.StateFailed}}, []uint64{three, two}},
		"states, asc": {server.PlanQuery{States: []v1.State{v1.StateSucceeded, v1.StateFailed}, Sort: v1.BackfillSortState}, []uint64{two, three}},
	} {
		if got := ids(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}

// TestInstancesByWhatTheyAre holds filtered lists, in every order and through pages
// of every kind, against the same list looked through by hand.
func TestInstancesByWhatTheyAre(t *testing.T) {
	r := world(t)
	random := rand.New(rand.NewPCG(4, 4))
	for _, req := range []*wire.Request{tree6("a", "2021-01-01..2021-01-09"), tree6("e", "2021-01-03..2021-01-12"), tree6("b", "2021-01-05")} {
		if random.IntN(2) == 0 {
			req.Order = wire.Request_DESCENDING
		}
		id := r.submit(req)
		p, _ := r.m.State().Plan(id)
		for i := range p.Size() {
			at, _ := p.Locate(i)
			if p.Dry(at) != wire.DryRun_DRY_RUN_NONE {
				continue
			}
			switch random.IntN(5) {
			case 0:
				r.run(id, wire.Outcome_SUCCEEDED, i)
			case 1:
				r.run(id, wire.Outcome_FAILED, i)
			case 2:
				r.start(id, i)
			}
		}
	}
	var all []v1.Instance
	for _, id := range []uint64{3, 2, 1} {
		one, _, err := r.Instances(t.Context(), id, server.InstanceFilter{}, server.Page{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one...)
	}
	spec := func(i v1.Instance) *wire.Node { n, _ := r.m.State().Node(i.Node); return n.Spec }
	for _, f := range []server.InstanceFilter{
		{}, {Nodes: &server.NodeQuery{Owner: "ann"}}, {Nodes: &server.NodeQuery{Workspaces: []string{"lab", "ads"}}, States: []v1.State{v1.StateFailed, v1.StateRunning}},
		{States: []v1.State{v1.StateNotRunning, v1.StateSucceeded}}, {Agents: []string{"a1"}}, {Agents: []string{"a2"}}, {Agents: []string{"a1"}, States: []v1.State{v1.StateFailed}},
		{Nodes: &server.NodeQuery{IDs: []string{"c", "a", "f"}}, From: ref("2021-01-04"), To: ref("2021-01-06")}, {Nodes: &server.NodeQuery{Contains: "node b"}},
		{Nodes: server.OneNode("nowhere")}, {States: []v1.State{v1.StateFrozen}},
	} {
		var want []string
		for _, i := range all {
			if (f.Nodes == nil || agrees(f.Nodes, spec(i), "default")) && (len(f.States) == 0 || slices.Contains(f.States, i.State)) &&
				within(date(i.Date), f.From, f.To) && (len(f.Agents) == 0 || slices.Contains(f.Agents, i.Agent)) {
				want = append(want, i.ID)
			}
		}
		for _, limit := range []int{1, 7, 1000} {
			got := instanceIDs(everyPage(t, func(p server.Page) ([]v1.Instance, server.Next, error) {
				one := r.read()
				one.left, one.glances = 3+limit, 40+limit
				return one.searchInstances(server.PlanQuery{}, f, p)
			}, limit, func() {}))
			if !slices.Equal(got, want) {
				t.Errorf("%+v by %d:\n%v, expected\n%v", f, limit, got, want)
			}
		}
		for _, id := range []uint64{1, 2, 3} {
			var of []v1.Instance
			for _, i := range all {
				if strings.HasPrefix(i.ID, fmt.Sprintf("b%d.", id)) && slices.Contains(want, i.ID) {
					of = append(of, i)
				}
			}
			slices.SortStableFunc(of, func(a, b v1.Instance) int { return strings.Compare(a.Date, b.Date) })
			f.Sort = v1.InstanceSortDate
			p, _ := r.m.State().Plan(id)
			got := instanceIDs(everyPage(t, func(page server.Page) ([]v1.Instance, server.Next, error) {
				one := r.read()
				one.left, one.glances = 5, 9
				return one.instances(p, f, page)
			}, 3, func() {}))
			if !slices.Equal(got, instanceIDs(of)) {
				t.Errorf("b%d %+v by date:\n%v, expected\n%v", id, f, got, instanceIDs(of))
			}
			f.Sort = ""
		}
	}
}

func instanceIDs(list []v1.Instance) (ids []string) {
	for _, i := range list {
		ids = append(ids, i.ID)
	}
	return ids
}

// TestListsAreStableWhileThingsComeAndGo: whatever is added and finishes between
// pages, what was there all along is shown once, in every order that does not
// change with it.
func TestListsAreStableWhileThingsComeAndGo(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 7))
		r := world(t)
		change := func() {
			switch random.IntN(3) {
			case 0:
				r.submit(tree6(string(rune('a'+random.IntN(6))), "2021-01-01..2021-01-03"))
			case 1:
				id := fmt.Sprintf("%c%d", 'a'+random.IntN(6), random.IntN(1000))
				r.apply(owned(id, []string{"ann", "bob", "cyd"}[random.IntN(3)], "shop", "shell"))
			default:
				id := uint64(1 + random.IntN(4))
				p, _ := r.m.State().Plan(id)
				for i := range p.Size() {
					at, _ := p.Locate(i)
					if p.Status(i) == 0 && p.Dry(at) == wire.DryRun_DRY_RUN_NONE {
						r.run(id, wire.Outcome_SUCCEEDED, i)
						break
					}
				}
			}
		}
		for _, root := range []string{"a", "e", "b", "f"} {
			r.submit(tree6(root, "2021-01-01..2021-01-04"))
		}
		limit := 1 + random.IntN(3)
		for _, sort := range []v1.BackfillSort{"", v1.BackfillSortCreated, v1.BackfillSortName, v1.BackfillSortMinusName} {
			key := func(s v1.BackfillSummary) string { return s.ID }
			ask := func(p server.Page) ([]v1.BackfillSummary, server.Next, error) {
				one := r.read()
				one.left = 150
				return one.summaries("backfill", p, server.PlanQuery{Kind: v1.PlanFilterBackfill, Sort: sort})
			}
			stable(t, fmt.Sprintf("seed %d: backfills by %s", seed, sort), ask, key, limit, change)
		}
		for _, sort := range []v1.NodeSort{"", "-id", "name", "-owner", "workspace"} {
			stable(t, fmt.Sprintf("seed %d: nodes by %s", seed, sort), func(p server.Page) ([]*wire.Node, server.Next, error) {
				return r.Nodes(t.Context(), server.NodeQuery{}, sort, p)
			}, func(n *wire.Node) string { return n.Id }, limit, change)
		}
		stable(t, fmt.Sprintf("seed %d: instances", seed), func(p server.Page) ([]v1.Instance, server.Next, error) {
			one := r.read()
			one.left, one.glances = 6, 12
			return one.searchInstances(server.PlanQuery{}, server.InstanceFilter{Nodes: &server.NodeQuery{Owners: []string{"ann", "cyd"}}}, p)
		}, func(i v1.Instance) string { return i.ID }, limit, change)
	}
}

// stable walks a list once in one piece, and once in pages between which something
// changes: nothing may come twice, and nothing of the first walk be left out.
func stable[T any](t *testing.T, name string, ask func(server.Page) ([]T, server.Next, error), key func(T) string, limit int, change func()) {
	t.Helper()
	there := everyPage(t, ask, 1000, func() {})
	seen := map[string]bool{}
	for _, one := range everyPage(t, ask, limit, change) {
		if seen[key(one)] {
			t.Errorf("%s: %s came twice", name, key(one))
		}
		seen[key(one)] = true
	}
	for _, one := range there {
		if !seen[key(one)] {
			t.Errorf("%s: %s was left out", name, key(one))
		}
	}
}

// TestNextInTheGraph: upstreams and downstreams of every instance agree, in pages
// of any size.
func TestNextInTheGraph(t *testing.T) {
	r := newRig(t, diamond()...)
	id := progress(r, 5)
	p, _ := r.m.State().Plan(id)
	edges := map[string]bool{}
	walk := func(i uint64, down bool, limit int) (list []v1.Relative) {
		return everyPage(t, func(page server.Page) ([]v1.Relative, server.Next, error) {
			out, err := r.Relatives(t.Context(), id, i, down, page)
			return out.Items, out.Next, err
		}, limit, func() {})
	}
	for i := range p.Size() {
		for _, up := range walk(i, false, 1) {
			edges[up.Instance.ID+" "+plan.FormatInstance(id, i)+" "+string(up.Relation)] = true
		}
	}
	found := 0
	for i := range p.Size() {
		for _, down := range walk(i, true, 2) {
			found++
			if name := plan.FormatInstance(id, i) + " " + down.Instance.ID + " " + string(down.Relation); !edges[name] {
				t.Errorf("%s is a downstream and no upstream", name)
			}
		}
	}
	if found != len(edges) || found == 0 {
		t.Errorf("%d downstreams of %d upstreams", found, len(edges))
	}
	out, err := r.Relatives(t.Context(), id, 0, false, server.Page{Limit: 9})
	if err != nil || len(out.Items) > 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := r.Relatives(t.Context(), id, p.Size(), true, server.Page{Limit: 9}); err == nil {
		t.Error("an instance that is not there has relatives")
	}
}

func TestANodeIsRendered(t *testing.T) {
	n := daily("a", func(n *wire.Node) {
		n.Code = "load ${day}"
		n.Params = []*wire.Assignment{{Name: "day", Value: "${yyyymmdd}"}}
	})
	n.Type, n.Source = "sql", "warehouse"
	r := newRig(t, n, daily("m", everyMinute))
	out, err := r.Render(t.Context(), "a", date("2021-01-02"), server.Page{Limit: 9})
	if err != nil || len(out.Items) != 1 || out.Items[0].Code != "load 20210102" || out.Items[0].Values[0].Value != "20210102" || out.Next != "" {
		t.Errorf("%+v, %v", out, err)
	}
	seen := everyPage(t, func(p server.Page) ([]v1.NodeRendering, server.Next, error) {
		out, err := r.Render(t.Context(), "m", date("2021-01-02"), p)
		return out.Items, out.Next, err
	}, 1000, func() {})
	if len(seen) != 1440 || !seen[1439].ScheduledTime.After(seen[0].ScheduledTime) {
		t.Errorf("%d cycles", len(seen))
	}
	if _, err := r.Render(t.Context(), "z", date("2021-01-02"), server.Page{Limit: 9}); err == nil {
		t.Error("a node that is not there was rendered")
	}
}
