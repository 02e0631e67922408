package service

import (
	"fmt"
	"slices"
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// tree is so many daily nodes, each but the first below another.
func tree(n int) []*wire.Node {
	out := []*wire.Node{daily("n00000")}
	for i := 1; i < n; i++ {
		out = append(out, daily(fmt.Sprintf("n%05d", i), up(fmt.Sprintf("n%05d", (i-1)/10))))
	}
	return out
}

func everyMinute(n *wire.Node) {
	n.Schedule = &wire.Schedule{Kind: wire.Schedule_MINUTELY, From: 0, To: 23*3600 + 59*60, Every: 1}
}

func ungated(q *wire.Request) { q.Gate = wire.Request_NONE }

// full is a rig with a plan of ten million instances, of which few have begun:
// the first hundred of the first date succeeded, one failed and one is frozen on
// every tenth date, some run, and some wait at their agent.
func full(t testing.TB, nodes int, dates string) (*rig, uint64) {
	r := newRig(t, tree(nodes)...)
	r.agent("a1", "default", 4000, wire.Agent_READY)
	id := r.submit(backfill("n00000", dates, ungated))
	p, _ := r.m.State().Plan(id)
	var common, failed, frozen []uint64
	for i := range uint64(min(100, nodes/2)) {
		common = append(common, i)
	}
	for pos := 0; pos < len(p.Dates); pos += 10 {
		from, _ := p.NodeRange(pos, nodes/2)
		failed, frozen = append(failed, from), append(frozen, from+1)
	}
	r.run(id, wire.Outcome_SUCCEEDED, common...)
	r.run(id, wire.Outcome_FAILED, failed...)
	r.do(operation(wire.Operate_FREEZE, id, frozen...))
	last := p.Size() - 1
	r.start(id, last, last-1)
	r.grantAhead(id, last-2)
	return r, id
}

// grantAhead grants instances to agent a1 ahead of a slot.
func (r *rig) grantAhead(planID uint64, instances ...uint64) {
	r.t.Helper()
	turn := &wire.Turn{}
	for _, i := range instances {
		turn.Grants = append(turn.Grants, &wire.Grant{Plan: planID, Instance: i, Agent: "a1", ResourceGroup: "default", Ahead: true})
	}
	r.turn(turn)
}

// cost is what a question took.
type cost struct{ looks, glances int }

func (r *rig) cost(ask func(*reading)) cost {
	one := r.read()
	ask(one)
	return cost{lookAtMost - one.left, glanceAtMost - one.glances}
}

// questions are those that a page or a program asks of a plan, each with the
// most that it may look at, whatever the plan's size.
func questions(r *rig, id uint64) map[string]struct {
	ask  func(*reading)
	most cost
} {
	p, _ := r.m.State().Plan(id)
	size := int(p.Size())
	date := p.Dates[len(p.Dates)/2]
	page := func(at string) server.Page { return server.Page{Limit: 100, Cursor: at} }
	instances := func(f server.InstanceFilter, at string) func(*reading) {
		return func(r *reading) {
			if _, _, err := r.instances(p, f, page(at)); err != nil {
				panic(err)
			}
		}
	}
	receipt := func(by v1.ReceiptBy, f server.InstanceFilter) func(*reading) {
		return func(r *reading) {
			if _, err := r.receipt(p, by, f, page("")); err != nil {
				panic(err)
			}
		}
	}
	day := len(p.Nodes)
	type question = struct {
		ask  func(*reading)
		most cost
	}
	return map[string]question{
		"first":      {instances(server.InstanceFilter{}, ""), cost{0, 101}},
		"middle":     {instances(server.InstanceFilter{}, fmt.Sprintf("instance:%d", size/2)), cost{0, 101}},
		"last":       {instances(server.InstanceFilter{}, fmt.Sprintf("instance:%d", size-50)), cost{0, 101}},
		"backwards":  {instances(server.InstanceFilter{Sort: v1.InstanceSortMinusNumber}, ""), cost{0, 101}},
		"back again": {instances(server.InstanceFilter{Sort: v1.InstanceSortMinusNumber}, fmt.Sprintf("instance-down:%d", size/2)), cost{0, 101}},
		"common":     {instances(server.InstanceFilter{States: []v1.State{v1.StateNotRunning}}, ""), cost{101, day}},
		"rare":       {instances(server.InstanceFilter{States: []v1.State{v1.StateFailed}, From: &p.Dates[0], To: &p.Dates[9]}, ""), cost{0, day}},
		"running":    {instances(server.InstanceFilter{States: []v1.State{v1.StateRunning}}, ""), cost{5, day}},
		"none":       {instances(server.InstanceFilter{States: []v1.State{v1.StateWaitingTime}}, ""), cost{0, 0}},
		"node":       {instances(server.InstanceFilter{Nodes: server.OneNode(p.Nodes[day/2].Spec.Id)}, ""), cost{0, 101}},
		"node rare":  {instances(server.InstanceFilter{Nodes: server.OneNode(p.Nodes[day/2].Spec.Id), States: []v1.State{v1.StateFailed}}, ""), cost{0, len(p.Dates)/10 + 1}},
		"nodes":      {instances(server.InstanceFilter{Nodes: &server.NodeQuery{IDs: nodeIDs(p, 50)}}, ""), cost{0, 101 + 3*50}},
		"nodes late": {instances(server.InstanceFilter{Nodes: &server.NodeQuery{IDs: nodeIDs(p, 50)}, Sort: v1.InstanceSortMinusNumber}, ""), cost{0, 101 + 3*50}},
		"nobody's":   {instances(server.InstanceFilter{Nodes: &server.NodeQuery{Owner: "nobody"}}, ""), cost{0, 0}},
		"agent":      {instances(server.InstanceFilter{Agents: []string{"a1"}}, ""), cost{102, day}},
		"states":     {instances(server.InstanceFilter{States: []v1.State{v1.StateFailed, v1.StateRunning}, From: &p.Dates[0], To: &p.Dates[9]}, ""), cost{5, day}},
		"by time":    {instances(server.InstanceFilter{Sort: v1.InstanceSortDate}, ""), cost{0, 101}},
		"everywhere": {func(r *reading) { must(r.searchInstances(server.PlanQuery{}, server.InstanceFilter{}, page(""))) }, cost{1, 102}},
		"one node's": {func(r *reading) {
			must(r.searchInstances(server.PlanQuery{}, server.InstanceFilter{Nodes: server.OneNode(p.Nodes[day/2].Spec.Id)}, page("")))
		}, cost{1, 102}},
		"downstreams": {func(r *reading) {
			from, _ := p.NodeRange(len(p.Dates)/2, 1)
			at, _ := p.Locate(from)
			if _, err := r.downstreams(p, at, from, page("")); err != nil {
				panic(err)
			}
		}, cost{3000, 6000}},
		"names": {func(r *reading) {
			must(r.summaries("backfill", page(""), server.PlanQuery{Kind: v1.PlanFilterBackfill, Sort: v1.BackfillSortName}))
		}, cost{lineLooksMost, 1}},
		"holding a node": {func(r *reading) {
			must(r.summaries("backfill", page(""), server.PlanQuery{Kind: v1.PlanFilterBackfill, Nodes: &server.NodeQuery{Contains: "n0999"}}))
		}, cost{lineLooksMost, day/4 + 1}},
		"date":    {instances(server.InstanceFilter{From: &date, To: &date}, ""), cost{0, 101}},
		"dates":   {func(r *reading) { must(r.dates(p, server.DateFilter{}, server.Page{Limit: 1000})) }, cost{lineLooksMost, 0}},
		"summary": {func(r *reading) { r.summary(r.motion(p), r.motion(p).plan(), r.motion(p).TimedIn(0, len(p.Dates))) }, cost{lineLooksMost, 0}},
		"list": {func(r *reading) {
			must(r.summaries("backfill", page(""), server.PlanQuery{Kind: v1.PlanFilterBackfill}))
		}, cost{lineLooksMost, 0}},
		"by date": {receipt(v1.ReceiptByDate, server.InstanceFilter{From: &date, To: &date}), cost{day, 4 * day}},
		"by node": {receipt(v1.ReceiptByNode, server.InstanceFilter{Nodes: server.OneNode(p.Nodes[day-1].Spec.Id)}), cost{len(p.Dates), 4 * len(p.Dates)}},
	}
}

// nodeIDs are those of the first nodes of a plan.
func nodeIDs(p *state.Plan, n int) (list []string) {
	for i := range n {
		list = append(list, p.Nodes[i].Spec.Id)
	}
	return list
}

func must[T any](_ []T, _ server.Next, err error) {
	if err != nil {
		panic(err)
	}
}

// TestWhatIsAskedCostsWhatItShows asks the same of a plan and of one with ten
// times its dates: the work stays within one bound.
func TestWhatIsAskedCostsWhatItShows(t *testing.T) {
	for _, dates := range []string{"2010-01-01..2010-04-10", "2010-01-01..2012-09-26"} {
		r, id := full(t, 10_000, dates)
		for name, q := range questions(r, id) {
			if got := r.cost(q.ask); got.looks > q.most.looks || got.glances > q.most.glances {
				t.Errorf("%s: %s took %+v, expected at most %+v", dates, name, got, q.most)
			}
		}
	}
}

// TestAPlanOfManyCyclesCostsWhatItShows is the other shape: one node, 1,440
// cycles on each of 3,650 dates.
func TestAPlanOfManyCyclesCostsWhatItShows(t *testing.T) {
	r := newRig(t, daily("m", everyMinute))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("m", "2010-01-01..2019-12-29"))
	p, _ := r.m.State().Plan(id)
	if p.Size() != 1440*3650 {
		t.Fatalf("%d instances", p.Size())
	}
	r.run(id, wire.Outcome_FAILED, 700)
	p, _ = r.m.State().Plan(id)
	for name, f := range map[string]server.InstanceFilter{
		"all": {}, "backwards": {Sort: v1.InstanceSortMinusNumber}, "failed": {States: []v1.State{v1.StateFailed}}, "waiting": {States: []v1.State{v1.StateNotRunning}, Sort: v1.InstanceSortMinusNumber},
		"none": {States: []v1.State{v1.StateFrozen}}, "node": {Nodes: server.OneNode("m"), States: []v1.State{v1.StateFailed}},
	} {
		got := r.cost(func(r *reading) { must(r.instances(p, f, server.Page{Limit: 100})) })
		if got.looks > 101 || got.glances > 1440 {
			t.Errorf("%s took %+v", name, got)
		}
	}
	for name, ask := range map[string]func(*reading){
		"dates":   func(r *reading) { must(r.dates(p, server.DateFilter{}, server.Page{Limit: 1000})) },
		"summary": func(r *reading) { r.summary(r.motion(p), r.motion(p).plan(), r.motion(p).TimedIn(0, len(p.Dates))) },
		"receipt": func(r *reading) {
			out, err := r.receipt(p, v1.ReceiptByNode, server.InstanceFilter{}, server.Page{Limit: 100})
			if err != nil || len(out.Rows[0].Reasons) != 3 || out.Rows[0].Reasons[0].Instances != 1440*3649 {
				t.Errorf("%+v, %v", out, err)
			}
		},
	} {
		if got := r.cost(ask); got.looks > 3*1440 || got.glances > 4*3650 {
			t.Errorf("%s took %+v", name, got)
		}
	}
}

