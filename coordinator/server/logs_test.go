package server

import (
	"slices"
	"testing"
	"time"

	"backfleet/coordinator/logstore"
	"backfleet/pkg/wire"
)

func turn(turn *wire.Turn) *wire.Command {
	return &wire.Command{Body: &wire.Command_Turn{Turn: turn}}
}

// ended has an attempt of an instance run and end, and gives its log's key.
func ended(t *testing.T, s *Server, plan, instance uint64, attempt uint32, outcome wire.Outcome) logstore.Key {
	t.Helper()
	index, _, err := s.log.Propose(within(t), turn(&wire.Turn{Grants: []*wire.Grant{{Plan: plan, Instance: instance, Agent: "x", ResourceGroup: "etl"}}}))
	if err != nil {
		t.Fatal(err)
	}
	now := s.cfg.Now().UnixMilli()
	propose(t, s, turn(&wire.Turn{Finishes: []*wire.Finish{{Plan: plan, Instance: instance, Fence: index, Outcome: outcome, StartedMs: now - 5, EndedMs: now}}}))
	return logstore.Key{Plan: plan, Instance: instance, Attempt: attempt, Fence: index}
}

func TestR10_2_LogsOfAGroupAreKeptAsItSays(t *testing.T) {
	var clock offset
	s := alone(t, Config{Now: clock.now})
	propose(t, s, nodes(true, &wire.Schedule{Kind: wire.Schedule_DAILY}))
	await(t, "the running day", func() bool { _, ok := s.machine.State().GeneratedThrough(); return ok })
	clock.Store(int64(4 * 24 * time.Hour))
	propose(t, s, nodes(true, &wire.Schedule{Kind: wire.Schedule_DAILY, At: 60}))
	var plans []uint64 // from the newest on
	await(t, "some days", func() bool {
		plans = nil
		st := s.machine.State()
		for d, _ := st.GeneratedThrough(); ; d-- {
			p, ok := st.AutoPlan(d)
			if !ok {
				return len(plans) >= 5
			}
			plans = append(plans, p.ID)
		}
	})
	propose(t, s, turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: "x", Incarnation: "1", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "etl", Slots: 9}},
	}}}))
	slices.Sort(plans)
	first := ended(t, s, plans[1], 0, 1, wire.Outcome_FAILED)
	second := ended(t, s, plans[2], 0, 1, wire.Outcome_SUCCEEDED)
	third := ended(t, s, plans[4], 0, 1, wire.Outcome_FAILED)

	// What ended is found, the newest plan first, however little is looked at.
	for _, most := range []int{1, 2, 100} {
		var got []logstore.Key
		for from, more := (logstore.Key{}), true; more; {
			var some []logstore.Key
			some, from, more = s.endedPage(time.Time{}, from, most)
			if got = append(got, some...); len(some) > most {
				t.Errorf("%d of one call, want at most %d", len(some), most)
			}
		}
		if want := []logstore.Key{third, second, first}; !slices.Equal(got, want) {
			t.Errorf("%d at a time: %v have ended, want %v", most, got, want)
		}
	}
	if got, _, more := s.endedSince(clock.now().Add(time.Minute), logstore.Key{}); len(got) > 0 || more {
		t.Errorf("since a minute from now %v have ended", got)
	}

	const hours = 3
	if f, _ := s.fate(first); f.Keep != 7*24*time.Hour || s.sweepEvery() != 7*24*time.Hour {
		t.Errorf("its log is kept %v, swept every %v", f.Keep, s.sweepEvery())
	}
	propose(t, s, &wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: &wire.PutResourceGroup{
		Name: "etl", Kind: wire.PutResourceGroup_EXCLUSIVE, LogKeepMs: hours * 3_600_000,
	}}})
	if f, _ := s.fate(first); f.Keep != hours*time.Hour || s.sweepEvery() != hours*time.Hour {
		t.Errorf("its log is kept %v, swept every %v; want %v for both", f.Keep, s.sweepEvery(), hours*time.Hour)
	}
	clock.Store(int64(5 * 24 * time.Hour))
	if got, _, _ := s.endedSince(time.Time{}, logstore.Key{}); len(got) > 0 {
		t.Errorf("logs whose time is over are looked for: %v", got)
	}
}
