package sim

import (
	"time"

	agenda "backfleet/coordinator/cycle"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// clockwork drives the pure core of coordinator/cycle in the scope of a leader,
// as cycle.Loop does: dates of the schedule first, then plans whose time is
// over, one command at a time.
type clockwork struct {
	c      *coordinator
	busy   bool
	ended  bool
	expiry *agenda.Expiry
	passAt time.Time
	// agentsAt is when agents are looked at next.
	agentsAt time.Time
	passed   map[calendar.Date]time.Time // dates that were refused, until then
	waking   time.Duration
}

func newClockwork(c *coordinator) *clockwork {
	return &clockwork{c: c, passed: map[calendar.Date]time.Time{}}
}

// look does what is due, and comes again when more may be.
func (k *clockwork) look() {
	if k.ended || k.busy || !k.c.awake() {
		return
	}
	w, now := k.c.w, k.c.clock.wall()
	view, err := agenda.View(k.c.st, w.cycle, now)
	if err != nil {
		w.violated("R1", "the schedule cannot be seen: %v", err)
		return
	}
	d, due := view.Due(func(d calendar.Date) bool { return now.Before(k.passed[d]) })
	if due && w.Break == Skipping && d%3 == 0 {
		due = false
	}
	if due {
		g, err := view.Generate(d)
		if err != nil {
			w.violated("R1", "%s cannot be generated: %v", d, err)
			return
		}
		k.propose(&wire.Command{Body: &wire.Command_Generate{Generate: g}}, func(r state.Result) {
			if r.Err != nil {
				k.passed[d] = now.Add(time.Minute)
			}
		})
		return
	}
	next := now.Add(time.Hour)
	if at, ok := view.Next(); ok && at.Before(next) {
		next = at
	}
	for _, until := range k.passed {
		if until.After(now) && until.Before(next) {
			next = until
		}
	}
	if k.expire(now) || k.forget(now) {
		return
	}
	for _, at := range []time.Time{k.passAt, k.agentsAt} {
		if at.Before(next) {
			next = at
		}
	}
	k.wake(next)
}

// expire forgets what is old enough, and says whether it has proposed to.
func (k *clockwork) expire(now time.Time) (proposed bool) {
	w := k.c.w
	if k.expiry == nil && now.Before(k.passAt) {
		return false
	}
	if k.expiry == nil {
		settings := w.cycle
		if w.Break == Hasty {
			settings.KeepInstances /= 2
		}
		k.expiry = agenda.NewExpiry(k.c.st, settings, now)
		k.passAt = now.Add(min(time.Hour, w.keep/8))
	}
	pass := k.expiry
	ids, more := pass.Round(k.c.st)
	if !more {
		k.expiry = nil
	}
	if w.Break == Keeping {
		ids = nil
	}
	if len(ids) > 0 {
		k.propose(&wire.Command{Body: &wire.Command_Expire{Expire: pass.Forget(ids)}}, func(state.Result) {})
	}
	return len(ids) > 0
}

// forget forgets agents that are away for good, and says whether it has proposed
// to.
func (k *clockwork) forget(now time.Time) (proposed bool) {
	if now.Before(k.agentsAt) {
		return false
	}
	k.agentsAt = now.Add(time.Hour)
	ids := agenda.Departed(k.c.st, k.c.w.cycle, now)
	if len(ids) > 0 {
		o := &wire.OperateAgents{Kind: wire.OperateAgents_FORGET, Agents: ids}
		k.propose(&wire.Command{Body: &wire.Command_OperateAgents{OperateAgents: o}}, func(state.Result) {})
	}
	return len(ids) > 0
}

func (k *clockwork) propose(m *wire.Command, done func(state.Result)) {
	k.busy = true
	k.c.propose(m, k.c.st.Index(), func(index uint64, err error) {
		k.busy = false
		if k.ended {
			return
		}
		if err != nil {
			k.wake(k.c.clock.wall().Add(time.Minute))
			return
		}
		done(k.c.log.results[index-1])
		k.c.later(0, k.look)
	})
}

// wake looks again at a moment, unless it looks before that anyway.
func (k *clockwork) wake(at time.Time) {
	w := k.c.w
	t := max(k.c.clock.whenWall(at), w.now+time.Millisecond)
	if k.waking > w.now && k.waking <= t {
		return
	}
	k.waking = t
	k.c.later(t-w.now, k.look)
}

func nodesChanged(r state.Result) bool {
	for _, ch := range r.Changes {
		if ch.Kind == state.NodesChanged {
			return true
		}
	}
	return false
}
