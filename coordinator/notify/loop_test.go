package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/channel"
	"backfleet/pkg/wire"
)

// lead runs what the leader runs until the function that it gives is called.
func (w *world) lead(send Sender, set Settings) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	r := &Raiser{Settings: set, Log: w, Machine: w.m}
	d := &Deliverer{Settings: set, Log: w, Machine: w.m, Sender: send, Standing: func(uint64) (channel.Backfill, bool) { return channel.Backfill{}, false }}
	running.Go(func() { r.Lead(ctx) })
	running.Go(func() { d.Lead(ctx) })
	return func() { cancel(); running.Wait() }
}

// receiver notes what it is sent, and fails as it is told to.
type receiver struct {
	mu   sync.Mutex
	got  []string // ids
	data []channel.Data
	fail func(c *wire.Channel, id string) error
}

func (r *receiver) Send(ctx context.Context, c *wire.Channel, d *channel.Data) error {
	r.mu.Lock()
	fail := r.fail
	r.mu.Unlock()
	if fail != nil {
		if err := fail(c, d.ID); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.data = append(r.got, d.ID), append(r.data, *d)
	return ctx.Err()
}

// sent is what came so far.
func (r *receiver) sent() (ids []string, data []channel.Data) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got), slices.Clone(r.data)
}

func (r *receiver) ids() []string { ids, _ := r.sent(); return ids }

func (r *receiver) said() []channel.Data { _, data := r.sent(); return data }

func (w *world) states() string {
	var out []string
	w.m.State().Notifications(0, func(n *wire.SnapshotNotification) bool {
		out = append(out, fmt.Sprintf("%s %s %d", channel.FormatID(n.Id), strings.ToLower(n.State.String()), n.Tries))
		return true
	})
	return strings.Join(out, ", ")
}

func TestR15_6_RaisedAndDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t, time.Now), &receiver{}
		stop := w.lead(r, Settings{})
		defer stop()
		w.submit(3, on("ops"), daily("a"))
		w.run(1, 0, wire.Outcome_FAILED)
		time.Sleep(9 * time.Second) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(r.ids()) > 0 {
			t.Errorf("before failures are gathered: %v", r.said())
		}
		time.Sleep(3 * time.Second) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(r.ids()) != 1 || r.said()[0].Type != "failure" || r.said()[0].Instance != "b1.0" || r.said()[0].Channel != "ops" || w.states() != "n1 delivered 1" {
			t.Errorf("it was sent %+v, and the outbox has %s", r.said(), w.states())
		}
		time.Sleep(6 * 24 * time.Hour) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(r.ids()) != 1 || w.states() != "n1 delivered 1" {
			t.Errorf("after days, it was sent %+v, and the outbox has %s", r.said(), w.states())
		}
		time.Sleep(2 * 24 * time.Hour) //nolint:forbidigo // virtual
		synctest.Wait()
		if w.states() != "" {
			t.Errorf("after a week the outbox has %s", w.states())
		}
	})
}

func TestR15_6_AChannelThatRefusesIsTriedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var tried []time.Duration
		w, r := newWorld(t, time.Now), &receiver{}
		r.fail = func(*wire.Channel, string) error {
			tried = append(tried, time.Since(begin))
			return errors.New("no")
		}
		stop := w.lead(r, Settings{})
		defer func() { stop() }()
		w.submit(1, on("ops", finished), daily("a"))
		w.run(1, 0, wire.Outcome_SUCCEEDED)
		time.Sleep(30 * time.Hour) //nolint:forbidigo // virtual
		synctest.Wait()
		if n := len(tried); n < 12 || n > 25 || tried[n-1] < 16*time.Hour || tried[n-1] > 32*time.Hour {
			t.Fatalf("tried %d times, after %v", n, tried)
		}
		for i := 2; i < 9; i++ {
			if tried[i]-tried[i-1] <= (tried[i-1]-tried[i-2])*11/10 {
				t.Errorf("it does not rest ever longer: %v", tried)
			}
		}
		if n, _ := w.m.State().Notification(1); n.State != wire.SnapshotNotification_DEAD || n.Error != "no" {
			t.Errorf("after a day it is %v", n)
		}
		// A person has it tried again; a coordinator that leads since then does.
		stop()
		w.must(&wire.Command{Actor: "ann", Body: &wire.Command_RetryNotifications{RetryNotifications: &wire.RetryNotifications{Ids: []uint64{1}}}})
		r.fail = nil
		stop = w.lead(r, Settings{})
		time.Sleep(time.Second) //nolint:forbidigo // virtual
		synctest.Wait()
		if w.states() != "n1 delivered 1" || len(r.ids()) != 1 {
			t.Errorf("tried again: %s, sent %v", w.states(), r.ids())
		}
	})
}

