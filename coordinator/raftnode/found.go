package raftnode

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
	"backfleet/pkg/wire"

	"github.com/hashicorp/raft"
)

// Jump is how far the index of a cluster goes ahead that is founded on a backup or
// on one survivor. Indexes are fences: members that are lost may have granted some
// beyond what is known here, and none may be granted twice.
const Jump = 1 << 40

// Continuer is an FSM whose state can be moved to a later index.
type Continuer interface {
	FSM
	Continue(index uint64)
}

// Extent is what a stopped coordinator's folder holds.
type Extent struct {
	ID         string
	Index      uint64 // of the last entry
	Term       uint64 // of the last entry
	Generation uint64
	Members    []Server
	Retired    string // why it is a member no more; empty: it is one
}

// Survey reads the folder of a coordinator that is stopped into fsm: the newest
// snapshot and every entry behind it. It works on a copy below scratch, and
// changes nothing in the folder.
func Survey(dir, id, scratch string, fsm FSM) (Extent, error) {
	f, err := claim(dir, id)
	if err != nil {
		return Extent{}, err
	}
	defer f.Close()
	if !f.id.Log {
		return Extent{}, errEmpty(dir)
	}
	copied := filepath.Join(scratch, "copy")
	if err := os.MkdirAll(copied, 0o700); err != nil {
		return Extent{}, err
	}
	for _, part := range []string{"wal", "snapshots"} {
		if err := os.CopyFS(filepath.Join(copied, part), os.DirFS(filepath.Join(dir, part))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Extent{}, fault.Wrap(err, fault.Unavailable, "data folder %s: cannot be copied to %s to be read", dir, scratch)
		}
	}
	lock, err := os.Open(copied)
	if err != nil {
		return Extent{}, err
	}
	twin := &Folder{Dir: copied, lock: lock, id: f.id}
	defer twin.Close()
	s, err := openStores(twin, walSegment, obs.Discard())
	if err != nil {
		return Extent{}, err
	}
	e, err := replay(s, fsm)
	e.ID, e.Generation, e.Retired = f.id.Server, f.id.Generation, f.id.Retired
	return e, errors.Join(err, s.close())
}

// Recover makes the coordinator of a folder the only voter of a new generation of
// its cluster, with all that its log holds: entries that no majority had
// confirmed, too. The others are no members any more.
func Recover(dir, id string, fsm Continuer, now time.Time) (Extent, error) {
	f, err := claim(dir, id)
	if err != nil {
		return Extent{}, err
	}
	defer f.Close()
	if !f.id.Log {
		return Extent{}, errEmpty(dir)
	}
	generation := wire.NextGeneration(f.id.Generation, now, rand.Uint32())
	s, err := openStores(f, walSegment, obs.Discard())
	if err != nil {
		return Extent{}, err
	}
	e, err := replay(s, fsm)
	if err == nil {
		err = f.found(s, fsm, &e, generation)
	}
	return e, errors.Join(err, s.close())
}

// Restore makes a new folder for a coordinator that begins a new generation of a
// cluster, as its only voter, with the state that fsm has. e says where the log
// stood, and of which generation it was.
func Restore(dir, id string, fsm Continuer, e Extent, now time.Time) (Extent, error) {
	f, err := Claim(dir, id)
	if err != nil {
		return Extent{}, err
	}
	defer f.Close()
	if f.id.Log || f.id.Admitted {
		return Extent{}, fault.New(fault.Conflict, "data folder %s: holds a coordinator's data already; choose an empty one with --data", dir)
	}
	generation := wire.NextGeneration(e.Generation, now, rand.Uint32())
	s, err := openStores(f, walSegment, obs.Discard())
	if err != nil {
		return Extent{}, err
	}
	return e, errors.Join(f.found(s, fsm, &e, generation), s.close())
}

func errEmpty(dir string) error {
	return fault.New(fault.Conflict, "data folder %s: it has never been a member's, there is nothing in it", dir)
}

