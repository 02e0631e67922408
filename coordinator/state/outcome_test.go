package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

func hourly(id string, from, to, every int32) *wire.Node {
	n := daily(id)
	n.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: from, To: to, Every: every}
	return n
}

// TestR2_7_TheLastOutcomeOfEveryCycle draws ends of attempts of nodes of all
// kinds of schedule, over far more cycles than a block or a span has, and asks
// for each what a plain map says.
func TestR2_7_TheLastOutcomeOfEveryCycle(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type cycle struct {
		node string
		d    calendar.Date
		unix int64
	}
	type last struct {
		outcome wire.Outcome
		version uint64
	}
	minutely := hourly("m", 0, 6*3600, 7)
	minutely.Schedule.Kind = wire.Schedule_MINUTELY
	monthly := daily("y")
	monthly.Schedule = &wire.Schedule{Kind: wire.Schedule_MONTHLY, Days: 1 << 1}
	m := ready(t, daily("d"), hourly("h", 1800, 23*3600+1800, 60), minutely, monthly, daily("never"))
	want, durations := map[cycle]last{}, map[string][]uint32{}
	for round := range 6 {
		for _, id := range []string{"d", "h", "m", "y"} {
			n := daily(id)
			n.Code = fmt.Sprint("echo ", round)
			node, _ := m.s.Node(id)
			n.Schedule = node.Spec.Schedule
			m.must(apply(n))
			dates := int32(3)
			if id == "d" {
				dates = 1500
			}
			planID := m.must(submit(current(id, dates))).Plan
			p := m.plan(planID)
			for i := uint64(0); i < p.Size(); i++ {
				at, _ := p.Locate(i)
				if rnd.IntN(3) == 0 || p.Dry(at) != wire.DryRun_DRY_RUN_NONE {
					continue
				}
				o := []wire.Outcome{wire.Outcome_SUCCEEDED, wire.Outcome_SUCCEEDED, wire.Outcome_SUCCEEDED, wire.Outcome_FAILED, wire.Outcome_LOST}[rnd.IntN(5)]
				took := rnd.Int64N(100_000)
				fence := m.grant(planID, i)
				m.must(turn(&wire.Turn{Finishes: []*wire.Finish{{Plan: planID, Instance: i, Fence: fence, Outcome: o, StartedMs: m.now, EndedMs: m.now + took}}}))
				want[cycle{id, p.Dates[at.Pos], p.Cycle(at).Unix}] = last{o, uint64(round + 2)}
				if o == wire.Outcome_SUCCEEDED {
					durations[id] = append(durations[id], uint32(took))
				}
			}
			if rnd.IntN(2) == 0 {
				m.must(op(wire.Operate_STOP, of(planID)))
				m.must(expire(planID))
			}
			if rnd.IntN(4) == 0 {
				m.s = restored(t, m.s)
			}
		}
	}
	settled := restored(t, m.s)
	if settled.past.n != 0 || len(settled.past.noted) != 0 {
		t.Error("a snapshot tells what is noted from what is settled")
	}
	for _, s := range []*State{m.s, settled} {
		for c, w := range want {
			if o, v, ok := s.LastOutcome(c.node, c.d, c.unix); !ok || o != w.outcome || v != w.version {
				t.Fatalf("%+v: %s of version %d, %v, expected %+v", c, o, v, ok, w)
			}
			before := c
			before.d, before.unix = c.d-3000, c.unix-3000*86400
			if o, _, ok := s.LastOutcome(before.node, before.d, before.unix); ok {
				t.Fatalf("%+v never ran, and came to %s", before, o)
			}
		}
		for id, all := range durations {
			if got := s.Durations(id); !slices.Equal(got, all[len(all)-maxDurations:]) {
				t.Errorf("%s took %v, expected %v", id, got, all[len(all)-maxDurations:])
			}
		}
		if _, _, ok := s.LastOutcome("never", today-3, 0); ok || s.Durations("never") != nil || s.Durations("nowhere") != nil {
			t.Error("something is said of a node that never ran")
		}
	}
	if len(want) < 1500 {
		t.Errorf("only %d cycles ran: they test too little", len(want))
	}
}

