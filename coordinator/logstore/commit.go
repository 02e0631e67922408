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

// entry is a chunk on its way to a majority of voters. Each voter votes once:
// nil when it has synced the chunk.
type entry struct {
	chunk  *wire.LogChunk
	shared bool          // goes to the other coordinators too
	done   chan struct{} // closed when decided

	mu       sync.Mutex
	yes, no  int
	kept     uint64 // how far the log is kept by who refused its end
	voters   int    // set before the first vote
	refusals error  // why the no-sayers said no
	decided  bool
	err      error // valid once done is closed
}

func newEntry(c *wire.LogChunk, shared bool) *entry {
	return &entry{chunk: c, shared: shared, done: make(chan struct{}), voters: 1}
}

// poll says how many coordinators have a vote.
func (e *entry) poll(voters int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.voters = voters
}

// refuse counts a vote against, of one that has the log up to an offset.
func (e *entry) refuse(err error, kept uint64) {
	e.mu.Lock()
	e.kept = max(e.kept, kept)
	e.mu.Unlock()
	e.vote(err)
}

// end is where a log ends, as far as those know who refused a chunk without
// bytes that said it ended before; 0: nobody did.
func (e *entry) end() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.chunk; !c.GetLast() || c.GetSize() > 0 || e.kept <= c.GetOffset() {
		return 0
	}
	return e.kept
}

// vote counts one vote. Who has votes on several entries gives them from the
// last to the first: the one that waits for the first is woken when all are
// decided, and answers them in one message.
func (e *entry) vote(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	majority := e.voters/2 + 1
	if err == nil {
		e.yes++
	} else {
		e.no++
		e.refusals = errors.Join(e.refusals, err)
	}
	switch {
	case e.decided:
	case e.yes >= majority:
		e.decide(nil)
	case e.voters == 1:
		e.decide(err)
	case e.no > e.voters-majority:
		e.decide(e.lacking(e.refusals))
	}
}

// expire decides an entry that can wait no longer for its votes.
func (e *entry) expire(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.decided {
		e.decide(e.lacking(why))
	}
}

// decide is called with mu held, once.
func (e *entry) decide(err error) {
	e.decided, e.err = true, err
	close(e.done)
}

func (e *entry) lacking(why error) error {
	return fault.Wrap(why, fault.Unavailable, "log of attempt %v: %d of %d coordinators kept the chunk at byte %d, a majority is needed; send it again later", KeyOf(e.chunk.GetRef()), e.yes, e.voters, e.chunk.GetOffset())
}

// wait gives the decision, made here after the timeout or when ctx, the
// replicator's, ends.
func (e *entry) wait(ctx context.Context, timeout time.Duration) error {
	select {
	case <-e.done: // mostly, so without a timer
		return e.err
	default:
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-e.done:
	case <-t.C:
		e.expire(fault.New(fault.Timeout, "the others did not answer within %v", timeout))
	case <-ctx.Done():
		e.expire(errStopping())
	}
	return e.err
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
	}
}
