// Package stress tests that a service keeps the contract of
// lifecycle.Service. Every package that has one calls Service in a test, best
// with -race.
package stress

import (
	"context"
	"sync"
	"testing"
	"time"

	"backfleet/pkg/lifecycle"
)

// patience is how long any one call may take before the test fails.
const patience = 30 * time.Second

// Service puts services made by fresh through rough treatment: stopped before
// they start, twice, by several at once, while starting, and with a context
// that is over.
func Service(t *testing.T, fresh func(t *testing.T) lifecycle.Service) {
	t.Run("stop twice", func(t *testing.T) {
		s := fresh(t)
		mustStart(t, s)
		mustStop(t, s)
		mustStop(t, s)
	})
	t.Run("stop without start", func(t *testing.T) {
		s := fresh(t)
		mustStop(t, s)
		mustStop(t, s)
	})
	t.Run("stop by many", func(t *testing.T) {
		s := fresh(t)
		mustStart(t, s)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { mustStop(t, s) })
		}
		wg.Wait()
	})
	t.Run("stop while starting", func(t *testing.T) {
		for range 20 {
			s := fresh(t)
			var wg sync.WaitGroup
			wg.Go(func() { _ = call(t, "Start", s.Start) }) // may well be refused
			wg.Go(func() { mustStop(t, s) })
			wg.Wait()
			mustStop(t, s)
		}
	})
	t.Run("stop with a context that is over", func(t *testing.T) {
		s := fresh(t)
		mustStart(t, s)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = call(t, "Stop", func(context.Context) error { return s.Stop(over) }) // abrupt, but it returns
		_ = call(t, "Stop", s.Stop)
	})
}

func mustStart(t *testing.T, s lifecycle.Service) {
	if err := call(t, "Start", s.Start); err != nil {
		t.Errorf("Start: %v", err)
	}
}

func mustStop(t *testing.T, s lifecycle.Service) {
	if err := call(t, "Stop", s.Stop); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func call(t *testing.T, what string, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(2 * patience):
		t.Errorf("%s did not return", what)
		return nil
	}
}
