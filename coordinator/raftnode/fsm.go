package raftnode

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"backfleet/pkg/fault"

	"github.com/hashicorp/raft"
)

// FSM is what the replicated log drives. Its methods are called from one
// goroutine at a time, except Snapshot.Encode, which runs beside Apply.
type FSM interface {
	// Apply changes the state; it must be a pure function of the state and
	// its arguments. The result goes to the proposer as it is; an error value
	// is a result like any other. To stop this coordinator rather than let it
	// diverge (a command it does not know), return a *Halt.
	Apply(index uint64, data []byte) any
	// Snapshot gives the state as of now, in constant time.
	Snapshot() (Snapshot, error)
	// Restore replaces the state. It builds aside and swaps at the end, so
	// that an error leaves the former state.
	Restore(r io.Reader) error
}

// Snapshot is a frozen state.
type Snapshot interface {
	Encode(w io.Writer) error
}

// Halt as a result of Apply stops the node: no later entry is applied, no
// snapshot taken, and Failed fires. The entry is applied again by whatever
// runs after a restart.
type Halt struct{ Err error }

// notApplied is a result of the machinery below the FSM.
type notApplied struct{ err error }

// machine adapts an FSM to raft: it verifies entries, assembles staged ones,
// and tells waiters how far the state is.
type machine struct {
	fsm     FSM
	halt    func(error)
	halted  error // touched by raft's FSM goroutine alone
	stage   staging
	reached *progress
	// visible is the index of the last entry every coordinator's machine
	// sees: a command or a configuration. Barriers and no-ops are seen by the
	// leader alone, so an index handed to clients is always a visible one.
	visible atomic.Uint64
	// configured is the index of the last membership applied, 0 when that is
	// the snapshot's.
	configured atomic.Uint64
	// frozenSize is the bytes of the newest snapshot, and frozen is told where
	// one ends that was received or read at the start.
	frozenSize atomic.Int64
	frozen     func(index uint64)
	// applied is told after each entry.
	applied func()
}

func (m *machine) Apply(l *raft.Log) any {
	if m.halted != nil {
		return Halt{m.halted}
	}
	result := m.apply(l)
	if h, ok := result.(*Halt); ok {
		m.halted = fault.Wrap(h.Err, fault.Internal, "stopped at log entry %d, which could not be applied", l.Index)
		m.halt(m.halted)
		return *h
	}
	m.advance(l.Index)
	return result
}

func (m *machine) apply(l *raft.Log) any {
	kind, body, err := checkEntry(l.Index, l.Data)
	if err != nil {
		return &Halt{err}
	}
	switch kind {
	case kindPart:
		err = m.stage.addPart(l.Term, body)
	case kindSeal:
		body, err = m.stage.seal(l.Term, body)
	}
	if err != nil {
		return notApplied{err}
	}
	if kind == kindPart {
		return nil
	}
	return m.fsm.Apply(l.Index, body)
}

// StoreConfiguration lets the machine see membership changes, which move the
// visible index.
func (m *machine) StoreConfiguration(index uint64, _ raft.Configuration) {
	if m.halted == nil {
		m.configured.Store(index)
		m.advance(index)
	}
}

func (m *machine) advance(index uint64) {
	m.visible.Store(index)
	m.reached.advance(index)
	m.applied()
}

// Snapshot freezes the state together with what stands around it.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.halted != nil {
		return nil, m.halted
	}
	state, err := m.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	stage := m.stage
	stage.parts = stage.parts[:len(stage.parts):len(stage.parts)]
	return frozen{m.visible.Load(), stage, state, &m.frozenSize}, nil
}

func (m *machine) Restore(source io.ReadCloser) error {
	counted := &counter{r: source}
	r := bufio.NewReaderSize(counted, 1<<20)
	index, stage, err := readHeader(r)
	if err != nil {
		return err
	}
	if err := m.fsm.Restore(r); err != nil {
		return err
	}
	m.stage = stage
	m.configured.Store(0)
	m.frozenSize.Store(counted.bytes)
	m.frozen(index)
	m.advance(index)
	return nil
}

// counter counts what passes through it.
type counter struct {
	r     io.Reader
	w     io.Writer
	bytes int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.bytes += int64(n)
	return n, err
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	return n, err
}

// snapshotMagic: the last byte is the version of the header.
const snapshotMagic = "BFSNAP\x00\x01"

type frozen struct {
	index uint64
	stage staging
	state Snapshot
	size  *atomic.Int64
}

func (f frozen) Persist(sink raft.SnapshotSink) error {
	counted := &counter{w: sink}
	w := bufio.NewWriterSize(counted, 1<<20)
	writeHeader(w, f.index, f.stage)
	if err := f.state.Encode(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil { // a failed header write comes back here
		return err
	}
	f.size.Store(counted.bytes)
	return nil
}

func (f frozen) Release() {}

func writeHeader(w *bufio.Writer, index uint64, s staging) {
	h := []byte(snapshotMagic)
	h = binary.BigEndian.AppendUint64(h, index)
	h = binary.BigEndian.AppendUint64(h, s.term)
	h = append(h, s.group[:]...)
	h = binary.BigEndian.AppendUint32(h, uint32(len(s.parts)))
	_, _ = w.Write(h)
	for _, p := range s.parts {
		_, _ = w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		_, _ = w.Write(p)
	}
}

func readHeader(r io.Reader) (index uint64, s staging, err error) {
	var h [len(snapshotMagic) + 8 + 8 + 16 + 4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, s, fmt.Errorf("read the snapshot's header: %w", err)
	}
	if string(h[:len(snapshotMagic)]) != snapshotMagic {
		return 0, s, fault.New(fault.Corrupt, "the snapshot begins with %q; expected %q (a newer version's?)", h[:len(snapshotMagic)], snapshotMagic)
	}
	rest := h[len(snapshotMagic):]
	index, s.term = binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])
	copy(s.group[:], rest[16:])
	for range binary.BigEndian.Uint32(rest[32:]) {
		var n [4]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return 0, s, fmt.Errorf("read a staged part: %w", err)
		}
		size := binary.BigEndian.Uint32(n[:])
		if int64(s.size)+int64(size) > MaxProposal {
			return 0, s, fault.New(fault.Corrupt, "the snapshot's staged parts exceed %d bytes", MaxProposal)
		}
		p := make([]byte, size)
		if _, err := io.ReadFull(r, p); err != nil {
			return 0, s, fmt.Errorf("read a staged part: %w", err)
		}
		s.parts, s.size = append(s.parts, p), s.size+len(p)
	}
	return index, s, nil
}
