package runner

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"backfleet/pkg/cri"
)

const (
	// SegmentBytes bounds one segment file of a log (RULES R10.3).
	SegmentBytes = 3_145_728
	// DefaultLogBytes bounds a whole log unless the attempt says otherwise
	// (RULES R10.3).
	DefaultLogBytes = 2 << 30
	// lineBytes bounds the text of one log line; longer lines come in parts.
	lineBytes = 16 << 10
	// ShortLogBytes is the most that waits in memory before it is written to a
	// file although its flush is not yet due, and so the longest log that can do
	// without one.
	ShortLogBytes = 32 << 10
)

// SegmentPath names the n-th segment, from 0, of the log that begins with base.
func SegmentPath(base string, n int) string { return fmt.Sprintf("%s.%06d.log", base, n) }

// logWriter turns what a process prints into CRI log lines, in order of
// arrival, in segment files; what is short and ends before its first flush is
// due never becomes a file. It is used by one goroutine.
type logWriter struct {
	base  string
	max   int64
	parts [2][]byte // the unfinished line of stdout and stderr

	buffer  []byte // formatted lines, not yet in the file
	lines   int    // in buffer
	file    *os.File
	segment int   // number of the next segment to create
	size    int64 // of the present segment
	written int64 // complete lines in all segments: the log's length
	full    bool  // the bound was reached: nothing is added any more
	dropped int64 // lines lost to the bound or a full disk
	cause   string
}

// Stream names in the order of logWriter.parts.
var streams = [2]cri.Stream{cri.Stdout, cri.Stderr}

// take adds what arrived on a stream at a moment.
func (w *logWriter) take(stream int, data []byte, at time.Time) {
	for len(data) > 0 {
		n := bytes.IndexByte(data, '\n')
		text, rest := data, []byte(nil)
		if n >= 0 {
			text, rest = data[:n], data[n+1:]
		}
		part := w.parts[stream]
		if room := lineBytes - len(part); len(text) > room {
			w.emit(at, stream, true, text[:room])
			data = data[room:]
			continue
		}
		if n < 0 {
			w.parts[stream] = append(part, text...)
			return
		}
		w.emit(at, stream, false, text)
		data = rest
	}
}

// emit adds a line made of the stream's unfinished part and more text.
func (w *logWriter) emit(at time.Time, stream int, partial bool, text []byte) {
	if part := w.parts[stream]; len(part) > 0 {
		text = append(part, text...)
		w.parts[stream] = text[:0]
	}
	w.line(at, stream, partial, text)
}

// flush writes everything, unfinished lines as partial ones.
func (w *logWriter) flush(at time.Time) {
	w.finishParts(at)
	w.write()
}

// finishParts makes partial lines of unfinished ones.
func (w *logWriter) finishParts(at time.Time) {
	for stream, part := range w.parts {
		if len(part) > 0 {
			w.emit(at, stream, true, nil)
		}
	}
}

// pending gives the bytes that a flush would write, about.
func (w *logWriter) pending() int {
	return len(w.buffer) + len(w.parts[0]) + len(w.parts[1])
}

// line adds one line, in a new segment when this one has no room for it.
func (w *logWriter) line(at time.Time, stream int, partial bool, text []byte) {
	before := len(w.buffer)
	w.buffer = cri.AppendLine(w.buffer, at, streams[stream], partial, text)
	n := int64(len(w.buffer) - before)
	if w.full || w.written+int64(len(w.buffer)) > w.max {
		w.full = true // a shorter line may not slip in behind a longer one
		w.buffer = w.buffer[:before]
		w.drop(1, fmt.Sprintf("the log reached its limit of %d bytes", w.max))
		return
	}
	if w.size+int64(len(w.buffer)) > SegmentBytes {
		next := w.buffer[before:]
		w.buffer = w.buffer[:before]
		w.write()
		w.rotate()
		w.buffer = append(w.buffer, next[:n]...)
	}
	w.lines++
	if len(w.buffer) >= ShortLogBytes {
		w.write()
	}
}

func (w *logWriter) drop(lines int, cause string) {
	if w.dropped == 0 {
		w.cause = cause
	}
	w.dropped += int64(lines)
}

// write moves the buffer to the file. What a full disk refuses is dropped
// whole, so that the file keeps to complete lines.
func (w *logWriter) write() {
	if len(w.buffer) == 0 {
		return
	}
	err := w.open()
	if err == nil {
		_, err = w.file.Write(w.buffer)
	}
	if err == nil {
		w.size += int64(len(w.buffer))
		w.written += int64(len(w.buffer))
	} else {
		w.drop(w.lines, err.Error())
		if w.file != nil && (w.file.Truncate(w.size) != nil || seekEnd(w.file, w.size) != nil) {
			w.rotate() // its length is in doubt; readers stop at the length last announced
		}
	}
	w.buffer, w.lines = w.buffer[:0], 0
}

func seekEnd(f *os.File, size int64) error {
	_, err := f.Seek(size, 0)
	return err
}

func (w *logWriter) open() error {
	if w.file != nil {
		return nil
	}
	name := SegmentPath(w.base, w.segment)
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
	w.file = f
	w.segment++
	return nil
}

func (w *logWriter) rotate() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
	w.size = 0
}

// close ends the log and, when lines were dropped, says so in a last line. What
// has no file yet is given back if it is short and may stay in memory; the rest
// is written.
func (w *logWriter) close(at time.Time, inMemory bool) (log []byte) {
	w.finishParts(at)
	inMemory = inMemory && w.segment == 0 && len(w.buffer) <= ShortLogBytes
	if !inMemory {
		w.write()
	}
	if w.dropped > 0 {
		w.full, w.max = false, w.max+lineBytes // the note may exceed the limit it tells of
		w.line(at, 1, false, fmt.Appendf(nil, "backfleet: %d lines dropped: %s", w.dropped, w.cause))
	}
	if inMemory && w.segment == 0 { // the note may have been too much
		log = bytes.Clone(w.buffer) // without the room that it grew by
		w.written = int64(len(log))
	} else {
		w.write()
	}
	w.rotate()
	w.buffer, w.parts = nil, [2][]byte{}
	return log
}

// WholeLines gives the length of a log whose writer died: the bytes up to the
// last line that is complete.
func WholeLines(base string) uint64 {
	total := uint64(0)
	for n := 0; ; n++ {
		data, err := os.ReadFile(SegmentPath(base, n)) // a segment fits in memory
		if err != nil {
			return total
		}
		total += uint64(bytes.LastIndexByte(data, '\n') + 1)
	}
}
