package logstore

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
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
	return &pusher{peer: p, limit: limit, stall: stall, log: log.With("coordinator", p.ID), wake: make(chan struct{}, 1)}
}

// offer takes the entries, or votes no for the peer.
func (p *pusher) offer(group []*entry) {
	refused := make([]error, len(group))
	p.mu.Lock()
	for i, e := range group {
		refused[i] = p.enqueue(e)
	}
	p.mu.Unlock()
	signal(p.wake)
	for i, e := range slices.Backward(group) { // see vote
		if refused[i] != nil {
			e.vote(refused[i])
		}
	}
}

// enqueue is called with the lock held.
func (p *pusher) enqueue(e *entry) error {
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
	var grouping atomic.Bool // the peer takes groups
	go func() {
		got := false
		for {
			ack, err := stream.Recv()
			if ack.GetGrouping() {
				grouping.Store(true)
			}
			if err != nil || !p.answered(ack) {
				cancel(cause(ctx, err))
				answers <- got
				return
			}
			got = true
		}
	}()
	for {
		group := p.next(ctx, grouping.Load())
		if group == nil || stream.Send(wire.GroupLogs(group)) != nil { // why, is told by Recv
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

// next moves the oldest queued entry, or as many as fit into one message, to
// the sent ones and gives their chunks; nil when ctx ended.
func (p *pusher) next(ctx context.Context, grouping bool) []*wire.LogChunk {
	for {
		if group := p.send(ctx, grouping); group != nil {
			return group
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *pusher) send(ctx context.Context, grouping bool) []*wire.LogChunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queued) == 0 || ctx.Err() != nil {
		return nil
	}
	if len(p.sent) == 0 {
		p.watch.Reset(p.stall)
	}
	var group []*wire.LogChunk
	for bytes := 0; len(p.queued) > 0 && wire.RoomForLog(len(group), bytes) && (grouping || len(group) == 0); {
		e := p.queued[0]
		p.queued[0] = nil
		p.queued = p.queued[1:]
		p.sent = append(p.sent, e)
		group = append(group, e.chunk)
		bytes += len(e.chunk.Data)
	}
	return group
}

// answered gives the oldest sent entries the peer's votes, one for each answer
// in the message; false when there are more answers than entries.
func (p *pusher) answered(ack *wire.LogAck) bool {
	answers := wire.UngroupAcks(ack)
	p.mu.Lock()
	group := slices.Clone(p.sent[:min(len(answers), len(p.sent))])
	clear(p.sent[:len(group)])
	p.sent = p.sent[len(group):]
	for _, e := range group {
		p.bytes -= len(e.chunk.Data)
	}
	if len(p.sent) == 0 {
		p.watch.Stop()
	} else {
		p.watch.Reset(p.stall)
	}
	p.mu.Unlock()
	for i, e := range slices.Backward(group) { // see vote
		if why := answers[i].Error; why != "" {
			e.refuse(fault.New(fault.Unavailable, "coordinator %q: %s", p.peer.ID, why), answers[i].Offset)
		} else {
			e.vote(nil)
		}
	}
	return len(group) == len(answers)
}

func (p *pusher) taking() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down == nil
}

// refuse marks the peer down and votes no on all it was given. Chunks are not
// kept for its return: it fetches what it lacks (Filler).
func (p *pusher) refuse(err error) {
	p.mu.Lock()
	p.down = err
	lost := append(p.sent, p.queued...)
	p.sent, p.queued, p.bytes = nil, nil, 0
	p.mu.Unlock()
	for _, e := range slices.Backward(lost) { // see vote
		e.vote(err)
	}
}

// Copy is how the copies of logs to another coordinator get on.
type Copy struct {
	Peer   string
	Behind int  // bytes that were offered and are not answered
	Down   bool // it takes none
}

// Copies tells of every other coordinator that copies were offered to lately,
// by id.
func (r *Replicator) Copies() []Copy {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Copy, 0, len(r.pushers))
	for id, p := range r.pushers {
		p.mu.Lock()
		out = append(out, Copy{Peer: id, Behind: p.bytes, Down: p.down != nil})
		p.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Copy) int { return cmp.Compare(a.Peer, b.Peer) })
	return out
}
