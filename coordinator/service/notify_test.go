package service

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// hook sets a channel.
func (r *rig) hook(name string) {
	r.t.Helper()
	if _, _, err := r.PutChannel(r.t.Context(), write("hook "+name), &wire.Channel{Name: name, Kind: wire.Channel_WEBHOOK, Url: "https://example.org/" + name}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) propose(c *wire.Command) *wire.Answer {
	r.t.Helper()
	_, res, err := r.log.Propose(r.t.Context(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.Answer
}

// raise has something of a plan told to a channel.
func (r *rig) raise(planID uint64, name string, occasion wire.Occasion) uint64 {
	r.t.Helper()
	return r.propose(&wire.Command{Body: &wire.Command_Notify{Notify: &wire.Notify{Notifications: []*wire.Notification{{
		Key: fmt.Sprint("key ", r.log.index), Channel: name, Plan: planID, Occasion: occasion, AtMs: r.clock().UnixMilli(), Text: "it failed",
	}}}}}).Notifications[0]
}

func (r *rig) tried(t *wire.Tried) {
	r.t.Helper()
	t.AtMs = r.clock().UnixMilli()
	r.propose(&wire.Command{Body: &wire.Command_Delivery{Delivery: &wire.Delivery{Tried: []*wire.Tried{t}}}})
}

// outboxed is a rig with two backfills and five notifications: n1 and n4 to ops are dead, n2 to
// ops was delivered, n3 to mail and n5 to ops are pending.
func outboxed(t *testing.T) *rig {
	r := newRig(t, daily("a"))
	r.hook("ops")
	r.hook("mail")
	one, two := r.submit(backfill("a", "2021-01-01")), r.submit(backfill("a", "2021-01-02"))
	r.raise(one, "ops", wire.Occasion_FAILURE)
	r.raise(one, "ops", wire.Occasion_FINISHED)
	r.raise(two, "mail", wire.Occasion_FAILURE)
	r.raise(two, "ops", wire.Occasion_STUCK)
	r.raise(two, "ops", wire.Occasion_FINISHED)
	r.tried(&wire.Tried{Id: 1, Dead: true, Error: "410"})
	r.tried(&wire.Tried{Id: 2, Delivered: true})
	r.tried(&wire.Tried{Id: 4, Dead: true, Error: "410"})
	return r
}

func TestR15_6_NotificationsAreFilteredPageByPage(t *testing.T) {
	r := outboxed(t)
	for _, x := range []struct {
		filter server.NotificationFilter
		want   []string
	}{
		{server.NotificationFilter{}, []string{"n5", "n4", "n3", "n2", "n1"}},
		{server.NotificationFilter{Channel: "mail"}, []string{"n3"}},
		{server.NotificationFilter{Plan: 1}, []string{"n2", "n1"}},
		{server.NotificationFilter{States: []wire.SnapshotNotification_State{wire.SnapshotNotification_DEAD, wire.SnapshotNotification_DELIVERED}}, []string{"n4", "n2", "n1"}},
		{server.NotificationFilter{Occasions: []wire.Occasion{wire.Occasion_FAILURE}}, []string{"n3", "n1"}},
		{server.NotificationFilter{Occasions: []wire.Occasion{wire.Occasion_FAILURE}, Channel: "ops", Plan: 2}, nil},
	} {
		for _, limit := range []int{1, 2, 10} {
			var got []string
			page := server.Page{Limit: limit}
			for more := true; more; more = page.Cursor != "" {
				items, next, err := r.Notifications(t.Context(), x.filter, page)
				if err != nil || len(items) > limit {
					t.Fatalf("%d items of %d: %v", len(items), limit, err)
				}
				for _, n := range items {
					got = append(got, n.ID)
				}
				page.Cursor = next
			}
			if !slices.Equal(got, x.want) {
				t.Errorf("%+v, %d at a time: %v, want %v", x.filter, limit, got, x.want)
			}
		}
	}
	if _, _, err := r.Notifications(t.Context(), server.NotificationFilter{}, server.Page{Limit: 1, Cursor: "made-up"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a cursor that is none: %v", err)
	}
}

func TestR15_6_ChannelsSayWhatWaitsAndWhatIsDead(t *testing.T) {
	r := outboxed(t)
	all, _, err := r.Channels(t.Context(), "", server.Page{Limit: 9})
	if err != nil || len(all) != 2 || all[0].Name != "mail" || all[0].Pending != 1 || all[0].Dead != 0 || all[1].Pending != 1 || all[1].Dead != 2 {
		t.Errorf("%+v %v", all, err)
	}
	if some, _, _ := r.Channels(t.Context(), "op", server.Page{Limit: 9}); len(some) != 1 || some[0].Name != "ops" {
		t.Errorf("those with op: %+v", some)
	}
	before := r.log.index
	if _, _, err := r.PutChannel(t.Context(), write("bad"), &wire.Channel{Name: "bad", Kind: wire.Channel_WEBHOOK, Url: "https://example.org", Body: "{{.Nothing}}"}); !fault.Is(err, fault.Invalid) || r.log.index != before {
		t.Errorf("a template that means nothing: %v, %d entries", err, r.log.index-before)
	}
	if _, err := r.RemoveChannel(t.Context(), write("remove"), "mail"); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Notification(t.Context(), 3); err != nil || n.State != v1.NotificationStateDead {
		t.Errorf("pending to what was removed: %+v %v", n, err)
	}
	for what, err := range map[string]error{
		"channel":      func() error { _, err := r.Channel(t.Context(), "mail"); return err }(),
		"notification": func() error { _, err := r.Notification(t.Context(), 9); return err }(),
		"test":         func() error { _, _, err := r.TestChannel(t.Context(), write("test"), "mail"); return err }(),
		"retry":        func() error { _, err := r.RetryDead(t.Context(), write("retry"), "nowhere"); return err }(),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("a %s there is not: %v", what, err)
		}
	}
}

func TestR15_6_WhatIsDeadIsTriedAgain(t *testing.T) {
	r := outboxed(t)
	before := r.log.index
	if got, err := r.RetryDead(t.Context(), write("none"), "mail"); err != nil || got.Count != 0 || got.Index != before || r.log.index != before {
		t.Errorf("none is dead: %+v %v, %d entries", got, err, r.log.index-before)
	}
	for range 2 { // the same again
		if got, err := r.RetryDead(t.Context(), write("all"), "ops"); err != nil || got.Count != 2 || got.Index != before+1 || r.log.index != before+1 {
			t.Errorf("two are dead: %+v %v, %d entries", got, err, r.log.index-before)
		}
	}
	if c, _ := r.Channel(t.Context(), "ops"); c.Pending != 3 || c.Dead != 0 {
		t.Errorf("then %+v", c)
	}
	if _, _, err := r.RetryNotification(t.Context(), write("one"), 2); !fault.Is(err, fault.Conflict) {
		t.Errorf("one that was delivered: %v", err)
	}
}

// A test is answered when it was tried, and as it is when that takes too long.
func TestR15_6_ATestIsWaitedForAWhile(t *testing.T) {
	for _, x := range []struct {
		name  string
		tried *wire.Tried // nil: nobody tries
		after time.Duration
		want  v1.NotificationState
		took  time.Duration
	}{
		{"delivered", &wire.Tried{Id: 1, Delivered: true}, time.Second, v1.NotificationStateDelivered, time.Second},
		{"refused", &wire.Tried{Id: 1, Dead: true, Error: "410"}, time.Second, v1.NotificationStateDead, time.Second},
		{"nobody tries", nil, 0, v1.NotificationStatePending, testTime},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, daily("a"))
				r.hook("ops")
				if x.tried != nil {
					time.AfterFunc(x.after, func() { r.tried(x.tried) })
				}
				begun := time.Now()
				n, index, err := r.TestChannel(t.Context(), write("test"), "ops")
				if err != nil || n.State != x.want || n.Text != `ann tries channel "ops"` || index == 0 || time.Since(begun) != x.took {
					t.Errorf("%+v %d %v after %s, want it %s after %s", n, index, err, time.Since(begun), x.want, x.took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // whoever asked has gone
		r := newRig(t, daily("a"))
		r.hook("ops")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n, _, err := r.TestChannel(ctx, write("test"), "ops"); err != nil || n.State != v1.NotificationStatePending {
			t.Errorf("%+v %v", n, err)
		}
	})
}

func TestR15_6_WhatBecameOfANotificationIsTold(t *testing.T) {
	r := outboxed(t)
	r.tried(&wire.Tried{Id: 3, NextMs: r.clock().Add(time.Minute).UnixMilli(), Error: "503"})
	for id, want := range []string{
		1: "could not be told to channel ops: it failed (410)",
		2: "was told to channel ops: it failed",
		3: "is tried again, to channel mail: it failed (503)",
		4: "could not be told to channel ops: it failed (410)",
		5: "is to be told to channel ops: it failed",
	} {
		if id == 0 {
			continue
		}
		d := &entry{st: r.m.State()}
		d.change(&state.Change{Kind: state.NotificationChanged, Plan: 1, Instance: uint64(id)})
		if len(d.out) != 1 || d.out[0].event.Text != want || d.out[0].event.Notification != channel.FormatID(uint64(id)) {
			t.Errorf("n%d: %+v, want %q", id, d.out, want)
		}
	}
}

func TestR15_6_WhoIsToldOfABackfillKnowsHowItStands(t *testing.T) {
	r := newRig(t, daily("a"), daily("b", up("a")))
	r.agent("a1", "default", 9, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-01..2021-01-02"))
	r.run(id, wire.Outcome_FAILED, 0)
	r.start(id, 1)
	got, ok := r.Told(id)
	want := channel.Backfill{ID: "b1", Name: got.Name, State: "running", Counts: channel.Counts{Total: 4, Running: 1, Failed: 1, Waiting: 2}}
	if !ok || got != want || got.Name == "" {
		t.Errorf("%+v %v, want %+v", got, ok, want)
	}
	if _, ok := r.Told(9); ok {
		t.Error("a backfill there is not is told of")
	}
}

func TestR15_6_ChannelsThatAreNotThereAreWarnedOf(t *testing.T) {
	r := newRig(t, daily("a"))
	r.hook("ops")
	named := func(id string, names ...string) *wire.Node {
		return daily(id, func(n *wire.Node) {
			for _, c := range names {
				n.Notify = append(n.Notify, &wire.Subscription{Channel: c})
			}
		})
	}
	var got []string
	for _, w := range channelWarnings(r.m.State(), []*wire.Node{named("z", "nowhere"), named("b", "ops", "mail"), named("c")}) {
		got = append(got, w.Code+" "+w.Field)
		has(t, w.Message, "there is no channel", "yet")
	}
	if want := []string{`channel nodes["b"].notify[1].channel`, `channel nodes["z"].notify[0].channel`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
