package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/machine"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// follower gathers what a stream of events sends.
type follower struct {
	mu     sync.Mutex
	got    []*v1.Event
	cancel context.CancelFunc
	done   chan error
}

func (r *rig) listen(f server.EventFilter, after string) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	l := &follower{cancel: cancel, done: make(chan error, 1)}
	go func() {
		l.done <- r.Events(ctx, f, after, func(e *v1.Event) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.got = append(l.got, e)
			return nil
		})
	}()
	synctest.Wait()
	return l
}

// end lets the stream run dry and gives what it sent.
func (l *follower) end() []*v1.Event {
	<-time.After(time.Minute) // of the bubble's clock
	l.cancel()
	<-l.done
	return l.got
}

func kinds(list []*v1.Event) (out []string) {
	for _, e := range list {
		text := string(e.Type)
		if e.State != "" {
			text += " " + string(e.State)
		}
		out = append(out, text)
	}
	return out
}

func TestEventsTellEachInstanceAndThePlanOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.Start()
		defer r.Stop()
		all, mine := r.listen(server.EventFilter{}, ""), r.listen(server.EventFilter{Plan: 1, Types: []v1.EventType{v1.EventTypeDate, v1.EventTypeCluster}}, "")
		r.agent("a1", "default", 9, wire.Agent_READY)
		id := r.submit(backfill("a", "2021-01-01..2021-01-02"))
		r.start(id, 0)
		synctest.Wait()
		<-time.After(time.Second)
		r.finish(id, ok, "", 0)
		synctest.Wait()
		r.LeaderChanged("c2")
		want := []string{"agent", "backfill notRunning", "instance running", "backfill running", "instance succeeded", "date succeeded", "backfill running", "cluster"}
		got := all.end()
		if !slices.Equal(kinds(got), want) {
			t.Errorf("got %q, want %q", kinds(got), want)
		}
		if c := got[6].Counts; c == nil || c.Succeeded != 1 || c.Total != 2 {
			t.Errorf("counts: %+v", c)
		}
		if got[2].Instance != "b1.0" || got[2].Agent != "a1" || got[2].Date != "2021-01-01" || got[7].Leader != "c2" {
			t.Errorf("%+v, %+v", got[2], got[7])
		}
		if got := kinds(mine.end()); !slices.Equal(got, []string{"date succeeded", "cluster"}) {
			t.Errorf("filtered: %q", got)
		}
	})
}

func TestABurstIsToldAsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.agent("a1", "default", 5000, wire.Agent_READY)
		id := r.submit(backfill("a", "2001-01-01..2010-12-31", func(q *wire.Request) { q.Gate = wire.Request_NONE }))
		r.Start()
		defer r.Stop()
		l := r.listen(server.EventFilter{Types: []v1.EventType{v1.EventTypeBackfill, v1.EventTypeInstance}}, "")
		for k := range uint64(30) {
			var some []uint64
			for i := range uint64(100) {
				some = append(some, k*100+i)
			}
			r.run(id, ok, some...)
		}
		got := l.end()
		if len(got) == 0 || len(got) > 60 {
			t.Fatalf("%d events for 6,000 changes in 60 entries", len(got))
		}
		if last := got[len(got)-1]; last.Type != v1.EventTypeBackfill || last.Counts.Succeeded != 3000 {
			t.Errorf("the last one: %+v", last)
		}
	})
}

func TestEventsGoOnAtAnotherCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newRig(t)
		first.Start()
		defer first.Stop()
		second := New(Config{Machine: machine.New(), Log: first.log, Now: first.clock})
		second.Start()
		defer second.Stop()
		twin := &rig{Service: second}
		first.log.m = first.m
		feed, _ := first.m.Follow()
		l := first.listen(server.EventFilter{}, "")
		first.apply(daily("a"))
		first.agent("a1", "default", 9, wire.Agent_READY)
		id := first.submit(backfill("a", "2021-01-01..2021-01-05", func(q *wire.Request) { q.Gate = wire.Request_NONE }))
		for i := range uint64(5) {
			first.run(id, ok, i)
		}
		want := l.end()
		for _, a := range feed.Take() { // the same entries, as the other one applies them
			second.hub.observe(a)
		}
		for k := range want {
			l := twin.listen(server.EventFilter{}, want[k].ID)
			var gap []string
			for _, e := range l.end() {
				gap = append(gap, e.ID+" "+string(e.Type))
			}
			for _, e := range want[k+1:] {
				if !slices.Contains(gap, e.ID+" "+string(e.Type)) && e.Type != v1.EventTypeBackfill {
					t.Errorf("after %s: %s %s is missing from %q", want[k].ID, e.ID, e.Type, gap)
				}
			}
			if len(gap) > 0 && gap[0] == want[k].ID+" "+string(want[k].Type) {
				t.Errorf("%s comes twice", want[k].ID)
			}
		}
	})
}

