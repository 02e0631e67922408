package keeper

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/attempt"
	"backfleet/agent/runner"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// store is the keeper's folder: a journal of the attempts that are kept, and
// their logs. A record of the journal is a length, a checksum and a
// KeptAttempt: running, that it was begun; with a result, that it ended, and
// with its log if that is short; with neither, that it is forgotten. The last
// one of an attempt counts.
//
// A keeper that is killed loses nothing it has written. The file is synced soon
// after an end was written, but nobody waits for it: if the host dies first, the
// leader either has the result already, and refuses a second one, or sees the
// lease end, as with a process that would have ended a moment later. The file is made of zeros that are written over, because to sync those
// costs a third of syncing a file that grows.
type store struct {
	dir    string
	logger *slog.Logger

	dirty chan struct{} // wakes the syncer

	mu     sync.Mutex
	file   *os.File
	end    int64                             // of the records
	size   int64                             // of the zeros written ahead
	live   map[attempt.Key]*wire.KeptAttempt // the last record of each kept attempt
	broken bool                              // a sync failed: only a new file is to be trusted
}

const (
	// journalBytes is the size of an empty journal, some 8,000 attempts.
	journalBytes = 2 << 20
	// syncEvery is the least time between two syncs.
	syncEvery   = 50 * time.Millisecond
	headerBytes = 8
)

var checksums = crc32.MakeTable(crc32.Castagnoli)

func (s *store) journal() string { return filepath.Join(s.dir, "journal") }
func (s *store) logs() string    { return filepath.Join(s.dir, "logs") }

// log is what the paths of an attempt's log segments begin with.
func (s *store) log(k attempt.Key) string { return filepath.Join(s.logs(), k.Folder()) }

// openStore reads what a predecessor left: every kept attempt but those that it
// handed over, those without a result as lost (RULES R13.2: its attempts died
// with it) for the cause.
func openStore(dir string, handed map[attempt.Key]bool, now time.Time, cause string, logger *slog.Logger) (s *store, ended, lost []*wire.KeptAttempt, err error) {
	s = &store{dir: dir, logger: logger, live: map[attempt.Key]*wire.KeptAttempt{}, dirty: make(chan struct{}, 1)}
	if err := os.MkdirAll(s.logs(), 0o700); err != nil {
		return nil, nil, nil, fault.Wrap(err, fault.Internal, "keeper: cannot make its folder")
	}
	found, err := s.read()
	if err != nil {
		return nil, nil, nil, err
	}
	for key, m := range found {
		switch {
		case handed[key]:
			continue
		case !m.Running:
			ended = append(ended, m)
			continue
		}
		m.Running, m.LogBytes = false, runner.WholeLines(s.log(key))
		m.Result.Ref, m.Result.Outcome, m.Result.EndedMs = m.Ref, wire.Outcome_LOST, now.UnixMilli()
		m.Result.Cause = cause
		lost = append(lost, m)
	}
	if err := s.sweep(found); err != nil {
		return nil, nil, nil, err
	}
	if err := s.rewrite(); err != nil {
		return nil, nil, nil, fault.Wrap(err, fault.Internal, "keeper: cannot write its journal")
	}
	return s, ended, lost, nil
}

// read takes the journal in up to the first record that does not match its
// checksum. What follows was never synced, so nobody was told of it.
func (s *store) read() (map[attempt.Key]*wire.KeptAttempt, error) {
	data, err := os.ReadFile(s.journal())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot read its journal")
	}
	found := map[attempt.Key]*wire.KeptAttempt{}
	for rest := data; len(rest) >= headerBytes; {
		n := int64(binary.BigEndian.Uint32(rest))
		if n == 0 {
			break
		}
		m := &wire.KeptAttempt{}
		if n > int64(len(rest)-headerBytes) || crc32.Checksum(rest[headerBytes:headerBytes+n], checksums) != binary.BigEndian.Uint32(rest[4:]) ||
			proto.Unmarshal(rest[headerBytes:headerBytes+n], m) != nil {
			s.logger.Warn("the keeper's journal ends in a torn record, as after a power failure", "file", s.journal(), "offset", len(data)-len(rest))
			break
		}
		key := attempt.KeyOf(m.Ref)
		s.note(key, m)
		if found[key] = m; m.Result == nil {
			delete(found, key)
		}
		rest = rest[headerBytes+n:]
	}
	return found, nil
}

// sweep removes the segments of logs that nobody keeps.
func (s *store) sweep(found map[attempt.Key]*wire.KeptAttempt) error {
	files, err := os.ReadDir(s.logs())
	if err != nil {
		return fault.Wrap(err, fault.Internal, "keeper: cannot read its logs")
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), filepath.Ext(f.Name()))
		key, _ := attempt.ParseFolder(strings.TrimSuffix(name, filepath.Ext(name)))
		if found[key] == nil {
			_ = os.Remove(filepath.Join(s.logs(), f.Name()))
		}
	}
	return nil
}