// TestR15_6_ASlowChannelHoldsUpOnlyItself: it has two under way, others go on.
func TestR15_6_ASlowChannelHoldsUpOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t, time.Now), &receiver{}
		for _, name := range []string{"slow", "off"} {
			w.must(&wire.Command{Body: &wire.Command_PutChannel{PutChannel: &wire.PutChannel{Channel: hook(name)}}})
		}
		block, most, now := make(chan struct{}), 0, 0
		var mu sync.Mutex
		r.fail = func(c *wire.Channel, _ string) error {
			if c.Name != "slow" {
				return nil
			}
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-block
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		}
		stop := w.lead(r, Settings{})
		defer stop()
		for range 20 {
			w.must(&wire.Command{Body: &wire.Command_Notify{Notify: &wire.Notify{Notifications: []*wire.Notification{
				{Key: "t", Channel: "slow", Occasion: wire.Occasion_TEST}, {Key: "t", Channel: "ops", Occasion: wire.Occasion_TEST},
			}}}})
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(r.ids()) != 20 || most != 2 {
			t.Errorf("%d were delivered beside the slow one, which was sent %d at a time", len(r.ids()), most)
		}
		close(block)
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual
		synctest.Wait()
		if _, pending := w.m.State().OutboxSize(); pending > 0 || len(r.ids()) != 40 {
			t.Errorf("%d are pending, %d were sent", pending, len(r.ids()))
		}
		// A disabled one is sent tests alone.
		off := hook("off")
		w.must(&wire.Command{Body: &wire.Command_Notify{Notify: &wire.Notify{Notifications: []*wire.Notification{{Key: "t", Channel: "off", Occasion: wire.Occasion_TEST}}}}})
		off.Disabled = true
		w.must(&wire.Command{Body: &wire.Command_PutChannel{PutChannel: &wire.PutChannel{Channel: off}}})
		time.Sleep(time.Second) //nolint:forbidigo // virtual
		synctest.Wait()
		if n, _ := w.m.State().Notification(41); n.State != wire.SnapshotNotification_DELIVERED {
			t.Errorf("the test of a disabled channel: %v", n)
		}
	})
}

// TestR15_6_WhatTheLogDoesNotTakeIsNotSentAgain as long as this one leads.
func TestR15_6_WhatTheLogDoesNotTakeIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t, time.Now), &receiver{}
		w.submit(1, on("ops", finished), daily("a"))
		stop := w.lead(r, Settings{})
		defer stop()
		r.fail = func(*wire.Channel, string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.down = true
			return nil
		}
		w.run(1, 0, wire.Outcome_SUCCEEDED)
		time.Sleep(time.Minute) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(r.ids()) != 1 || w.states() != "n1 pending 0" {
			t.Fatalf("sent %v, and the outbox has %s", r.ids(), w.states())
		}
		w.mu.Lock()
		w.down = false
		w.mu.Unlock()
		time.Sleep(time.Minute) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(r.ids()) != 1 || w.states() != "n1 delivered 1" {
			t.Errorf("sent %v, and the outbox has %s", r.ids(), w.states())
		}
	})
}

// TestR15_6_WhoeverLeadsEachIsToldOnce lets coordinators lead one after the other,
// at any moment and two of them at once, over random lives of plans: each thing
// that is to be told is in the outbox once, and all of it is delivered.
func TestR15_6_WhoeverLeadsEachIsToldOnce(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomLeaders(t, rand.New(rand.NewPCG(seed, 15))) })
		})
	}
}