func TestR2_7_SuccessByHandCountsAndADryRunDoesNot(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 2)))
	m.run(1, 0, wire.Outcome_FAILED)
	m.must(op(wire.Operate_SET_TO_SUCCESS, of(1, 0)))
	if o, v, ok := m.s.LastOutcome("a", today-3, 0); !ok || o != wire.Outcome_SUCCEEDED || v != 0 {
		t.Errorf("set to success gave %s of version %d, %v", o, v, ok)
	}
	if d := m.s.Durations("a"); len(d) > 0 {
		t.Errorf("what nobody ran took %v", d)
	}
	dry := current("a", 2)
	dry.DryRun = true
	m.must(submit(dry))
	m.must(turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: 2, Instances: []uint64{0, 1}}}}))
	if _, _, ok := m.s.LastOutcome("a", today-2, 0); ok {
		t.Error("a dry run wrote something")
	}
}

func TestR2_7_ThePastOutlivesTheRemovalOfANode(t *testing.T) {
	m := ready(t, daily("a"), daily("b"))
	m.must(submit(current("a", 1)))
	m.run(1, 0, wire.Outcome_SUCCEEDED)
	m.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: []string{"a"}}}})
	m.must(expire(1))
	m.s = restored(t, m.s)
	m.must(apply(daily("a"), daily("0")))
	if _, v, ok := m.s.LastOutcome("a", today-2, 0); !ok || v != 1 {
		t.Errorf("version %d, %v", v, ok)
	}
	if _, _, ok := m.s.LastOutcome("b", today-2, 0); ok {
		t.Error("another node took over its past")
	}
}

func TestOutcomesOfABlockAreWrittenAsRuns(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var cells outcomes
		for at := rnd.IntN(chunkSize + 1); at < chunkSize; {
			c := outcome{uint8(rnd.IntN(7)), rnd.Uint64() >> rnd.IntN(64)}
			if c.outcome == 0 {
				c.version = 0
			}
			for n := 1 + rnd.IntN(20); n > 0 && at < chunkSize; n-- {
				cells[at] = c
				at++
			}
		}
		text := cells.encode()
		var back outcomes
		back.decode(text)
		if back != cells || !soundOutcomes([]byte(text)) {
			t.Fatalf("%v came back as %v", cells, back)
		}
	}
	var same outcomes
	for i := range same {
		same[i] = outcome{1, 300}
	}
	if n := len(same.encode()); n != 4 {
		t.Errorf("64 equal cells take %d bytes", n)
	}
	for _, b := range []string{"\x01", "\x01\x01", "\x00\x01\x01", "\x41\x01\x01", "\x40\x01\x01\x01\x01\x01", "\x01\x01\x80"} {
		if soundOutcomes([]byte(b)) {
			t.Errorf("%q passes as sound", b)
		}
	}
}

// TestThePastIsSharedBetweenStates: edits of one State must not see each
// other's ends, settled or not.
func TestThePastIsSharedBetweenStates(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 5)))
	for i := range uint64(4) {
		m.grant(1, i)
	}
	end := func(s *State, i uint64) *State {
		e := s.Edit(s.Index()+1, s.NowMs())
		if !e.Finish(&wire.Finish{Plan: 1, Instance: i, Fence: lease(t, s, 1, i).Fence, Outcome: wire.Outcome_SUCCEEDED, StartedMs: 1, EndedMs: 2 + int64(i)}) {
			t.Fatalf("instance %d did not finish", i)
		}
		next, _ := e.Done()
		return next
	}
	base := end(m.s, 0)
	settled := *base
	settled.past = *base.past.settled()
	for _, s := range []*State{base, &settled} {
		one, other := end(s, 1), end(s, 2)
		for i, want := range map[int][]bool{0: {true, true, true}, 1: {false, true, false}, 2: {false, false, true}} {
			for k, of := range []*State{s, one, other} {
				d := m.plan(1).Dates[i]
				if _, _, ok := of.LastOutcome("a", d, 0); ok != want[k] {
					t.Errorf("instance %d, state %d: ran is %v, expected %v", i, k, ok, want[k])
				}
			}
		}
		if len(s.Durations("a")) != 1 || !slices.Equal(other.Durations("a"), []uint32{1, 3}) {
			t.Errorf("durations are %v and %v", s.Durations("a"), other.Durations("a"))
		}
	}
}
