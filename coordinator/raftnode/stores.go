package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs/bridge"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const walSegment = 64 << 20

// stores are the three durable parts raft stands on.
type stores struct {
	logs      raft.LogStore
	tail      *tail
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
}

// openStores opens the files below the folder. Broken ones are refused
// (fault.Corrupt) before anything is written.
func openStores(f *Folder, segment int, logger *slog.Logger) (*stores, error) {
	walDir, meta := filepath.Join(f.Dir, "wal"), &metadb.BoltMetaDB{}
	if err := checkMeta(filepath.Join(walDir, metadb.FileName), f.id.Log); err != nil {
		return nil, broken(f.Dir, err)
	}
	if err := os.MkdirAll(walDir, 0o750); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "data folder %s: cannot be written", f.Dir)
	}
	log, err := openWAL(walDir, meta, segment, logger)
	if err != nil {
		_ = meta.Close()
		if errors.Is(err, fs.ErrPermission) || noSpace(err) {
			return nil, fault.Wrap(err, fault.Unavailable, "data folder %s: the log cannot be opened; see to the disk, then start again", f.Dir)
		}
		return nil, broken(f.Dir, err)
	}
	s := &stores{stable: log, close: func() error { return errors.Join(log.Close(), meta.Close()) }}
	if err := s.finish(f, log, logger); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func openWAL(dir string, meta types.MetaStore, segment int, logger *slog.Logger) (log *wal.WAL, err error) {
	defer recovered(&err, dir)
	if err := recordSeal(dir, meta, segment); err != nil {
		return nil, err
	}
	return wal.Open(dir, wal.WithMetaStore(meta), wal.WithSegmentSize(segment), wal.WithLogger(bridge.HCLog(logger, "wal")))
}

func (s *stores) finish(f *Folder, log *wal.WAL, logger *slog.Logger) (err error) {
	if s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(f.Dir, snapshotsKept, bridge.HCLog(logger, "snapshots")); err != nil {
		return fault.Wrap(err, fault.Unavailable, "data folder %s: snapshots cannot be kept", f.Dir)
	}
	last, err := log.LastIndex()
	if err == nil && last < f.id.CleanEnd {
		err = fmt.Errorf("the log ends at entry %d, but ended at %d when this coordinator last stopped", last, f.id.CleanEnd)
	}
	if err == nil {
		s.tail, err = verifyLog(log, s.snapshots)
	}
	if err != nil {
		return broken(f.Dir, err)
	}
	s.logs = log
	return f.change(func(id *identity) { id.Log, id.CleanEnd = true, 0 })
}

func broken(dir string, err error) error {
	return fault.Wrap(err, fault.Corrupt, "data folder %s: the log is broken; restore the folder from a backup, or join a new coordinator, with an id of its own, on an empty one", dir)
}

// checkMeta looks at raft-wal's own index without changing it: opening the
// log for good would make a missing one anew and then delete every segment
// that it does not list.
func checkMeta(path string, expected bool) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if expected {
			return fmt.Errorf("%s is missing", path)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return fmt.Errorf("%s is empty", path)
	}
	return readMeta(path)
}

func readMeta(path string) (err error) {
	// bbolt maps the file and trusts the pages behind its two checked ones.
	defer recovered(&err, path)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o640, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%s has %d bytes; expected %d", path, info.Size(), tx.Size())
		}
		for _, name := range []string{metadb.MetaBucket, metadb.StableBucket} {
			bucket := tx.Bucket([]byte(name))
			if bucket == nil {
				return fmt.Errorf("%s has no bucket %q", path, name)
			}
			if err := bucket.ForEach(func(_, _ []byte) error { return nil }); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	})
}

// recovered makes an error of a panic that reading broken files caused.
func recovered(err *error, path string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %v", path, p)
	}
}

func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO)
}
