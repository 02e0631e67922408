package service

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"backfleet/api/server"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// as is a request of somebody of a role; a developer of these workspaces, if any
// is named.
func as(actor string, role wire.Role, workspaces ...string) server.Write {
	return server.Write{
		Actor: actor, Role: role, Restricted: len(workspaces) > 0, Workspaces: workspaces, Via: "t-" + actor, From: "10.0.0.7",
		RequestID: fmt.Sprint(actor, role, workspaces), Hash: []byte("hash"),
	}
}

// rights is a rig with nodes of two workspaces on one chain, and backfills of
// different people on them:
//
//	b1  dan's: m1 and m2 run, t1 between them is a dry run
//	b2  bob's: all that runs is mine, t1 is a dry run
//	b3  bob's: t1 runs too
//	b4  the schedule's day, with all three
//	b5  dan's, of a node that was moved to others since
func rights(t *testing.T) *rig {
	of := func(workspace string) option { return func(n *wire.Node) { n.Workspace, n.Auto = workspace, true } }
	moved := daily("moved")
	moved.Workspace = "mine"
	r := newRig(t, daily("m1", of("mine")), daily("t1", of("theirs"), up("m1")), daily("m2", of("mine"), up("t1")), moved)
	r.agent("a1", "default", 99, wire.Agent_READY)
	some := func(q *wire.Request) { q.Nodes = []string{"m1", "m2"} }
	dan := as("dan", wire.Role_DEVELOPER, "mine")
	for i, one := range []struct {
		w       server.Write
		request *wire.Request
	}{
		{dan, backfill("m1", "2021-01-01..2021-01-02", some)},
		{as("bob", wire.Role_OPERATOR), backfill("m1", "2021-02-01..2021-02-02", some)},
		{as("bob", wire.Role_OPERATOR), backfill("m1", "2021-03-01..2021-03-02")},
	} {
		one.w.RequestID = fmt.Sprint("submit ", i)
		if _, err := r.Submit(t.Context(), one.w, one.request); err != nil {
			t.Fatal(err)
		}
	}
	if id := r.generate("2021-08-24"); id != 4 {
		t.Fatal(id)
	}
	dan.RequestID = "submit moved"
	if _, err := r.Submit(t.Context(), dan, backfill("moved", "2021-01-01")); err != nil {
		t.Fatal(err)
	}
	r.run(5, failed, 0)
	away := daily("moved")
	away.Workspace = "theirs"
	if _, err := r.ApplyNodes(t.Context(), write("move"), []*wire.Node{away}, nil, false); err != nil {
		t.Fatal(err)
	}
	return r
}

// instanceOf is one of a node in a plan.
func (r *rig) instanceOf(planID uint64, id string) uint64 {
	r.t.Helper()
	p, _ := r.m.State().Plan(planID)
	n, ok := p.NodeIndex(id)
	if !ok {
		r.t.Fatalf("b%d has no node %s", planID, id)
	}
	from, _ := p.NodeRange(0, n)
	return from
}

