package cycle

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func agent(id string, st wire.Agent_State) *wire.Agent {
	return &wire.Agent{Id: id, Incarnation: "1", State: st, Groups: []*wire.GroupSlots{{Group: "default", Slots: 9}}}
}

// known lists the agents that there are.
func (w *world) known() (ids []string) {
	w.state().Agents(func(a *state.Agent) { ids = append(ids, a.Id) })
	return ids
}

func TestR14_1_AgentsThatAreAwayForAWeekAreForgotten(t *testing.T) {
	now := moment("2026-03-10 12:00")
	w := newWorld(t, func() time.Time { return now })
	w.apply(&wire.Node{Id: "a", Code: "true"})
	w.turn(&wire.Turn{Agents: []*wire.Agent{agent("held", wire.Agent_READY), agent("ready", wire.Agent_READY), agent("draining", wire.Agent_DRAINING)}})
	id := w.backfill("a", 1, nil)
	w.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: 0, Agent: "held", ResourceGroup: "default"}}})
	w.turn(&wire.Turn{Agents: []*wire.Agent{agent("held", wire.Agent_LOST), agent("lost", wire.Agent_LOST), agent("gone", wire.Agent_GONE)}})
	begin := now
	now = begin.Add(7*24*time.Hour - time.Second)
	w.turn(&wire.Turn{Agents: []*wire.Agent{agent("late", wire.Agent_GONE)}})
	if got := Departed(w.st, Settings{}, now); len(got) > 0 {
		t.Errorf("before their time: %v", got)
	}
	now = begin.Add(7 * 24 * time.Hour)
	if got := Departed(w.st, Settings{}, now); !slices.Equal(got, []string{"gone", "lost"}) {
		t.Errorf("after a week: %v", got)
	}
	if got := Departed(w.st, Settings{KeepAgents: time.Second}, now); !slices.Equal(got, []string{"gone", "late", "lost"}) {
		t.Errorf("with a second: %v", got)
	}
}

func TestTheLoopForgetsAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		w.turn(&wire.Turn{Agents: []*wire.Agent{agent("ready", wire.Agent_READY), agent("lost", wire.Agent_LOST), agent("back", wire.Agent_LOST)}})
		refusals := 0
		w.refuse = func(c *wire.Command) error {
			if refusals++; refusals == 1 {
				return fault.New(fault.Unavailable, "not now")
			}
			return nil
		}
		l := New(Config{Settings: Settings{KeepAgents: 24 * time.Hour}, Log: w, State: w.state, Changed: make(chan struct{})})
		ctx, cancel := context.WithTimeout(t.Context(), 26*time.Hour)
		defer cancel()
		time.AfterFunc(12*time.Hour, func() { w.turn(&wire.Turn{Agents: []*wire.Agent{agent("back", wire.Agent_READY)}}) })
		l.Lead(ctx)
		if got := w.known(); !slices.Equal(got, []string{"back", "ready"}) || len(w.commands) != 1 {
			t.Errorf("known are %v after %d commands", got, len(w.commands))
		}
		if c := w.commands[0]; c.Why == "" || c.GetOperateAgents().Kind != wire.OperateAgents_FORGET {
			t.Errorf("by %v", c)
		}
	})
}

// TestMoreAgentsThanACommandTakesAreForgotten without an hour between.
func TestMoreAgentsThanACommandTakesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		gone := &wire.Turn{}
		for i := range maxDeparted + 1 {
			gone.Agents = append(gone.Agents, agent(time.Duration(i).String(), wire.Agent_GONE))
		}
		w.turn(gone)
		l := New(Config{Settings: Settings{KeepAgents: time.Hour}, Log: w, State: w.state, Changed: make(chan struct{})})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		l.Lead(ctx)
		if got := w.known(); len(got) > 0 || len(w.commands) != 2 {
			t.Errorf("%d are left after %d commands", len(got), len(w.commands))
		}
	})
}
