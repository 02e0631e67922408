package service

import (
	"errors"
	"reflect"
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

// closure is the descendants by the definition: whatever waits for one of them,
// until nothing is added.
func closure(p *state.Plan, roots []uint64) []uint64 {
	in := map[uint64]bool{}
	for _, i := range roots {
		in[i] = true
	}
	for more := true; more; {
		more = false
		for i := range p.Size() {
			at, _ := p.Locate(i)
			p.Upstreams(at, func(_ int, from, to uint64) bool {
				for u := from; u < to; u++ {
					if in[u] && !in[i] {
						in[i], more = true, true
					}
				}
				return true
			})
		}
	}
	var out []uint64
	for i := range in {
		if !slices.Contains(roots, i) {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}

func children(n *wire.Node) { n.DependsOnChildren = true }

func previous(ids ...string) option {
	return func(n *wire.Node) {
		for _, id := range ids {
			n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id, Previous: true})
		}
	}
}

func TestR9_DescendantsAreAllThatWaits(t *testing.T) {
	graphs := map[string][]*wire.Node{
		"a chain":              {daily("a"), daily("b", up("a")), daily("c", up("b")), daily("x")},
		"it depends on itself": {daily("a", self), daily("b", up("a"))},
		"windows":              {daily("a"), daily("b", window("a", -2, 0)), daily("c", window("b", -3, -1), up("a"))},
		"hours and days":       {daily("a", hourly), daily("b", up("a")), daily("c", hourly, up("b"))},
		"hours on hours":       {daily("a", hourly, self), daily("b", hourly, up("a"))},
		"its children":         {daily("a", children), daily("b", up("a"))},
		"hours of children":    {daily("a", hourly, children), daily("b", hourly, up("a"))},
		"named previous":       {daily("a"), daily("b", up("a")), daily("c", previous("b"), up("a"))},
	}
	for name, nodes := range graphs {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nodes...)
			id := r.submit(backfill("a", "2021-01-01..2021-01-04", func(q *wire.Request) { q.Gate = wire.Request_NONE }))
			p, _ := r.m.State().Plan(id)
			for i := range p.Size() {
				got, err := descendants(p, []uint64{i})
				if err != nil {
					t.Fatal(err)
				}
				inOrder(t, p, got)
				slices.Sort(got)
				if want := closure(p, []uint64{i}); !slices.Equal(got, want) {
					t.Errorf("descendants of %d: got %v, want %v", i, got, want)
				}
			}
			some := []uint64{0, p.Size() / 2}
			got, _ := descendants(p, some)
			slices.Sort(got)
			if want := closure(p, some); !slices.Equal(got, want) {
				t.Errorf("descendants of %v: got %v, want %v", some, got, want)
			}
		})
	}
}

// inOrder checks that no date comes before an earlier one, and in a date no
// node before its upstreams.
func inOrder(t *testing.T, p *state.Plan, list []uint64) {
	t.Helper()
	for k := 1; k < len(list); k++ {
		a, _ := p.Locate(list[k-1])
		b, _ := p.Locate(list[k])
		if p.Dates[a.Pos] > p.Dates[b.Pos] || a.Pos == b.Pos && a.Node > b.Node {
			t.Errorf("%d comes before %d", list[k-1], list[k])
		}
	}
}

