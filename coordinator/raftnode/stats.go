package raftnode

import (
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Stats is what operators look at.
type Stats struct {
	State         string // "Leader", "Follower", "Candidate" or "Shutdown"
	Established   bool   // leading, with the leader's scope begun
	Term          uint64
	FirstLog      uint64 // 0: the log is empty
	LastLog       uint64
	Commit        uint64
	Applied       uint64    // last entry in the state
	LastSnapshot  uint64    // index, 0 for none
	LastContact   time.Time // with the leader; zero on the leader, or never
	InFlight      int       // proposals without an outcome
	Failure       string    // why Failed fired
	TransportAddr string
}

// Stats gives a moment's figures; they are not of one instant.
func (n *Node) Stats() Stats {
	_, established := n.leading.term()
	s := Stats{
		State:         n.raft.State().String(),
		Established:   established,
		Term:          n.raft.CurrentTerm(),
		Commit:        n.raft.CommitIndex(),
		LastLog:       n.raft.LastIndex(),
		Applied:       n.Applied(),
		InFlight:      len(n.flight),
		TransportAddr: n.Address(),
	}
	s.FirstLog, _ = n.stores.logs.FirstIndex()
	// The only figure that raft gives in no other way.
	s.LastSnapshot, _ = strconv.ParseUint(n.raft.Stats()["last_snapshot_index"], 10, 64)
	if n.raft.State() != raft.Leader {
		s.LastContact = n.raft.LastContact()
	}
	if err := n.Err(); err != nil {
		s.Failure = err.Error()
	}
	return s
}

// HeardOfLeader is when this node, as a follower, last heard of its leader; zero:
// never since it started.
func (n *Node) HeardOfLeader() time.Time { return n.raft.LastContact() }

// Kept is a snapshot on disk.
type Kept struct {
	Index uint64
	Bytes int64
	At    time.Time // when it was taken; zero: not known
}

// NewestSnapshot is the newest snapshot on disk; false: there is none.
func (n *Node) NewestSnapshot() (Kept, bool) {
	list, err := n.stores.snapshots.List()
	if err != nil || len(list) == 0 {
		return Kept{}, false
	}
	out := Kept{Index: list[0].Index, Bytes: list[0].Size}
	name := list[0].ID // term-index-milliseconds
	if ms, err := strconv.ParseInt(name[strings.LastIndexByte(name, '-')+1:], 10, 64); err == nil {
		out.At = time.UnixMilli(ms)
	}
	return out, true
}
