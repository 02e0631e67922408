package service

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

const ok, failed = wire.Outcome_SUCCEEDED, wire.Outcome_FAILED

// asks has a node ask for slots, and for a label.
func asks(n *wire.Node, slots uint32, label ...string) *wire.Node {
	n = proto.CloneOf(n)
	if n.Slots = slots; len(label) > 0 {
		n.Requires = []*wire.Assignment{{Name: label[0], Value: label[1]}}
	}
	return n
}

func TestR8_EveryWaitingInstanceSaysExactlyWhy(t *testing.T) {
	a, b := daily("a"), daily("b", up("a"))
	days := "2021-01-11..2021-01-13"
	gateNode := func(r *wire.Request) { r.Gate = wire.Request_NODE }
	for _, c := range []struct {
		name  string
		nodes []*wire.Node
		setUp func(r *rig) (planID, instance uint64)
		state v1.State
		code  v1.ReasonCode // empty: none
		text  string
	}{
		{"no agent at all", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeNoAgent, `no agent is in resource group "default": start one with slots in it`},
		{"agents that take no work", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 2, wire.Agent_DRAINING)
			r.agent("a2", "default", 2, wire.Agent_LOST)
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeNoAgent, `none of the 2 agents of resource group "default" takes work: 1 draining, 1 lost or gone`},
		{"no agent with the labels", []*wire.Node{asks(a, 2, "gpu", "true")}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeNoAgent,
			`it requires gpu=true, which no agent of resource group "default" has: start such an agent, or change the node`},
		{"no agent is large enough", []*wire.Node{asks(a, 4)}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 3, wire.Agent_READY)
			r.agent("a2", "default", 2, wire.Agent_READY)
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeNoAgent,
			`it needs 4 slots at one agent, and the largest of resource group "default" has 3: start such an agent, or change the node`},
		{"free slots, but not at one agent", []*wire.Node{asks(a, 3), daily("z")}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 3, wire.Agent_READY)
			r.agent("a2", "default", 2, wire.Agent_READY)
			r.start(r.submit(backfill("z", "2021-02-01")), 0)
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeSlot,
			`waits for 3 free slots of resource group "default" at one agent: of 1 agent that could run it, the one with the most has 2 free; 1 of 5 used in all, 1st in line`},
		{"the group is full", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 1, wire.Agent_READY)
			r.start(r.submit(backfill("a", "2021-02-01")), 0)
			r.submit(backfill("a", "2021-03-01"))
			return r.submit(backfill("a", days, func(q *wire.Request) { q.Groups = 3 })), 2
		}, v1.StateNotRunning, v1.ReasonCodeSlot, `waits for a slot of resource group "default": 1 of 1 used, 4th in line`},
		{"room that is about to be given out, or kept", []*wire.Node{asks(a, 2, "gpu", "true")}, func(r *rig) (uint64, uint64) {
			r.turn(&wire.Turn{Agents: []*wire.Agent{{
				Id: "a1", State: wire.Agent_READY, Labels: asks(a, 1, "gpu", "true").Requires, Groups: []*wire.GroupSlots{{Group: "default", Slots: 3}},
			}}})
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeSlot,
			`waits for 2 free slots of resource group "default" at one agent with gpu=true: there is room, 0 of 3 used; it is given out in a moment, ` +
				`or kept for work that asks for more and has waited for long, 1st in line`},
		{"more than backfills may have", []*wire.Node{asks(a, 3)}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 4, wire.Agent_READY)
			if _, _, err := r.PutResourceGroup(r.t.Context(), write("group"), &wire.PutResourceGroup{Name: "default", ReserveForAuto: 2}); err != nil {
				r.t.Fatal(err)
			}
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeSlot,
			`waits for 3 free slots of resource group "default" at one agent, and backfills may use 2 in all (4 slots in all, 2 reserved for the schedule), 1st in line`},
		{"maxRunning", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			id := r.submit(backfill("a", days, func(q *wire.Request) { q.Groups, q.MaxRunning = 3, 1 }))
			r.start(id, 0)
			return id, 1
		}, v1.StateNotRunning, v1.ReasonCodeMaxRunning, "backfill b1 runs 1 of at most 1 instances"},
		{"a dry run", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			return r.submit(backfill("a", days, func(q *wire.Request) { q.DryRun = true })), 0
		}, v1.StateNotRunning, v1.ReasonCodeQueued, "about to succeed as a dry run"},
		{"running", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 1, wire.Agent_READY)
			id := r.submit(backfill("a", days))
			r.start(id, 0)
			return id, 0
		}, v1.StateRunning, "", ""},
		{"succeeded", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 1, wire.Agent_READY)
			id := r.submit(backfill("a", days))
			r.run(id, ok, 0)
			return id, 0
		}, v1.StateSucceeded, "", ""},
		{"paused", []*wire.Node{a}, operated(days, wire.Operate_PAUSE),
			v1.StateNotRunning, v1.ReasonCodePaused, "backfill b1 is paused by ann at 2021-08-24 12:00:00 UTC: resume it to go on"},
		{"stopped", []*wire.Node{a}, operated(days, wire.Operate_STOP),
			v1.StateNotRunning, v1.ReasonCodeStopped, "backfill b1 is stopped by ann at 2021-08-24 12:00:00 UTC: resume it, or run this instance again"},
		{"halted", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			id := r.submit(backfill("a", days, func(q *wire.Request) { q.Groups, q.StopAfter = 3, 1 }))
			r.run(id, failed, 0)
			return id, 1
		}, v1.StateNotRunning, v1.ReasonCodeHalted, "backfill b1 starts nothing new: 1 instance failed, and it was to stop after 1; resume it to go on"},
		{"gate day", []*wire.Node{a, b}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			id := r.submit(backfill("a", days))
			r.run(id, failed, 0)
			return id, 2
		}, v1.StateNotRunning, v1.ReasonCodeGate, "2021-01-11, the date before it in group 1, has not finished: 2 of 2 instances not succeeded (1 failed)"},
		{"gate node", []*wire.Node{a, b}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			return r.submit(backfill("a", days, gateNode)), 2
		}, v1.StateNotRunning, v1.ReasonCodeGate, "node a on 2021-01-11, the date before it in group 1, has not finished: 1 of 1 instance not succeeded"},
		{"upstream failed", []*wire.Node{a, b}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			id := r.submit(backfill("a", days))
			r.run(id, failed, 0)
			return id, 1
		}, v1.StateNotRunning, v1.ReasonCodeUpstream, "upstream b1.0 (node a, 2021-01-11) has failed"},
		{"one of the upstream's cycles", []*wire.Node{daily("a", hourly), b}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			id := r.submit(backfill("a", days))
			r.run(id, ok, 0, 1)
			r.start(id, 2)
			return id, 4
		}, v1.StateNotRunning, v1.ReasonCodeUpstream, "upstream b1.2 (node a, 2021-01-11, cycle 2021-01-12 02:00:00) runs"},
		{"its own cycle before, in the backfill", []*wire.Node{daily("a", self)}, func(r *rig) (uint64, uint64) {
			return r.submit(backfill("a", days, func(q *wire.Request) { q.Gate = wire.Request_NONE })), 1
		}, v1.StateNotRunning, v1.ReasonCodeSelfDependency, "its own cycle before, b1.0 (node a, 2021-01-11) has not started"},
		{"its own cycle before, in another backfill", []*wire.Node{daily("a", self)}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			r.run(r.submit(backfill("a", "2021-01-10")), failed, 0)
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeSelfDependency, "its own cycle before, b1.0 (node a, 2021-01-10) of backfill b1 (a_20210824_1), has failed"},
		{"overlap", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			r.submit(backfill("a", days, func(q *wire.Request) { q.Name = "repair" }))
			return r.submit(backfill("a", "2021-01-12")), 0
		}, v1.StateNotRunning, v1.ReasonCodeOverlap, "the same cycle in backfill b1 (repair), which was accepted earlier: b1.1 (node a, 2021-01-12) has not started"},
		{"not due", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			return r.submit(backfill("a", "2021-08-24")), 0
		}, v1.StateWaitingTime, v1.ReasonCodeNotDue, "due at 2021-08-25 00:00:00 UTC, its scheduled time"},
		{"not before", []*wire.Node{a}, func(r *rig) (uint64, uint64) {
			at := r.clock().Add(time.Hour).UnixMilli()
			return r.submit(backfill("a", days, func(q *wire.Request) { q.NotBeforeMs = at })), 0
		}, v1.StateWaitingTime, v1.ReasonCodeNotDue, "due at 2021-08-24 13:00:00 UTC, before which the backfill was asked not to run"},
		{"retry", []*wire.Node{daily("a", retries(3, 2*time.Minute))}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			id := r.submit(backfill("a", days))
			r.run(id, failed, 0)
			return id, 0
		}, v1.StateWaitingTime, v1.ReasonCodeRetry, "retry 1 of 3 at 2021-08-24 12:02:00 UTC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.nodes...)
			waits(t, r.detail(c.setUp(r)), c.state, c.code, c.text)
		})
	}
}