// TestR15_2_WhoMaySteerWhat is the table of the rule: every operation on each
// kind of backfill, date and instance, by everybody who asks.
func TestR15_2_WhoMaySteerWhat(t *testing.T) {
	r := rights(t)
	st := r.m.State()
	whole := func(id uint64) []*wire.Target { return []*wire.Target{{Plan: id}} }
	day := func(id uint64) []*wire.Target {
		return []*wire.Target{{Plan: id, Dates: []*wire.DateRange{{From: 0, To: 99999}}}}
	}
	one := func(id uint64, node string) []*wire.Target {
		return []*wire.Target{{Plan: id, Instances: []uint64{r.instanceOf(id, node)}}}
	}
	var ofPlans = []wire.Operate_Kind{
		wire.Operate_STOP, wire.Operate_PAUSE, wire.Operate_RESUME, wire.Operate_RERUN_FAILED, wire.Operate_FREEZE, wire.Operate_UNFREEZE,
	}
	var ofInstances = []wire.Operate_Kind{
		wire.Operate_STOP, wire.Operate_SET_TO_SUCCESS, wire.Operate_FREEZE, wire.Operate_UNFREEZE, wire.Operate_REMOVE_UPSTREAM,
	}
	var running = []wire.Operate_Kind{wire.Operate_RERUN, wire.Operate_FORCE_RUN}
	people := []struct {
		name string
		w    server.Write
	}{
		{"developer of mine", as("dan", wire.Role_DEVELOPER, "mine")},
		{"developer of both", as("dot", wire.Role_DEVELOPER, "mine", "theirs")},
		{"developer of all", as("dee", wire.Role_DEVELOPER)},
		{"developer of none left", server.Write{Actor: "dan", Role: wire.Role_DEVELOPER, Restricted: true}},
		{"viewer", as("dan", wire.Role_VIEWER)},
		{"nobody", as("dan", wire.Role_ROLE_UNSPECIFIED)},
		{"operator", as("olga", wire.Role_OPERATOR)},
		{"admin", as("ada", wire.Role_ADMIN)},
	}
	for _, c := range []struct {
		name    string
		kinds   []wire.Operate_Kind
		targets []*wire.Target
		may     string // of people, in their order
		says    string // to the first who may not
	}{
		{"own backfill with foreign dry runs", ofPlans, whole(1), "yyyy--yy", ""},
		{"dates of it", ofPlans[4:], day(1), "yyyy--yy", ""},
		{"own instance in it", append(ofInstances, running...), one(1, "m1"), "yyyo--yy", ""},
		{"dry run in it", append(ofInstances, running...), one(1, "t1"), "yyyy--yy", ""},
		{"another's backfill of own nodes", ofPlans, whole(2), "yyy---yy", ""},
		{"dry run in it", append(ofInstances, running...), one(2, "t1"), "yyy---yy", ""},
		{"another's backfill that runs others too", ofPlans, whole(3), "-yy---yy", `b3: it was begun by bob and runs node "t1" of workspace "theirs", which is not yours`},
		{"dates of it", ofPlans[4:], day(3), "-yy---yy", `b3: it was begun by bob`},
		{"own instance in it", append(ofInstances, running...), one(3, "m2"), "yyy---yy", ""},
		{"another's instance in it", ofInstances, one(3, "t1"), "-yy---yy", `node "t1" is of workspace "theirs"`},
		{"another's instance in it, to run", running, one(3, "t1"), "-yy---yy", `you may not run node "t1" of workspace "theirs"`},
		{"the schedule's day", ofPlans, whole(4), "-yy---yy", "b4: it is the schedule's"},
		{"own instance of the schedule", append(ofInstances, running...), one(4, "m1"), "yyy---yy", ""},
		{"another's instance of the schedule", ofInstances, one(4, "t1"), "-yy---yy", "which is not yours"},
		{"own backfill of a node that is another's now", ofPlans[:3], whole(5), "yyyy--yy", ""},
		{"what failed of it", ofPlans[3:4], whole(5), "-yy---yy", `you may not run node "moved" of workspace "theirs"`},
		{"its instance", ofInstances, one(5, "moved"), "yyyy--yy", ""},
		{"its instance, to run", running, one(5, "moved"), "-yy---yy", `you may not run node "moved"`},
		{"a priority", []wire.Operate_Kind{wire.Operate_SET_PRIORITY}, one(1, "m1"), "------yy", "setting a priority is for operators"},
		{"both at once", ofInstances, append(one(3, "m1"), one(3, "t1")...), "-yy---yy", `node "t1"`},
		{"what is not there", ofPlans, whole(99), "yyyy--yy", ""}, // the log says so
	} {
		for i, who := range people {
			for _, kind := range c.kinds {
				want := c.may[i] == 'y'
				if c.may[i] == 'o' { // what they began, but not what has it run
					want = kind != wire.Operate_RERUN && kind != wire.Operate_FORCE_RUN
				}
				err := mayOperate(st, who.w, kind, c.targets)
				if (err == nil) != want || err != nil && !fault.Is(err, fault.Denied) {
					t.Errorf("%s: %s by %s: %v, expected it to be allowed: %v", c.name, kind, who.name, err, want)
				}
				if err != nil && i == 0 && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %s: %v, expected it to say %q", c.name, kind, err, c.says)
				}
			}
		}
	}
}

