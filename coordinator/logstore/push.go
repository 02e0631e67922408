package logstore

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// pusher sends chunks to one peer over one long-lived stream. It never makes
// anybody wait: an entry it cannot take is refused at once, so that a slow or
// dead peer costs the others nothing but its vote.
type pusher struct {
	peer  Peer
	limit int           // bytes queued or unanswered
	stall time.Duration // without an answer for so long, the stream is given up
	log   *slog.Logger
	wake  chan struct{} // something was queued

	mu     sync.Mutex
	queued []*entry // not sent yet
	sent   []*entry // sent, in the order in which the answers will come
	bytes  int      // of both
	down   error    // why nothing is taken; nil when up, or not tried yet
	watch  *time.Timer
}

func newPusher(p Peer, limit int, stall time.Duration, log *slog.Logger) *pusher {
	return &pusher{peer: p, limit: limit, stall: stall, log: log.With("peer", p.ID), wake: make(chan struct{}, 1)}
}

// offer takes the entries, or votes no for the peer.
func (p *pusher) offer(group []*entry) {
	for _, e := range group {
		if err := p.enqueue(e); err != nil {
			e.vote(err)
		}
	}
	signal(p.wake)
}

func (p *pusher) enqueue(e *entry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n := len(e.chunk.Data); {
	case p.down != nil:
		return p.down
	case p.bytes > 0 && p.bytes+n > p.limit:
		return fault.New(fault.Overloaded, "coordinator %q is %d bytes behind with logs", p.peer.ID, p.bytes)
	default:
		p.bytes += n
		p.queued = append(p.queued, e)
		return nil
	}
}

// run keeps a stream to the peer until ctx ends.
func (p *pusher) run(ctx context.Context) {
	const first, longest = 50 * time.Millisecond, time.Second
	pause := first
	for ctx.Err() == nil {
		served, err := p.session(ctx)
		if ctx.Err() == nil && p.taking() {
			p.log.Warn("log copies to the coordinator stopped; trying again", "error", err)
		}
		p.refuse(fault.Wrap(err, fault.Unavailable, "coordinator %q takes no logs", p.peer.ID))
		if served {
			pause = first
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

// session is the life of one stream; served tells that it answered at least
// once.
func (p *pusher) session(ctx context.Context) (served bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.mu.Lock()
	p.watch = time.AfterFunc(p.stall, func() {
		cancel(fault.New(fault.Timeout, "no answer for %v", p.stall))
	})
	defer p.watch.Stop()
	p.mu.Unlock()

	stream, err := p.peer.Client.AppendLogs(ctx)
	if err != nil {
		return false, cause(ctx, err)
	}
	p.opened()
	answers := make(chan bool)
	go func() {
		got := false
		for {
			ack, err := stream.Recv()
			if err != nil || !p.answered(ack) {
				cancel(cause(ctx, err))
				answers <- got
				return
			}
			got = true
		}
	}()
	for {
		e := p.next(ctx)
		if e == nil || stream.Send(e.chunk) != nil { // why, is told by Recv
			break
		}
	}
	served = <-answers
	return served, cause(ctx, context.Canceled)
}

// cause is why ctx was cancelled, or err when it was not.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	if err == nil {
		err = fault.New(fault.Internal, "an answer to a chunk that was not sent")
	}
	return err
}

func (p *pusher) opened() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down != nil {
		p.log.Info("log copies to the coordinator go on")
	}
	p.down = nil
	if len(p.queued) == 0 {
		p.watch.Stop()
	}
}

// next moves the oldest queued entry to the sent ones; nil when ctx ended.
func (p *pusher) next(ctx context.Context) *entry {
	for {
		p.mu.Lock()
		if len(p.queued) > 0 && ctx.Err() == nil {
			e := p.queued[0]
			p.queued[0] = nil
			p.queued = p.queued[1:]
			p.sent = append(p.sent, e)
			if len(p.sent) == 1 {
				p.watch.Reset(p.stall)
			}
			p.mu.Unlock()
			return e
		}
		p.mu.Unlock()
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// answered gives the oldest sent entry the peer's vote; false when there is
// none.
func (p *pusher) answered(ack *wire.LogAck) bool {
	p.mu.Lock()
	if len(p.sent) == 0 {
		p.mu.Unlock()
		return false
	}
	e := p.sent[0]
	p.sent[0] = nil
	p.sent = p.sent[1:]
	p.bytes -= len(e.chunk.Data)
	if len(p.sent) == 0 {
		p.watch.Stop()
	} else {
		p.watch.Reset(p.stall)
	}
	p.mu.Unlock()
	var err error
	if ack.Error != "" {
		err = fault.New(fault.Unavailable, "coordinator %q: %s", p.peer.ID, ack.Error)
	}
	e.vote(err)
	return true
}

func (p *pusher) taking() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down == nil
}

// refuse marks the peer down and votes no on all it was given. Chunks are not
// kept for its return: it gets what it lacks when that is read.
func (p *pusher) refuse(err error) {
	p.mu.Lock()
	p.down = err
	lost := append(p.sent, p.queued...)
	p.sent, p.queued, p.bytes = nil, nil, 0
	p.mu.Unlock()
	for _, e := range lost {
		e.vote(err)
	}
}
