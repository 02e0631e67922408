package keeper

import (
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
// KeptAttempt: running, that it was begun; with a result, that it ended; with
// neither, that it is forgotten. The last one of an attempt counts.
//
// Only the end of an attempt is synced, and all that end together at once. A
// beginning need not be: a keeper that is killed loses nothing it has written,
// and if the host dies the process is dead, too, and the leader sees the lease
// end. The file is made of zeros that are written over, because to sync those
// costs a third of syncing a file that grows.
type store struct {
	dir    string
	logger *slog.Logger

	mu     sync.Mutex
	file   *os.File
	end    int64                  // of the records
	size   int64                  // of the zeros written ahead
	live   map[attempt.Key][]byte // the last record of each kept attempt
	bytes  int64                  // of those
	broken bool                   // a sync failed: only a new file is to be trusted
}

const (
	// journalBytes is the size of an empty journal, some 8,000 attempts.
	journalBytes = 1 << 20
	headerBytes  = 8
)

var checksums = crc32.MakeTable(crc32.Castagnoli)

func (s *store) journal() string { return filepath.Join(s.dir, "journal") }
func (s *store) logs() string    { return filepath.Join(s.dir, "logs") }

// log is what the paths of an attempt's log segments begin with.
func (s *store) log(k attempt.Key) string { return filepath.Join(s.logs(), k.Folder()) }

// openStore reads what a predecessor left: every kept attempt, those without a
// result as lost (RULES R13.2: its attempts died with it).
func openStore(dir string, now time.Time, logger *slog.Logger) (s *store, ended, lost []*wire.KeptAttempt, err error) {
	s = &store{dir: dir, logger: logger, live: map[attempt.Key][]byte{}}
	if err := os.MkdirAll(s.logs(), 0o700); err != nil {
		return nil, nil, nil, fault.Wrap(err, fault.Internal, "keeper: cannot make its folder")
	}
	found, err := s.read()
	if err != nil {
		return nil, nil, nil, err
	}
	for key, m := range found {
		m.LogDirectory = s.log(key)
		if !m.Running {
			ended = append(ended, m)
			continue
		}
		m.Running, m.LogBytes = false, runner.WholeLines(m.LogDirectory)
		m.Result.Ref, m.Result.Outcome, m.Result.EndedMs = m.Ref, wire.Outcome_LOST, now.UnixMilli()
		m.Result.Cause = "the keeper died, and the attempt with it"
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
		s.note(key, m, rest[:headerBytes+n])
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
func (s *store) note(key attempt.Key, m *wire.KeptAttempt, record []byte) {
	s.bytes -= int64(len(s.live[key]))
	if m.Result == nil {
		delete(s.live, key)
		return
	}
	s.bytes += int64(len(record))
	s.live[key] = record
}

// append writes records. The lock is held.
func (s *store) append(list []*wire.KeptAttempt) error {
	var all []byte
	ends := make([]int, len(list))
	for i, m := range list {
		from := len(all)
		all = append(all, make([]byte, headerBytes)...)
		var err error
		if all, err = (proto.MarshalOptions{}).MarshalAppend(all, m); err != nil {
			return err
		}
		binary.BigEndian.PutUint32(all[from:], uint32(len(all)-from-headerBytes))
		binary.BigEndian.PutUint32(all[from+4:], crc32.Checksum(all[from+headerBytes:], checksums))
		ends[i] = len(all)
	}
	if _, err := s.file.WriteAt(all, s.end); err != nil {
		return err // the next one is written over whatever part of it is there
	}
	s.end += int64(len(all))
	from := 0
	for i, m := range list {
		s.note(attempt.KeyOf(m.Ref), m, append([]byte(nil), all[from:ends[i]]...))
		from = ends[i]
	}
	return nil
}

// begin says that an attempt is about to start.
func (s *store) begin(key attempt.Key, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append([]*wire.KeptAttempt{{Ref: key.Ref(), Running: true, Result: &wire.AttemptResult{StartedMs: now.UnixMilli()}}})
}

// save makes results durable. Only one save runs at a time.
func (s *store) save(list []*wire.KeptAttempt) error {
	s.mu.Lock()
	err := s.append(list)
	if err == nil && (s.broken || s.end > s.size) {
		err = s.rewrite()
		s.mu.Unlock()
		return err
	}
	file := s.file
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := syscall.Fdatasync(int(file.Fd())); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = true // the kernel may take the pages for clean now
		return err
	}
	return nil
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
	data := make([]byte, max(journalBytes, 2*s.bytes))
	end := 0
	for _, record := range s.live {
		end += copy(data[end:], record)
	}
	temporary := s.journal() + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
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
	s.file, s.end, s.size = f, int64(end), int64(len(data))
	if err := syncFolder(s.dir); err != nil {
		return err
	}
	s.broken = false
	return nil
}

func (s *store) close() {
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
