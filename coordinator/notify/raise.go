package notify

import (
	"context"
	"log/slog"
	"time"

	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/obs"
	"backfleet/pkg/wire"
)

// Log makes commands facts. On return of Propose the own State has what it
// proposed; err is the refusal of the facts, with a result, or the log's failure.
type Log interface {
	Propose(ctx context.Context, c *wire.Command) (index uint64, r *state.Result, err error)
}

// Raiser finds what is to be told and puts it into the outbox. It looks at the
// plans that have changed, and at those whose time has come.
type Raiser struct {
	Settings Settings
	Log      Log
	Machine  *machine.Machine
	Now      func() time.Time // default time.Now
	Logger   *slog.Logger     // default: none

	known map[uint64]*followed // plans that somebody wants to be told of
	dirty map[uint64]struct{}
}

// followed is a plan that somebody wants to be told of.
type followed struct {
	wants  *Wants
	next   time.Time // when it is looked at although nothing changes; zero: never
	calmMs int64
}

const (
	// lookEvery is how often plans are looked at that change all the time.
	lookEvery = time.Second
	// lookShare bounds what looking costs: it rests this long for each instance
	// that was asked what it waits for, which takes about a microsecond.
	lookShare = 20 * time.Microsecond
	// raiseAgain is when what had no place in the outbox is looked at again.
	raiseAgain = time.Minute
	// mostRaised bounds one command.
	mostRaised = 500
)

// Lead works until ctx ends: call it for as long as this coordinator leads. It
// holds nothing that a successor would miss.
func (r *Raiser) Lead(ctx context.Context) {
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Logger == nil {
		r.Logger = obs.Discard()
	}
	r.Settings.complete()
	feed, st := r.Machine.Follow()
	defer feed.Close()
	r.reset(st)
	rest := time.NewTimer(0)
	defer rest.Stop()
	resting := true // the timer runs until plans are looked at again
	for {
		select {
		case <-ctx.Done():
			return
		case <-feed.Ready():
			for _, a := range feed.Take() {
				r.observe(a)
			}
			if len(r.dirty) > 0 && !resting {
				rest.Reset(lookEvery)
				resting = true
			}
			continue
		case <-rest.C:
		}
		wait, more := r.round(ctx)
		resting = more
		rest.Reset(wait)
	}
}

// reset begins anew with all plans.
func (r *Raiser) reset(st *state.State) {
	r.known, r.dirty = map[uint64]*followed{}, map[uint64]struct{}{}
	st.Plans(0, func(p *state.Plan) bool {
		r.follow(p)
		return true
	})
}

func (r *Raiser) follow(p *state.Plan) {
	w := WantsOf(p)
	if w == nil {
		delete(r.known, p.ID)
		delete(r.dirty, p.ID)
		return
	}
	f := r.known[p.ID]
	if f == nil {
		f = &followed{}
		r.known[p.ID] = f
	}
	f.wants = w
	r.dirty[p.ID] = struct{}{}
}

// observe notes which plans an entry has changed. It is called for every entry.
func (r *Raiser) observe(a machine.Applied) {
	if a.Reset {
		r.reset(a.State)
		return
	}
	last := uint64(0)
	for i := range a.Changes {
		c := &a.Changes[i]
		switch c.Kind {
		case state.PlanAccepted, state.PlanChanged:
			if p, ok := a.State.Plan(c.Plan); ok {
				r.follow(p)
			}
		case state.PlanExpired:
			delete(r.known, c.Plan)
			delete(r.dirty, c.Plan)
		case state.PlanHalted, state.InstanceChanged:
			if c.Plan == last {
				continue
			}
			last = c.Plan
			if r.known[c.Plan] != nil {
				r.dirty[c.Plan] = struct{}{}
			}
		}
	}
}

// round looks at what has changed and at what is due, and says when to look
// again; rests: not before then.
func (r *Raiser) round(ctx context.Context) (wait time.Duration, rests bool) {
	st, now := r.Machine.State(), r.Now()
	var due []*wire.Notification
	looks := 0
	for id, f := range r.known {
		if _, changed := r.dirty[id]; !changed && (f.next.IsZero() || now.Before(f.next)) {
			continue
		}
		p, ok := st.Plan(id)
		if !ok {
			continue // the feed will say so
		}
		v := Look(st, p, f.wants, f.calmMs, now, r.Settings)
		f.next = v.Next
		if v.Timed {
			f.calmMs = now.UnixMilli()
		}
		if len(v.Due) > 0 {
			due = append(due, v.Due...)
			if again := now.Add(raiseAgain); f.next.IsZero() || again.Before(f.next) {
				f.next = again
			}
		}
		looks += v.Looks
		delete(r.dirty, id)
	}
	if err := r.raise(ctx, due); err != nil {
		if ctx.Err() == nil {
			r.Logger.Warn("notifications wait", "error", err)
		}
		for _, n := range due {
			r.dirty[n.Plan] = struct{}{}
		}
		return lookEvery, true
	}
	if rest := time.Duration(looks) * lookShare; rest > lookEvery {
		return rest, true
	}
	return r.untilNext(now), false
}

// untilNext is how long nothing is due.
func (r *Raiser) untilNext(now time.Time) time.Duration {
	wait := time.Hour // clocks get set
	for _, f := range r.known {
		if !f.next.IsZero() {
			wait = min(wait, f.next.Sub(now))
		}
	}
	return max(wait, 10*time.Millisecond)
}

func (r *Raiser) raise(ctx context.Context, due []*wire.Notification) error {
	for len(due) > 0 {
		n := min(len(due), mostRaised)
		_, res, err := r.Log.Propose(ctx, &wire.Command{Body: &wire.Command_Notify{Notify: &wire.Notify{Notifications: due[:n]}}})
		if err != nil && res == nil {
			return err
		}
		if err != nil {
			r.Logger.Error("notifications were refused", "error", err)
		}
		due = due[n:]
	}
	return nil
}