func randomLeaders(t *testing.T, rnd *rand.Rand) {
	w, r := newWorld(t, time.Now), &receiver{}
	r.fail = func(*wire.Channel, string) error {
		if rand.IntN(4) == 0 {
			return errors.New("not now")
		}
		return nil
	}
	a := daily("a")
	a.Notify = on("ops", failure, success)
	first := w.submit(6, on("ops", failure, success, finished, stuck), a, daily("b", "a"))
	second := w.submit(3, on("ops", finished), daily("c"))
	var leaders []func()
	ended, failed := map[uint64]bool{}, 0
	for range 150 {
		switch k := rnd.IntN(12); {
		case k < 2:
			leaders = append(leaders, w.lead(r, Settings{}))
		case k < 4 && len(leaders) > 0:
			leaders[0]()
			leaders = leaders[1:]
		case k < 5:
			time.Sleep(time.Duration(rnd.IntN(40)) * time.Minute) //nolint:forbidigo // virtual
		case k < 6:
			id := first
			if rnd.IntN(2) == 0 {
				id = second
			}
			_, _, _ = w.Propose(t.Context(), &wire.Command{Actor: "ann", Body: &wire.Command_Operate{Operate: &wire.Operate{
				Kind:    []wire.Operate_Kind{wire.Operate_RERUN_FAILED, wire.Operate_RESUME, wire.Operate_PAUSE}[rnd.IntN(3)],
				Targets: []*wire.Target{{Plan: id}},
			}}})
		default:
			if w.step(rnd, &failed) {
				ended[first] = true
			}
		}
		time.Sleep(time.Duration(rnd.IntN(8000)) * time.Millisecond) //nolint:forbidigo // virtual
		synctest.Wait()
	}
	for _, stop := range leaders {
		stop()
	}
	// At the end one leads for long enough to tell and deliver all.
	stop := w.lead(r, Settings{})
	time.Sleep(30 * time.Hour) //nolint:forbidigo // virtual
	synctest.Wait()
	stop()
	keys := w.outbox()
	slices.Sort(keys)
	if once := slices.Compact(slices.Clone(keys)); len(once) != len(keys) {
		t.Errorf("told twice: %v", keys)
	}
	if left := Due(w.m.State(), time.Now(), Settings{}); len(left) > 0 {
		t.Errorf("not told: %v", left)
	}
	if failed > 0 && !slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, "/failure/") }) {
		t.Errorf("%d instances have failed, and nobody was told: %v", failed, keys)
	}
	w.m.State().Notifications(0, func(n *wire.SnapshotNotification) bool {
		if n.State == wire.SnapshotNotification_PENDING {
			t.Errorf("%v is pending still", n)
		}
		if n.State == wire.SnapshotNotification_DELIVERED && !slices.Contains(r.ids(), channel.WebhookID(n)) {
			t.Errorf("%v was never sent", n)
		}
		return true
	})
}

// step grants or ends something.
func (w *world) step(rnd *rand.Rand, failed *int) bool {
	st := w.m.State()
	var live []*state.Lease
	st.Leases(func(l *state.Lease) { live = append(live, l) })
	if len(live) > 0 && rnd.IntN(2) == 0 {
		l := live[rnd.IntN(len(live))]
		o := wire.Outcome_SUCCEEDED
		if rnd.IntN(3) == 0 {
			o = wire.Outcome_FAILED
			if p, _ := st.Plan(l.Plan); p.Name == "orders" && l.Plan == 1 {
				*failed++
			}
		}
		w.end(l.Plan, l.Instance, o)
		return true
	}
	id := 1 + rnd.Uint64N(2)
	p, ok := st.Plan(id)
	if !ok || p.Paused {
		return false
	}
	i := rnd.Uint64N(p.Size())
	if p.Status(i).Waits() {
		w.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: i, Agent: "a1", ResourceGroup: "default"}}})
	}
	return false
}

func TestDelaysStayWithinThePatience(t *testing.T) {
	for _, patience := range []time.Duration{time.Second, 8 * time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		sum, n := time.Duration(0), uint32(0)
		for ; n < 1000; n++ {
			d := Delay(Settings{Patience: patience}, n)
			if d == 0 {
				break
			}
			if sum += d; d > mostDelay {
				t.Errorf("of %v, delay %d is %v", patience, n, d)
			}
		}
		if sum > patience || sum < patience/3 || n < 3 {
			t.Errorf("of %v, %d delays take %v", patience, n, sum)
		}
	}
}
