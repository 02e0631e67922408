package raftnode

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"backfleet/pkg/fault"

	"github.com/hashicorp/raft"
)

// leadership publishes the scopes in which this node leads.
type leadership struct {
	mu      sync.Mutex
	scope   *scope        // nil unless leading and established
	changed chan struct{} // closed and replaced when scope changes
	closed  bool
	running sync.WaitGroup // functions run by Lead
}

// scope is one time of leading: one term.
type scope struct {
	term uint64
	ctx  context.Context
}

// term gives the term of the established scope.
func (l *leadership) term() (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scope == nil {
		return 0, false
	}
	return l.scope.term, true
}

func (l *leadership) publish(s *scope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || s.ctx.Err() != nil {
		return
	}
	l.scope = s
	close(l.changed)
	l.changed = make(chan struct{})
}

// withdraw takes the scope back.
func (l *leadership) withdraw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scope = nil
}

// end lets no further scope begin.
func (l *leadership) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.scope = true, nil
}

// join waits for the functions of Lead, at most until ctx ends.
func (l *leadership) join(ctx context.Context) {
	done := make(chan struct{})
	go func() { l.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// enter waits for a scope other than last, and counts the caller as running.
func (l *leadership) enter(ctx context.Context, last *scope, stop <-chan struct{}) *scope {
	for {
		l.mu.Lock()
		s, changed := l.scope, l.changed
		if s != nil && s != last && !l.closed {
			l.running.Add(1)
			l.mu.Unlock()
			return s
		}
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		case <-stop:
			return nil
		}
	}
}

// Lead runs fn for as long as this node leads, again each time it does, until
// ctx ends or the node stops. fn begins when the state includes everything
// that former leaders committed. Its context is cancelled when leadership is
// lost; fn then returns, and only after that is it called for the next term.
// Losing and regaining leadership ends fn as well, however quick it was.
func (n *Node) Lead(ctx context.Context, fn func(ctx context.Context, term uint64)) {
	var last *scope
	for {
		s := n.leading.enter(ctx, last, n.stopping)
		if s == nil {
			return
		}
		last = s
		n.leadOnce(ctx, s, fn)
	}
}

func (n *Node) leadOnce(ctx context.Context, s *scope, fn func(context.Context, uint64)) {
	defer n.leading.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	fn(ctx, s.term)
}

// followLeadership turns raft's signals into scopes. The channel holds only
// the newest signal: a loss may be overwritten by the gain after it, so every
// signal ends the scope before it.
func (n *Node) followLeadership(signals <-chan bool) {
	end := func() {}
	defer func() { end() }()
	for {
		select {
		case leads := <-signals:
			end()
			end = func() {}
			n.setPace(leads)
			if leads {
				end = n.begin()
			}
		case <-n.stopping:
			return
		}
	}
}

// begin starts a scope; the function it gives ends it.
func (n *Node) begin() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.lead(ctx) })
	return func() {
		cancel()
		running.Wait()
		n.log.Info("no longer leading")
	}
}

// lead establishes a scope and keeps it until ctx ends: a barrier, so that
// everything committed is applied, then the scope is out, and non-voters are
// promoted while it lasts.
func (n *Node) lead(ctx context.Context) {
	term, ok := n.barrier(ctx)
	if !ok {
		return
	}
	s := &scope{term: term, ctx: ctx}
	n.leading.publish(s)
	defer n.leading.withdraw()
	n.log.Info("leading", "term", term)
	n.moveSelf(ctx)
	tick := time.NewTicker(n.timing.heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.promote(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// barrier waits until all that was committed before is applied, and gives the
// term in which that was so.
func (n *Node) barrier(ctx context.Context) (term uint64, ok bool) {
	for ctx.Err() == nil {
		term = n.raft.CurrentTerm()
		future := n.raft.Barrier(n.timing.election)
		err := await(ctx, n.dead, future)
		if err == nil && n.raft.CurrentTerm() == term {
			if f, ok := future.(raft.IndexFuture); ok {
				n.reached.advance(f.Index())
			}
			return term, true
		}
		if err != nil && ctx.Err() == nil {
			n.log.Warn("leadership not established yet", "term", term, "error", err)
		}
		select { // a transfer under way, or about to be told of the loss
		case <-time.After(n.timing.heartbeat / 4):
		case <-ctx.Done():
		}
	}
	return 0, false
}

// IsLeader reports whether this node believes to lead; another may know better.
func (n *Node) IsLeader() bool { return n.raft.State() == raft.Leader }

// Established gives the term in which this node leads with its scope begun:
// the moment from which ReadIndex answers and Lead's functions run.
func (n *Node) Established() (term uint64, ok bool) { return n.leading.term() }

// Leader names the leader this node knows, empty when there is none.
func (n *Node) Leader() (id, raftAddress string) {
	addr, leader := n.raft.LeaderWithID()
	return string(leader), string(addr)
}

// TransferLeadership hands leadership to the voter with this id, or with an
// empty one to the most current voter, and returns when this node no longer
// leads. Proposals meanwhile are fault.Unavailable. Who is no member is
// fault.NotFound, who has no vote yet fault.Conflict, and leadership stays
// here. To the node itself is nothing to do.
func (n *Node) TransferLeadership(ctx context.Context, to string) error {
	if err := n.unavailable(); err != nil {
		return err
	}
	if !n.IsLeader() {
		return n.notLeader()
	}
	if to == n.id {
		return nil
	}
	if to == "" {
		if !n.otherVoters() {
			return fault.New(fault.Conflict, "coordinator %s is the only voter; add another before handing leadership over", n.id)
		}
		return n.transfer(ctx)
	}
	target, err := n.successor(to)
	if err != nil {
		return err
	}
	return n.transferred(ctx, n.raft.LeadershipTransferToServer(target.ID, target.Address))
}

// successor finds the voter that is to lead.
func (n *Node) successor(id string) (raft.Server, error) {
	current := n.raft.GetConfiguration()
	if err := current.Error(); err != nil {
		return raft.Server{}, n.classify(err)
	}
	var voters []string
	for _, s := range current.Configuration().Servers {
		switch {
		case s.Suffrage == raft.Voter && s.ID == raft.ServerID(id):
			return s, nil
		case s.Suffrage == raft.Voter:
			voters = append(voters, string(s.ID))
		case s.ID == raft.ServerID(id):
			return raft.Server{}, fault.New(fault.Conflict, "coordinator %s has no vote yet, its log is catching up; wait until it is a voter, or name another", id)
		}
	}
	return raft.Server{}, fault.New(fault.NotFound, "coordinator %q is not a member of the cluster; expected one of %s", id, strings.Join(voters, ", "))
}

func (n *Node) transfer(ctx context.Context) error {
	return n.transferred(ctx, n.raft.LeadershipTransfer())
}

// transferred waits for the end of a transfer.
func (n *Node) transferred(ctx context.Context, handover raft.Future) error {
	err := await(ctx, n.dead, handover)
	switch {
	case err == nil, errors.Is(err, raft.ErrNotLeader):
		return nil
	case ctx.Err() != nil:
		return fault.Wrap(err, fault.Timeout, "leadership was not taken over in time")
	default:
		return fault.Wrap(err, fault.Unavailable, "leadership was not taken over; coordinator %s still leads", n.id)
	}
}
