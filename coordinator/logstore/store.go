// Package logstore keeps the logs of attempts on coordinators: the byte
// streams that agents ship as compressed chunks, synced on a majority of
// coordinators before they are acknowledged, readable from any of them
// (RULES R10.2, R10.3). See DESIGN.md in this folder.
package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"backfleet/pkg/fault"
)

// MaxChunk is the most uncompressed bytes one chunk may carry. 64 to 256 KiB
// compress as well and show up sooner at a follower.
const MaxChunk = 512 << 10

// maxFrame bounds a chunk's compressed data: what zstd makes of MaxChunk
// incompressible bytes, with room for its headers.
const maxFrame = MaxChunk + 4<<10

// maxWindow is the zstd window every decoder should support (RFC 8878, 3.1.1.1.2).
// It also bounds what a frame that swells beyond its chunk's size can cost.
const maxWindow = 8 << 20

// Options of a Store; the zero value is right for production.
type Options struct {
	// Logger takes what the storage engine has to say. Default: discarded.
	Logger *slog.Logger
	// Now gives the day of a new log's bucket and, to a Sweeper, the moment.
	// Default: time.Now.
	Now func() time.Time
	// MinFree is how many bytes must be free on the volume for a write to be
	// tried. The engine writes through a memory map, where a full disk is not
	// an error but the end of the process. Default: 64 MiB.
	MinFree uint64
}

// Store is one coordinator's copy of the logs. All methods may be called from
// many goroutines.
type Store struct {
	dir  string
	opts Options
	db   *badger.DB
	dec  *zstd.Decoder

	writing sync.Mutex      // one batch at a time: a record is read, changed and written
	begun   map[uint32]bool // under writing: days on which logs began since a sweep asked
	enc     *zstd.Encoder   // under writing

	open   sync.RWMutex // held for reading while the engine is used
	closed bool         // under open

	watch watchers
}

const (
	markerName = "BACKFLEET-LOGSTORE"
	marker     = "backfleet attempt logs, format 1\n"
)

// Open opens the logs in dir, which is made when absent and belongs to this
// store alone. A folder of something else, or a broken one, is fault.Corrupt;
// one that another process has open is fault.Conflict.
func Open(dir string, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MinFree == 0 {
		opts.MinFree = 64 << 20
	}
	if err := claim(dir); err != nil {
		return nil, err
	}
	if err := checkFree(dir, opts.MinFree); err != nil {
		return nil, err
	}
	db, err := openEngine(dir, opts.Logger)
	if err != nil {
		if strings.Contains(err.Error(), "Cannot acquire directory lock") {
			return nil, fault.New(fault.Conflict, "log folder %q is in use by another process; stop that coordinator, or give this one a data folder of its own", dir)
		}
		return nil, fault.Wrap(err, fault.Corrupt, "log folder %q cannot be opened; check the disk, or move the folder away and start again: logs are then fetched from the other coordinators as they are read", dir)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, fault.Wrap(errors.Join(err, db.Close()), fault.Internal, "log folder %q: decompressor", dir)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(MaxChunk), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fault.Wrap(errors.Join(err, db.Close()), fault.Internal, "log folder %q: compressor", dir)
	}
	return &Store{
		dir: dir, opts: opts, db: db, dec: dec, enc: enc, begun: map[uint32]bool{},
		watch: watchers{of: map[Key]map[chan struct{}]struct{}{}},
	}, nil
}

// Close ends the store; what was acknowledged is on disk already. Calls after
// the first do nothing.
func (s *Store) Close() error {
	s.open.Lock()
	defer s.open.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.dec.Close()
	// Closing writes what the engine has in memory into a table, for which it needs
	// room: it maps the file, and a full disk would end the process, a failing one
	// would have it try for ever. What was acknowledged is in its log on disk
	// already, so that it can be left as it is.
	if err := checkFree(s.dir, 2*memTable); err != nil {
		s.opts.Logger.Warn("the engine is left as it is", "reason", err)
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- s.db.Close() }()
	select {
	case err := <-done:
		if err != nil {
			return fault.Wrap(err, fault.Internal, "log folder %q: close", s.dir)
		}
		return nil
	case <-time.After(closeWithin):
		return fault.New(fault.Timeout, "log folder %q: not closed within %s: see to the disk", s.dir, closeWithin)
	}
}