// note books a record in memory. The lock is held, or nobody else has s.
func (s *store) note(key attempt.Key, m *wire.KeptAttempt) {
	if s.live[key] = m; m.Result == nil {
		delete(s.live, key)
	}
}

// appendRecord adds a record to those in a buffer.
func appendRecord(all []byte, m *wire.KeptAttempt) ([]byte, error) {
	from := len(all)
	all, err := (proto.MarshalOptions{}).MarshalAppend(append(all, make([]byte, headerBytes)...), m)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(all[from:], uint32(len(all)-from-headerBytes))
	binary.BigEndian.PutUint32(all[from+4:], crc32.Checksum(all[from+headerBytes:], checksums))
	return all, nil
}

// append writes records. The lock is held.
func (s *store) append(list []*wire.KeptAttempt) error {
	var all []byte
	var err error
	for _, m := range list {
		if all, err = appendRecord(all, m); err != nil {
			return err
		}
	}
	if _, err = s.file.WriteAt(all, s.end); err != nil {
		return err // the next one is written over whatever part of it is there
	}
	s.end += int64(len(all))
	for _, m := range list {
		s.note(attempt.KeyOf(m.Ref), m)
	}
	return nil
}

// begin says that attempts are about to start.
func (s *store) begin(list []*kept, now time.Time) error {
	records := make([]*wire.KeptAttempt, len(list))
	for i, a := range list {
		records[i] = &wire.KeptAttempt{Ref: a.key.Ref(), Running: true, Result: &wire.AttemptResult{StartedMs: now.UnixMilli()}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(records)
}

// save writes results down, and has them synced soon. The records are the
// store's from then on.
func (s *store) save(list []*wire.KeptAttempt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.append(list)
	if err == nil && (s.broken || s.end > s.size) {
		return s.rewrite()
	}
	if err == nil {
		select {
		case s.dirty <- struct{}{}:
		default:
		}
	}
	return err
}

// syncer syncs the journal beside the work, all that was written since in one go.
func (s *store) syncer(quit <-chan struct{}) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-quit:
			return
		}
		select {
		case <-s.dirty:
		case <-quit:
			return
		}
		next := syncEvery
		if err := s.sync(); err != nil {
			next = time.Second
			s.logger.Error("the keeper's journal cannot be synced; the keeper tries again", "error", err)
			select {
			case s.dirty <- struct{}{}:
			default:
			}
		}
		pause.Reset(next)
	}
}

// sync makes what was written durable.
func (s *store) sync() error {
	s.mu.Lock()
	if s.broken {
		defer s.mu.Unlock()
		return s.rewrite()
	}
	raw, err := s.file.SyscallConn() // which holds it open, should it be replaced meanwhile
	s.mu.Unlock()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Fdatasync(int(fd)) }); err != nil {
		return nil // it was replaced by one that is synced
	}
	if failed != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = true // the kernel may take the pages for clean now
	}
	return failed
}

// forget says that attempts are not kept any more.
func (s *store) forget(list []*kept) error {
	if len(list) == 0 {
		return nil
	}
	records := make([]*wire.KeptAttempt, len(list))
	for i, a := range list {
		records[i] = &wire.KeptAttempt{Ref: a.key.Ref()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(records)
}

// removeLog removes the segments of a log; sweep would, too.
func (s *store) removeLog(key attempt.Key) {
	for n := 0; os.Remove(runner.SegmentPath(s.log(key), n)) == nil; n++ {
	}
}

// rewrite replaces the journal by one of live attempts only, with as much room
// again. The lock is held, or nobody else has s.
func (s *store) rewrite() error {
	s.broken = true
	temporary := s.journal() + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	end, size, err := s.fill(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temporary, s.journal())
	}
	if err != nil {
		f.Close()
		return err
	}
	if s.file != nil {
		s.file.Close()
	}
	s.file, s.end, s.size = f, end, size
	if err := syncFolder(s.dir); err != nil {
		return err
	}
	s.broken = false
	return nil
}

// fill writes the live records to a new journal, and zeros behind them.
func (s *store) fill(f *os.File) (end, size int64, err error) {
	w := bufio.NewWriterSize(f, 64<<10)
	var one []byte
	for _, r := range s.live {
		if one, err = appendRecord(one[:0], r); err != nil {
			return 0, 0, err
		}
		end += int64(len(one))
		_, _ = w.Write(one) // Flush says
	}
	size = max(journalBytes, 2*end)
	zeros := make([]byte, 32<<10)
	for at := end; at < size; at += int64(len(zeros)) {
		_, _ = w.Write(zeros[:min(int64(len(zeros)), size-at)])
	}
	return end, size, w.Flush()
}

// close syncs what was written last.
func (s *store) close() {
	if err := s.sync(); err != nil {
		s.logger.Error("the keeper's journal cannot be synced", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.Close()
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
