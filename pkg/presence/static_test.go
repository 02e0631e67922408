package presence_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/presence"
)

// world is what coordinators answer, by address.
type world struct {
	mu      sync.Mutex
	answers map[string][]presence.Member
	asked   map[string]int
}

func (w *world) ask(_ context.Context, address string) ([]presence.Member, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[address]++
	if answer, ok := w.answers[address]; ok {
		return answer, nil
	}
	return nil, errors.New("connection refused")
}

func (w *world) set(answers map[string][]presence.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers, w.asked = answers, map[string]int{}
}

func coordinator(id string, leader bool) presence.Member {
	return presence.Member{Kind: presence.Coordinator, ID: id, Address: id + ":7400", Leader: leader}
}

func TestStaticFollowsTheCluster(t *testing.T) {
	all := []presence.Member{coordinator("c1", false), coordinator("c2", true), {Kind: presence.Agent, ID: "a1"}}
	w := &world{}
	w.set(map[string][]presence.Member{"c1:7400": all})
	d, err := presence.NewStatic([]string{"c1:7400", "", "c3:7400"}, 0, w.ask)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.List(t.Context(), presence.Coordinator)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	if leader, ok := presence.Leader(got); !ok || leader.ID != "c2" {
		t.Errorf("leader %v", leader)
	}
	if agents, err := d.List(t.Context(), presence.Agent); err != nil || len(agents) != 1 || agents[0].ID != "a1" {
		t.Errorf("agents %v, %v", agents, err)
	}
	// Both configured ones are dead; the one learned from an answer is not.
	w.set(map[string][]presence.Member{"c2:7400": all})
	if got, err := d.List(t.Context(), presence.Coordinator); err != nil || len(got) != 2 {
		t.Errorf("by the learned address: %v, %v", got, err)
	}
	w.set(nil)
	if _, err := d.List(t.Context(), presence.Coordinator); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "c3:7400: connection refused") {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := presence.NewStatic([]string{""}, 0, w.ask); !fault.Is(err, fault.Invalid) {
		t.Errorf("no address: %v", err)
	}
}

func TestStaticWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.set(map[string][]presence.Member{"c1:7400": {coordinator("c1", true)}})
		d, err := presence.NewStatic([]string{"c1:7400"}, time.Second, w.ask)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ch, err := d.Watch(ctx, presence.Coordinator)
		if err != nil {
			t.Fatal(err)
		}
		if first := <-ch; len(first) != 1 {
			t.Fatalf("first %v", first)
		}
		w.set(nil)                    // an outage is no news
		<-time.After(5 * time.Second) // of the bubble
		synctest.Wait()
		select {
		case list := <-ch:
			t.Errorf("sent %v while nobody answered", list)
		default:
		}
		w.set(map[string][]presence.Member{"c1:7400": {coordinator("c1", false), coordinator("c2", true)}})
		if list := <-ch; len(list) != 2 || !list[1].Leader {
			t.Errorf("after a change: %v", list)
		}
		cancel()
		if _, open := <-ch; open {
			t.Error("still open")
		}
	})
}
