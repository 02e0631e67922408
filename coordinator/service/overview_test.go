package service

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func TestTheGraphIsWhatWasAskedFor(t *testing.T) {
	owned := func(owner string) option { return func(n *wire.Node) { n.Owner = owner } }
	r := newRig(t, daily("a", owned("ann")), daily("b", up("a"), owned("ann")), daily("c", window("b", -1, 0)), daily("d", up("c", "a"), owned("ann")), daily("x"))
	levels := func(n int) *int { return &n }
	for name, one := range map[string]struct {
		q           server.GraphQuery
		nodes, says string
	}{
		"all":                      {server.GraphQuery{}, "a x b c d", "a>b b>c c>d a>d"},
		"around a node":            {server.GraphQuery{Roots: []string{"b"}}, "a b c d", "a>b b>c c>d a>d"},
		"one level below":          {server.GraphQuery{Roots: []string{"b"}, Up: levels(0), Down: levels(1)}, "b c", "b>c"},
		"one level above":          {server.GraphQuery{Roots: []string{"d"}, Up: levels(1), Down: levels(0)}, "a c d", "c>d a>d"},
		"alone":                    {server.GraphQuery{Roots: []string{"d", "x"}, Up: levels(0), Down: levels(0)}, "x d", ""},
		"of one owner":             {server.GraphQuery{Nodes: &server.NodeQuery{Owners: []string{"ann"}}}, "a b d", "a>b a>d"},
		"through what is left out": {server.GraphQuery{Roots: []string{"b"}, Up: levels(0), Nodes: &server.NodeQuery{Owners: []string{"ann"}}}, "b d", ""},
	} {
		g, err := r.Graph(t.Context(), one.q)
		if err != nil {
			t.Fatal(err)
		}
		var nodes, edges []string
		for _, n := range g.Nodes {
			nodes = append(nodes, n.ID)
		}
		for i := 0; i < len(g.Edges); i += 2 {
			edges = append(edges, nodes[g.Edges[i]]+">"+nodes[g.Edges[i+1]])
		}
		if strings.Join(nodes, " ") != one.nodes || strings.Join(edges, " ") != one.says {
			t.Errorf("%s: %v %v, expected %s and %s", name, nodes, edges, one.nodes, one.says)
		}
	}
	if _, err := r.Graph(t.Context(), server.GraphQuery{Roots: []string{"y"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an unknown root: %v", err)
	}
	large := newRig(t, tree(graphNodes+1)...)
	if _, err := large.Graph(t.Context(), server.GraphQuery{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many nodes: %v", err)
	} else {
		has(t, err.Error(), "20001 nodes", "up and down", "workspace")
	}
	if g, err := large.Graph(t.Context(), server.GraphQuery{Roots: []string{"n00001"}, Down: levels(1)}); err != nil || len(g.Nodes) != 12 {
		t.Errorf("a part of it: %v, %v", g, err)
	}
}

// naiveCell is the most urgent state of the instances of some nodes and dates, one
// after the other.
func naiveCell(p *state.Plan, nodeFrom, nodeTo, dateFrom, dateTo int) uint8 {
	out := uint8(state.NoRank)
	for i := range p.Size() {
		at, _ := p.Locate(i)
		if at.Node < nodeFrom || at.Node >= nodeTo || at.Pos < dateFrom || at.Pos >= dateTo {
			continue
		}
		var word v1.MapState
		switch s := p.Status(i); {
		case s.Failure():
			word = v1.MapStateFailed
		case s == state.Running:
			word = v1.MapStateRunning
		case s == state.Retrying:
			word = v1.MapStateRetrying
		case s.Frozen():
			word = v1.MapStateFrozen
		case s.Waits():
			word = v1.MapStateWaiting
		case s == state.DryRun:
			word = v1.MapStateDryRun
		default:
			word = v1.MapStateSucceeded
		}
		out = min(out, uint8(slices.Index(urgency, word)))
	}
	return out
}

// mixed is a plan with instances in every status, hourly nodes, and dates that were
// added later.
func mixed(t *testing.T, order wire.Request_Order) (*rig, *state.Plan) {
	r := newRig(t, daily("a"), daily("b", up("a"), hourly), daily("c", up("a"), retries(2, time.Minute)), daily("d", up("b")), daily("e", up("a"), hourly), daily("f", up("e")), daily("g", up("c")))
	r.agent("a1", "default", 1000, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-20 2021-02-03", ungated, func(q *wire.Request) { q.Order, q.Groups = order, 3 }))
	if _, err := r.Edit(t.Context(), write("more"), &wire.EditPlan{Plan: id, AddDates: []*wire.DateRange{{From: int32(date("2021-01-25")), To: int32(date("2021-01-27"))}}}, false); err != nil {
		t.Fatal(err)
	}
	p, _ := r.m.State().Plan(id)
	random := rand.New(rand.NewPCG(1, 2))
	every := map[string][]uint64{}
	for i := range p.Size() {
		kind := []string{"", "", "", "run", "ok", "fail", "freeze", "run"}[random.IntN(8)]
		every[kind] = append(every[kind], i)
	}
	root := make([]uint64, 0)
	for pos := range p.Dates {
		from, _ := p.NodeRange(pos, 0)
		root = append(root, from)
	}
	for kind := range every {
		every[kind] = slices.DeleteFunc(every[kind], func(i uint64) bool { return slices.Contains(root, i) })
	}
	r.run(id, wire.Outcome_SUCCEEDED, root...)
	r.force(id, every["ok"], every["fail"], every["run"])
	r.run(id, wire.Outcome_SUCCEEDED, every["ok"]...)
	r.run(id, wire.Outcome_FAILED, every["fail"]...)
	r.start(id, every["run"]...)
	r.do(operation(wire.Operate_FREEZE, id, every["freeze"]...))
	p, _ = r.m.State().Plan(id)
	return r, p
}

// force lets instances start whatever they wait for.
func (r *rig) force(planID uint64, lists ...[]uint64) {
	r.do(operation(wire.Operate_FORCE_RUN, planID, slices.Sorted(slices.Values(slices.Concat(lists...)))...))
}

func TestAMapSaysWhatIsMostUrgentInEachCell(t *testing.T) {
	for _, order := range []wire.Request_Order{wire.Request_ASCENDING, wire.Request_DESCENDING} {
		r, p := mixed(t, order)
		nodes, dates := len(p.Nodes), len(p.Dates)
		for _, w := range []server.MapWindow{
			{Rows: 512, Columns: 512}, {Rows: 3, Columns: 5}, {Rows: 1, Columns: 1}, {NodeFrom: 2, NodeCount: 3, DateFrom: 4, DateCount: 9, Rows: 2, Columns: 4},
			{NodeFrom: nodes - 1, NodeCount: 50, DateFrom: dates - 1, DateCount: 50, Rows: 9, Columns: 9}, {DateFrom: 17, Rows: 100, Columns: 100},
		} {
			m, err := r.Map(t.Context(), p.ID, w)
			if err != nil {
				t.Fatal(err)
			}
			if m.Nodes != nodes || m.Dates != dates || len(m.RowNodes) != m.Rows || len(m.ColumnDates) != m.Columns || len(m.Cells) != m.Rows*m.Columns || m.Rows > w.Rows || m.Columns > w.Columns {
				t.Fatalf("%+v: %+v", w, m)
			}
			row := func(i int) int { return m.NodeFrom + i*m.NodeCount/m.Rows }
			column := func(i int) int { return m.DateFrom + i*m.DateCount/m.Columns }
			for y := range m.Rows {
				for x := range m.Columns {
					want := naiveCell(p, row(y), row(y+1), column(x), column(x+1))
					if got := m.Cells[y*m.Columns+x]; got != want {
						t.Errorf("%+v: cell %d, %d is %d, expected %d", w, y, x, got, want)
					}
					if m.RowNodes[y] != p.Nodes[row(y)].Spec.Id || m.ColumnDates[x] != p.Dates[column(x)].String() || m.ColumnGroups[x] != p.Group(column(x))+1 {
						t.Errorf("%+v: the names of cell %d, %d", w, y, x)
					}
				}
			}
		}
		for field, w := range map[string]server.MapWindow{"nodeFrom": {NodeFrom: nodes, Rows: 1, Columns: 1}, "dateFrom": {DateFrom: dates, Rows: 1, Columns: 1}} {
			var e *fault.Error
			if _, err := r.Map(t.Context(), p.ID, w); !errors.As(err, &e) || e.Field != field {
				t.Errorf("beyond the end: %v", err)
			}
		}
	}
}

func TestCoverageIsOfTheNewestPlanAndOfThePast(t *testing.T) {
	r := newRig(t, daily("a"), daily("h", up("a"), hourly), daily("other"))
	r.agent("a1", "default", 100, wire.Agent_READY)
	first := r.submit(backfill("a", "2021-08-01..2021-08-05", ungated))
	p, _ := r.m.State().Plan(first)
	a, _ := p.NodeIndex("a")
	of := func(p *state.Plan, node int, d string, k uint64) uint64 {
		pos, _ := p.Position(date(d))
		from, _ := p.NodeRange(pos, node)
		return from + k
	}
	r.run(first, wire.Outcome_SUCCEEDED, of(p, a, "2021-08-01", 0), of(p, a, "2021-08-02", 0), of(p, a, "2021-08-03", 0))
	r.run(first, wire.Outcome_FAILED, of(p, a, "2021-08-04", 0))
	h, _ := p.NodeIndex("h")
	r.run(first, wire.Outcome_SUCCEEDED, of(p, h, "2021-08-01", 0), of(p, h, "2021-08-01", 1), of(p, h, "2021-08-01", 2), of(p, h, "2021-08-01", 3))
	r.start(first, of(p, h, "2021-08-02", 2))
	second := r.submit(backfill("a", "2021-08-04..2021-08-06", ungated))
	p2, _ := r.m.State().Plan(second)
	a2, _ := p2.NodeIndex("a")
	r.run(second, wire.Outcome_SUCCEEDED, of(p2, a2, "2021-08-06", 0))
	from, to := date("2021-07-30"), date("2021-08-10")
	told := func(node string) string {
		c, err := r.Coverage(t.Context(), node, &from, &to)
		if err != nil || c.Incomplete || c.From != from.String() || c.To != to.String() {
			t.Fatalf("%+v, %v", c, err)
		}
		var out []string
		for _, one := range c.Items {
			out = append(out, fmt.Sprintf("%s %s %s %d", one.Date[8:], one.State, one.Instance, one.Runs))
		}
		return strings.Join(out, ", ")
	}
	want := fmt.Sprintf("01 succeeded b1.%d 1, 02 succeeded b1.%d 1, 03 succeeded b1.%d 1, 04 notRunning b2.%d 2, 05 notRunning b2.%d 2, 06 succeeded b2.%d 1",
		of(p, a, "2021-08-01", 0), of(p, a, "2021-08-02", 0), of(p, a, "2021-08-03", 0), of(p2, a2, "2021-08-04", 0), of(p2, a2, "2021-08-05", 0), of(p2, a2, "2021-08-06", 0))
	if got := told("a"); got != want {
		t.Errorf("a: %s\nexpected %s", got, want)
	}
	if got := told("h"); !strings.HasPrefix(got, fmt.Sprintf("01 succeeded b1.%d 1, 02 running b1.%d 1, 03 notRunning", of(p, h, "2021-08-01", 0), of(p, h, "2021-08-02", 2))) {
		t.Errorf("h: %s", got)
	}
	if got := told("other"); got != "" {
		t.Errorf("other: %s", got)
	}
	for text, ask := range map[string]func() error{
		"no node":    func() error { _, err := r.Coverage(t.Context(), "nowhere", nil, nil); return err },
		"the past":   func() error { _, err := r.Coverage(t.Context(), "a", &to, &from); return err },
		"1,101 days": func() error { last := from + 1100; _, err := r.Coverage(t.Context(), "a", &from, &last); return err },
	} {
		if err := ask(); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", text, err)
		}
	}
	c, err := r.Coverage(t.Context(), "a", nil, nil)
	if err != nil || c.To != "2021-08-24" || c.From != "2020-08-24" || len(c.Items) != 6 {
		t.Errorf("the last year: %+v, %v", c, err)
	}
	// Plans go; what the cycles came to stays.
	r.do(operation(wire.Operate_STOP, first))
	r.do(operation(wire.Operate_STOP, second))
	r.finish(first, wire.Outcome_STOPPED, "", of(p, h, "2021-08-02", 2))
	r.pass(400 * 24 * time.Hour)
	if _, _, err := r.log.Propose(t.Context(), &wire.Command{Body: &wire.Command_Expire{Expire: &wire.Expire{Plans: []uint64{first, second}}}}); err != nil {
		t.Fatal(err)
	}
	if got := told("a"); got != "01 succeeded  0, 02 succeeded  0, 03 succeeded  0, 04 failed  0, 06 succeeded  0" {
		t.Errorf("after the plans: %s", got)
	}
}

func TestRunsComeFromTheNewestPlanBackwards(t *testing.T) {
	for _, order := range []wire.Request_Order{wire.Request_ASCENDING, wire.Request_DESCENDING} {
		r := newRig(t, daily("a"), daily("h", up("a"), hourly), daily("x"))
		r.agent("a1", "default", 1000, wire.Agent_READY)
		var all []string
		for range 3 {
			id := r.submit(backfill("a", "2021-08-01..2021-08-03", ungated, func(q *wire.Request) { q.Order = order }))
			p, _ := r.m.State().Plan(id)
			n, _ := p.NodeIndex("h")
			var root, ran []uint64
			var found []string
			for _, d := range []string{"2021-08-01", "2021-08-02", "2021-08-03"} {
				pos, _ := p.Position(date(d))
				at, _ := p.NodeIndex("a")
				from, _ := p.NodeRange(pos, at)
				root = append(root, from)
				from, to := p.NodeRange(pos, n)
				for i := from; i < to-1; i++ { // the last cycle does not run
					ran = append(ran, i)
					found = append(found, plan.FormatInstance(id, i))
				}
			}
			slices.Reverse(found)
			all = append(found, all...)
			r.run(id, wire.Outcome_SUCCEEDED, root...)
			r.run(id, wire.Outcome_FAILED, ran...)
		}
		r.submit(backfill("x", "2021-08-01")) // without the node
		for _, limit := range []int{1, 2, 5, 100} {
			var got []string
			page := server.Page{Limit: limit}
			for {
				items, next, err := r.Runs(t.Context(), "h", page)
				if err != nil || len(items) > limit {
					t.Fatal(items, err)
				}
				for _, one := range items {
					if one.State != v1.AttemptStateFailed || one.Seconds != 1 || one.Attempts != 1 || one.EndedAt == nil || one.Kind != v1.PlanKindBackfill {
						t.Errorf("%+v", one)
					}
					got = append(got, one.Instance)
				}
				if page.Cursor = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, all) {
				t.Errorf("%s, %d a page: %v\nexpected %v", order, limit, got, all)
			}
		}
		if _, _, err := r.Runs(t.Context(), "a", server.Page{Limit: 1, Cursor: "x"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("a cursor of another list: %v", err)
		}
	}
}

func TestNextRunsFollowTheSchedule(t *testing.T) {
	zoned := func(zone string) option { return func(n *wire.Node) { n.Schedule.Zone = zone } }
	leap := func(n *wire.Node) {
		n.Schedule = &wire.Schedule{Kind: wire.Schedule_YEARLY, Months: 1 << 2, Days: 1 << 29, At: 3600}
	}
	r := newRig(t, daily("d", func(n *wire.Node) { n.Schedule.At, n.Auto = 12*3600, true }), daily("h", hourly), daily("z", zoned("Asia/Shanghai")), daily("leap", leap))
	for _, one := range []struct {
		node, from string
		count      int
		want       string
	}{
		{"d", "", 2, "2021-08-24T12:00:00Z of 2021-08-23, 2021-08-25T12:00:00Z of 2021-08-24"},
		{"d", "2021-08-24T12:00:01Z", 1, "2021-08-25T12:00:00Z of 2021-08-24"},
		{"h", "2021-08-24T02:30:00Z", 3, "2021-08-24T03:00:00Z of 2021-08-23, 2021-08-25T00:00:00Z of 2021-08-24, 2021-08-25T01:00:00Z of 2021-08-24"},
		{"z", "2021-08-24T15:59:00Z", 1, "2021-08-25T00:00:00+08:00 of 2021-08-24"},
		{"leap", "2021-08-24T00:00:00Z", 2, "2024-02-29T01:00:00Z of 2024-02-28, 2028-02-29T01:00:00Z of 2028-02-28"},
	} {
		var from *time.Time
		if one.from != "" {
			at, err := time.Parse(time.RFC3339, one.from)
			if err != nil {
				t.Fatal(err)
			}
			from = &at
		}
		got, err := r.NextRuns(t.Context(), one.node, from, one.count)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, n := range got.Items {
			texts = append(texts, n.ScheduledTime.Format(time.RFC3339)+" of "+n.Date)
		}
		if text := strings.Join(texts, ", "); text != one.want || got.Auto != (one.node == "d") || got.Mode != v1.NodeModeNormal {
			t.Errorf("%s: %s %+v\nexpected %s", one.node, text, got, one.want)
		}
	}
	if _, err := r.NextRuns(t.Context(), "nowhere", nil, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("no node: %v", err)
	}
}

func TestFailuresAreGroupedByWhatTheyHaveInCommon(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")), daily("c", up("a"), retries(1, time.Hour)))
	r.agent("a1", "default", 1000, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-08-01..2021-08-05", ungated))
	p, _ := r.m.State().Plan(id)
	of := func(node string) (out []uint64) {
		n, _ := p.NodeIndex(node)
		for pos := range p.Dates {
			from, _ := p.NodeRange(pos, n)
			out = append(out, from)
		}
		return out
	}
	r.run(id, wire.Outcome_SUCCEEDED, of("a")...)
	b, c := of("b"), of("c")
	r.start(id, slices.Concat(b[:3], c[:2])...)
	for k, i := range b[:3] {
		r.finish(id, wire.Outcome_FAILED, fmt.Sprintf("table shop.t_2021080%d of b: line %d, at 2021-08-24 12:0%d:00: no space", k+1, k, k), i)
	}
	r.finish(id, wire.Outcome_TIMED_OUT, "it ran for longer than 60s", c[:2]...)
	r.do(operation(wire.Operate_STOP, id, b[4]))
	f, err := r.Failures(t.Context(), id, 10)
	if err != nil || f.Instances != 6 || f.Groups != 3 || f.Incomplete || len(f.Items) != 3 {
		t.Fatalf("%+v, %v", f, err)
	}
	one := f.Items[0]
	if one.Cause != "table … of …: line …, at …: no space" || one.Outcome != v1.AttemptStateFailed || *one.ExitCode != 0 || one.Instances != 3 || one.Retrying != 0 ||
		one.Nodes != 1 || !slices.Equal(one.NodeIds, []string{"b"}) || one.Dates != 3 || one.FirstDate != "2021-08-01" || one.LastDate != "2021-08-03" ||
		!slices.Equal(one.Agents, []string{"a1"}) || len(one.Examples) != 3 || one.Examples[1].Instance != plan.FormatInstance(id, b[1]) {
		t.Errorf("%+v", one)
	}
	has(t, one.Examples[1].Cause, "t_20210802", "line 1")
	if two := f.Items[1]; two.Cause != "it ran for longer than …" || two.Outcome != v1.AttemptStateTimedOut || two.ExitCode != nil || two.Retrying != 2 {
		t.Errorf("%+v", two)
	}
	if three := f.Items[2]; three.Outcome != v1.AttemptStateStopped || !strings.HasPrefix(three.Cause, "stopped by ann at …") || len(three.Agents) != 0 {
		t.Errorf("%+v", three)
	}
	for _, g := range f.Items {
		list, _, err := r.Instances(t.Context(), id, server.InstanceFilter{Failure: g.ID}, server.Page{Limit: 10})
		if err != nil || len(g.ID) != 16 || int64(len(list)) != g.Instances || list[0].ID != g.Examples[0].Instance {
			t.Errorf("of %s are %+v, %v; expected the %d of %q", g.ID, list, err, g.Instances, g.Cause)
		}
	}
	if f, err := r.Failures(t.Context(), id, 1); err != nil || f.Groups != 3 || len(f.Items) != 1 || f.Items[0].Instances != 3 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := r.Failures(t.Context(), id+1, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("no backfill: %v", err)
	}
}

func TestAGroupOfFailuresIsOperatedAsAWhole(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", retries(1, time.Hour)))
	r.agent("a1", "default", 1000, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-08-01..2021-08-06", ungated))
	r.start(id, 0, 1, 2, 3, 4)
	r.finish(id, wire.Outcome_FAILED, "no table t_1", 0, 2, 4)
	r.finish(id, wire.Outcome_FAILED, "no space", 1, 3)
	one := func(cause string) string {
		f, err := r.Failures(t.Context(), id, 10)
		for _, g := range f.Items {
			if g.Cause == cause {
				return g.ID
			}
		}
		t.Fatalf("there is no %q: %+v, %v", cause, f, err)
		return ""
	}
	table, space := one("no table …"), one("no space")
	again := operation(wire.Operate_RERUN, id)
	again.Failure = table
	got, err := r.Operate(t.Context(), write("table"), again)
	if err != nil || got.Instances != 3 || got.More || len(got.Backfills) != 1 || got.Backfills[0].Instances != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	p, _ := r.m.State().Plan(id)
	for i, want := range map[uint64]bool{0: false, 1: true, 2: false, 3: true, 4: false} {
		if p.Status(i).Failure() != want {
			t.Errorf("%d is %d", i, p.Status(i))
		}
	}
	if retried, err := r.Operate(t.Context(), write("table"), again); err != nil || retried.Instances != 3 {
		t.Errorf("the same request: %+v, %v", retried, err)
	}
	if _, err := r.Operate(t.Context(), write("none left"), again); !fault.Is(err, fault.Conflict) {
		t.Errorf("none left: %v", err)
	}
	set := operation(wire.Operate_SET_TO_SUCCESS, id)
	set.Failure = space
	if got, err := r.Operate(t.Context(), write("space"), set); err != nil || got.Instances != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if p, _ = r.m.State().Plan(id); p.Total()[state.SetToSuccess] != 2 || p.Total()[state.Failed] != 0 {
		t.Errorf("%v", p.Total())
	}
	set.Targets[0].Plan++
	if _, err := r.Operate(t.Context(), write("nowhere"), set); !fault.Is(err, fault.NotFound) {
		t.Errorf("no backfill: %v", err)
	}
}

func TestCausesAreAlikeButForWhatDiffers(t *testing.T) {
	for _, one := range [][2]string{
		{"", ""}, {"exit code 3", "exit code …"}, {"no such table", "no such table"},
		{"b12.3 failed: 17", "… failed: …"}, {"at 2021-08-24 12:00:00 UTC", "at … UTC"},
		{"orders: it ended", "…: it ended"}, {"(12) [13]", "(…) […]"}, {"表 t_20210801 不存在", "表 … 不存在"}, {"7 8 9 x", "… x"}, {"... a: b", "... …: b"},
	} {
		if got := common(one[0], "orders", "a", ""); got != one[1] {
			t.Errorf("%q: %q, expected %q", one[0], got, one[1])
		}
	}
	if got := common(strings.Repeat("日", 400)); len(got) > failureText || strings.ContainsRune(got, '\ufffd') {
		t.Errorf("a long one: %q", got)
	}
}

// What an instance says may be done to it is what the log lets be done.
func TestR9_WhatMayBeDoneIsWhatIsDone(t *testing.T) {
	r, p := mixed(t, wire.Request_ASCENDING)
	r.grantAhead(p.ID, firstWaiting(p))
	p, _ = r.m.State().Plan(p.ID)
	possible := map[v1.InstanceOperation]int{}
	for i := range p.Size() {
		if i%3 > 0 {
			continue
		}
		at, _ := p.Locate(i)
		chances := r.read().chances(p, at)
		if len(chances) != 8 {
			t.Fatalf("%+v", chances)
		}
		for k, kind := range []wire.Operate_Kind{
			wire.Operate_STOP, wire.Operate_RERUN, wire.Operate_SET_TO_SUCCESS, wire.Operate_FREEZE, wire.Operate_UNFREEZE, wire.Operate_FORCE_RUN,
			wire.Operate_REMOVE_UPSTREAM, wire.Operate_SET_PRIORITY,
		} {
			o := &wire.Operate{Kind: kind, Targets: []*wire.Target{{Plan: p.ID, Instances: []uint64{i}}}}
			switch kind {
			case wire.Operate_REMOVE_UPSTREAM:
				if o.Upstream = "none"; len(p.Nodes[at.Node].Spec.Upstreams) > 0 {
					o.Upstream = p.Nodes[at.Node].Spec.Upstreams[0].Node
				}
			case wire.Operate_SET_PRIORITY:
				o.Priority = 8
			}
			_, result := r.m.State().Apply(r.m.State().Index()+1, &wire.Command{
				NowMs: r.clock().UnixMilli(), Behaviour: state.First, Actor: "ann", Body: &wire.Command_Operate{Operate: o},
			})
			c := chances[k]
			if c.Possible != (result.Err == nil) || c.Possible == (c.Why != "") || c.Possible == (c.Code != "") {
				t.Errorf("%s of %d, which is %d: %+v, and it was %v", kind, i, p.Status(i), c, result.Err)
			}
			if result.Err != nil && kind != wire.Operate_REMOVE_UPSTREAM && !strings.Contains(detailsOf(result.Err), c.Why) {
				t.Errorf("%s of %d: %q, and it was %v", kind, i, c.Why, result.Err)
			}
			if c.Possible {
				possible[c.Operation]++
			}
		}
	}
	if len(possible) != 8 {
		t.Errorf("only some operations were ever possible: %v", possible)
	}
	if d := r.detail(p.ID, 0); len(d.Operations) != 8 {
		t.Errorf("%+v", d.Operations)
	}
}

func firstWaiting(p *state.Plan) uint64 {
	i, _ := p.Next(0, p.Size(), state.Statuses(0).With(state.Pending))
	return i
}

func detailsOf(err error) (out string) {
	var e *fault.Error
	if errors.As(err, &e) {
		for _, d := range e.Details {
			out += d.Message
		}
	}
	return out
}

func TestAQueueIsToldByPriority(t *testing.T) {
	urgent := func(priority int32) option {
		return func(n *wire.Node) { n.Baseline, n.Priority = fmt.Sprint("of ", priority), priority }
	}
	r := newRig(t, daily("a", urgent(8)), daily("b", urgent(5)), daily("c", urgent(5)))
	r.agent("a1", "default", 1, wire.Agent_READY)
	for _, node := range []string{"a", "b", "c"} {
		r.submit(backfill(node, "2021-08-23", ungated))
	}
	r.submit(backfill("a", "2021-08-01..2021-08-03", ungated))
	g, err := r.ResourceGroup(t.Context(), "default")
	want := []v1.PriorityCount{{Priority: 8, Instances: 1}, {Priority: 5, Instances: 2}, {Priority: 3, Instances: 3}}
	if err != nil || !slices.Equal(g.Queue, want) || *g.Waiting != 6 {
		t.Errorf("%+v, %v", g, err)
	}
	r.log.lead("c2")
	if g, err := r.ResourceGroup(t.Context(), "default"); err != nil || g.Queue != nil || g.Waiting != nil {
		t.Errorf("who does not lead: %+v, %v", g, err)
	}
}

func TestCoordinatorsTellOfThemselvesOrAreShownSilent(t *testing.T) {
	r := newRig(t, daily("a"))
	free := uint64(1 << 30)
	r.Standings = func(_ context.Context, ids []string) map[string]Told {
		if !slices.Equal(ids, []string{"c1", "c2", "c3"}) {
			t.Errorf("asked %v", ids)
		}
		return map[string]Told{
			"c1": {StandingResponse: &wire.StandingResponse{Term: 3, Applied: r.log.index, Commit: r.log.index, LogBytes: 5, Snapshot: 2, SnapshotMs: 1000, DiskFree: &free}},
			"c2": {StandingResponse: &wire.StandingResponse{Term: 3, Applied: r.log.index - 1, ContactMs: 2000}},
			"c3": {Err: fault.New(fault.Unavailable, "connection refused")},
		}
	}
	c, err := r.Cluster(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := c.Servers[0], c.Servers[1], c.Servers[2]
	if one.Standing == nil || one.Standing.Behind != 0 || *one.Standing.DiskFree != 1<<30 || one.Standing.SnapshotAt.Unix() != 1 || one.Silent != "" {
		t.Errorf("%+v", one.Standing)
	}
	if two.Standing == nil || two.Standing.Behind != 1 || two.Standing.DiskFree != nil || two.Standing.LastContact.Unix() != 2 || two.Standing.SnapshotAt != nil {
		t.Errorf("%+v", two.Standing)
	}
	if three.Standing != nil || three.Silent != "connection refused" {
		t.Errorf("%+v", three)
	}
	if c, err := r.Cluster(t.Context(), false); err != nil || c.Servers[0].Standing != nil || c.Servers[2].Silent != "" {
		t.Errorf("not asked: %+v, %v", c, err)
	}
}
