package server

import (
	"context"
	"time"

	"backfleet/coordinator/logstore"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// sweeper clears the logs of this coordinator (RULES R10.2, R10.3).
func (s *Server) sweeper() *logstore.Sweeper {
	zone, err := time.LoadLocation(s.cfg.Zone)
	if err != nil {
		zone = time.UTC // the settings were checked with the same zones
	}
	set := s.cfg.Settings
	return logstore.NewSweeper(s.reader, logstore.SweepOptions{
		Fate: s.fate, KeepUnknown: max(set.KeepLogsShared, set.KeepLogsExclusive), At: sinceMidnight(set.LogsCutAt), Zone: zone,
		Every: s.sweepEvery,
		Swept: s.metrics.swept, Logger: s.cfg.Logger,
	})
}

// sweepEvery is the shortest time that logs are kept.
func (s *Server) sweepEvery() time.Duration {
	every := min(s.cfg.Settings.KeepLogsShared, s.cfg.Settings.KeepLogsExclusive)
	s.machine.State().ResourceGroups(func(g *wire.PutResourceGroup) {
		if g.LogKeepMs > 0 {
			every = min(every, s.keepLogs(g))
		}
	})
	return every
}

// keepLogs is how long logs of attempts in a group are kept (RULES R10.2).
func (s *Server) keepLogs(g *wire.PutResourceGroup) time.Duration {
	switch {
	case g.GetLogKeepMs() > 0:
		return time.Duration(g.LogKeepMs) * time.Millisecond
	case g.GetKind() == wire.PutResourceGroup_EXCLUSIVE:
		return s.cfg.Settings.KeepLogsExclusive
	default:
		return s.cfg.Settings.KeepLogsShared
	}
}

// fate tells what the facts know of an attempt's log (RULES R10.2).
func (s *Server) fate(key logstore.Key) (logstore.Fate, bool) {
	st := s.machine.State()
	p, ok := st.Plan(key.Plan)
	if !ok {
		return logstore.Fate{}, false
	}
	at, ok := p.Locate(key.Instance)
	if !ok {
		return logstore.Fate{}, false
	}
	f := logstore.Fate{Keep: s.keepLogs(st.ResourceGroup(p.ResourceGroup(at.Node)))}
	for _, a := range st.Attempts(p, key.Instance) {
		if a.Fence == key.Fence {
			// The agent's clock, as far as it can be right.
			f.Ended = time.UnixMilli(min(max(a.EndedMs, a.GrantedMs), a.SettledMs))
		}
	}
	return f, true
}

// filler fetches logs that this coordinator missed.
func (s *Server) filler() *logstore.Filler {
	return logstore.NewFiller(s.reader, logstore.FillOptions{Ready: s.current, Ended: s.endedSince, Filled: s.metrics.filled.Inc, Logger: s.cfg.Logger})
}

// current waits until this coordinator knows all that the leader knows now.
func (s *Server) current(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	index, err := s.readIndex(ctx)
	if err != nil {
		return err
	}
	return clusterLog{s}.WaitIndex(ctx, index)
}

// begun is every status of an instance that something was done about.
var begun = ^state.Statuses(0).With(state.Pending)

// endedSince finds the attempts whose end was recorded since a moment and whose
// logs are still to be kept, plan by plan from the newest. A call looks at so
// many instances that it is quick.
func (s *Server) endedSince(since time.Time, from logstore.Key) (some []logstore.Key, next logstore.Key, more bool) {
	return s.endedPage(since, from, 2048)
}

func (s *Server) endedPage(since time.Time, from logstore.Key, left int) (some []logstore.Key, next logstore.Key, more bool) {
	st, now := s.machine.State(), s.cfg.Now()
	below := uint64(0)
	if from.Plan > 0 {
		below = from.Plan + 1
	}
	st.Plans(below, func(p *state.Plan) bool {
		first := uint64(0)
		if p.ID == from.Plan {
			first = from.Instance
		}
		if p.ChangedMs < since.UnixMilli() {
			return true
		}
		for i, ok := p.Next(first, p.Size(), begun); ok; i, ok = p.Next(i+1, p.Size(), begun) {
			if left == 0 {
				next, more = logstore.Key{Plan: p.ID, Instance: i}, true
				return false
			}
			left--
			some = append(some, s.endedOf(st, p, i, since, now)...)
		}
		return true
	})
	return some, next, more
}

func (s *Server) endedOf(st *state.State, p *state.Plan, instance uint64, since, now time.Time) (some []logstore.Key) {
	at, ok := p.Locate(instance)
	if !ok {
		return nil
	}
	kept := now.Add(-s.keepLogs(st.ResourceGroup(p.ResourceGroup(at.Node))))
	for _, a := range st.Attempts(p, instance) {
		if a.Outcome == wire.Outcome_RECALLED || a.SettledMs < since.UnixMilli() || a.SettledMs < kept.UnixMilli() {
			continue // nothing ran, it was looked for before, or it is cleared
		}
		some = append(some, logstore.Key{Plan: p.ID, Instance: instance, Attempt: a.Number, Fence: a.Fence})
	}
	return some
}
