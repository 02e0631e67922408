package raftnode

import (
	"container/heap"
	"context"
	"errors"
	"sync"
)

// progress is a number that only grows, and those who wait for it.
type progress struct {
	mu      sync.Mutex
	value   uint64
	waiters waiters
}

type waiter struct {
	index uint64
	ready chan struct{}
	place int // in the heap; -1 once served
}

func (p *progress) advance(to uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to <= p.value {
		return
	}
	p.value = to
	for len(p.waiters) > 0 && p.waiters[0].index <= to {
		close(heap.Pop(&p.waiters).(*waiter).ready)
	}
}

func (p *progress) get() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.value
}

var errInterrupted = errors.New("interrupted")

// wait returns nil once the number is at least index, the cause of ctx, or
// errInterrupted when one of the channels closes first.
func (p *progress) wait(ctx context.Context, index uint64, stop, failed <-chan struct{}) error {
	p.mu.Lock()
	if p.value >= index {
		p.mu.Unlock()
		return nil
	}
	w := &waiter{index: index, ready: make(chan struct{})}
	heap.Push(&p.waiters, w)
	p.mu.Unlock()
	err := errInterrupted
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-stop:
	case <-failed:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.place < 0 {
		return nil
	}
	heap.Remove(&p.waiters, w.place)
	return err
}

// waiters is a heap: the one who waits for the least is first.
type waiters []*waiter

func (h waiters) Len() int           { return len(h) }
func (h waiters) Less(i, j int) bool { return h[i].index < h[j].index }
func (h waiters) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *waiters) Push(x any) {
	w := x.(*waiter)
	w.place = len(*h)
	*h = append(*h, w)
}

func (h *waiters) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.place = -1
	return w
}