// waits holds against what is shown of an instance how it should stand, and why.
func waits(t *testing.T, d *v1.InstanceDetail, state v1.State, code v1.ReasonCode, text string) {
	t.Helper()
	if d.Instance.State != state {
		t.Errorf("state %s, want %s", d.Instance.State, state)
	}
	switch {
	case code == "" && d.Reason != nil:
		t.Errorf("a reason although it does not wait: %+v", d.Reason)
	case code == "":
	case d.Reason == nil:
		t.Fatal("no reason")
	case d.Reason.Code != code || d.Reason.Text != text:
		t.Errorf("got  %s: %s\nwant %s: %s", d.Reason.Code, d.Reason.Text, code, text)
	}
}

func operated(days string, kind wire.Operate_Kind) func(*rig) (uint64, uint64) {
	return func(r *rig) (uint64, uint64) {
		id := r.submit(backfill("a", days))
		r.do(operation(kind, id))
		return id, 0
	}
}

func TestR8_EveryKindOfBlockHasAReasonAndAWord(t *testing.T) {
	r := newRig(t, daily("a", self))
	id := r.submit(backfill("a", "2021-01-11..2021-01-13", func(q *wire.Request) { q.Period = &wire.Period{Start: 1, End: 2} }))
	p, _ := r.m.State().Plan(id)
	for k := schedule.Nothing; k <= schedule.MaxRunning; k++ {
		reason := r.reason(r.read(), p, plan.Place{Pos: 1}, schedule.Block{Kind: k, Plan: id, AtMs: 1})
		if k == schedule.Ended {
			if reason != nil {
				t.Errorf("one that has ended has a reason: %+v", reason)
			}
			continue
		}
		if reason == nil || reason.Text == "" || !reason.Code.Valid() {
			t.Errorf("kind %d: %+v", k, reason)
		}
		if blocked[k].text == "" || !blocked[k].code.Valid() {
			t.Errorf("kind %d has no words for a receipt", k)
		}
	}
	frozen := r.reason(r.read(), p, plan.Place{}, schedule.Block{Kind: schedule.Frozen})
	if frozen.Code != v1.ReasonCodeFrozen {
		t.Errorf("frozen: %+v", frozen)
	}
}

