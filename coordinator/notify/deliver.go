package notify

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Sender sends what a notification says to a channel. Its error has no secret in
// it. It ends with ctx.
type Sender interface {
	Send(ctx context.Context, c *wire.Channel, d *channel.Data) error
}

// refused is an error of a sender that says when to try again.
type refused struct {
	error
	never bool          // it makes no sense
	after time.Duration // not before; 0: as usual
}

func (r refused) Unwrap() error { return r.error }

// Deliverer sends what is pending in the outbox. What it knows beside the facts
// is what is under way: a successor sends that again, under the same id.
type Deliverer struct {
	Settings Settings
	Log      Log
	Machine  *machine.Machine
	Sender   Sender
	// Standing says how a plan stands; false: it is forgotten.
	Standing func(planID uint64) (channel.Backfill, bool)
	// Told is called with what became of each attempt to deliver: delivered,
	// failed or dead. Default: nothing.
	Told   func(outcome string)
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: none

	busy     map[uint64]string // those sent now, or sent and not yet a fact, and their channels
	lanes    map[string]int    // how many are sent to a channel now
	results  chan *wire.Tried
	done     []*wire.Tried // to be made facts
	forgotAt time.Time
}

const (
	// perChannel is how many notifications are sent to a channel at the same time.
	// There is no other bound: so a channel that is slow holds up nobody else, and
	// there are not many channels.
	perChannel = 2
	// sendTime bounds one attempt to deliver.
	sendTime = 20 * time.Second
	// settleEvery is how long what was sent is gathered before it becomes fact.
	settleEvery = 50 * time.Millisecond
	forgetEvery = time.Hour
	mostForgot  = 1000
	// firstDelay doubles with each attempt, up to mostDelay.
	firstDelay = 10 * time.Second
	mostDelay  = 2 * time.Hour
)

// Lead works until ctx ends: call it for as long as this coordinator leads. It
// returns when nothing is under way any more.
func (d *Deliverer) Lead(ctx context.Context) {
	d.complete()
	feed, _ := d.Machine.Follow()
	defer feed.Close()
	var running sync.WaitGroup
	defer running.Wait()
	look := time.NewTimer(0)
	defer look.Stop()
	soon := false
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-d.results:
			d.done = append(d.done, t)
		case <-feed.Ready():
			if !concerns(feed.Take()) {
				continue
			}
		case <-look.C:
			soon = false
			d.settle(ctx)
			look.Reset(d.begin(ctx, &running))
			continue
		}
		if !soon {
			look.Reset(settleEvery)
			soon = true
		}
	}
}

func (d *Deliverer) complete() {
	d.Settings.complete()
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Logger == nil {
		d.Logger = obs.Discard()
	}
	if d.Told == nil {
		d.Told = func(string) {}
	}
	d.busy, d.lanes, d.done, d.forgotAt = map[uint64]string{}, map[string]int{}, nil, time.Time{}
	d.results = make(chan *wire.Tried)
}

// concerns says whether entries may have given something to deliver.
func concerns(list []machine.Applied) bool {
	for _, a := range list {
		if a.Reset {
			return true
		}
		for i := range a.Changes {
			if k := a.Changes[i].Kind; k == state.NotificationChanged || k == state.ChannelsChanged {
				return true
			}
		}
	}
	return false
}

// begin begins to deliver what is due, and says when there is more.
func (d *Deliverer) begin(ctx context.Context, running *sync.WaitGroup) time.Duration {
	st, now := d.Machine.State(), d.Now()
	wait := d.forget(ctx, st, now)
	if len(d.done) > 0 {
		wait = time.Second // the log did not take them
	}
	st.PendingNotifications(func(n *wire.SnapshotNotification) {
		name := n.Notification.Channel
		if d.busy[n.Id] != "" || d.lanes[name] >= perChannel {
			return
		}
		if at := time.UnixMilli(n.NextMs).Sub(now); at > 0 {
			wait = min(wait, at)
			return
		}
		d.busy[n.Id] = name
		d.lanes[name]++
		c, _ := st.Channel(name)
		running.Go(func() {
			t := d.try(ctx, c, n)
			select {
			case d.results <- t:
			case <-ctx.Done():
			}
		})
	})
	return max(wait, time.Millisecond)
}

