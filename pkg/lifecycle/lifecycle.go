// Package lifecycle starts services in order and stops them in reverse, each
// with a deadline of its own, so that one that hangs costs its share of time
// and never the stop of the others.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
)

// Service is something that runs. Start returns when it is ready; the context
// bounds the starting, not the life. Stop returns when all of it has ended,
// and can be called twice, at once, and before Start.
type Service interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Step is one service of a group.
type Step struct {
	Name         string
	Service      Service
	StartTimeout time.Duration // default 30 s
	StopTimeout  time.Duration // default 10 s
}

const (
	defaultStart = 30 * time.Second
	defaultStop  = 10 * time.Second
)

// Group starts and stops its steps as one service. It runs once: after Stop
// it does not start again.
type Group struct {
	steps []Step
	log   *slog.Logger

	mu      sync.Mutex
	phase   phase
	started int // steps[:started] are to be stopped
	cancel  context.CancelFunc
	done    chan struct{} // closed when stopped
	begun   chan struct{} // closed when Start has returned
	err     error
}

type phase int

const (
	fresh phase = iota
	starting
	running
	stopping
)

// NewGroup makes a group of steps in starting order. logger may be nil.
func NewGroup(logger *slog.Logger, steps ...Step) *Group {
	if logger == nil {
		logger = obs.Discard()
	}
	return &Group{steps: steps, log: logger, done: make(chan struct{}), begun: make(chan struct{})}
}

// Start starts the steps one after another. When one fails, or Stop or the
// end of ctx comes between, those already started are stopped again and the
// error is returned.
func (g *Group) Start(ctx context.Context) error {
	g.mu.Lock()
	if g.phase != fresh {
		g.mu.Unlock()
		return fault.New(fault.Conflict, "a group of services starts once; make another one")
	}
	g.phase = starting
	ctx, g.cancel = context.WithCancel(ctx)
	g.mu.Unlock()

	err := g.startSteps(ctx)
	g.cancel()
	g.mu.Lock()
	if err == nil && g.phase == starting {
		g.phase = running
	} else if err == nil {
		err = fault.New(fault.Unavailable, "stopped while starting")
	}
	close(g.begun)
	g.mu.Unlock()
	if err != nil {
		return errors.Join(err, g.Stop(context.WithoutCancel(ctx)))
	}
	return nil
}

func (g *Group) startSteps(ctx context.Context) error {
	for i, s := range g.steps {
		if ctx.Err() != nil {
			return fault.Wrap(context.Cause(ctx), fault.Unavailable, "%s was not started", s.Name)
		}
		// A failed Start may have begun something: it is stopped as well.
		g.started = i + 1
		err := bounded(ctx, orDefault(s.StartTimeout, defaultStart), s.Service.Start)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "%s did not start", s.Name)
		}
		g.log.Debug("started", "service", s.Name)
	}
	return nil
}

// Stop stops what was started, last first. Each step gets its own StopTimeout
// or what is left of ctx, whichever is less; the errors are joined. A second
// call waits for the first and returns the same.
func (g *Group) Stop(ctx context.Context) error {
	g.mu.Lock()
	was := g.phase
	g.phase = stopping
	if was == starting {
		g.cancel()
	}
	g.mu.Unlock()
	switch was {
	case fresh:
		close(g.begun)
	case starting, running:
		<-g.begun
	case stopping:
		select {
		case <-g.done:
			return g.err
		case <-ctx.Done():
			return fault.Wrap(context.Cause(ctx), fault.Timeout, "still stopping")
		}
	}
	g.err = g.stopSteps(ctx)
	close(g.done)
	return g.err
}

func (g *Group) stopSteps(ctx context.Context) error {
	var errs []error
	for i := g.started - 1; i >= 0; i-- {
		s := g.steps[i]
		if err := bounded(ctx, orDefault(s.StopTimeout, defaultStop), s.Service.Stop); err != nil {
			g.log.Warn("did not stop well", "service", s.Name, "error", err)
			errs = append(errs, fmt.Errorf("stop %s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}

// bounded calls fn and leaves it behind when it overruns its time.
func bounded(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // one that heeds its context gets to say what happened
	case err := <-done:
		return err
	case <-time.After(limit / 10):
		return fault.Wrap(context.Cause(ctx), fault.Timeout, "no answer within %s", limit)
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Funcs makes a Service of functions; either may be nil. Stop is passed on
// once, however often it is called, and not at all before Start.
func Funcs(start, stop func(ctx context.Context) error) Service {
	return &funcs{start: start, stop: stop}
}

type funcs struct {
	start, stop func(context.Context) error

	mu      sync.Mutex
	started bool
	stopped chan struct{}
	err     error
}

func (f *funcs) Start(ctx context.Context) error {
	f.mu.Lock()
	f.started = true
	f.mu.Unlock()
	if f.start == nil {
		return nil
	}
	return f.start(ctx)
}

func (f *funcs) Stop(ctx context.Context) error {
	f.mu.Lock()
	if !f.started || f.stop == nil {
		f.mu.Unlock()
		return nil
	}
	first := f.stopped == nil
	if first {
		f.stopped = make(chan struct{})
	}
	f.mu.Unlock()
	if first {
		f.err = f.stop(ctx)
		close(f.stopped)
	}
	<-f.stopped
	return f.err
}

// Runner makes a Service of a function that runs until its context ends. An
// error it returns by itself comes out of Stop, and goes to failed at once.
func Runner(run func(ctx context.Context) error, failed func(error)) Service {
	r := &runner{run: run, failed: failed, done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

type runner struct {
	run    func(context.Context) error
	failed func(error)
	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
	done   chan struct{}
	err    error
}

func (r *runner) Start(context.Context) error {
	r.once.Do(func() {
		go func() {
			defer close(r.done)
			err := r.run(r.ctx)
			if r.ctx.Err() == nil && err != nil {
				r.err = err
				if r.failed != nil {
					r.failed(err)
				}
			}
		}()
	})
	return nil
}

func (r *runner) Stop(ctx context.Context) error {
	r.cancel()
	r.once.Do(func() { close(r.done) }) // never started, and now never will be
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