func TestInstanceShowsItsAttemptsTheLiveOneLast(t *testing.T) {
	n := daily("a", retries(1, 0))
	n.Params = []*wire.Assignment{{Name: "dt", Value: "$bizdate"}}
	r := newRig(t, n)
	r.agent("a1", "default", 1, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-11"))
	r.run(id, failed, 0)
	r.start(id, 0)
	d := r.detail(id, 0)
	if len(d.Attempts) != 2 || d.Attempts[0].State != v1.AttemptStateFailed || d.Attempts[1].State != v1.AttemptStateRunning {
		t.Fatalf("attempts: %+v", d.Attempts)
	}
	if d.Attempts[1].Number != 2 || d.Attempts[1].Fence <= d.Attempts[0].Fence || d.Attempts[1].Agent != "a1" {
		t.Errorf("the live attempt: %+v", d.Attempts[1])
	}
	i := d.Instance
	if i.Attempts != 2 || i.Agent != "a1" || i.Cause != "exit code 3" || i.State != v1.StateRunning {
		t.Errorf("the instance: %+v", i)
	}
	if got := i.ScheduledTime.Format(time.RFC3339); got != "2021-01-12T00:00:00Z" || i.Date != "2021-01-11" {
		t.Errorf("D %s, T %s", i.Date, got)
	}
	if len(d.Values) != 1 || d.Values[0] != (v1.Assignment{Name: "dt", Value: "20210111"}) {
		t.Errorf("values: %v", d.Values)
	}
	if _, err := r.Instance(t.Context(), id, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("an instance beyond the last: %v", err)
	}
}

func TestPlaceInLineIsTheLeadersToSay(t *testing.T) {
	r := newRig(t, daily("a"))
	id := r.submit(backfill("a", "2021-01-11"))
	r.log.lead("c2")
	if _, err := r.Instance(t.Context(), id, 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 112: "112th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
