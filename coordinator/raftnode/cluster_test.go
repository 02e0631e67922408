package raftnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"backfleet/pkg/fault"
)

func abrupt() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestFailoverAndReturn(t *testing.T) {
	all, leader := cluster(t, nil)
	first := mustPropose(t, leader, "one")
	for _, m := range all {
		if err := m.WaitIndex(within(t), first); err != nil {
			t.Fatal(err)
		}
		if got := m.state.all(); !slices.Equal(got, []string{"one"}) {
			t.Fatalf("%s has %q", m.ID(), got)
		}
	}
	if _, result, err := leader.Propose(within(t), []byte("refuse:x")); err != nil || !errors.Is(result.(error), errRefused) {
		t.Fatalf("an error of the state machine: got result %v, error %v; expected it as the result", result, err)
	}
	follower := others(all, leader)[0]
	if _, _, err := follower.Propose(within(t), []byte("x")); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), leader.Address()) {
		t.Fatalf("a follower's refusal: %v; expected unavailable with the leader's address", err)
	}
	if _, err := follower.ReadIndex(within(t)); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a follower's read index: %v", err)
	}

	if err := leader.Stop(abrupt()); err != nil { // no transfer: as good as dead
		t.Fatal(err)
	}
	rest := others(all, leader)
	next := leads(t, rest...)
	mustPropose(t, next, "two")
	index, err := next.ReadIndex(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := next.state.all(); !slices.Equal(got, []string{"one", "two"}) {
		t.Fatalf("after failover: %q", got)
	}
	other := others(rest, next)[0]
	if err := other.WaitIndex(within(t), index); err != nil {
		t.Fatalf("read by a follower at the leader's read index: %v", err)
	}

	back := start(t, leader.cfg)
	if err := back.WaitIndex(within(t), index); err != nil {
		t.Fatal(err)
	}
	if got := back.state.all(); !slices.Equal(got, []string{"one", "two"}) {
		t.Fatalf("the returned one has %q", got)
	}
	if err := next.TransferLeadership(within(t), ""); err != nil {
		t.Fatal(err)
	}
	if next.IsLeader() {
		t.Fatal("still leads after handing over")
	}
	third := leads(t, back, other)
	mustPropose(t, third, "three")
}

// A follower is away for longer than the log reaches back, and returns.
func TestReturnFromSnapshot(t *testing.T) {
	all, leader := cluster(t, func(_ string, cfg *Config) {
		cfg.Profile = ProfileWAN  // a busy machine
		cfg.walSegment = 64 << 10 // whole segments are what a log gives up
	})
	away := others(all, leader)[0]
	if err := away.WaitIndex(within(t), mustPropose(t, leader, "before")); err != nil {
		t.Fatal(err)
	}
	seen := away.Stats().LastLog
	if err := away.Stop(abrupt()); err != nil {
		t.Fatal(err)
	}

	const entries = 11000
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < entries; i += 64 {
				if _, _, err := leader.Propose(within(t), fmt.Appendf(nil, "entry %d", i)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if err := leader.Snapshot(within(t)); err != nil {
		t.Fatal(err)
	}
	if s := leader.Stats(); s.FirstLog <= seen+1 || s.LastSnapshot == 0 {
		t.Fatalf("the log still begins at %d, snapshot %d: a snapshot would not be needed", s.FirstLog, s.LastSnapshot)
	}

	back := start(t, away.cfg)
	last := mustPropose(t, leader, "after")
	if err := back.WaitIndex(within(t), last); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.state.all(), leader.state.all()) {
		t.Fatalf("%d lines after the snapshot, the leader has %d", len(back.state.all()), len(leader.state.all()))
	}
	if back.Stats().LastSnapshot == 0 {
		t.Fatal("came back without a snapshot")
	}

	// The whole of it again from disk.
	if err := back.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	again := start(t, back.cfg)
	if err := again.WaitIndex(within(t), last); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.state.all(), leader.state.all()) {
		t.Fatal("differs after a restart")
	}
}