// TestR15_2_ADeveloperSteersTheirOwnBackfill does it, from the request to the facts:
// its chain holds dry runs of others.
func TestR15_2_ADeveloperSteersTheirOwnBackfill(t *testing.T) {
	r := rights(t)
	act := func(o server.BatchOperation) error {
		w := as("dan", wire.Role_DEVELOPER, "mine")
		w.RequestID = fmt.Sprint("act ", r.log.index)
		_, err := r.Operate(t.Context(), w, o)
		return err
	}
	for _, kind := range []wire.Operate_Kind{wire.Operate_PAUSE, wire.Operate_RESUME, wire.Operate_FREEZE, wire.Operate_UNFREEZE, wire.Operate_STOP} {
		if err := act(operation(kind, 1)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	index := r.log.index
	both := operation(wire.Operate_PAUSE, 2)
	both.Targets = append(both.Targets, &wire.Target{Plan: 3})
	var e *fault.Error
	if err := act(both); !errors.As(err, &e) || e.Code != fault.Denied || len(e.Details) != 1 || e.Details[0].Field != "b3" {
		t.Errorf("one of two is not theirs: %v", err)
	}
	if p, _ := r.m.State().Plan(2); p.Paused || r.log.index != index {
		t.Error("what was refused was done in part")
	}
}

func TestR15_2_WhoMayChangeWhichNodes(t *testing.T) {
	r := rights(t)
	st := r.m.State()
	dan := as("dan", wire.Role_DEVELOPER, "mine")
	node := func(id, workspace string) *wire.Node {
		n := daily(id)
		n.Workspace = workspace
		return n
	}
	for _, c := range []struct {
		name   string
		w      server.Write
		nodes  []*wire.Node
		remove []string
		fields string // of what is not theirs; all: at all
	}{
		{"a new one of theirs", dan, []*wire.Node{node("new", "mine")}, nil, ""},
		{"a new one elsewhere", dan, []*wire.Node{node("new", "theirs")}, nil, "nodes[0].workspace"},
		{"a change", dan, []*wire.Node{node("m1", "mine"), node("m2", "mine")}, nil, ""},
		{"another's", dan, []*wire.Node{node("m1", "mine"), node("t1", "theirs")}, nil, "nodes[1].workspace"},
		{"given away", dan, []*wire.Node{node("m1", "theirs")}, nil, "nodes[0].workspace"},
		{"taken", dan, []*wire.Node{node("t1", "mine")}, nil, "nodes[0]"},
		{"removed", dan, nil, []string{"m1", "none"}, ""},
		{"another's removed", dan, nil, []string{"m1", "t1"}, "remove[1]"},
		{"by a developer of both", as("dot", wire.Role_DEVELOPER, "mine", "theirs"), []*wire.Node{node("t1", "mine"), node("m1", "theirs")}, []string{"m2"}, ""},
		{"by a developer of all", as("dee", wire.Role_DEVELOPER), []*wire.Node{node("t1", "x")}, []string{"m2"}, ""},
		{"by an operator", as("olga", wire.Role_OPERATOR), []*wire.Node{node("t1", "x")}, []string{"m2"}, ""},
		{"by a viewer", as("vic", wire.Role_VIEWER), []*wire.Node{node("m1", "mine")}, nil, "all"},
	} {
		err := mayApply(st, c.w, c.nodes, c.remove)
		var e *fault.Error
		got := ""
		if errors.As(err, &e) {
			if got = "all"; len(e.Details) > 0 {
				got = e.Details[0].Field
			}
		}
		if got != c.fields || err != nil && (e.Code != fault.Denied || len(e.Details) > 1) {
			t.Errorf("%s: %v, expected it to name %q", c.name, err, c.fields)
		}
	}
	for _, dryRun := range []bool{true, false} {
		if _, err := r.ApplyNodes(t.Context(), dan, []*wire.Node{node("t1", "mine")}, nil, dryRun); !fault.Is(err, fault.Denied) {
			t.Errorf("dry run %v: %v", dryRun, err)
		}
	}
	many := make([]*wire.Node, 150)
	for i := range many {
		many[i] = node(fmt.Sprint("n", i), "theirs")
	}
	var e *fault.Error
	if err := mayApply(st, dan, many, nil); !errors.As(err, &e) || len(e.Details) != 101 || e.Details[100].Message != "and 50 more" {
		t.Errorf("%v", err)
	}
}

func TestR15_2_WhoMayBeginAndChangeBackfills(t *testing.T) {
	r := rights(t)
	st := r.m.State()
	seven := int32(7)
	dan := as("dan", wire.Role_DEVELOPER, "mine")
	plain, urgent := &wire.Request{}, &wire.Request{Priority: 8}
	for _, c := range []struct {
		name string
		err  error
		may  bool
	}{
		{"begin by a developer", maySubmit(dan, plain), true},
		{"begin by a viewer", maySubmit(as("vic", wire.Role_VIEWER), plain), false},
		{"a priority by a developer", maySubmit(dan, urgent), false},
		{"a priority by an operator", maySubmit(as("olga", wire.Role_OPERATOR), urgent), true},
		{"own", mayEdit(st, dan, &wire.EditPlan{Plan: 1, Groups: &seven}), true},
		{"another's of own nodes", mayEdit(st, dan, &wire.EditPlan{Plan: 2, Groups: &seven}), true},
		{"another's", mayEdit(st, dan, &wire.EditPlan{Plan: 3, Groups: &seven}), false},
		{"another's by a developer of all", mayEdit(st, as("dee", wire.Role_DEVELOPER), &wire.EditPlan{Plan: 3, Groups: &seven}), true},
		{"own, a priority", mayEdit(st, dan, &wire.EditPlan{Plan: 1, Priority: &seven}), false},
		{"own, by a viewer now", mayEdit(st, as("dan", wire.Role_VIEWER), &wire.EditPlan{Plan: 1, Groups: &seven}), false},
		{"a priority by an operator", mayEdit(st, as("olga", wire.Role_OPERATOR), &wire.EditPlan{Plan: 1, Priority: &seven}), true},
	} {
		if (c.err == nil) != c.may || c.err != nil && !fault.Is(c.err, fault.Denied) {
			t.Errorf("%s: %v, expected it to be allowed: %v", c.name, c.err, c.may)
		}
	}
	for _, dryRun := range []bool{true, false} {
		if _, err := r.Edit(t.Context(), dan, &wire.EditPlan{Plan: 3, Groups: &seven}, dryRun); !fault.Is(err, fault.Denied) {
			t.Errorf("dry run %v: %v", dryRun, err)
		}
	}
}