func TestACoordinatorThatLagsDoesNotRepeatEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.Start()
		defer r.Stop()
		l := r.listen(server.EventFilter{}, "3-1") // told elsewhere, to be applied here yet
		for n := range 3 {
			r.agent("a1", "default", 9+uint32(n), wire.Agent_READY)
		}
		var ids []string
		for _, e := range l.end() {
			ids = append(ids, e.ID)
		}
		if !slices.Equal(ids, []string{"4-1"}) {
			t.Errorf("got %q, want 4-1 alone", ids)
		}
	})
}

func TestAnUnknownPlaceIsAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.Start()
		defer r.Stop()
		for n, after := range []string{"nonsense", "0-1", "1-1"} {
			l := r.listen(server.EventFilter{Types: []v1.EventType{v1.EventTypeAgent}}, after)
			r.agent("a1", "default", 9+uint32(n), wire.Agent_READY)
			got := l.end()
			if !slices.Equal(kinds(got), []string{"reset", "agent"}) {
				t.Errorf("after %q: %q", after, kinds(got))
				continue
			}
			again := r.listen(server.EventFilter{Types: []v1.EventType{v1.EventTypeAgent}}, got[0].ID).end()
			if !slices.Equal(kinds(again), []string{"agent"}) {
				t.Errorf("after the reset %q: %q", got[0].ID, kinds(again))
			}
		}
	})
}

func TestARestoredStateResetsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.Start()
		defer r.Stop()
		l := r.listen(server.EventFilter{Plan: 7}, "")
		r.hub.observe(machine.Applied{Index: 50, State: r.m.State(), Reset: true})
		got := l.end()
		if !slices.Equal(kinds(got), []string{"reset"}) {
			t.Fatalf("got %q", kinds(got))
		}
		if more := r.listen(server.EventFilter{}, "2-1").end(); !slices.Equal(kinds(more), []string{"reset"}) {
			t.Errorf("from before the snapshot: %q", kinds(more))
		}
	})
}

func TestAFollowerThatFallsBehindIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.Start()
		defer r.Stop()
		stuck := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- r.Events(t.Context(), server.EventFilter{}, "", func(*v1.Event) error { <-stuck; return nil })
		}()
		synctest.Wait()
		for i := range eventsKept + eventsKept/5 {
			r.hub.leader(fmt.Sprint(i), r.clock())
		}
		close(stuck)
		if err := <-done; !fault.Is(err, fault.Overloaded) {
			t.Errorf("got %v, want overloaded", err)
		}
		if len(r.hub.events) > eventsKept+eventsKept/10 {
			t.Errorf("%d events are kept", len(r.hub.events))
		}
	})
}

func TestStreamsEndWithTheServiceAndTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.Start()
		r.Start()
		l := r.listen(server.EventFilter{}, "")
		broken := errors.New("the client went away")
		done := make(chan error, 1)
		go func() {
			done <- r.Events(t.Context(), server.EventFilter{}, "", func(*v1.Event) error { return broken })
		}()
		synctest.Wait()
		r.LeaderChanged("c2")
		if err := <-done; !errors.Is(err, broken) {
			t.Errorf("got %v, want the sender's error", err)
		}
		r.Stop()
		r.Stop()
		if err := <-l.done; !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
	})
}

// told follows the events from a place until f returns false.
func (r *rig) told(from string, f func(*v1.Event) bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	enough := errors.New("enough")
	if err := r.Events(ctx, server.EventFilter{}, from, func(e *v1.Event) error {
		if !f(e) {
			return enough
		}
		return nil
	}); !errors.Is(err, enough) {
		r.t.Errorf("not all was told: %v", err)
	}
}