// replay applies what the stores hold.
func replay(s *stores, fsm FSM) (Extent, error) {
	var e Extent
	var halted error
	m := &machine{fsm: fsm, reached: &progress{}, frozen: func(uint64) {}, applied: func() {}, halt: func(err error) { halted = err }}
	configuration := func(c raft.Configuration) {
		e.Members = nil
		for _, v := range c.Servers {
			e.Members = append(e.Members, Server{ID: string(v.ID), RaftAddress: string(v.Address), Voter: v.Suffrage == raft.Voter})
		}
	}
	list, err := s.snapshots.List()
	if err != nil {
		return e, err
	}
	if len(list) > 0 { // the newest; that one at least is readable was verified
		for _, meta := range list {
			_, r, err := s.snapshots.Open(meta.ID)
			if err != nil {
				continue
			}
			if err := errors.Join(m.Restore(r), r.Close()); err != nil {
				return e, err
			}
			e.Index, e.Term = meta.Index, meta.Term
			configuration(meta.Configuration)
			break
		}
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return e, err
	}
	for i := e.Index + 1; i <= last; i++ {
		var l raft.Log
		if err := s.logs.GetLog(i, &l); err != nil {
			return e, err
		}
		switch l.Type {
		case raft.LogCommand:
			if m.Apply(&l); halted != nil {
				return e, halted
			}
		case raft.LogConfiguration:
			configuration(raft.DecodeConfiguration(l.Data))
		}
		e.Index, e.Term = l.Index, l.Term
	}
	return e, nil
}

// found makes the folder begin at a later index and term, as of a generation whose
// only voter it is. The generation is first: whatever a crash leaves, it is none
// that the former members listen to.
func (f *Folder) found(s *stores, fsm Continuer, e *Extent, generation uint64) error {
	e.ID, e.Generation, e.Retired = f.id.Server, generation, ""
	err := f.change(func(id *identity) { id.Admitted, id.Generation, id.Retired = true, generation, "" })
	if err != nil {
		return err
	}
	first, err := s.logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return err
	}
	current, err := s.stable.GetUint64([]byte("CurrentTerm"))
	if err != nil && err.Error() != "not found" { // raft tells them apart by that text, too
		return err
	}
	e.Index, e.Term = max(e.Index, last)+Jump, max(e.Term, current)+1
	if err := s.stable.SetUint64([]byte("CurrentTerm"), e.Term); err != nil {
		return err
	}
	fsm.Continue(e.Index)
	if err := f.freeze(s, fsm, e); err != nil {
		return err
	}
	if first > 0 {
		if err := s.logs.DeleteRange(first, last); err != nil {
			return err
		}
	}
	return nil
}

// freeze writes the snapshot that the folder begins with.
func (f *Folder) freeze(s *stores, fsm FSM, e *Extent) error {
	address := "127.0.0.1:8472" // corrected when it first leads
	for _, m := range e.Members {
		if m.ID == f.id.Server {
			address = m.RaftAddress
		}
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(address))
	defer transport.Close()
	members := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(f.id.Server), Address: raft.ServerAddress(address)}}}
	e.Members = []Server{{ID: f.id.Server, RaftAddress: address, Voter: true}}
	state, err := fsm.Snapshot()
	if err != nil {
		return err
	}
	sink, err := s.snapshots.Create(raft.SnapshotVersionMax, e.Index, e.Term, members, e.Index, transport)
	if err != nil {
		return err
	}
	m := machine{fsm: fsm}
	if err := (frozen{e.Index, staging{}, state, &m.frozenSize}).Persist(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Running gives an error for the first member other than id at whose address
// somebody answers: it is not lost.
func Running(ctx context.Context, id string, members []Server) error {
	for _, m := range members {
		if m.ID == id {
			continue
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", m.RaftAddress)
		if err == nil {
			_ = conn.Close()
			return fault.New(fault.Conflict, "coordinator %s answers at %s: stop it first, as what it does from now on would be lost; or force it if that is somebody else", m.ID, m.RaftAddress)
		}
	}
	return nil
}
