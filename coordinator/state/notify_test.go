package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func putChannel(c *wire.Channel) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_PutChannel{PutChannel: &wire.PutChannel{Channel: c}}}
}

func removeChannel(name string) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_RemoveChannel{RemoveChannel: &wire.RemoveChannel{Name: name}}}
}

func hook(name string) *wire.Channel {
	return &wire.Channel{Name: name, Kind: wire.Channel_WEBHOOK, Url: "https://hooks.example/" + name}
}

func raise(list ...*wire.Notification) *wire.Command {
	return &wire.Command{Body: &wire.Command_Notify{Notify: &wire.Notify{Notifications: list}}}
}

func failure(planID uint64, name, key string) *wire.Notification {
	return &wire.Notification{Plan: planID, Channel: name, Key: key, Occasion: wire.Occasion_FAILURE, Text: "it failed"}
}

func delivery(list ...*wire.Tried) *wire.Command {
	return &wire.Command{Body: &wire.Command_Delivery{Delivery: &wire.Delivery{Tried: list}}}
}

func retryAll(ids ...uint64) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_RetryNotifications{RetryNotifications: &wire.RetryNotifications{Ids: ids}}}
}

func (m *machine) outbox(want ...string) {
	m.t.Helper()
	var got []string
	m.s.Notifications(0, func(n *wire.SnapshotNotification) bool {
		got = append(got, fmt.Sprintf("%d %s %s %d", n.Id, n.Notification.Key, n.State, n.Tries))
		return true
	})
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		m.t.Errorf("the outbox has %q, expected %q", got, want)
	}
}

func TestR15_6_ChannelsArePutAndRemoved(t *testing.T) {
	m := ready(t, daily("a"))
	if r := m.do(putChannel(hook("ops"))); r.Err != nil || len(r.Changes) != 1 || r.Changes[0].Kind != ChannelsChanged {
		t.Fatalf("put: %+v", r)
	}
	if r := m.do(putChannel(hook("ops"))); r.Err != nil || len(r.Changes) != 0 {
		t.Errorf("put as it is: %+v", r)
	}
	m.refused(fault.Invalid, putChannel(&wire.Channel{Name: "ops"}))
	m.refused(fault.Invalid, putChannel(nil))
	m.refused(fault.NotFound, removeChannel("none"))
	m.must(submit(current("a", 1)))
	m.must(raise(failure(1, "ops", "one")))
	if a := m.must(removeChannel("ops")); a.Instances != 1 {
		t.Errorf("pending ones that died with it: %v", a)
	}
	m.outbox("1 one DEAD 0")
	if err := m.refused(fault.Conflict, retryAll(1)); !strings.Contains(err.Error(), `"ops" does not exist`) {
		t.Error(err)
	}
	if restored(t, m.s).Hash() != m.s.Hash() {
		t.Error("it cannot be written and read again")
	}
}

func TestR15_6_NothingIsToldTwiceOrToNobody(t *testing.T) {
	m := ready(t, daily("a"))
	off := hook("off")
	off.Disabled = true
	m.must(putChannel(hook("ops")))
	m.must(putChannel(off))
	m.must(submit(current("a", 3)))
	if a := m.must(raise(failure(1, "ops", "x"), failure(1, "ops", "x"), failure(1, "none", "y"), failure(1, "off", "z"), failure(9, "ops", "gone"))); fmt.Sprint(a.Notifications) != "[1]" {
		t.Errorf("put into the outbox: %v", a.Notifications)
	}
	m.outbox("1 x PENDING 0")
	for key, want := range map[string]bool{"x": true, "y": true, "z": true, "gone": false} {
		if m.s.Told(1, key) != want {
			t.Errorf("%q is told: %v", key, !want)
		}
	}
	m.must(putChannel(hook("none")))
	m.must(raise(failure(1, "none", "y"))) // it was not there when it happened
	m.outbox("1 x PENDING 0")
	// Forgotten, a key is known as long as its plan lives, also by who restores it.
	m.must(delivery(&wire.Tried{Id: 1, Delivered: true, AtMs: 5}))
	m.must(&wire.Command{Body: &wire.Command_Delivery{Delivery: &wire.Delivery{Forget: []uint64{1}}}})
	m.outbox()
	m.s = restored(t, m.s)
	m.must(raise(failure(1, "ops", "x")))
	m.outbox()
	var keys []string
	m.s.EachTold(1, "", func(key string) { keys = append(keys, key) })
	if fmt.Sprint(keys) != "[x y z]" {
		t.Errorf("told: %v", keys)
	}
	m.must(raise(failure(1, "ops", "w")))
	m.must(expire(1))
	m.outbox("2 w PENDING 0")
	m.s.EachTold(1, "", func(key string) { t.Errorf("%s is known still", key) })
	if again := restored(t, m.s); again.Hash() != m.s.Hash() || again.Told(1, "w") {
		t.Error("restored, it is another state")
	}
}

