package raftnode

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// leadingPace makes a leader send heartbeats half as often as the library
// would: every 50 to 100 ms for followers that miss it after 250 ms. The
// library derives how often they are sent from the same setting as how soon a
// silent leader is missed; only the first matters to who leads, only the second
// to who follows, so a leader doubles it.
const leadingPace = 2

// setPace is called with each gain and each loss of leadership. A follower
// that has just lost it waits no longer for heartbeats than others do, since
// raft looks again when the setting falls.
func (n *Node) setPace(leads bool) {
	n.leads.Store(leads)
	factor := time.Duration(1)
	if leads {
		factor = leadingPace
	}
	err := n.reload(func(c *raft.ReloadableConfig) {
		c.HeartbeatTimeout, c.ElectionTimeout = factor*n.timing.heartbeat, factor*n.timing.election
	})
	if err != nil {
		n.log.Warn("the pace of heartbeats could not be set", "error", err)
	}
}

// reload changes settings of the running raft.
func (n *Node) reload(change func(*raft.ReloadableConfig)) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	c := n.raft.ReloadableConfig()
	change(&c)
	return n.raft.ReloadConfig(c)
}

const (
	// quietest is how long a follower is told nothing by an append when there
	// is nothing to tell. Heartbeats go on meanwhile; this finds a connection
	// of which neither side knows that it is dead.
	quietest = time.Second
	// tellAfter is when a follower is told that the last entries are
	// committed, if no entry has followed that says so.
	tellAfter = 10 * time.Millisecond
)

// pipeline sends appends to one follower. Raft sends one without entries every
// commit timeout, so that followers learn that the last entries are committed;
// all after the first only repeat it, and wake both sides tens of times a
// second for nothing. So the timeout is long, appends that tell nothing new are
// left out, and tell sends the one that is needed, soon.
//
// What is left out counts for nothing: no contact is noted and no leadership
// confirmed by it, as nothing was answered.
type pipeline struct {
	raft.AppendPipeline
	doubted func() bool // whether the follower may have missed what was sent

	mu   sync.Mutex
	last raft.AppendEntriesRequest // what was sent last, and its entries in told
	told told
	at   time.Time
}

// told is what a follower knows after an append.
type told struct{ term, entry, entryTerm, commit uint64 }

func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	tells := told{args.Term, args.PrevLogEntry, args.PrevLogTerm, args.LeaderCommitIndex}
	if n := len(args.Entries); n > 0 {
		tells.entry, tells.entryTerm = args.Entries[n-1].Index, args.Entries[n-1].Term
	}
	if len(args.Entries) == 0 && tells == p.told && now.Sub(p.at) < quietest && !p.doubted() {
		return leftOut{now, args, resp}, nil
	}
	p.last, p.told, p.at = *args, tells, now
	p.last.Entries = nil
	return p.AppendPipeline.AppendEntries(args, resp)
}

// tell makes the commit index known to a follower to which nothing is being
// sent that says it. It gives how long to wait when that may still be so, 0
// when there is nothing left to tell. The index must be one that was reached
// in the given term.
func (p *pipeline) tell(term, commit uint64) (wait time.Duration) {
	if !p.mu.TryLock() {
		return 0 // raft is sending, perhaps to a follower that does not take it
	}
	defer p.mu.Unlock()
	if p.told.term != term || p.told.commit >= commit {
		return 0
	}
	if quiet := time.Since(p.at); quiet < tellAfter {
		return tellAfter - quiet
	}
	args := p.last
	args.PrevLogEntry, args.PrevLogTerm, args.LeaderCommitIndex = p.told.entry, p.told.entryTerm, commit
	p.told.commit, p.at = commit, time.Now()
	// When it fails, the pipeline is broken, and who reads its answers sees it.
	_, _ = p.AppendPipeline.AppendEntries(&args, new(raft.AppendEntriesResponse))
	return 0
}

// leftOut stands for an append that was not sent.
type leftOut struct {
	start time.Time
	args  *raft.AppendEntriesRequest
	resp  *raft.AppendEntriesResponse
}

func (f leftOut) Error() error                          { return nil }
func (f leftOut) Start() time.Time                      { return f.start }
func (f leftOut) Request() *raft.AppendEntriesRequest   { return f.args }
func (f leftOut) Response() *raft.AppendEntriesResponse { return f.resp }

// teller sees to it that followers learn what the leader has committed.
type teller struct {
	node  *Node
	armed atomic.Bool
}

// committed is called after each entry that this node has applied.
func (t *teller) committed() {
	if t.node.leads.Load() && t.armed.CompareAndSwap(false, true) {
		time.AfterFunc(tellAfter, t.tell)
	}
}

func (t *teller) tell() {
	// In this order: if the term is still the same after the index was read,
	// the index is one that this leader reached in it.
	t.armed.Store(false)
	commit := t.node.raft.CommitIndex()
	term := t.node.raft.CurrentTerm()
	if t.node.raft.State() != raft.Leader {
		return
	}
	var wait time.Duration
	for _, p := range t.node.trans.open() {
		wait = max(wait, p.tell(term, commit))
	}
	if wait > 0 && t.armed.CompareAndSwap(false, true) {
		time.AfterFunc(wait, t.tell)
	}
}
