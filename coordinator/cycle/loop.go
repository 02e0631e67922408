package cycle

import (
	"context"
	"log/slog"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Log is the replicated log.
type Log interface {
	Propose(ctx context.Context, c *wire.Command) (index uint64, r *state.Result, err error)
}

// Config says what a Loop works with. Log, State and Changed are required.
type Config struct {
	Settings Settings
	Log      Log
	// State is the facts at hand.
	State func() *state.State
	// Changed receives after nodes have changed; several changes may share one.
	Changed <-chan struct{}
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Generated and Expired are told of dates generated, with the instances new
	// in them, and of the number of plans forgotten. Default: nobody is.
	Generated func(d calendar.Date, instances uint64)
	Expired   func(plans int)
	Logger    *slog.Logger // default: none
}

// Loop proposes what is due while this coordinator leads.
type Loop struct {
	cfg    Config
	expiry *Expiry // the pass under way
	passAt time.Time
	// agentsAt and tokensAt are when agents and tokens are looked at next.
	agentsAt, tokensAt time.Time

	passed map[calendar.Date]time.Time // dates that were refused, until then
}

const (
	// retryAfter is the pause after a date was refused or a proposal failed.
	retryAfter = time.Minute
	// expireEvery is the shortest time between two passes over the plans, or a
	// fifth of the time that they are kept, if that is shorter.
	expireEvery = time.Hour
	// lookEvery bounds every wait: the clock may be set meanwhile.
	lookEvery = time.Hour
)

// New makes a loop.
func New(cfg Config) *Loop {
	cfg.Settings.complete()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Generated == nil {
		cfg.Generated = func(calendar.Date, uint64) {}
	}
	if cfg.Expired == nil {
		cfg.Expired = func(int) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Loop{cfg: cfg, passed: map[calendar.Date]time.Time{}}
}

// Lead works until ctx ends: call it for as long as this coordinator leads. It
// looks when it begins, when nodes have changed, and when something is due.
func (l *Loop) Lead(ctx context.Context) {
	l.expiry, l.passAt, l.agentsAt, l.tokensAt = nil, time.Time{}, time.Time{}, time.Time{}
	clear(l.passed)
	for ctx.Err() == nil {
		next := l.round(ctx)
		wait := time.NewTimer(max(0, min(next.Sub(l.cfg.Now()), lookEvery)))
		select {
		case <-ctx.Done():
		case <-l.cfg.Changed:
			clear(l.passed) // the change may be what they waited for
		case <-wait.C:
		}
		wait.Stop()
	}
}

// round does what is due and gives when there may be more.
func (l *Loop) round(ctx context.Context) (next time.Time) {
	now := l.cfg.Now()
	next = now.Add(lookEvery)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	at, err := l.generate(ctx, now)
	if err == nil {
		earlier(at)
		at, err = l.expire(ctx, now)
	}
	if err == nil {
		earlier(at)
		at, err = l.forget(ctx, now)
	}
	if err == nil {
		earlier(at)
		at, err = l.forgetTokens(ctx, now)
	}
	if err != nil {
		if ctx.Err() == nil {
			l.cfg.Logger.Warn("the schedule waits", "error", err)
		}
		return now.Add(retryAfter)
	}
	earlier(at)
	return next
}

// generate generates date after date until none is due. A date that is refused
// does not hold up the others.
func (l *Loop) generate(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(lookEvery)
	done := map[calendar.Date]bool{}
	for {
		c, err := View(l.cfg.State(), l.cfg.Settings, now)
		if err != nil {
			return next, err
		}
		d, ok := c.Due(func(d calendar.Date) bool { return done[d] || now.Before(l.passed[d]) })
		if !ok {
			if at, ok := c.Next(); ok && at.Before(next) {
				next = at
			}
			break
		}
		done[d] = true
		switch err := l.propose(ctx, c, d); fault.CodeOf(err) {
		case "":
		case fault.Unavailable, fault.Unknown, fault.Timeout, fault.Overloaded:
			return next, err
		default:
			l.cfg.Logger.Error("the schedule: a date cannot be generated; it is tried again", "date", d.String(), "error", err)
			l.passed[d] = now.Add(retryAfter)
		}
	}
	for _, until := range l.passed {
		if until.After(now) && until.Before(next) {
			next = until
		}
	}
	return next, nil
}

func (l *Loop) propose(ctx context.Context, c *Calendar, d calendar.Date) error {
	g, err := c.Generate(d)
	if err != nil {
		return err
	}
	_, r, err := l.cfg.Log.Propose(ctx, &wire.Command{Body: &wire.Command_Generate{Generate: g}})
	if err != nil {
		return err
	}
	n := r.Answer.GetInstances()
	l.cfg.Logger.Info("the schedule has its instances", "date", d.String(), "new", n)
	l.cfg.Generated(d, n)
	return nil
}

// expireEvery is how long after the beginning of a pass the next one may begin.
func (l *Loop) expireEvery() time.Duration { return min(expireEvery, l.cfg.Settings.KeepInstances/5) }

// expire forgets what is old enough, a command at a time.
func (l *Loop) expire(ctx context.Context, now time.Time) (next time.Time, err error) {
	if l.expiry == nil && now.Before(l.passAt) {
		return l.passAt, nil
	}
	if l.expiry == nil {
		l.expiry = NewExpiry(l.cfg.State(), l.cfg.Settings, now)
		l.passAt = now.Add(l.expireEvery())
		if l.expiry.Next.After(l.passAt) {
			l.passAt = l.expiry.Next
		}
		if len(l.expiry.ids) > 0 || l.expiry.Next.IsZero() {
			l.passAt = now.Add(l.expireEvery()) // some may become quiet
		}
	}
	pass := l.expiry
	ids, more := pass.Round(l.cfg.State())
	if !more {
		l.expiry = nil
		next = l.passAt
	} else {
		next = now // others have their turn between two rounds
	}
	if len(ids) == 0 {
		return next, nil
	}
	_, r, err := l.cfg.Log.Propose(ctx, &wire.Command{Body: &wire.Command_Expire{Expire: pass.Forget(ids)}})
	switch {
	case err == nil:
		l.cfg.Logger.Info("plans forgotten", "plans", len(ids), "instances", r.Answer.GetInstances())
		l.cfg.Expired(len(ids))
	case r != nil: // one has changed: the next pass finds the others
		l.cfg.Logger.Debug("plans are not forgotten yet", "error", err)
	default:
		l.expiry, l.passAt = nil, time.Time{}
		return next, err
	}
	return next, nil
}
