package service

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// diamond has a bridge: b is not chosen and lies between a and c.
func diamond() []*wire.Node {
	return []*wire.Node{daily("a", retries(1, time.Hour)), daily("b", up("a")), daily("c", up("b")), daily("h", hourly, up("a"))}
}

// progress lets a plan with four open groups of dates get somewhere, by chance.
func progress(r *rig, seed uint64) (planID uint64) {
	r.agent("a1", "default", 1000, wire.Agent_READY)
	planID = r.submit(backfill("a", "2021-01-01..2021-01-20", func(q *wire.Request) {
		q.Nodes, q.Groups, q.Gate = []string{"c", "h"}, 4, wire.Request_NONE
	}))
	random := rand.New(rand.NewPCG(seed, 1))
	p, _ := r.m.State().Plan(planID)
	dry, _ := p.NodeIndex("b")
	for i := range p.Size() {
		place, _ := p.Locate(i)
		switch n := random.IntN(8); {
		case place.Node == dry && n < 4:
			r.turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: planID, Instances: []uint64{i}}}})
		case place.Node == dry || n == 0:
		case n == 1:
			r.start(planID, i)
		case n == 2:
			r.run(planID, wire.Outcome_STOPPED, i)
		case n == 3:
			r.run(planID, failed, i)
		case n == 4:
			r.run(planID, wire.Outcome_LOST, i)
		default:
			r.run(planID, ok, i)
		}
	}
	return planID
}

func TestR13_6_ReceiptAddsUp(t *testing.T) {
	r := newRig(t, diamond()...)
	id := progress(r, 7)
	p, _ := r.m.State().Plan(id)
	for _, by := range []v1.ReceiptBy{v1.ReceiptByNode, v1.ReceiptByDate, v1.ReceiptByNodeAndDate} {
		for _, f := range []server.InstanceFilter{{}, {Nodes: server.OneNode("h")}, {From: ref("2021-01-05"), To: ref("2021-01-09")}, {Nodes: server.OneNode("b"), To: ref("2021-01-02")}} {
			var sum v1.ReceiptTotals
			var total v1.ReceiptTotals
			seen := map[string]bool{}
			for next, more := "", true; more; more = next != "" {
				got, err := r.Receipt(t.Context(), id, by, f, server.Page{Cursor: next, Limit: 3})
				if err != nil {
					t.Fatal(err)
				}
				next, total = got.Next, got.Totals
				for _, row := range got.Rows {
					if key := row.Node + " " + row.Date; seen[key] {
						t.Errorf("%s %+v: row %s comes twice", by, f, key)
					} else {
						seen[key] = true
					}
					balanced(t, row.Totals)
					reasonsCover(t, row)
					sum = add(sum, row.Totals)
				}
			}
			want := brute(p, f)
			if sum != want {
				t.Errorf("%s %+v: rows add up to %+v, want %+v", by, f, sum, want)
			}
			if total != brute(p, server.InstanceFilter{}) {
				t.Errorf("%s: totals %+v, want those of the whole plan", by, total)
			}
		}
	}
	_, err := r.Receipt(t.Context(), id, v1.ReceiptByNode, server.InstanceFilter{Nodes: server.OneNode("zzz")}, server.Page{Limit: 1})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a node that is not in the plan: %v", err)
	}
}

func ref(s string) *calendar.Date {
	d := date(s)
	return &d
}

func balanced(t *testing.T, x v1.ReceiptTotals) {
	t.Helper()
	if x.Generated != x.Succeeded+x.SetToSuccess+x.DryRun+x.Failed+x.Stopped+x.Frozen+x.Running+x.Waiting || x.Generated != x.Asked+x.Bridges {
		t.Errorf("it does not add up: %+v", x)
	}
}

