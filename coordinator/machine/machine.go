// Package machine puts the facts behind the replicated log: it decodes
// entries, applies them to the current State, and tells those who follow.
package machine

import (
	"io"
	"sync"
	"sync/atomic"

	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
)

// Machine is the state machine of one coordinator. State may be called from
// anywhere; the rest belongs to the log.
type Machine struct {
	current atomic.Pointer[state.State]
	mu      sync.Mutex
	feeds   map[*Feed]struct{}
}

// New begins before the first entry.
func New() *Machine {
	m := &Machine{feeds: map[*Feed]struct{}{}}
	m.current.Store(state.New())
	return m
}

// State is the facts after the last entry applied.
func (m *Machine) State() *state.State { return m.current.Load() }

// Apply implements raftnode.FSM. Its result is a *state.Result. An entry that
// this binary does not understand halts the coordinator, rather than let it
// differ from the others.
func (m *Machine) Apply(index uint64, data []byte) any {
	c, err := state.Decode(data)
	if err != nil {
		return &raftnode.Halt{Err: fault.Wrap(err, fault.Corrupt, "log entry %d cannot be read", index)}
	}
	next, r := m.State().Apply(index, c)
	if fault.Is(r.Err, fault.Corrupt) {
		return &raftnode.Halt{Err: r.Err}
	}
	m.current.Store(next)
	m.tell(Applied{Index: index, State: next, Changes: r.Changes, Refused: r.Refused})
	return &r
}

// Snapshot implements raftnode.FSM.
func (m *Machine) Snapshot() (raftnode.Snapshot, error) { return frozen{m.State()}, nil }

// Restore implements raftnode.FSM.
func (m *Machine) Restore(r io.Reader) error {
	s, err := state.Read(r)
	if err != nil {
		return err
	}
	m.current.Store(s)
	m.tell(Applied{Index: s.Index(), State: s, Reset: true})
	return nil
}

type frozen struct{ s *state.State }

func (f frozen) Encode(w io.Writer) error {
	_, err := f.s.WriteTo(w)
	return err
}

// Applied is one entry as it was applied. After a Reset the State came from a
// snapshot, and what changed is not known.
type Applied struct {
	Index   uint64
	State   *state.State
	Changes []state.Change
	Refused []state.Refused
	Reset   bool
}

// Feed gives one follower every entry in order. A follower that falls far
// behind gets a Reset instead of the backlog, so that it cannot hold memory
// without bound.
type Feed struct {
	m       *Machine
	mu      sync.Mutex
	pending []Applied
	ready   chan struct{}
}

// maxPending is how many entries a feed keeps for a slow follower.
const maxPending = 8192

// Follow begins a feed with the next entry; the State returned is the one
// before it.
func (m *Machine) Follow() (*Feed, *state.State) {
	f := &Feed{m: m, ready: make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.feeds[f] = struct{}{}
	return f, m.State()
}

func (m *Machine) tell(a Applied) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f := range m.feeds {
		f.add(a)
	}
}

func (f *Feed) add(a Applied) {
	f.mu.Lock()
	if a.Reset || len(f.pending) >= maxPending {
		clear(f.pending)
		f.pending = f.pending[:0]
		a = Applied{Index: a.Index, State: a.State, Reset: true}
	}
	f.pending = append(f.pending, a)
	f.mu.Unlock()
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// Ready receives when Take has something to give.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Take gives what has been applied since the last call, oldest first.
func (f *Feed) Take() []Applied {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.pending
	f.pending = nil
	return out
}

// Close ends the feed.
func (f *Feed) Close() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	delete(f.m.feeds, f)
}

// Continue moves the facts to a later index, see state.Continued. It is for a
// machine that no log drives.
func (m *Machine) Continue(index uint64) { m.current.Store(m.State().Continued(index)) }
