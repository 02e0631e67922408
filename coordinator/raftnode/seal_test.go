package raftnode

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/pkg/fault"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

const smallSegment = 4 << 10

var errKilled = errors.New("killed before the rotation was recorded")

// killedMeta never records a second segment: what the disk holds when the
// process is killed between the seal of the first one and its rotation.
type killedMeta struct{ metadb.BoltMetaDB }

func (m *killedMeta) CommitState(s types.PersistentState) error {
	if len(s.Segments) > 1 {
		return errKilled
	}
	return m.BoltMetaDB.CommitState(s)
}

func noop(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Type: raft.LogNoop, Data: fmt.Appendf(nil, "entry %d", index)}
}

// fill appends until the segment is sealed. The refusal comes only after the
// rotation, which runs in the background, has failed.
func fill(log *wal.WAL) error {
	for i := uint64(1); ; i++ {
		if err := log.StoreLog(noop(i)); err != nil {
			return err
		}
	}
}

// sealedTail leaves a folder with a sealed, unrecorded segment, and gives its
// path and the index of its last acknowledged entry.
func sealedTail(t *testing.T, seal func(*wal.WAL) error) (f *Folder, path string, last uint64) {
	t.Helper()
	f, err := Claim(t.TempDir(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	dir := filepath.Join(f.Dir, "wal")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	log, err := openWAL(dir, &killedMeta{}, smallSegment, testLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := seal(log); !errors.Is(err, errKilled) && !errors.Is(err, wal.ErrSealed) {
		t.Fatalf("got %v; expected a seal whose rotation fails", err)
	}
	if last, err = log.LastIndex(); err != nil || last == 0 {
		t.Fatalf("last entry %d, %v", last, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return f, segment(t, f.Dir), last
}

// shorten seals a segment that has room left, by dropping its end.
func shorten(log *wal.WAL) error {
	for i := range uint64(10) {
		if err := log.StoreLog(noop(i + 1)); err != nil {
			return err
		}
	}
	return log.DeleteRange(8, 10)
}

// TestKillBetweenSealAndRotation: the entries are all there after the restart,
// and appends go on, over further rotations and restarts.
func TestKillBetweenSealAndRotation(t *testing.T) {
	for name, seal := range map[string]func(*wal.WAL) error{"full": fill, "shortened": shorten} {
		t.Run(name, func(t *testing.T) {
			f, _, last := sealedTail(t, seal)
			for range 3 {
				s, err := openStores(f, smallSegment, testLogger(t))
				if err != nil {
					t.Fatal(err)
				}
				for i := uint64(1); i <= last; i++ {
					var got raft.Log
					if err := s.logs.GetLog(i, &got); err != nil || !bytes.Equal(got.Data, noop(i).Data) {
						t.Fatalf("entry %d: %q, %v", i, got.Data, err)
					}
				}
				for range 200 {
					if err := s.logs.StoreLog(noop(last + 1)); err != nil {
						t.Fatalf("append entry %d: %v", last+1, err)
					}
					last++
				}
				if err := s.close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestTornSealIsRefused: raft-wal takes the head of an index for a seal, also
// when the write behind it was torn. Recording that would lose the entries
// that such an index does not find; nothing is recorded.
func TestTornSealIsRefused(t *testing.T) {
	for name, seal := range map[string]func(*wal.WAL) error{"full": fill, "shortened": shorten} {
		for torn, at := range map[string]int{"after the head": 0, "in the index": 12} {
			t.Run(name+", "+torn, func(t *testing.T) {
				f, path, last := sealedTail(t, seal)
				whole, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				index := committedIndex(whole)
				if index == 0 {
					t.Fatal("the seal is not whole to begin with")
				}
				rewrite(t, path, func(b []byte) []byte { clear(b[int(index)+at:]); return b })
				if _, err := openStores(f, smallSegment, testLogger(t)); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), "torn seal") {
					t.Fatalf("got %v; expected a torn seal", err)
				}
				rewrite(t, path, func([]byte) []byte { return whole })
				s, err := openStores(f, smallSegment, testLogger(t))
				if err != nil {
					t.Fatalf("made whole again: %v", err)
				}
				if err := errors.Join(s.logs.StoreLog(noop(last+1)), s.close()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
