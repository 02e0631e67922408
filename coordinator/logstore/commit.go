package logstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// entry is a chunk on its way to a majority of voters.
type entry struct {
	*ballot
	chunk  *wire.LogChunk
	shared bool // goes to the other coordinators too
}

// ballot is the vote on a chunk. Each voter votes once: nil when it has synced the
// chunk. It outlives the chunk, whose sender may take answers when it likes.
type ballot struct {
	of   *wire.LogChunk // the chunk, without its bytes
	done chan struct{}  // closed when decided

	mu       sync.Mutex
	yes, no  int
	kept     uint64 // how far the log is kept by who refused its end
	voters   int    // set before the first vote
	refusals error  // why the no-sayers said no
	decided  bool
	err      error  // valid once done is closed
	gone     bool   // it is not to be written here any more
	free     func() // nil, or called when it is decided, too
}

func newEntry(c *wire.LogChunk, shared bool) *entry {
	of := &wire.LogChunk{Offset: c.GetOffset(), Size: c.GetSize(), Last: c.GetLast()}
	if c.GetRef() != nil {
		of.Ref = KeyOf(c.Ref).Ref()
	}
	return &entry{&ballot{of: of, done: make(chan struct{}), voters: 1}, c, shared}
}

// letGo says that the chunk is not to be written here any more.
func (b *ballot) letGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	b.freed()
}

// whenFree has a quick function called when the chunk is decided and let go, at once if it is.
func (b *ballot) whenFree(then func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = then
	b.freed()
}

// freed is called with mu held.
func (b *ballot) freed() {
	if b.decided && b.gone && b.free != nil {
		b.free()
		b.free = nil
	}
}

// poll says how many coordinators have a vote.
func (b *ballot) poll(voters int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.voters = voters
}

// refuse counts a vote against, of one that has the log up to an offset.
func (b *ballot) refuse(err error, kept uint64) {
	b.mu.Lock()
	b.kept = max(b.kept, kept)
	b.mu.Unlock()
	b.vote(err)
}

// end is where a log ends, as far as those know who refused a chunk without
// bytes that said it ended before; 0: nobody did.
func (b *ballot) end() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of.Size > 0 || !b.of.Last || b.kept <= b.of.Offset {
		return 0
	}
	return b.kept
}

// vote counts one vote. Who has votes on several entries gives them from the
// last to the first: the one that waits for the first is woken when all are
// decided, and answers them in one message.
func (b *ballot) vote(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	majority := b.voters/2 + 1
	if err == nil {
		b.yes++
	} else {
		b.no++
		b.refusals = errors.Join(b.refusals, err)
	}
	switch {
	case b.decided:
	case b.yes >= majority:
		b.decide(nil)
	case b.voters == 1:
		b.decide(err)
	case b.no > b.voters-majority:
		b.decide(b.lacking(b.refusals))
	}
}

// expire decides an entry that can wait no longer for its votes.
func (b *ballot) expire(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.decided {
		b.decide(b.lacking(why))
	}
}

// decide is called with mu held, once.
func (b *ballot) decide(err error) {
	b.decided, b.err = true, err
	close(b.done)
	b.freed()
}

func (b *ballot) lacking(why error) error {
	return fault.Wrap(why, fault.Unavailable, "log of attempt %v: %d of %d coordinators kept the chunk at byte %d, a majority is needed; send it again later", KeyOf(b.of.Ref), b.yes, b.voters, b.of.Offset)
}

// wait gives the decision, made here after the timeout or when ctx, the
// replicator's, ends.
func (b *ballot) wait(ctx context.Context, timeout time.Duration) error {
	select {
	case <-b.done: // mostly, so without a timer
		return b.err
	default:
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-b.done:
	case <-t.C:
		b.expire(fault.New(fault.Timeout, "the others did not answer within %v", timeout))
	case <-ctx.Done():
		b.expire(errStopping())
	}
	return b.err
}

// committer takes the chunks of all streams in groups: a group is offered to
// the other coordinators, and written here in one synced batch. What a group
// costs (a sync on each coordinator, wake-ups on the way) it costs however many
// chunks it has, so groups keep a distance: nobody waits for an attempt's log
// more than for some tens of milliseconds to be safe.
type committer struct {
	store  *Store
	spread func([]*entry) // offers entries to the other coordinators
	begun  chan struct{}  // receives when something is queued
	full   chan struct{}  // receives when what is queued need not wait for more

	mu    sync.Mutex
	queue []*entry // bounded by the streams' budgets
	bytes int
}

const (
	batchBytes   = 2 << 20
	batchEntries = 1024
	// fullBytes do not wait for more: large logs are not slowed down.
	fullBytes = 256 << 10
	// gatherTime is what the first chunk of a group waits for others, and
	// groupDistance lies between the beginnings of two groups.
	gatherTime    = 2 * time.Millisecond
	groupDistance = 50 * time.Millisecond
)

func newCommitter(s *Store, spread func([]*entry)) *committer {
	return &committer{store: s, spread: spread, begun: make(chan struct{}, 1), full: make(chan struct{}, 1)}
}

// submit has the entry written and voted on. Once the committer has ended it
// stays without a vote.
func (c *committer) submit(e *entry) {
	c.mu.Lock()
	c.queue = append(c.queue, e)
	c.bytes += len(e.chunk.GetData())
	first, full := len(c.queue) == 1, c.isFull()
	c.mu.Unlock()
	if first {
		signal(c.begun)
	}
	if full {
		signal(c.full)
	}
}

func (c *committer) isFull() bool { return c.bytes >= fullBytes || len(c.queue) >= batchEntries }

func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (c *committer) run(ctx context.Context) {
	var last time.Time // when the group before began
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.begun:
		}
		timer := time.NewTimer(max(gatherTime, time.Until(last.Add(groupDistance))))
		select {
		case <-ctx.Done():
		case <-c.full:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		last = time.Now()
		group := c.take()
		c.spread(group)
		c.write(ctx, group)
	}
}

// take gives the next group. What is left is the beginning of another.
func (c *committer) take() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for n < len(c.queue) && n < batchEntries && (n == 0 || bytes < batchBytes) {
		bytes += len(c.queue[n].chunk.GetData())
		n++
	}
	group := c.queue[:n:n]
	c.queue, c.bytes = append([]*entry(nil), c.queue[n:]...), c.bytes-bytes
	select {
	case <-c.full:
	default:
	}
	if len(c.queue) > 0 {
		signal(c.begun)
	}
	if c.isFull() {
		signal(c.full)
	}
	return group
}

func (c *committer) write(ctx context.Context, batch []*entry) {
	chunks := make([]*wire.LogChunk, len(batch))
	for i, e := range batch {
		chunks[i] = e.chunk
	}
	acks, err := c.store.Append(ctx, chunks)
	for i, e := range slices.Backward(batch) { // see vote
		switch {
		case err != nil:
			e.vote(err)
		case acks[i].Error != "":
			e.refuse(fault.New(fault.Invalid, "%s", acks[i].Error), acks[i].Offset)
		default:
			e.vote(nil)
		}
		e.letGo()
	}
}