// reasonsCover checks that every instance that did not plainly succeed has a
// reason.
func reasonsCover(t *testing.T, row v1.ReceiptRow) {
	t.Helper()
	var n int64
	for _, reason := range row.Reasons {
		n += reason.Instances
		if reason.Text == "" {
			t.Errorf("%s %s: a reason without words", row.Node, row.Date)
		}
	}
	if want := row.Totals.Generated - row.Totals.Succeeded; n != want {
		t.Errorf("%s %s: reasons for %d, want %d", row.Node, row.Date, n, want)
	}
}

func add(a, b v1.ReceiptTotals) v1.ReceiptTotals {
	return v1.ReceiptTotals{
		Generated: a.Generated + b.Generated, Succeeded: a.Succeeded + b.Succeeded, SetToSuccess: a.SetToSuccess + b.SetToSuccess,
		DryRun: a.DryRun + b.DryRun, Failed: a.Failed + b.Failed, Stopped: a.Stopped + b.Stopped, Frozen: a.Frozen + b.Frozen,
		Running: a.Running + b.Running, Waiting: a.Waiting + b.Waiting, Asked: a.Asked + b.Asked, Bridges: a.Bridges + b.Bridges,
	}
}

// brute counts one instance after the other.
func brute(p *state.Plan, f server.InstanceFilter) (t v1.ReceiptTotals) {
	for i := range p.Size() {
		at, _ := p.Locate(i)
		if n := p.Nodes[at.Node]; f.Nodes != nil && n.Spec.Id != f.Nodes.IDs[0] || !within(p.Dates[at.Pos], f.From, f.To) {
			continue
		} else if n.DryRun == wire.DryRun_NOT_CHOSEN {
			t.Bridges++
		} else {
			t.Asked++
		}
		t.Generated++
		switch p.Status(i) {
		case state.Succeeded:
			t.Succeeded++
		case state.DryRun:
			t.DryRun++
		case state.Failed:
			t.Failed++
		case state.Stopped:
			t.Stopped++
		case state.Running:
			t.Running++
		default:
			t.Waiting++
		}
	}
	return t
}