// TestAHundredPlansAreOneList shares a bounded number of looks among all lines.
func TestAHundredPlansAreOneList(t *testing.T) {
	var nodes []*wire.Node
	for i := range 100 {
		nodes = append(nodes, daily(fmt.Sprintf("m%d", i), everyMinute))
	}
	r := newRig(t, nodes...)
	r.agent("a1", "default", 9, wire.Agent_READY)
	for _, n := range nodes {
		r.submit(backfill(n.Id, "2010-01-01..2019-12-29", ungated, func(q *wire.Request) {
			q.Period = &wire.Period{Start: 22 * 3600, End: 23 * 3600} // all of it waits for the evening
		}))
	}
	var got []v1.BackfillSummary
	took := r.cost(func(r *reading) {
		var err error
		if got, _, err = r.summaries("backfill", server.Page{Limit: 100}, server.PlanQuery{Kind: v1.PlanFilterBackfill}); err != nil {
			t.Fatal(err)
		}
	})
	if len(got) != 100 || took.looks > lookAtMost+100*lineLooksLeast {
		t.Errorf("%d lines, %+v", len(got), took)
	}
	for _, one := range got {
		if !one.Incomplete || one.Counts.WaitingTime == 0 || one.Counts.Total != 1440*3650 {
			t.Fatalf("%+v", one)
		}
	}
}