// try sends one notification.
func (d *Deliverer) try(ctx context.Context, c *wire.Channel, n *wire.SnapshotNotification) *wire.Tried {
	test := n.Notification.Occasion == wire.Occasion_TEST
	var err error
	switch {
	case c == nil:
		err = refused{error: fault.New(fault.NotFound, "there is no channel %q any more", n.Notification.Channel), never: true}
	case c.Disabled && !test:
		err = refused{error: fault.New(fault.Conflict, "channel %q is disabled", c.Name), never: true}
	default:
		sending, cancel := context.WithTimeout(ctx, sendTime)
		err = d.Sender.Send(sending, c, d.data(n))
		cancel()
	}
	now := d.Now()
	t := &wire.Tried{Id: n.Id, AtMs: now.UnixMilli(), Delivered: err == nil}
	if err == nil {
		return t
	}
	t.Error = err.Error()
	why, _ := err.(refused) //nolint:errorlint // as Send gave it
	delay := Delay(d.Settings, n.Tries)
	if t.Dead = test || why.never || delay == 0; !t.Dead {
		delay = time.Duration(float64(delay) * (0.75 + rand.Float64()/2))
		t.NextMs = now.Add(max(delay, min(why.after, mostDelay))).UnixMilli()
	}
	return t
}

// Delay is how long a notification that was tried so many times before rests
// after it has failed once more; 0: its time is over. All delays together stay
// within the patience.
func Delay(set Settings, before uint32) time.Duration {
	set.complete()
	delay, sum := min(firstDelay, set.Patience/8), time.Duration(0)
	for range before {
		sum += delay
		delay = min(2*delay, mostDelay)
		if sum >= set.Patience {
			return 0
		}
	}
	if sum+delay > set.Patience {
		return 0
	}
	return delay
}

// settle makes facts of what was tried. What the log does not take is kept: to
// forget it would send it again.
func (d *Deliverer) settle(ctx context.Context) {
	if len(d.done) == 0 {
		return
	}
	_, r, err := d.Log.Propose(ctx, &wire.Command{Body: &wire.Command_Delivery{Delivery: &wire.Delivery{Tried: d.done}}})
	if err != nil && r == nil {
		if ctx.Err() == nil {
			d.Logger.Warn("what was delivered could not be noted yet", "notifications", len(d.done), "error", err)
		}
		return
	}
	for _, t := range d.done {
		name := d.busy[t.Id]
		delete(d.busy, t.Id)
		if d.lanes[name]--; d.lanes[name] <= 0 {
			delete(d.lanes, name)
		}
		outcome := "failed"
		switch {
		case t.Delivered:
			outcome = "delivered"
		case t.Dead:
			outcome = "dead"
			d.Logger.Warn("a notification is dead", "notification", channel.FormatID(t.Id), "channel", name, "error", t.Error)
		}
		d.Told(outcome)
	}
	d.done = nil
}

// forget drops what is kept no longer, and says when to look again.
func (d *Deliverer) forget(ctx context.Context, st *state.State, now time.Time) time.Duration {
	if left := d.forgotAt.Add(forgetEvery).Sub(now); left > 0 {
		return left
	}
	d.forgotAt = now
	ids := Forgettable(st, now, d.Settings)
	if len(ids) == 0 {
		return forgetEvery
	}
	_, r, err := d.Log.Propose(ctx, &wire.Command{Body: &wire.Command_Delivery{Delivery: &wire.Delivery{Forget: ids}}})
	if err != nil && r == nil || len(ids) == mostForgot {
		d.forgotAt = time.Time{}
		return time.Second
	}
	return forgetEvery
}

// Forgettable lists notifications that were delivered or are dead for as long as
// such are kept, a thousand at most.
func Forgettable(st *state.State, now time.Time, set Settings) (ids []uint64) {
	set.complete()
	st.Notifications(0, func(n *wire.SnapshotNotification) bool {
		kept := set.KeepDead
		if n.State == wire.SnapshotNotification_DELIVERED {
			kept = set.KeepDelivered
		}
		since := cmp.Or(n.TriedMs, n.Notification.AtMs)
		if n.State != wire.SnapshotNotification_PENDING && since <= now.Add(-kept).UnixMilli() {
			ids = append(ids, n.Id)
		}
		return len(ids) < mostForgot
	})
	return ids
}

// data is what a notification says.
func (d *Deliverer) data(n *wire.SnapshotNotification) *channel.Data {
	m := n.Notification
	out := &channel.Data{
		Version: channel.Version, Type: word(m.Occasion), ID: channel.WebhookID(n), Channel: m.Channel, Text: m.Text, Node: m.Node, Count: m.Count,
		Time: time.UnixMilli(m.AtMs).UTC().Format(time.RFC3339Nano),
	}
	if m.WithInstance {
		out.Instance = plan.FormatInstance(m.Plan, m.Instance)
	}
	if m.Plan > 0 {
		if b, ok := d.Standing(m.Plan); ok {
			out.Backfill = b
		}
	}
	return out
}
