package logstore

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Peer is another coordinator.
type Peer struct {
	ID     string
	Client wire.PeerClient
}

// Peers gives the other coordinators that are thought alive, and the number of
// coordinators whose majority counts, this one and dead ones included. It is
// called for each group of chunks and must be quick. A peer's Client must be the same value
// as long as its connection is: another one opens a new stream to the peer.
type Peers func() (live []Peer, size int)

// ReplicatorOptions bound a Replicator; the zero value is right for
// production.
type ReplicatorOptions struct {
	// Logger says when copies to a peer stop and go on. Default: discarded.
	Logger *slog.Logger
	// InFlight is how many bytes of agents' chunks may be unanswered, and as
	// many again of peers' chunks and in the queue to each peer; streams are
	// not read beyond it. Default: 8 MiB.
	InFlight int
	// AckTimeout is how long a majority may take before the agent is told to
	// send again. Default: 3 s.
	AckTimeout time.Duration
	// PeerStall is how long a peer may owe an answer before its stream is
	// given up and opened anew. Default: 5 s.
	PeerStall time.Duration
}

// Replicator takes chunks from agents and peers, and acknowledges an agent's
// when a majority of coordinators has synced it. Its ShipLogs, AppendLogs and
// ReadLog serve the methods of these names of wire.Agents and wire.Peer.
type Replicator struct {
	store  *Store
	peers  Peers
	opts   ReplicatorOptions
	commit *committer
	agents *semaphore.Weighted // two budgets: agents' streams wait for peers,
	others *semaphore.Weighted // peers' never for agents, so no circle can form

	ctx    context.Context // ends with Stop
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup // grows under mu, while not stopped
	pushers map[string]*pushing
}

type pushing struct {
	*pusher
	stop context.CancelFunc
}

// NewReplicator makes a Replicator for the store; Start it before serving.
func NewReplicator(store *Store, peers Peers, opts ReplicatorOptions) *Replicator {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.InFlight <= 0 {
		opts.InFlight = 8 << 20
	}
	opts.InFlight = max(opts.InFlight, maxFrame)
	if opts.AckTimeout <= 0 {
		opts.AckTimeout = 3 * time.Second
	}
	if opts.PeerStall <= 0 {
		opts.PeerStall = 5 * time.Second
	}
	r := &Replicator{
		store: store, peers: peers, opts: opts,
		agents:  semaphore.NewWeighted(int64(opts.InFlight)),
		others:  semaphore.NewWeighted(int64(opts.InFlight)),
		pushers: map[string]*pushing{},
	}
	r.commit = newCommitter(store, r.spread)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Start begins to write and push. It is called once.
func (r *Replicator) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spawn(func() { r.commit.run(r.ctx) })
}

// Stop refuses what is not decided yet, ends all streams, and waits until
// nothing is written or pushed any more; the store stays open. It may be called
// again.
func (r *Replicator) Stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()
}

// spawn runs fn so that Stop waits for it, unless stopped. It is called with mu
// held.
func (r *Replicator) spawn(fn func()) {
	if !r.stopped {
		r.running.Go(fn)
	}
}

// replicate begins to keep an agent's chunk on a majority.
func (r *Replicator) replicate(c *wire.LogChunk) *entry {
	e := newEntry(c, true)
	if kept, err := r.early(c); err != nil {
		e.refuse(err, kept)
		e.letGo()
		return e
	}
	r.commit.submit(e)
	return e
}

// early refuses without asking the others what no budget bounds, and an end before
// what is kept here: one of them may have missed the rest, and would take the end for true.
func (r *Replicator) early(c *wire.LogChunk) (kept uint64, err error) {
	if err := checkSize(c); err != nil {
		return 0, err
	}
	if !c.GetLast() || c.GetSize() > 0 {
		return 0, nil
	}
	key := KeyOf(c.GetRef())
	if kept, _, err := r.store.size(key); err == nil && kept > c.GetOffset() {
		return kept, fault.New(fault.Conflict, "log of attempt %v: said to end at byte %d, but bytes up to %d are kept", key, c.GetOffset(), kept)
	}
	return 0, nil
}

// keep begins to keep a chunk that a peer received.
func (r *Replicator) keep(c *wire.LogChunk) *entry {
	e := newEntry(c, false)
	r.commit.submit(e)
	return e
}

// spread offers the agents' chunks of a group to the other coordinators.
func (r *Replicator) spread(group []*entry) {
	shared := make([]*entry, 0, len(group))
	for _, e := range group {
		if e.shared {
			shared = append(shared, e)
		}
	}
	if len(shared) == 0 {
		return
	}
	live, size := r.peers()
	size = max(size, len(live)+1)
	for _, e := range slices.Backward(shared) { // see vote
		e.poll(size)
		for range size - 1 - len(live) {
			e.vote(errUnreachable)
		}
	}
	for _, p := range r.pushersFor(live) {
		p.offer(shared)
	}
}

var errUnreachable = fault.New(fault.Unavailable, "a coordinator is not reachable")

// pushersFor starts and stops pushers so that there is one for each live
// peer's present connection.
func (r *Replicator) pushersFor(live []Peer) []*pusher {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*pusher, 0, len(live))
	wanted := make(map[string]bool, len(live))
	for _, peer := range live {
		wanted[peer.ID] = true
		p := r.pushers[peer.ID]
		if p == nil || p.peer.Client != peer.Client {
			if p != nil {
				p.stop()
			}
			ctx, stop := context.WithCancel(r.ctx)
			p = &pushing{newPusher(peer, r.opts.InFlight, r.opts.PeerStall, r.opts.Logger), stop}
			r.pushers[peer.ID] = p
			r.spawn(func() { p.run(ctx) })
		}
		out = append(out, p.pusher)
	}
	for id, p := range r.pushers {
		if !wanted[id] {
			p.stop()
			delete(r.pushers, id)
		}
	}
	return out
}

// shipped is one agent stream's view of each log it ships: everything before
// the number is on a majority. An agent begins where it was last acknowledged,
// maybe by another coordinator, so the first chunk of a log sets it.
type shipped map[Key]uint64

// answer is called in the order of the chunks. A chunk behind a failed one is
// refused too, however well it is kept: an ack speaks for all bytes before it.
func (s shipped) answer(e *ballot, err error) *wire.LogAck {
	c := e.of
	key := KeyOf(c.GetRef())
	before, known := s[key]
	if !known {
		before = c.Offset
	}
	switch {
	case err != nil:
		before = max(before, e.end()) // where the agent then says again that it ends
	case c.Offset > before:
		err = fault.New(fault.Conflict, "log of attempt %v: a chunk at byte %d, but bytes from %d on are missing; send from there", key, c.Offset, before)
	default:
		before = max(before, c.Offset+uint64(c.Size))
	}
	s[key] = before
	ack := &wire.LogAck{Ref: c.GetRef(), Offset: before}
	if err != nil {
		ack.Error = err.Error()
	} else if c.Last {
		delete(s, key)
	}
	return ack
}

// answerPeer speaks for one chunk only; a copy may have holes.
func answerPeer(e *ballot, err error) *wire.LogAck {
	ack := &wire.LogAck{Ref: e.of.Ref, Offset: e.of.Offset + uint64(e.of.Size)}
	if err != nil {
		ack.Offset, ack.Error = max(e.of.Offset, e.end()), err.Error()
	}
	return ack
}
