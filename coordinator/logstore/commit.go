package logstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// entry is a chunk on its way to a majority of voters. Each voter votes once:
// nil when it has synced the chunk.
type entry struct {
	chunk *wire.LogChunk
	done  chan struct{} // closed when decided

	mu       sync.Mutex
	yes, no  int
	voters   int
	refusals error // why the no-sayers said no
	decided  bool
	err      error // valid once done is closed
}

func newEntry(c *wire.LogChunk, voters int) *entry {
	return &entry{chunk: c, done: make(chan struct{}), voters: voters}
}

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

// committer writes the chunks of all streams to the local store, many in one
// synced batch: the batch is whatever came during the sync before it.
type committer struct {
	store *Store
	in    chan *entry
}

const (
	batchBytes   = 2 << 20
	batchEntries = 1024
)

func newCommitter(s *Store) *committer {
	return &committer{store: s, in: make(chan *entry, batchEntries)}
}

// submit has the entry written and voted on. When ctx ends it may stay
// without a vote.
func (c *committer) submit(ctx context.Context, e *entry) {
	select {
	case c.in <- e:
	case <-ctx.Done():
	}
}

func (c *committer) run(ctx context.Context) {
	batch := make([]*entry, 0, batchEntries)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.in:
			batch = c.gather(append(batch[:0], e))
			c.write(ctx, batch)
			clear(batch)
		}
	}
}

// gather adds what is waiting, without waiting for more.
func (c *committer) gather(batch []*entry) []*entry {
	for bytes := len(batch[0].chunk.GetData()); bytes < batchBytes && len(batch) < batchEntries; {
		select {
		case e := <-c.in:
			batch = append(batch, e)
			bytes += len(e.chunk.GetData())
		default:
			return batch
		}
	}
	return batch
}

func (c *committer) write(ctx context.Context, batch []*entry) {
	chunks := make([]*wire.LogChunk, len(batch))
	for i, e := range batch {
		chunks[i] = e.chunk
	}
	acks, err := c.store.Append(ctx, chunks)
	for i, e := range batch {
		switch {
		case err != nil:
			e.vote(err)
		case acks[i].Error != "":
			e.vote(fault.New(fault.Invalid, "%s", acks[i].Error))
		default:
			e.vote(nil)
		}
	}
}