func TestStopHandsOver(t *testing.T) {
	all, leader := cluster(t, nil)
	mustPropose(t, leader, "one")
	var wg sync.WaitGroup
	for range 2 { // twice, at once
		wg.Go(func() {
			if err := leader.Stop(within(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, _, err := leader.Propose(within(t), []byte("late")); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("after Stop: %v", err)
	}
	rest := others(all, leader)
	next := leads(t, rest...)
	mustPropose(t, next, "two")
	if got := next.state.all(); !slices.Equal(got, []string{"one", "two"}) {
		t.Fatalf("got %q", got)
	}
}

func TestMembership(t *testing.T) {
	all, leader := cluster(t, nil)
	if err := leader.AddServer(within(t), "c9", all[1].Address()); !fault.Is(err, fault.Conflict) {
		t.Fatalf("an address twice: %v", err)
	}
	if err := leader.AddServer(within(t), all[1].ID(), all[1].Address()); err != nil {
		t.Fatalf("adding a member again: %v", err)
	}
	if err := leader.RemoveServer(within(t), "nobody"); !fault.Is(err, fault.NotFound) {
		t.Fatalf("removing a stranger: %v", err)
	}
	// A newcomer that never answers gets no vote and costs nothing.
	if err := leader.AddServer(within(t), "c4", "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	mustPropose(t, leader, "one")
	servers, err := leader.Servers()
	if err != nil || len(servers) != 4 || servers[3].Voter || servers[3].ID != "c4" || !servers[0].Leader {
		t.Fatalf("members: %+v, %v", servers, err)
	}
	for _, id := range []string{"c4", "c3", "c2"} {
		if err := leader.RemoveServer(within(t), id); err != nil {
			t.Fatalf("remove %s: %v", id, err)
		}
	}
	if err := leader.RemoveServer(within(t), "c1"); !fault.Is(err, fault.Conflict) {
		t.Fatalf("removing the last: %v", err)
	}
	mustPropose(t, leader, "alone")
}

// The signal of a loss can be overwritten by that of the gain after it: then
// the channel gives true twice, and the scope must begin again.
func TestLoseAndRegain(t *testing.T) {
	signals := make(chan bool)
	m := start(t, Config{ID: "c1", DataDir: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: true, leaderSignals: signals})
	var mu sync.Mutex
	running, most := 0, 0
	began := make(chan uint64, 8)
	go m.Lead(t.Context(), func(ctx context.Context, term uint64) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		began <- term
		<-ctx.Done()
		mu.Lock()
		running--
		mu.Unlock()
	})
	for range 3 {
		signals <- true
		<-began
	}
	signals <- false
	signals <- false // received: the scope before it has ended
	if _, ok := m.Established(); ok {
		t.Error("the scope goes on after the loss")
	}
	if err := m.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if most != 1 {
		t.Errorf("%d scopes at once", most)
	}
}

func TestLargeProposal(t *testing.T) {
	all, leader := cluster(t, nil)
	big := strings.Repeat("0123456789abcdef", 3*maxEntry/16) + "tail"
	index := mustPropose(t, leader, big)
	for _, m := range all {
		if err := m.WaitIndex(within(t), index); err != nil {
			t.Fatal(err)
		}
		if got := m.state.all(); len(got) != 1 || got[0] != big {
			t.Fatalf("%s: %d lines", m.ID(), len(got))
		}
	}
	if _, _, err := leader.Propose(within(t), make([]byte, MaxProposal+1)); !fault.Is(err, fault.TooLarge) {
		t.Fatalf("too large: %v", err)
	}
}

func TestNoMajority(t *testing.T) {
	all, leader := cluster(t, nil)
	for _, m := range others(all, leader) {
		if err := m.Stop(abrupt()); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := leader.Propose(within(t), []byte("lonely"))
	if !fault.Is(err, fault.Unknown) && !fault.Is(err, fault.Unavailable) {
		t.Fatalf("without a majority: %v", err)
	}
	eventually(t, "the lonely leader steps down", func() bool { return !leader.IsLeader() })
	if _, err := leader.ReadIndex(within(t)); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("read without a majority: %v", err)
	}
	if err := leader.WaitIndex(abrupt(), 1<<40); !fault.Is(err, fault.Timeout) {
		t.Fatalf("waiting for the future: %v", err)
	}
}
