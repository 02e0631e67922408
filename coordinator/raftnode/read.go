package raftnode

import (
	"context"
	"errors"
	"sync"

	"backfleet/pkg/fault"
)

// WaitIndex returns once this coordinator's state includes the entry at index,
// as given by Propose or ReadIndex: a session's read of its own writes. When
// ctx ends first, the error is fault.Timeout; when the node ends, Unavailable.
func (n *Node) WaitIndex(ctx context.Context, index uint64) error {
	err := n.reached.wait(ctx, index, n.stopping, n.failed)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errInterrupted):
		return n.unavailable()
	default:
		return fault.Wrap(err, fault.Timeout, "coordinator %s has applied the log up to %d and not yet %d; ask again, or another one", n.id, n.reached.get(), index)
	}
}

// Applied is the index of the last entry in this coordinator's state, such as
// another coordinator can wait for.
func (n *Node) Applied() uint64 { return n.machine.visible.Load() }

// ReadIndex makes a linearizable read possible: on return, this leader's state
// includes everything acknowledged before the call. The index lets another
// coordinator serve the read after WaitIndex. Only the leader can answer;
// others give fault.Unavailable.
func (n *Node) ReadIndex(ctx context.Context) (uint64, error) {
	if err := n.unavailable(); err != nil {
		return 0, err
	}
	round := n.reads.join(n.confirm)
	select {
	case <-round.done:
	case <-ctx.Done():
		return 0, fault.Wrap(context.Cause(ctx), fault.Timeout, "a majority of coordinators did not confirm the leader in time")
	case <-n.dead:
		return 0, n.unavailable()
	}
	if round.err != nil {
		return 0, round.err
	}
	if err := n.WaitIndex(ctx, round.commit); err != nil {
		return 0, err
	}
	return n.Applied(), nil
}

// confirm takes the commit index, then asks a majority whether this node
// still led. It must have led throughout, in one term, and have committed an
// entry of that term: the scope's barrier, without which the commit index may
// lie behind what a former leader acknowledged.
func (n *Node) confirm() (commit uint64, err error) {
	term, ok := n.leading.term()
	if !ok {
		return 0, n.notLeader()
	}
	commit = n.raft.CommitIndex()
	if err := await(context.Background(), n.dead, n.raft.VerifyLeader()); err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "coordinator %s could not confirm that it leads; try again", n.id)
	}
	if now, ok := n.leading.term(); !ok || now != term || n.raft.CurrentTerm() != term {
		return 0, n.notLeader()
	}
	return commit, nil
}

// readRounds lets reads that arrive while a confirmation is under way share
// the next one: a majority is asked once for all of them.
type readRounds struct {
	mu   sync.Mutex
	next *readRound // not begun; nil when nobody waits for it
	busy bool
}

type readRound struct {
	done   chan struct{}
	commit uint64
	err    error
}

// join enters the next round, which begins after this call.
func (r *readRounds) join(confirm func() (uint64, error)) *readRound {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &readRound{done: make(chan struct{})}
	}
	round := r.next
	if !r.busy {
		r.busy = true
		go r.run(confirm)
	}
	return round
}

func (r *readRounds) run(confirm func() (uint64, error)) {
	for {
		r.mu.Lock()
		round := r.next
		r.next = nil
		if round == nil {
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		round.commit, round.err = confirm()
		close(round.done)
	}
}