// pages walks a list of instances to its end, with so much to spend on a page.
func (r *rig) pages(p *state.Plan, f server.InstanceFilter, limit, looks, glances int) (ids []string, pages, short int) {
	r.t.Helper()
	at := ""
	for {
		one := r.read()
		one.left, one.glances = looks, glances
		items, next, err := one.instances(p, f, server.Page{Limit: limit, Cursor: at})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, i := range items {
			ids = append(ids, i.ID)
		}
		pages++
		if next == "" {
			return ids, pages, short
		}
		if len(items) < limit {
			short++
		}
		if at = next; pages > 1_000_000 {
			r.t.Fatal("the list does not end")
		}
	}
}

// TestPagesEndEarlyAndGoOn finds the same with little to spend on a page as with
// much, in both directions.
func TestPagesEndEarlyAndGoOn(t *testing.T) {
	r, id := full(t, 100, "2010-01-01..2010-04-10")
	p, _ := r.m.State().Plan(id)
	for _, f := range []server.InstanceFilter{
		{States: []v1.State{v1.StateFailed}}, {States: []v1.State{v1.StateFrozen}}, {States: []v1.State{v1.StateRunning}}, {States: []v1.State{v1.StateNotRunning}}, {Nodes: server.OneNode("n00050"), States: []v1.State{v1.StateFailed}}, {},
	} {
		all, _, none := r.pages(p, f, 1000, lookAtMost, glanceAtMost)
		if len(all) == 0 || none != 0 {
			t.Errorf("%+v: %d instances, %d short pages", f, len(all), none)
		}
		bit, pages, short := r.pages(p, f, 7, 3, 5)
		if !slices.Equal(all, bit) {
			t.Errorf("%+v: %d instances in %d small pages, %d in large ones", f, len(bit), pages, len(all))
		}
		if len(f.States) > 0 && short == 0 {
			t.Errorf("%+v: no page of %d ended early", f, pages)
		}
		f.Sort = v1.InstanceSortMinusNumber
		slices.Reverse(all)
		if down, _, _ := r.pages(p, f, 7, 3, 5); !slices.Equal(all, down) {
			t.Errorf("%+v: %d instances going down, %d going up", f, len(down), len(all))
		}
	}
	if _, _, err := r.read().instances(p, server.InstanceFilter{Sort: v1.InstanceSortMinusNumber}, server.Page{Limit: 1, Cursor: "instance:3"}); err == nil {
		t.Error("a cursor of the other direction was taken")
	}
}

