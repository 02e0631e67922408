package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/pkg/cri"
)

const (
	// SegmentBytes bounds one segment file of a log (RULES R10.3).
	SegmentBytes = 3_145_728
	// DefaultLogBytes bounds a whole log unless the attempt says otherwise
	// (RULES R10.3).
	DefaultLogBytes = 2 << 30
	// noteBytes is more than a line that tells of dropped lines takes.
	noteBytes = 256
	// blockBytes is what file systems give a file at a time.
	blockBytes = 4096
)

// SegmentPath names the n-th segment, from 0, of the log that begins with base.
func SegmentPath(base string, n int) string { return fmt.Sprintf("%s.%06d.log", base, n) }

// segments are the files of one log. What is not in them is counted, and a line
// says so where it would be. One goroutine uses them at a time.
type segments struct {
	base string
	max  int64

	file    *os.File
	next    int   // number of the next segment to create
	size    int64 // of the present segment
	written int64 // complete lines in all segments: the log's length
	full    bool  // the bound was reached: nothing is added any more
	lost    int   // lines dropped since the last one that was written
	cause   string
	drops   *drops // nil: nobody counts them
}

// Dropped counts lines that processes wrote and that are in no log.
type Dropped struct {
	Limit uint64 // a log had reached its limit
	Disk  uint64 // the disk took nothing for too long, or nothing more
}

// drops counts them over all logs.
type drops struct{ limit, disk atomic.Uint64 }

func (d *drops) count(lines int, cause error) {
	switch {
	case d == nil:
	case errors.Is(cause, errLimit):
		d.limit.Add(uint64(lines))
	default:
		d.disk.Add(uint64(lines))
	}
}

// Dropped tells how many lines were dropped since the runner began.
func (r *Runner) Dropped() Dropped {
	return Dropped{Limit: r.drops.limit.Load(), Disk: r.drops.disk.Load()}
}

// put adds whole lines, behind some that were lost before them.
func (s *segments) put(lost int, lines []byte, at time.Time) {
	if lost > 0 {
		s.miss(lost, errSlow)
	}
	s.add(lines, at)
}

// add writes whole lines. The first of them is of this time.
func (s *segments) add(lines []byte, at time.Time) {
	over := lines[s.fit(lines):]
	lines = lines[:len(lines)-len(over)]
	text, err := lines, error(nil)
	missing := s.lost > 0 && len(lines) > 0
	if missing {
		text = append(s.note(at), lines...)
		err = s.reserve(len(text))
	}
	rest := text
	if err == nil {
		rest, err = s.write(text)
	}
	if missing && len(rest) <= len(lines) { // the note is there
		s.lost = 0
	}
	if err != nil {
		s.drop(rest[max(0, len(rest)-len(lines)):], err)
	}
	if len(over) > 0 {
		s.full = true // a shorter line may not slip in behind a longer one
		s.drop(over, s.limit())
	}
}

// fit gives how many bytes of whole lines the log's bound leaves room for.
func (s *segments) fit(lines []byte) int {
	room := s.max - s.written
	switch {
	case s.full:
		return 0
	case int64(len(lines)) <= room:
		return len(lines)
	default:
		return bytes.LastIndexByte(lines[:max(room, 0)], '\n') + 1
	}
}

var errLimit = errors.New("the log reached its limit")

func (s *segments) limit() error { return fmt.Errorf("%w of %d bytes", errLimit, s.max) }

func (s *segments) drop(lines []byte, cause error) { s.miss(bytes.Count(lines, []byte{'\n'}), cause) }

// miss counts lines that are not in the log. The cause of the first ones stands.
func (s *segments) miss(lines int, cause error) {
	if s.lost == 0 {
		s.cause = cause.Error()
		var errno syscall.Errno
		if errors.As(cause, &errno) {
			s.cause = errno.Error() // where the files are, is no matter of the log's
		}
	}
	s.lost += lines
	s.drops.count(lines, cause)
}

// note is the line that stands where lines are missing.
func (s *segments) note(at time.Time) []byte {
	return cri.AppendLine(nil, at, cri.Stderr, false, fmt.Appendf(nil, "backfleet: %d lines dropped: %s", s.lost, s.cause))
}

