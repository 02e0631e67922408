package raftnode

import (
	"context"
	"errors"
	"strings"
	"time"

	"backfleet/pkg/fault"

	"github.com/hashicorp/raft"
)

// Server is a member of the cluster.
type Server struct {
	ID          string
	RaftAddress string
	Voter       bool // false: still catching up
	Leader      bool // as far as the asked node knows
}

// Servers lists the members by this node's latest configuration. It is empty
// on a node that has not been added yet.
func (n *Node) Servers() ([]Server, error) {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, n.classify(err)
	}
	_, leader := n.raft.LeaderWithID()
	var out []Server
	for _, s := range future.Configuration().Servers {
		out = append(out, Server{string(s.ID), string(s.Address), s.Suffrage == raft.Voter, leader != "" && s.ID == leader})
	}
	return out, nil
}

// AddServer adds a member without a vote; the leader gives it one as soon as
// its log has caught up, so that an empty newcomer cannot cost the cluster its
// majority. A known id with another address is moved there. Returns when the
// membership is committed. Only on the leader.
func (n *Node) AddServer(ctx context.Context, id, raftAddr string) error {
	if id == "" || raftAddr == "" {
		return fault.New(fault.Invalid, "a member needs an id and a raft address; got %q and %q", id, raftAddr)
	}
	return n.change(ctx, func(c raft.Configuration, prev uint64) (raft.IndexFuture, error) {
		sid, addr := raft.ServerID(id), raft.ServerAddress(raftAddr)
		for _, s := range c.Servers {
			switch {
			case s.ID == sid && s.Address == addr:
				return nil, nil
			case s.ID == sid && s.Suffrage == raft.Voter:
				return n.raft.AddVoter(sid, addr, prev, n.timing.election), nil
			case s.ID != sid && s.Address == addr:
				return nil, fault.New(fault.Conflict, "raft address %s is coordinator %s's; remove that one first, or give %s another address", raftAddr, s.ID, id)
			}
		}
		return n.raft.AddNonvoter(sid, addr, prev, n.timing.election), nil
	})
}

// RemoveServer takes a member out. A removed leader steps down. Returns when
// that is committed. Only on the leader.
func (n *Node) RemoveServer(ctx context.Context, id string) error {
	return n.change(ctx, func(c raft.Configuration, prev uint64) (raft.IndexFuture, error) {
		voters, found, voter := 0, false, false
		for _, s := range c.Servers {
			isVoter := s.Suffrage == raft.Voter
			if isVoter {
				voters++
			}
			if s.ID == raft.ServerID(id) {
				found, voter = true, isVoter
			}
		}
		switch {
		case !found:
			return nil, fault.New(fault.NotFound, "coordinator %q is not a member of the cluster", id)
		case voter && voters == 1:
			return nil, fault.New(fault.Conflict, "coordinator %s is the only voter; add another before removing it", id)
		}
		return n.raft.RemoveServer(raft.ServerID(id), prev, n.timing.election), nil
	})
}

// change makes one membership change, decided on the configuration it is then
// applied to: when another came between (a promotion, say), it is decided anew.
func (n *Node) change(ctx context.Context, decide func(c raft.Configuration, prev uint64) (raft.IndexFuture, error)) error {
	for {
		if err := n.unavailable(); err != nil {
			return err
		}
		if !n.IsLeader() {
			return n.notLeader()
		}
		prev := n.machine.configured.Load() // before: raft then refuses if another change came between
		current := n.raft.GetConfiguration()
		if err := current.Error(); err != nil {
			return n.classify(err)
		}
		future, err := decide(current.Configuration(), prev)
		if err != nil || future == nil {
			return err
		}
		err = await(ctx, n.dead, future)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return unknown(err, "the change of membership was not confirmed in time")
		case !strings.Contains(err.Error(), "configuration changed since"): // raft names it in no other way
			return n.classifyChange(err)
		}
		select {
		case <-time.After(n.timing.heartbeat / 10):
		case <-ctx.Done():
			return fault.Wrap(context.Cause(ctx), fault.Conflict, "the membership keeps changing; look at it and try again")
		}
	}
}

func (n *Node) classifyChange(err error) error {
	for _, known := range []error{raft.ErrNotLeader, raft.ErrLeadershipTransferInProgress, raft.ErrEnqueueTimeout, raft.ErrLeadershipLost, raft.ErrRaftShutdown} {
		if errors.Is(err, known) {
			return n.classify(err)
		}
	}
	if n.Err() != nil {
		return n.classify(err)
	}
	return fault.Wrap(err, fault.Conflict, "the membership cannot be changed so")
}

// caughtUp is how many entries a newcomer may lack and get its vote: what a
// busy leader writes while an answer is on its way.
const caughtUp = 2 * maxInFlight

// promote gives a vote to one non-voter that has caught up and answers.
func (n *Node) promote(ctx context.Context) {
	prev := n.machine.configured.Load()
	current := n.raft.GetConfiguration()
	if current.Error() != nil {
		return
	}
	for _, s := range current.Configuration().Servers {
		if s.Suffrage == raft.Voter {
			continue
		}
		c := n.trans.contact(s.ID)
		if time.Since(c.at) > n.timing.heartbeat || c.lastLog+caughtUp < n.raft.LastIndex() {
			continue
		}
		future := n.raft.AddVoter(s.ID, s.Address, prev, n.timing.election)
		if err := await(ctx, n.dead, future); err != nil {
			n.log.Warn("promotion failed; trying again", "coordinator", s.ID, "error", err)
			return
		}
		n.log.Info("caught up and has a vote now", "coordinator", s.ID)
		return // the index has moved
	}
}