func TestR15_6_WhatIsNoNotificationIsRefused(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(putChannel(hook("ops")))
	m.must(submit(current("a", 1)))
	for name, change := range map[string]func(*wire.Notification){
		"no occasion":      func(n *wire.Notification) { n.Occasion = 0 },
		"a strange one":    func(n *wire.Notification) { n.Occasion = 77 },
		"a test of a plan": func(n *wire.Notification) { n.Occasion = wire.Occasion_TEST },
		"no plan":          func(n *wire.Notification) { n.Plan = 0 },
		"no key":           func(n *wire.Notification) { n.Key = "" },
		"a long text":      func(n *wire.Notification) { n.Text = strings.Repeat("x", 2000) },
	} {
		n := failure(1, "ops", "x")
		change(n)
		if r := m.do(raise(failure(1, "ops", "other"), n)); !fault.Is(r.Err, fault.Invalid) {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
	m.outbox()
	m.refused(fault.NotFound, raise(&wire.Notification{Channel: "none", Key: "t", Occasion: wire.Occasion_TEST}))
	m.must(raise(&wire.Notification{Channel: "ops", Key: "t", Occasion: wire.Occasion_TEST}, &wire.Notification{Channel: "ops", Key: "t", Occasion: wire.Occasion_TEST}))
	m.outbox("2 t PENDING 0", "1 t PENDING 0") // a person may test twice
}

func TestR15_6_DeliveriesAndRetries(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(putChannel(hook("ops")))
	m.must(submit(current("a", 1)))
	m.must(raise(failure(1, "ops", "x"), failure(1, "ops", "y"), failure(1, "ops", "z")))
	m.must(delivery(
		&wire.Tried{Id: 1, NextMs: 77, Error: strings.Repeat("é", 2000), AtMs: 5}, &wire.Tried{Id: 2, Dead: true, NextMs: 9, Error: "no", AtMs: 6},
		&wire.Tried{Id: 3, Delivered: true, Error: "?"}, &wire.Tried{Id: 99, Delivered: true},
	))
	m.outbox("3 z DELIVERED 1", "2 y DEAD 1", "1 x PENDING 1")
	one, _ := m.s.Notification(1)
	two, _ := m.s.Notification(2)
	three, _ := m.s.Notification(3)
	if one.NextMs != 77 || len(one.Error) > maxDeliveryError || two.NextMs != 0 || two.Error != "no" || three.Error != "" || two.TriedMs != 6 {
		t.Errorf("they are %v, %v, %v", one, two, three)
	}
	if r := m.do(delivery(&wire.Tried{Id: 2, Delivered: true})); r.Err != nil || len(r.Changes) != 0 {
		t.Errorf("a late word: %+v", r)
	}
	m.refused(fault.NotFound, retryAll(2, 99))
	m.refused(fault.Conflict, retryAll(3))
	m.refused(fault.Invalid, retryAll())
	m.outbox("3 z DELIVERED 1", "2 y DEAD 1", "1 x PENDING 1")
	if a := m.must(retryAll(2, 1, 2)); a.Instances != 2 {
		t.Errorf("%v", a)
	}
	m.outbox("3 z DELIVERED 1", "2 y PENDING 0", "1 x PENDING 1")
	var due []uint64
	m.s.PendingNotifications(func(n *wire.SnapshotNotification) { due = append(due, n.Id, uint64(n.NextMs)) })
	if want := fmt.Sprint([]int64{1, m.s.NowMs(), 2, m.s.NowMs()}); fmt.Sprint(due) != want {
		t.Errorf("due: %v, expected %s", due, want)
	}
	if all, pending := m.s.OutboxSize(); all != 3 || pending != 2 {
		t.Errorf("%d kept, %d of them pending", all, pending)
	}
}

func TestR15_6_TheOutboxIsBounded(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(putChannel(hook("ops")))
	m.must(submit(current("a", 1)))
	var all []*wire.Notification
	for i := range maxOutbox {
		all = append(all, failure(1, "ops", fmt.Sprint("k", i)))
	}
	m.must(raise(all...))
	if a := m.must(raise(failure(1, "ops", "more"))); len(a.Notifications) > 0 || m.s.Told(1, "more") {
		t.Errorf("all are pending, and one more went in, or counts as told: %v", a)
	}
	m.must(delivery(&wire.Tried{Id: 3, Dead: true}, &wire.Tried{Id: 7, Delivered: true}))
	m.must(raise(failure(1, "ops", "more"), failure(1, "ops", "yet more"), failure(1, "ops", "too many")))
	if kept, pending := m.s.OutboxSize(); kept != maxOutbox || pending != maxOutbox || m.s.Told(1, "too many") {
		t.Errorf("%d kept, %d pending", kept, pending)
	}
	if _, ok := m.s.Notification(3); ok || !m.s.Told(1, "k2") {
		t.Error("the oldest dead one is there still, or was untold")
	}
	if restored(t, m.s).Hash() != m.s.Hash() {
		t.Error("it cannot be written and read again")
	}
}

// TestR15_6_TheOutboxAgreesWithItsModel feeds random logs to a State and to maps.
func TestR15_6_TheOutboxAgreesWithItsModel(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		m := ready(t, daily("a"))
		m.must(submit(current("a", 1)))
		m.must(submit(current("a", 1)))
		w := &modelOutbox{channels: map[string]bool{}, told: map[string]bool{}, kept: map[uint64]*wire.SnapshotNotification{}, plans: map[uint64]bool{1: true, 2: true}}
		for step := range 300 {
			c := w.random(rnd)
			before := m.s
			w.apply(c, m.do(c), m.s.NowMs())
			w.check(t, m.s)
			if t.Failed() {
				t.Fatalf("seed %d, step %d: after %v", seed, step, c)
			}
			if step%50 == 49 {
				var a, b bytes.Buffer
				m.s = restored(t, m.s)
				w.check(t, m.s)
				_, _ = before.WriteTo(&a)
				_, _ = before.WriteTo(&b)
				if !bytes.Equal(a.Bytes(), b.Bytes()) {
					t.Fatalf("seed %d: an older State changed", seed)
				}
			}
		}
		if len(w.kept) == 0 || len(w.told) == 0 && w.plans[1] {
			t.Errorf("seed %d: it tests too little", seed)
		}
	}
}

type modelOutbox struct {
	channels map[string]bool // whether it is disabled
	told     map[string]bool // by plan and key
	kept     map[uint64]*wire.SnapshotNotification
	plans    map[uint64]bool
	last     uint64
}

var channelNames = []string{"ops", "team", "none"}

func (w *modelOutbox) random(rnd *rand.Rand) *wire.Command {
	name := channelNames[rnd.IntN(3)]
	switch k := rnd.IntN(100); {
	case k < 10 && name != "none":
		c := hook(name)
		c.Disabled = rnd.IntN(3) == 0
		return putChannel(c)
	case k < 13:
		return removeChannel(name)
	case k < 14:
		return expire(1 + rnd.Uint64N(2))
	case k < 50:
		var list []*wire.Notification
		for range 1 + rnd.IntN(3) {
			list = append(list, failure(1+rnd.Uint64N(3), channelNames[rnd.IntN(3)], fmt.Sprint("k", rnd.IntN(200))))
		}
		return raise(list...)
	case k < 55:
		return raise(&wire.Notification{Channel: name, Key: "t", Occasion: wire.Occasion_TEST})
	case k < 85:
		t := &wire.Tried{Id: 1 + rnd.Uint64N(w.last+1), AtMs: rnd.Int64N(99), NextMs: rnd.Int64N(99)}
		t.Delivered, t.Dead = rnd.IntN(3) == 0, rnd.IntN(3) == 0
		return delivery(t)
	case k < 90:
		return &wire.Command{Body: &wire.Command_Delivery{Delivery: &wire.Delivery{Forget: []uint64{1 + rnd.Uint64N(w.last+1)}}}}
	default:
		return retryAll(1 + rnd.Uint64N(w.last+1))
	}
}

func (w *modelOutbox) apply(c *wire.Command, r Result, nowMs int64) {
	if r.Err != nil {
		return
	}
	switch b := c.Body.(type) {
	case *wire.Command_PutChannel:
		w.channels[b.PutChannel.Channel.Name] = b.PutChannel.Channel.Disabled
	case *wire.Command_RemoveChannel:
		delete(w.channels, b.RemoveChannel.Name)
		for _, n := range w.kept {
			if n.Notification.Channel == b.RemoveChannel.Name && n.State == wire.SnapshotNotification_PENDING {
				n.State, n.NextMs, n.Error = wire.SnapshotNotification_DEAD, 0, "the channel was removed"
			}
		}
	case *wire.Command_Expire:
		for _, id := range b.Expire.Plans {
			delete(w.plans, id)
			for k := range w.told {
				if strings.HasPrefix(k, fmt.Sprint(id, " ")) {
					delete(w.told, k)
				}
			}
		}
	case *wire.Command_Notify:
		for _, n := range b.Notify.Notifications {
			key := fmt.Sprint(n.Plan, " ", n.Key)
			test := n.Plan == 0
			if !test && (!w.plans[n.Plan] || w.told[key]) {
				continue
			}
			off, ok := w.channels[n.Channel]
			if !test {
				w.told[key] = true
			}
			if test || ok && !off {
				w.last++
				w.kept[w.last] = &wire.SnapshotNotification{Id: w.last, Notification: n, NextMs: nowMs}
			}
		}
	case *wire.Command_Delivery:
		for _, t := range b.Delivery.Tried {
			n := w.kept[t.Id]
			if n == nil || n.State != wire.SnapshotNotification_PENDING {
				continue
			}
			n.Tries, n.TriedMs, n.NextMs = n.Tries+1, t.AtMs, t.NextMs
			if t.Delivered {
				n.State, n.NextMs = wire.SnapshotNotification_DELIVERED, 0
			} else if t.Dead {
				n.State, n.NextMs = wire.SnapshotNotification_DEAD, 0
			}
			n.Error = ""
		}
		for _, id := range b.Delivery.Forget {
			if n := w.kept[id]; n != nil && n.State != wire.SnapshotNotification_PENDING {
				delete(w.kept, id)
			}
		}
	case *wire.Command_RetryNotifications:
		n := w.kept[b.RetryNotifications.Ids[0]]
		if n.State == wire.SnapshotNotification_DEAD {
			n.State, n.Tries = wire.SnapshotNotification_PENDING, 0
		}
		n.NextMs = nowMs
	}
}

func (w *modelOutbox) check(t *testing.T, s *State) {
	t.Helper()
	n, pending := 0, 0
	s.Notifications(0, func(got *wire.SnapshotNotification) bool {
		n++
		if want := w.kept[got.Id]; want == nil || !proto.Equal(want, got) {
			t.Errorf("notification %v, expected %v", got, want)
		}
		return true
	})
	s.PendingNotifications(func(got *wire.SnapshotNotification) {
		pending++
		if got.State != wire.SnapshotNotification_PENDING {
			t.Errorf("%v is not pending", got)
		}
	})
	if _, p := s.OutboxSize(); n != len(w.kept) || p != pending {
		t.Errorf("%d kept, %d pending, expected %d and %d", n, p, len(w.kept), pending)
	}
	keys := 0
	for id := range uint64(4) {
		s.EachTold(id, "", func(key string) {
			keys++
			if !w.told[fmt.Sprint(id, " ", key)] {
				t.Errorf("%q of %d was never told", key, id)
			}
		})
	}
	if keys != len(w.told) {
		t.Errorf("%d keys are known, expected %d", keys, len(w.told))
	}
}
