package raftnode

import (
	"context"
	"crypto/rand"
	"errors"

	"backfleet/pkg/fault"

	"github.com/hashicorp/raft"
)

// Propose appends data to the log and waits until this coordinator's state
// has it. The result is the FSM's own, errors included; err is about the log:
//
//	fault.Unavailable  not applied, never will be: not the leader, stopping
//	fault.Overloaded   not applied: too many wait for a place, or ctx ended
//	                   before there was one
//	fault.TooLarge     not applied: more than MaxProposal bytes
//	fault.Unknown      may be applied now, later or never; send it again
//	                   with the same request id
//
// Proposals above 256 KiB are staged in several entries and take effect with
// the last one, whose index is returned. index serves WaitIndex anywhere.
func (n *Node) Propose(ctx context.Context, data []byte) (index uint64, result any, err error) {
	if len(data) > MaxProposal {
		return 0, nil, fault.New(fault.TooLarge, "a write of %d bytes; expected at most %d; split it", len(data), MaxProposal)
	}
	if len(data) <= maxEntry {
		return n.append(ctx, encodeEntry(kindWhole, data))
	}
	select {
	case n.staging <- struct{}{}:
		defer func() { <-n.staging }()
	case <-ctx.Done():
		return 0, nil, fault.Wrap(context.Cause(ctx), fault.Overloaded, "another large write took too long; nothing was applied")
	}
	return n.appendStaged(ctx, data)
}

func (n *Node) appendStaged(ctx context.Context, data []byte) (uint64, any, error) {
	var g group
	_, _ = rand.Read(g[:]) // never fails
	parts := 0
	for rest := data; len(rest) > 0; parts++ {
		piece := rest[:min(maxEntry, len(rest))]
		rest = rest[len(piece):]
		if _, _, err := n.append(ctx, encodePart(g, parts, piece)); err != nil {
			// Whatever became of the part, without a seal it has no effect.
			return 0, nil, &fault.Error{Code: fault.Unavailable, Message: "a large write was interrupted; nothing was applied, send it again", Err: err}
		}
	}
	return n.append(ctx, encodeSeal(g, parts, data))
}

// append puts one entry into the log.
func (n *Node) append(ctx context.Context, entry []byte) (uint64, any, error) {
	if err := n.unavailable(); err != nil {
		return 0, nil, err
	}
	if !n.IsLeader() { // spare the queue what would be refused anyway
		return 0, nil, n.notLeader()
	}
	if err := n.board(ctx); err != nil {
		return 0, nil, err
	}
	// The place is free again when raft answers, not when the caller leaves:
	// the bound is on what raft holds.
	future := n.raft.Apply(entry, n.timing.election)
	done := make(chan error, 1)
	go func() {
		err := future.Error()
		<-n.flight
		done <- err
	}()
	select {
	case err := <-done:
		return n.outcome(future, err)
	case <-ctx.Done():
		return 0, nil, fault.Wrap(context.Cause(ctx), fault.Unknown, "no answer from a majority of coordinators in time; the write may still be applied: send it again with the same request id")
	case <-n.dead:
		return n.outcome(future, raft.ErrRaftShutdown)
	}
}

// board takes a place in flight, waiting for one among few others.
func (n *Node) board(ctx context.Context) error {
	select {
	case n.flight <- struct{}{}:
		return nil
	default:
	}
	defer n.waiting.Add(-1)
	if n.waiting.Add(1) > maxWaiting {
		return fault.New(fault.Overloaded, "%d writes are in flight and %d wait; nothing was applied, try again in a second", maxInFlight, maxWaiting)
	}
	select {
	case n.flight <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(context.Cause(ctx), fault.Overloaded, "%d writes are in flight; nothing was applied, try again", maxInFlight)
	case <-n.stopping:
		return n.unavailable()
	}
}

func (n *Node) outcome(future raft.ApplyFuture, err error) (uint64, any, error) {
	if err != nil {
		return 0, nil, n.classify(err)
	}
	switch r := future.Response().(type) {
	case notApplied:
		return 0, nil, r.err
	case Halt:
		// In the log, and to be applied by whoever knows how.
		return 0, nil, &fault.Error{Code: fault.Unknown, Message: "the write is in the log, but this coordinator cannot apply it and stops", Err: r.Err}
	default:
		return future.Index(), r, nil
	}
}

// classify sorts raft's errors. Only those that raft gives before it touches
// the log mean "not applied"; everything else, failed disk writes included
// (part of one may be read back after a restart), is unknown.
func (n *Node) classify(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return n.notLeader()
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fault.Wrap(err, fault.Unavailable, "coordinator %s is handing leadership over; nothing was applied, try again", n.id)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fault.Wrap(err, fault.Unavailable, "coordinator %s is too busy; nothing was applied, try again", n.id)
	case errors.Is(err, raft.ErrLeadershipLost):
		return unknown(err, "coordinator "+n.id+" lost leadership before a majority answered")
	case errors.Is(err, raft.ErrRaftShutdown):
		return unknown(err, "coordinator "+n.id+" stopped before a majority answered")
	default:
		return unknown(err, "coordinator "+n.id+" could not write its log")
	}
}

// unknown keeps the code whatever code the cause carries.
func unknown(err error, what string) error {
	return &fault.Error{Code: fault.Unknown, Message: what + "; the write may still be applied: send it again with the same request id", Err: err}
}

func (n *Node) notLeader() error {
	if id, addr := n.Leader(); id != "" && id != n.id {
		return fault.New(fault.Unavailable, "coordinator %s is not the leader; %s at %s is", n.id, id, addr)
	}
	return fault.New(fault.Unavailable, "there is no leader at the moment; try again")
}