// write puts whole lines into the files, and into a new one what this one has
// no room for. It gives back what could not be written.
func (s *segments) write(lines []byte) (rest []byte, err error) {
	for len(lines) > 0 {
		n := len(lines)
		if room := SegmentBytes - s.size; int64(n) > room {
			n = bytes.LastIndexByte(lines[:room], '\n') + 1 // a line is far shorter than a segment
		}
		if n == 0 {
			s.rotate()
			continue
		}
		if err := s.open(); err != nil {
			return lines, err
		}
		if _, err = s.file.Write(lines[:n]); err != nil {
			n = s.undo(lines[:n])
		}
		s.size += int64(n)
		s.written += int64(n)
		if lines = lines[n:]; err != nil {
			return lines, err
		}
	}
	return nil, nil
}

// undo takes back what a full disk took of a write but for some whole lines, and
// gives their length. In the last block of the file, which it keeps, there is
// then room for a note.
func (s *segments) undo(lines []byte) (kept int) {
	if info, err := s.file.Stat(); err == nil {
		kept = int(min(max(info.Size()-s.size, 0), int64(len(lines))))
	}
	for {
		kept = bytes.LastIndexByte(lines[:kept], '\n') + 1
		free := blockBytes - 1 - (s.size+int64(kept)-1+blockBytes)%blockBytes
		if kept == 0 || free >= noteBytes {
			break
		}
		kept--
	}
	end := s.size + int64(kept)
	if _, err := s.file.Seek(end, 0); err != nil || s.file.Truncate(end) != nil {
		s.rotate() // its length is in doubt; readers stop at the length last announced
		return 0
	}
	return kept
}

// reserve says whether a disk that was full has room again, for some bytes and
// the next note: what little it had left must not be used up by a line or two.
// Where nothing can be reserved, the write will tell.
func (s *segments) reserve(bytes int) error {
	if err := s.open(); err != nil {
		return err
	}
	room := min(int64(bytes), SegmentBytes-s.size) + blockBytes
	switch err := unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, s.size, room); err {
	case unix.ENOSPC, unix.EDQUOT, unix.EFBIG, unix.EIO:
		return err
	default:
		return nil
	}
}

func (s *segments) open() error {
	if s.file != nil {
		return nil
	}
	name := SegmentPath(s.base, s.next)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if os.IsNotExist(err) {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		f, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	}
	if err != nil {
		return err
	}
	s.file = f
	s.next++
	return nil
}

func (s *segments) rotate() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.size = 0
}

// close ends the log and, when lines are missing at its end, says so in a last
// line, even beyond the limit it tells of.
func (s *segments) close(at time.Time) {
	if s.lost > 0 {
		_, _ = s.write(s.note(at)) // if there is no room for it either, there is nobody to tell
	}
	s.rotate()
}

// short gives lines that are in no file as the whole of a log, as they would be
// in its files; false, and nothing is done: it is longer than may be in memory.
func (s *segments) short(lines []byte, at time.Time) ([]byte, bool) {
	var note []byte
	var cut segments
	n := s.fit(lines)
	if n < len(lines) {
		cut.drop(lines[n:], s.limit())
		note = cut.note(at)
	}
	if n+len(note) > ShortLogBytes {
		return nil, false
	}
	s.drops.count(cut.lost, s.limit())
	s.written = int64(n + len(note))
	return append(bytes.Clone(lines[:n]), note...), true // without the room that lines grew by
}

// WholeLines gives the length of a log whose writer died: the bytes up to the
// last line that is complete.
func WholeLines(base string) uint64 {
	total := uint64(0)
	for n := 0; ; n++ {
		size, err := wholeLines(SegmentPath(base, n))
		if err != nil {
			return total
		}
		total += uint64(size)
	}
}

// wholeLines looks at the end of a segment, and at all of it only if no line
// ends there, as after a power failure.
func wholeLines(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	for room := int64(2 * lineBytes); ; room = SegmentBytes {
		from := max(0, info.Size()-room)
		data := make([]byte, info.Size()-from)
		if _, err := f.ReadAt(data, from); err != nil && err != io.EOF {
			return 0, err
		}
		if n := bytes.LastIndexByte(data, '\n'); n >= 0 || from == 0 || room == SegmentBytes {
			return from + int64(n) + 1, nil
		}
	}
}