func TestR9_ARerunWithDescendants(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")), daily("c", up("b")), daily("x", up("a")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01"))
	p, _ := r.m.State().Plan(id)
	number := func(node string) uint64 {
		i, _ := p.Find(node, date("2021-01-01"), p.Cycle(plan.Place{}).Unix)
		return i
	}
	a, b, c, x := number("a"), number("b"), number("c"), number("x")
	for _, i := range []uint64{a, b, c, x} {
		r.run(id, ok, i)
	}
	status := func() (list []state.Status) {
		p, _ := r.m.State().Plan(id)
		for _, i := range []uint64{a, b, c, x} {
			list = append(list, p.Status(i))
		}
		return list
	}
	before := r.log.index
	stranger := operation(wire.Operate_RERUN, id, b)
	stranger.Descendants = []*wire.Target{{Plan: id, Instances: []uint64{c, x}}}
	var e *fault.Error
	if _, err := r.operate("stranger", stranger); !errors.As(err, &e) || e.Field != "descendants" || len(e.Details) != 1 || e.Details[0].Field != plan.FormatInstance(id, x) {
		t.Errorf("x is no descendant of b: %v", err)
	}
	other := operation(wire.Operate_RERUN, id, b)
	other.Descendants = []*wire.Target{{Plan: 77, Instances: []uint64{0}}}
	if _, err := r.operate("other", other); !fault.Is(err, fault.Invalid) {
		t.Errorf("a descendant in another backfill: %v", err)
	}
	if r.log.index != before {
		t.Error("a refused rerun reached the log")
	}

	r.start(id, r.again(id, c)) // a running one stands in the way of all
	all := operation(wire.Operate_RERUN, id, b)
	all.AllDescendants = true
	if _, err := r.operate("one runs", all); !errors.As(err, &e) || e.Code != fault.Conflict || len(e.Details) != 1 || e.Details[0].Field != plan.FormatInstance(id, c) {
		t.Errorf("c runs: %v", err)
	}
	if got := status(); !slices.Equal(got, []state.Status{state.Succeeded, state.Succeeded, state.Running, state.Succeeded}) {
		t.Errorf("after a refused rerun: %v", got)
	}
	r.finish(id, ok, "", c)

	got, err := r.operate("all", all)
	if err != nil || got.Instances != 2 {
		t.Errorf("b and c run again: %+v %v", got, err)
	}
	if got := status(); !slices.Equal(got, []state.Status{state.Succeeded, state.Again, state.Again, state.Succeeded}) {
		t.Errorf("after the rerun: %v", got)
	}
	if reason := r.detail(id, c).Reason; reason == nil || reason.Code != v1.ReasonCodeUpstream {
		t.Errorf("c waits for b again: %+v", reason)
	}
	index := r.log.index
	if again, err := r.operate("all", all); err != nil || *again != *got || r.log.index != index {
		t.Errorf("sent again: %+v %v, want %+v and no entry", again, err, got)
	}
}

// again asks for an instance to run again and gives its number.
func (r *rig) again(planID, i uint64) uint64 {
	r.do(operation(wire.Operate_RERUN, planID, i))
	return i
}

func TestR9_ABatchIsAllOrNothingAndNamesWhatStandsInTheWay(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 9, wire.Agent_READY)
	one := r.submit(backfill("a", "2021-01-01..2021-01-02"))
	two := r.submit(backfill("a", "2021-02-01..2021-02-02"))
	r.run(one, ok, 0)
	r.run(two, failed, 0)
	both := server.BatchOperation{Operate: &wire.Operate{Kind: wire.Operate_SET_TO_SUCCESS, Targets: []*wire.Target{
		{Plan: one, Instances: []uint64{0}}, {Plan: two, Instances: []uint64{0, 9}},
	}}}
	var e *fault.Error
	if _, err := r.Operate(t.Context(), write("both"), both); !errors.As(err, &e) || len(e.Details) != 2 ||
		e.Details[0].Field != "b1.0" || e.Details[1].Field != "b2.9" {
		t.Fatalf("%v", err)
	}
	if p, _ := r.m.State().Plan(two); p.Status(0) != state.Failed {
		t.Error("a part of a refused batch was done")
	}
	freeze := server.BatchOperation{Operate: &wire.Operate{Kind: wire.Operate_FREEZE, Targets: []*wire.Target{
		{Plan: two, Instances: []uint64{1}}, {Plan: one, Instances: []uint64{1}},
	}}}
	got, err := r.Operate(t.Context(), write("freeze"), freeze)
	if err != nil || got.Instances != 2 || len(got.Backfills) != 2 || got.Backfills[0].Backfill != "b1" || got.Backfills[1].Instances != 1 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestR9_EveryOperationIsLoggedAndMarked(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-02"))
	do := func(why string, o server.BatchOperation) {
		t.Helper()
		w := write("op " + why)
		w.Why = why
		if _, err := r.Operate(t.Context(), w, o); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Second)
	}
	r.run(id, failed, 0)
	do("checked by hand", operation(wire.Operate_SET_TO_SUCCESS, id, 0))
	remove := operation(wire.Operate_REMOVE_UPSTREAM, id, 3)
	remove.Upstream = "a"
	do("a is broken", remove)
	urgent := operation(wire.Operate_SET_PRIORITY, id, 3)
	urgent.Priority = 8
	do("", urgent)
	do("now", operation(wire.Operate_FORCE_RUN, id, 3))

	set := r.detail(id, 0)
	if !set.Instance.SetToSuccess || set.Instance.State != v1.StateSucceeded || len(set.Marks) != 1 ||
		set.Marks[0].Text != "set to success by ann at 2021-08-24 12:00:00 UTC (checked by hand)" || set.Marks[0].Number != 1 {
		t.Errorf("set to success: %+v", set)
	}
	d := r.detail(id, 3)
	if !reflect.DeepEqual(d.RemovedUpstreams, []string{"a"}) || d.PriorityOverride != 8 || d.Instance.Priority != 8 || !d.Instance.Forced {
		t.Errorf("the instance: %+v", d)
	}
	var texts []string
	for _, m := range d.Marks {
		texts = append(texts, m.Text)
	}
	want := []string{
		"dependency on a removed by ann at 2021-08-24 12:00:01 UTC (a is broken)", "priority set to 8 by ann at 2021-08-24 12:00:02 UTC",
		"forced to run by ann at 2021-08-24 12:00:03 UTC (now)",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("marks: %q", texts)
	}

	var kinds []v1.OperationKind
	for next, more := "", true; more; more = next != "" {
		list, after, err := r.Operations(t.Context(), id, server.Page{Cursor: next, Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			kinds = append(kinds, o.Operation)
			if o.Actor != "ann" || o.Count != 1 {
				t.Errorf("%+v", o)
			}
		}
		next = after
	}
	if !slices.Equal(kinds, []v1.OperationKind{"forceRun", "setPriority", "removeUpstream", "setToSuccess"}) {
		t.Errorf("the log, newest first: %v", kinds)
	}
	row, err := r.Receipt(t.Context(), id, v1.ReceiptByNode, server.InstanceFilter{Nodes: server.OneNode("a")}, server.Page{Limit: 9})
	if err != nil || !slices.ContainsFunc(row.Rows[0].Reasons, func(x v1.ReceiptReason) bool {
		return x.Text == "set to success by ann at 2021-08-24 12:00:00 UTC (checked by hand)"
	}) {
		t.Errorf("receipt: %+v %v", row, err)
	}
}

