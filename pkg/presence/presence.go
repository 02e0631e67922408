// Package presence answers who is alive and who leads: for coordinators among
// themselves, for agents that look for the leader, and for clients. The form
// in this package is built in: a list of coordinator addresses and what they
// answer. Package etcd has the form for sites that keep such things in etcd.
package presence

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// Kind says what a member is.
type Kind string

const (
	Coordinator Kind = "coordinator"
	Agent       Kind = "agent"
)

// Member is something alive. Kind and ID identify it.
type Member struct {
	Kind    Kind              `json:"kind"`
	ID      string            `json:"id"`
	Address string            `json:"address,omitempty"` // where it is reached, host:port
	Leader  bool              `json:"leader,omitempty"`  // of coordinators, the one that leads, as far as is known
	Term    uint64            `json:"term,omitempty"`    // in which it leads; a later one counts more
	Groups  []string          `json:"groups,omitempty"`  // of an agent: its resource groups
	Meta    map[string]string `json:"meta,omitempty"`
}

// Equal reports whether nothing about the two differs.
func (m Member) Equal(o Member) bool {
	return m.Kind == o.Kind && m.ID == o.ID && m.Address == o.Address && m.Leader == o.Leader && m.Term == o.Term &&
		slices.Equal(m.Groups, o.Groups) && maps.Equal(m.Meta, o.Meta)
}

// Directory lists the living. All methods are safe for concurrent use.
type Directory interface {
	// List gives the members of a kind, sorted by id. It is a moment's view:
	// a member that died less than a lease ago may still be in it.
	List(ctx context.Context, kind Kind) ([]Member, error)
	// Watch sends the members of a kind at once and after each change, until
	// ctx ends, which closes the channel. A slow reader misses intermediate
	// lists, never the newest.
	Watch(ctx context.Context, kind Kind) (<-chan []Member, error)
}

// Announcer makes a member seen by others.
type Announcer interface {
	// Announce keeps m in the directory until ctx ends or the process dies,
	// and enters it again after a loss. What comes from changes, which may be
	// nil, takes its place. It blocks all the while; the error is nil when ctx
	// ended it.
	Announce(ctx context.Context, m Member, changes <-chan Member) error
}

// Registry is both.
type Registry interface {
	Directory
	Announcer
}

// Leader picks the coordinator that leads; ok is false when none is known. One
// that was cut off while it led may still say so: the latest term counts.
func Leader(members []Member) (leader Member, ok bool) {
	for _, m := range members {
		if m.Kind == Coordinator && m.Leader && (!ok || m.Term > leader.Term) {
			leader, ok = m, true
		}
	}
	return leader, ok
}

// Sort orders members by kind and id.
func Sort(members []Member) {
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
}

// Offer puts the newest value into a channel of capacity one, in place of one
// that nobody took. For one sender at a time.
func Offer[T any](ch chan T, newest T) {
	select {
	case <-ch:
	default:
	}
	ch <- newest
}