// TestR8_QueuedAtAnAgentIsNotRunning follows an instance that was granted ahead.
func TestR8_QueuedAtAnAgentIsNotRunning(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 1, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-03", ungated))
	r.start(id, 0)
	r.grantAhead(id, 1)
	list := func(want v1.State) (ids []string) {
		items, _, err := r.Instances(t.Context(), id, server.InstanceFilter{States: []v1.State{want}}, server.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			if i.State != want {
				t.Errorf("%s is listed as %s and says %s", i.ID, want, i.State)
			}
			ids = append(ids, i.ID)
		}
		return ids
	}
	if got := list(v1.StateRunning); !slices.Equal(got, []string{"b1.0"}) {
		t.Errorf("running: %q", got)
	}
	if got := list(v1.StateNotRunning); !slices.Equal(got, []string{"b1.1", "b1.2"}) {
		t.Errorf("not running: %q", got)
	}
	d := r.detail(id, 1)
	if d.Reason == nil || d.Reason.Code != v1.ReasonCodeQueuedAtAgent || d.Reason.Agent != "a1" || d.Instance.State != v1.StateNotRunning || d.Attempts[0].State != v1.AttemptStateQueued {
		t.Fatalf("%+v, %+v", d.Reason, d.Instance)
	}
	has(t, d.Reason.Text, "queued at agent a1")

	r.do(operation(wire.Operate_PAUSE, id))
	has(t, r.detail(id, 1).Reason.Text, "called back", "paused by ann")
	r.do(operation(wire.Operate_RESUME, id))
	if d := r.detail(id, 0); d.Reason != nil || d.Instance.State != v1.StateRunning {
		t.Errorf("what runs: %+v, %s", d.Reason, d.Instance.State)
	}
	l, _ := r.m.State().Lease(id, 1)
	r.finish(id, wire.Outcome_RECALLED, "", 1)
	if d := r.detail(id, 1); d.Attempts[0].State != v1.AttemptStateRecalled || d.Instance.State != v1.StateNotRunning {
		t.Errorf("given back: %+v", d.Attempts)
	}
	if l.Attempt != 1 {
		t.Errorf("%+v", l)
	}
	out, err := r.Receipt(t.Context(), id, v1.ReceiptByNode, server.InstanceFilter{}, server.Page{Limit: 10})
	if err != nil || out.Totals.Running != 1 || out.Totals.Waiting != 2 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestOperationsAreFoundWithoutReadingTheLog counts by the numbers of its lines.
func TestOperationsAreFoundWithoutReadingTheLog(t *testing.T) {
	r := newRig(t, daily("a"))
	id := r.submit(backfill("a", "2021-01-01"))
	for n := uint64(0); n < 40; n++ {
		p, _ := r.m.State().Plan(id)
		var got []uint64
		for o := range newestFirst(p, 0) {
			got = append(got, o.Number)
		}
		if operationsOf(p) != n || uint64(len(got)) != n || n > 0 && (got[0] != n || got[n-1] != 1) {
			t.Fatalf("%d operations: %d, %v", n, operationsOf(p), got)
		}
		kind := wire.Operate_PAUSE
		if n%2 == 1 {
			kind = wire.Operate_RESUME
		}
		r.do(operation(kind, id))
	}
	var seen []uint64
	for at := ""; ; {
		items, next, err := r.Operations(t.Context(), id, server.Page{Limit: 7, Cursor: at})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range items {
			seen = append(seen, o.Number)
		}
		if at = next; at == "" {
			break
		}
	}
	if len(seen) != 40 || seen[0] != 40 || seen[39] != 1 || !slices.IsSortedFunc(seen, func(a, b uint64) int { return int(b) - int(a) }) {
		t.Errorf("%v", seen)
	}
}