func TestR9_WhatEndedWithoutAnAttemptSaysWhoEndedIt(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-02", func(q *wire.Request) { q.Groups = 2 }))
	r.do(operation(wire.Operate_STOP, id, 0))
	r.do(operation(wire.Operate_FREEZE, id, 1))
	r.turn(&wire.Turn{Missed: []*wire.Missed{{Plan: id, Instances: []uint64{1}}}})
	if got := r.detail(id, 1); got.Instance.State != v1.StateFrozen || !strings.Contains(got.Reason.Text, "it could have started meanwhile") {
		t.Errorf("frozen and missed: %+v", got.Reason)
	}
	r.do(operation(wire.Operate_UNFREEZE, id, 1))
	for i, want := range []string{
		"stopped by ann at 2021-08-24 12:00:00 UTC", "it could have started while it was frozen; unfrozen by ann at 2021-08-24 12:00:00 UTC",
	} {
		d := r.detail(id, uint64(i))
		if d.Instance.State != v1.StateFailed || d.Instance.Cause != want || d.Instance.Attempts != 0 {
			t.Errorf("%d: %+v", i, d.Instance)
		}
		_, waiting, err := r.read().logKey(server.LogRef{Plan: id, Instance: uint64(i)})
		if waiting || !fault.Is(err, fault.NotFound) {
			t.Errorf("its log: %v, waiting %v", err, waiting)
		}
	}
	r.start(id, r.again(id, 0))
	r.finish(id, failed, "exit code 3", 0)
	if got := r.detail(id, 0).Instance.Cause; got != "exit code 3" {
		t.Errorf("after another attempt: %q", got)
	}
}

func TestR2_9_ARerunDoesNotRunWhatTheUserMayNot(t *testing.T) {
	a, b := daily("a"), daily("b", up("a"))
	a.Workspace, b.Workspace = "mine", "theirs"
	r := newRig(t, a, b)
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01"))
	r.run(id, ok, 0)
	r.run(id, failed, 1)
	mine := func(key string) server.Write {
		w := write(key)
		w.Restricted, w.Workspaces = true, []string{"mine"}
		return w
	}
	all := operation(wire.Operate_RERUN, id, 0)
	all.AllDescendants = true
	index := r.log.index
	for name, o := range map[string]server.BatchOperation{
		"theirs": operation(wire.Operate_RERUN, id, 0, 1), "with descendants": all,
		"forced": operation(wire.Operate_FORCE_RUN, id, 1), "failed": operation(wire.Operate_RERUN_FAILED, id),
	} {
		var e *fault.Error
		if _, err := r.Operate(t.Context(), mine(name), o); !errors.As(err, &e) || e.Code != fault.Denied || len(e.Details) != 1 || !strings.Contains(e.Details[0].Message, "theirs") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r.log.index != index {
		t.Error("a refused rerun reached the log")
	}
	if got, err := r.Operate(t.Context(), mine("a"), operation(wire.Operate_RERUN, id, 0)); err != nil || got.Instances != 1 {
		t.Errorf("the own node: %+v %v", got, err)
	}
}