func TestInstancesPageByPageAreThoseOfOnePage(t *testing.T) {
	r := newRig(t, diamond()...)
	id := progress(r, 3)
	all, _, err := r.Instances(t.Context(), id, server.InstanceFilter{}, server.Page{Limit: 1000})
	if err != nil || len(all) != 20*7 {
		t.Fatalf("%d instances, %v", len(all), err)
	}
	for _, f := range []server.InstanceFilter{
		{}, {Nodes: server.OneNode("h")}, {States: []v1.State{v1.StateFailed}}, {States: []v1.State{v1.StateRunning}}, {States: []v1.State{v1.StateNotRunning}}, {States: []v1.State{v1.StateWaitingTime}},
		{States: []v1.State{v1.StateSucceeded}, Nodes: server.OneNode("a")}, {States: []v1.State{v1.StateFrozen}}, {From: ref("2021-01-19")}, {To: ref("2020-01-01")}, {Nodes: server.OneNode("none")},
	} {
		var want, got []string
		for _, i := range all {
			if (f.Nodes == nil || f.Nodes.IDs[0] == i.Node) && (len(f.States) == 0 || f.States[0] == i.State) && within(date(i.Date), f.From, f.To) {
				want = append(want, i.ID)
			}
		}
		for next, more := "", true; more; more = next != "" {
			var page []v1.Instance
			page, next, err = r.Instances(t.Context(), id, f, server.Page{Cursor: next, Limit: 7})
			if err != nil || len(page) > 7 {
				t.Fatal(len(page), err)
			}
			for _, i := range page {
				got = append(got, i.ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, want %v", f, got, want)
		}
	}
}

func TestAPageDoesNotSlideWhileInstancesFinish(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 100, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-10", func(q *wire.Request) { q.Gate = wire.Request_NONE }))
	f := server.InstanceFilter{States: []v1.State{v1.StateNotRunning}}
	first, next, err := r.Instances(t.Context(), id, f, server.Page{Limit: 4})
	if err != nil || len(first) != 4 {
		t.Fatal(first, err)
	}
	r.run(id, ok, 0, 1, 2, 3, 4)
	second, _, err := r.Instances(t.Context(), id, f, server.Page{Cursor: next, Limit: 4})
	if err != nil || len(second) != 4 || second[0].ID != "b1.5" {
		t.Errorf("after b1.3 and with b1.4 finished: %+v %v", second, err)
	}
}

func TestALongWalkIsCutAndGoesOn(t *testing.T) {
	minutely := daily("m")
	minutely.Schedule = &wire.Schedule{Kind: wire.Schedule_MINUTELY, To: 24*3600 - 60, Every: 1}
	r := newRig(t, minutely)
	r.agent("a1", "default", 100, wire.Agent_READY)
	id := r.submit(backfill("m", "2015-01-01..2020-12-31", func(q *wire.Request) { q.Gate = wire.Request_NONE }))
	p, _ := r.m.State().Plan(id)
	last := p.Size() - 1
	r.run(id, ok, last)
	count := func(id uint64, f server.InstanceFilter) (found, pages int) {
		for next, more := "", true; more; more = next != "" {
			page, n, err := r.Instances(t.Context(), id, f, server.Page{Cursor: next, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			found, next, pages = found+len(page), n, pages+1
		}
		return found, pages
	}
	if found, pages := count(id, server.InstanceFilter{States: []v1.State{v1.StateSucceeded}}); found != 1 || pages != 1 {
		t.Errorf("the counters lead to it: %d found in %d pages, want 1 in 1", found, pages)
	}
	later := r.submit(backfill("m", "2010-01-01..2010-12-31", func(q *wire.Request) {
		q.NotBeforeMs, q.Gate = r.clock().Add(time.Hour).UnixMilli(), wire.Request_NONE
	}))
	want := 365*1440/lookAtMost + 1 // all wait for their time, which only a look at each can tell
	if found, pages := count(later, server.InstanceFilter{States: []v1.State{v1.StateNotRunning}}); found != 0 || pages != want {
		t.Errorf("each is looked at: %d found in %d pages, want 0 in %d", found, pages, want)
	}
	page, next, err := r.Instances(t.Context(), id, server.InstanceFilter{States: []v1.State{v1.StateRunning}, Nodes: server.OneNode("m")}, server.Page{Limit: 10})
	if len(page) != 0 || next != "" || err != nil {
		t.Errorf("none runs: %v %q %v", page, next, err)
	}
}

func TestForeignCursorsAreRefused(t *testing.T) {
	r := newRig(t, diamond()...)
	id := r.submit(backfill("a", "2021-01-01"))
	for _, cursor := range []string{"x", "node:", "instance:-1", "instance:x", "backfill:9999999999999999999999", "date:1;2", "receipt-node:77"} {
		page := server.Page{Cursor: cursor, Limit: 5}
		_, _, nodes := r.Nodes(t.Context(), server.NodeQuery{}, "", page)
		_, _, instances := r.Instances(t.Context(), id, server.InstanceFilter{}, page)
		_, _, dates := r.Dates(t.Context(), id, server.DateFilter{}, page)
		_, _, backfills := r.Backfills(t.Context(), server.PlanQuery{Kind: v1.PlanFilterBackfill}, page)
		_, _, agents := r.Agents(t.Context(), server.AgentFilter{}, page)
		_, receipt := r.Receipt(t.Context(), id, v1.ReceiptByNode, server.InstanceFilter{}, page)
		for i, err := range []error{nodes, instances, dates, backfills, agents, receipt} {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("list %d, cursor %q: %v", i, cursor, err)
			}
		}
	}
}

func TestNodesBackfillsAndAgentsPageByName(t *testing.T) {
	r := newRig(t, daily("b"), daily("d"), daily("f"))
	first, next, err := r.Nodes(t.Context(), server.NodeQuery{}, "", server.Page{Limit: 2})
	if err != nil || len(first) != 2 || first[1].Id != "d" {
		t.Fatal(first, err)
	}
	r.apply(daily("a"), daily("e"))
	second, next, err := r.Nodes(t.Context(), server.NodeQuery{}, "", server.Page{Limit: 2, Cursor: next})
	if err != nil || next != "" || len(second) != 2 || second[0].Id != "e" || second[1].Id != "f" {
		t.Errorf("after d: %v %q %v", second, next, err)
	}
	for range 5 {
		r.submit(backfill("a", "2021-01-01"))
	}
	var ids []string
	for next, more := "", true; more; more = next != "" {
		var page []v1.BackfillSummary
		page, next, err = r.Backfills(t.Context(), server.PlanQuery{Contains: "a_2021", States: []v1.State{v1.StateNotRunning}, Kind: v1.PlanFilterBackfill}, server.Page{Limit: 2, Cursor: next})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page {
			ids = append(ids, b.ID)
		}
		r.submit(backfill("b", "2021-01-01")) // newer ones do not push older ones
	}
	if want := []string{"b5", "b4", "b3", "b2", "b1"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
	r.agent("a1", "etl", 3, wire.Agent_READY)
	r.agent("a2", "etl", 3, wire.Agent_LOST)
	agents, _, err := r.Agents(t.Context(), server.AgentFilter{Contains: "a2.ex"}, server.Page{Limit: 10})
	if err != nil || len(agents) != 1 || agents[0].State != v1.AgentStateLost || agents[0].Groups[0] != (v1.AgentSlots{Group: "etl", Slots: 3}) {
		t.Errorf("agents: %+v %v", agents, err)
	}
}

func TestBackfillShowsGroupsRateAndTimeLeft(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 100, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-10", func(q *wire.Request) { q.Groups = 2 }))
	r.run(id, ok, 0)
	r.run(id, failed, 5)
	r.start(id, 1)
	r.rates.observe([]state.Change{{Kind: state.InstanceChanged, Plan: id, To: state.Succeeded}, {Kind: state.InstanceChanged, Plan: id, To: state.Failed}}, r.clock())
	r.pass(3 * time.Second)
	b, err := r.Backfill(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if b.Summary.State != v1.StateRunning || b.Summary.Quiet || b.Summary.Counts != (v1.StateCounts{Total: 10, NotRunning: 7, Running: 1, Succeeded: 1, Failed: 1}) {
		t.Errorf("summary: %+v", b.Summary)
	}
	one, two := b.Groups[0], b.Groups[1]
	if one.DatesDone != 1 || one.Current != "2021-01-02" || one.State != v1.StateRunning || one.Reason != "" {
		t.Errorf("group 1: %+v", one)
	}
	if two.DatesDone != 0 || two.Current != "2021-01-06" || two.State != v1.StateFailed || two.Reason != "2021-01-06 has 1 instance that failed" {
		t.Errorf("group 2: %+v", two)
	}
	balanced(t, b.Receipt)
	if b.Rate.PerSecond != 0.5 || b.Rate.SecondsLeft == nil || *b.Rate.SecondsLeft != 16 {
		t.Errorf("rate: %+v", b.Rate)
	}
	r.do(operation(wire.Operate_PAUSE, id))
	if b, _ = r.Backfill(t.Context(), id); b.Rate.SecondsLeft != nil || !b.Summary.Paused {
		t.Errorf("paused: %+v", b.Rate)
	}
	if _, err := r.Backfill(t.Context(), 99); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such backfill: %v", err)
	}
}

func TestDatesSayWhatHoldsThem(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")))
	r.agent("a1", "default", 100, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-04", func(q *wire.Request) { q.Groups = 2 }))
	r.run(id, ok, 0)
	r.run(id, ok, 1)
	r.run(id, failed, 2)
	all, next, err := r.Dates(t.Context(), id, server.DateFilter{}, server.Page{Limit: 3})
	if err != nil || len(all) != 3 || next == "" {
		t.Fatal(all, next, err)
	}
	rest, _, err := r.Dates(t.Context(), id, server.DateFilter{}, server.Page{Limit: 3, Cursor: next})
	if err != nil || len(rest) != 1 {
		t.Fatal(rest, err)
	}
	want := []struct {
		date   string
		state  v1.State
		reason string
	}{
		{"2021-01-01", v1.StateSucceeded, ""},
		{"2021-01-02", v1.StateFailed, "2021-01-02 has 1 instance that failed"},
		{"2021-01-03", v1.StateNotRunning, ""},
		{"2021-01-04", v1.StateNotRunning, "2021-01-03, the date before it in group 2, has not finished: 2 of 2 instances not succeeded"},
	}
	for i, d := range append(all, rest...) {
		if w := want[i]; d.Date != w.date || d.State != w.state || d.Reason != w.reason || d.Group != i/2+1 || d.Place != i%2+1 {
			t.Errorf("got %+v, want %+v", d, w)
		}
	}
	failedOnly, _, _ := r.Dates(t.Context(), id, server.DateFilter{State: v1.StateFailed}, server.Page{Limit: 3})
	if len(failedOnly) != 1 || failedOnly[0].Date != "2021-01-02" {
		t.Errorf("failed dates: %+v", failedOnly)
	}
}

// A chain of dates, each held by the one before, must cost its length and not
// a power of it.
func TestR8_RollUpOfALongHeldChainIsCheap(t *testing.T) {
	for _, gate := range []wire.Request_Gate{wire.Request_DAY, wire.Request_NODE} {
		r := newRig(t, daily("a"), daily("b", up("a")), daily("c", up("b"), window("a", -6, 0)))
		r.agent("a1", "default", 100, wire.Agent_READY)
		id := r.submit(backfill("a", "2012-01-01..2015-12-31", func(q *wire.Request) { q.Gate, q.Groups = gate, 10 }))
		r.run(id, failed, 0)
		p, _ := r.m.State().Plan(id)
		var all []uint64
		for _, span := range p.Groups[1:] {
			from, _ := p.NodeRange(span.From, 0)
			all = append(all, from)
		}
		r.run(id, failed, all...)
		dates, _, err := r.Dates(t.Context(), id, server.DateFilter{}, server.Page{Limit: 1000})
		if err != nil || len(dates) != 1000 || dates[1].State != v1.StateNotRunning || dates[0].State != v1.StateFailed {
			t.Fatal(len(dates), err)
		}
		b, err := r.Backfill(t.Context(), id)
		if err != nil || !b.Summary.Quiet || b.Summary.State != v1.StateFailed {
			t.Errorf("%v: %+v %v", gate, b.Summary, err)
		}
	}
}

func TestCountsTellWaitingTimeApart(t *testing.T) {
	r := newRig(t, daily("a", retries(2, time.Hour)), daily("b", up("a")))
	r.agent("a1", "default", 100, wire.Agent_READY)
	future := r.submit(backfill("a", "2021-08-24..2021-08-25", func(q *wire.Request) { q.Groups = 2 }))
	b, _ := r.Backfill(t.Context(), future)
	if b.Summary.State != v1.StateWaitingTime || b.Summary.Counts != (v1.StateCounts{Total: 4, NotRunning: 2, WaitingTime: 2}) || b.Summary.Quiet {
		t.Errorf("to come: %+v", b.Summary)
	}
	retry := r.submit(backfill("a", "2021-01-01"))
	r.run(retry, failed, 0)
	b, _ = r.Backfill(t.Context(), retry)
	if b.Summary.State != v1.StateRunning || b.Summary.Counts != (v1.StateCounts{Total: 2, NotRunning: 1, WaitingTime: 1}) || b.Summary.Quiet {
		t.Errorf("waiting for a retry: %+v", b.Summary)
	}
}

func TestRatesLookBackAsFarAsTheyMust(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newRates()
	finish := func(n int) {
		r.observe(slices.Repeat([]state.Change{{Kind: state.InstanceChanged, Plan: 1, To: state.Succeeded}}, n), now)
	}
	for range 60 {
		finish(1)
		now = now.Add(time.Second)
	}
	now = now.Add(-time.Second)
	if got := r.perSecond(1, now); got != 1 {
		t.Errorf("slow: %v, want 1", got)
	}
	for range 10 {
		now = now.Add(time.Second)
		finish(100)
	}
	if got := r.perSecond(1, now); got != 100 {
		t.Errorf("fast: %v, want 100", got)
	}
	if got := r.perSecond(1, now.Add(20*time.Second)); got < 15 || got > 20 {
		t.Errorf("nothing for 20 s: %v, want that of the last minute, about 1,030 in 60 s", got)
	}
	if got := r.perSecond(1, now.Add(2*time.Minute)); got != 0 {
		t.Errorf("long after: %v, want 0", got)
	}
	now = now.Add(time.Hour)
	r.observe([]state.Change{{Kind: state.InstanceChanged, Plan: 2, To: state.Failed}, {Kind: state.InstanceChanged, Plan: 2, To: state.Running}}, now)
	if got := r.perSecond(2, now); got != 1 || len(r.plans) != 1 {
		t.Errorf("another plan: %v, %d plans kept", got, len(r.plans))
	}
}

func TestClusterReadyAndLeader(t *testing.T) {
	r := newRig(t)
	_, _, err := r.log.Propose(t.Context(), &wire.Command{Body: &wire.Command_PutServer{PutServer: &wire.PutServer{Id: "c1", HttpAddress: "127.0.0.1:8080"}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Cluster(t.Context(), false)
	if err != nil || c.Leader != "c1" || c.Term != 3 || c.Today != "2021-08-24" || c.Zone != "UTC" {
		t.Errorf("%+v %v", c, err)
	}
	var roles []v1.ServerRole
	for _, s := range c.Servers {
		roles = append(roles, s.Role)
	}
	if want := []v1.ServerRole{v1.ServerRoleLeader, v1.ServerRoleVoter, v1.ServerRoleNonVoter}; !slices.Equal(roles, want) {
		t.Errorf("roles %v", roles)
	}
	if l := r.Leader(); !l.Self || l.HTTPAddress != "http://127.0.0.1:8080" {
		t.Errorf("%+v", l)
	}
	if _, err := r.TransferLeadership(t.Context(), write("transfer"), "c9"); !fault.Is(err, fault.Invalid) {
		t.Errorf("to a stranger: %v", err)
	}
	if id, err := r.TransferLeadership(t.Context(), write("transfer"), ""); id != "c2" || err != nil {
		t.Errorf("%q %v", id, err)
	}
}

// TestChecksTellWhatIsMissing: each by itself.
func TestChecksTellWhatIsMissing(t *testing.T) {
	r := newRig(t)
	failed := func() (names []string) {
		for _, c := range r.Checks() {
			if c.Err != nil {
				names = append(names, c.Name)
			}
		}
		return names
	}
	good := Standing{CaughtUp: true}
	for want, log := range map[string]standingLog{
		"":                   {at: good, leads: "c2"},
		"leader":             {at: good},
		"log":                {at: Standing{CaughtUp: true, Err: errors.New("the disk is broken")}, leads: "c2"},
		"facts":              {leads: "c2"},
		"staying":            {at: Standing{CaughtUp: true, Stopping: true}, leads: "c2"},
		"log, leader, facts": {at: Standing{Err: errors.New("it was removed")}},
	} {
		log.Log, r.Log = r.log, log
		if got := strings.Join(failed(), ", "); got != want {
			t.Errorf("failed are %q, expected %q", got, want)
		}
	}
	if n := len(r.Checks()); n != 4 {
		t.Errorf("%d checks", n)
	}
}

// standingLog is a log that stands as is said.
type standingLog struct {
	Log
	at    Standing
	leads string
}

func (l standingLog) Standing() Standing     { return l.at }
func (l standingLog) Leader() (string, bool) { return l.leads, false }
