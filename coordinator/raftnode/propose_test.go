package raftnode

import (
	"context"
	"errors"
	"testing"

	"backfleet/pkg/fault"
)

// TestTooManyProposals: who comes when the queue is full is told at once, and
// who waits in it is served when a place is free.
func TestTooManyProposals(t *testing.T) {
	m := start(t, Config{ID: "c1", DataDir: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: true})
	leads(t, m)
	for range maxInFlight {
		m.flight <- struct{}{}
	}
	results := make(chan error, maxWaiting)
	for range maxWaiting {
		go func() {
			_, _, err := m.Propose(within(t), []byte("x"))
			results <- err
		}()
	}
	eventually(t, "a full queue", func() bool { return m.waiting.Load() == maxWaiting })
	if _, _, err := m.Propose(within(t), []byte("x")); !fault.Is(err, fault.Overloaded) {
		t.Errorf("one too many: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	<-m.flight
	for range maxWaiting {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	m.flight <- struct{}{}
	if _, _, err := m.Propose(ctx, []byte("x")); !fault.Is(err, fault.Overloaded) || !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was ended: %v", err)
	}
	if n := len(m.state.all()); n != maxWaiting {
		t.Errorf("%d were applied, want %d", n, maxWaiting)
	}
	for range maxInFlight {
		<-m.flight
	}
}
