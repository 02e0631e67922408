package cycle

import (
	"context"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// maxDeparted bounds the agents in a command.
const maxDeparted = 1000

// Departed lists agents that have been lost or gone for as long as such are kept
// and hold nothing any more, by id, a thousand at most.
func Departed(st *state.State, set Settings, now time.Time) (ids []string) {
	set.complete()
	before := now.Add(-set.KeepAgents).UnixMilli()
	st.Agents(func(a *state.Agent) {
		if !a.Lives() && a.Leases == 0 && a.ReadyMs <= before && len(ids) < maxDeparted {
			ids = append(ids, a.Id)
		}
	})
	return ids
}

// forget forgets agents that are away for good. Should one of them have come
// back meanwhile, none is, and the next pass finds the others.
func (l *Loop) forget(ctx context.Context, now time.Time) (next time.Time, err error) {
	if now.Before(l.agentsAt) {
		return l.agentsAt, nil
	}
	l.agentsAt = now.Add(min(expireEvery, l.cfg.Settings.KeepAgents/5))
	ids := Departed(l.cfg.State(), l.cfg.Settings, now)
	if len(ids) == 0 {
		return l.agentsAt, nil
	}
	_, r, err := l.cfg.Log.Propose(ctx, &wire.Command{
		Why:  "away for too long",
		Body: &wire.Command_OperateAgents{OperateAgents: &wire.OperateAgents{Kind: wire.OperateAgents_FORGET, Agents: ids}},
	})
	switch {
	case err == nil:
		l.cfg.Logger.Info("agents forgotten that were away for too long", "agents", len(ids), "after", l.cfg.Settings.KeepAgents)
		if len(ids) == maxDeparted {
			l.agentsAt = now
		}
	case r != nil:
		l.cfg.Logger.Debug("agents are not forgotten yet", "error", err)
	default:
		l.agentsAt = time.Time{}
		return now, err
	}
	return l.agentsAt, nil
}