// closeWithin bounds Close.
const closeWithin = 5 * time.Second

// enter holds the engine open until the returned function is called.
func (s *Store) enter() (func(), error) {
	s.open.RLock()
	if s.closed {
		s.open.RUnlock()
		return nil, fault.New(fault.Unavailable, "log folder %q is closed: this coordinator is shutting down; ask another one", s.dir)
	}
	return s.open.RUnlock, nil
}

// memTable is what the engine holds in memory before it writes a table, in bytes.
const memTable = 8 << 20

// engineOptions keeps the engine small: a coordinator that has nothing to do
// should stay below 80 MB. Values live in the tree itself and never in a
// value log, whose garbage collection would have to find what the daily
// retention freed; frames are compressed already.
func engineOptions(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithValueThreshold(maxFrame + 4<<10).
		WithValueLogFileSize(1 << 20).
		WithCompression(badgeroptions.None).
		WithBlockCacheSize(0).
		WithBlockSize(32 << 10).
		WithIndexCacheSize(8 << 20).
		WithChecksumVerificationMode(badgeroptions.OnBlockRead).
		WithNumCompactors(2).
		WithNumGoroutines(1).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithLogger(engineLog{log})
}

// claim makes dir ours, or refuses it. The marker is written before the engine
// makes its first file, so that a folder with files and without one is
// somebody else's.
func claim(dir string) error {
	path := filepath.Join(dir, markerName)
	switch got, err := os.ReadFile(path); {
	case err == nil && string(got) == marker:
		return nil
	case err == nil:
		return fault.New(fault.Corrupt, "log folder %q: %s says %q, expected %q; it was written by another version, start that one or give an empty folder", dir, markerName, got, marker)
	case !errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(err, fault.Corrupt, "log folder %q cannot be read; check that it is a folder and whose it is", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(err, fault.Corrupt, "log folder %q cannot be made; check the path and its permissions", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fault.Wrap(err, fault.Corrupt, "log folder %q cannot be listed; check its permissions", dir)
	}
	for _, e := range entries {
		if e.Name() != markerName+".new" {
			return fault.New(fault.Corrupt, "log folder %q holds %q but no %s, so it belongs to something else; give an empty folder", dir, e.Name(), markerName)
		}
	}
	if err := writeMarker(dir, path); err != nil {
		return fault.Wrap(err, fault.Corrupt, "log folder %q cannot be written; check its permissions and the free space", dir)
	}
	return nil
}

func writeMarker(dir, path string) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(marker)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkFree refuses when the volume of dir has less than minimum bytes left.
func checkFree(dir string, minimum uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fault.Wrap(err, fault.Unavailable, "log folder %q: free space cannot be read", dir)
	}
	if free := st.Bavail * uint64(st.Bsize); free < minimum {
		return fault.New(fault.Overloaded, "log folder %q: the disk is full (%d MiB free, at least %d MiB expected); free some space, agents keep their logs and send them again", dir, free>>20, minimum>>20)
	}
	return nil
}

// engineLog passes the engine's messages on. Its infos are about its own
// files, of interest only to who looks for a fault.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Errorf(f string, a ...any)   { l.log.Error(line(f, a)) }
func (l engineLog) Warningf(f string, a ...any) { l.log.Warn(line(f, a)) }
func (l engineLog) Infof(f string, a ...any)    { l.log.Debug(line(f, a)) }
func (l engineLog) Debugf(string, ...any)       {}

func line(f string, a []any) string { return "log store: " + strings.TrimSpace(fmt.Sprintf(f, a...)) }
