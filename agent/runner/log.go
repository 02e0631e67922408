package runner

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// SegmentBytes bounds one segment file of a log (RULES R10.3).
	SegmentBytes = 3_145_728
	// DefaultLogBytes bounds a whole log unless the attempt says otherwise
	// (RULES R10.3).
	DefaultLogBytes = 2 << 30
	// lineBytes bounds the text of one log line; longer lines come in parts.
	lineBytes = 16 << 10
	// bufferBytes is how much of a log waits in memory before it is written
	// although its flush is not yet due.
	bufferBytes = 64 << 10

	stampLayout = "2006-01-02T15:04:05.000000000Z"
)

// SegmentPath names the n-th segment, from 0, of the log in a folder.
func SegmentPath(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%06d.log", n))
}

// logWriter turns what a process prints into CRI log lines, in order of
// arrival, in segment files. It is used by one goroutine.
type logWriter struct {
	dir   string
	max   int64
	parts [2][]byte // the unfinished line of stdout and stderr

	buffer  []byte // formatted lines, not yet in the file
	lines   int    // in buffer
	file    *os.File
	segment int   // number of the next segment to create
	size    int64 // of the present segment
	written int64 // complete lines in all segments: the log's length
	dropped int64 // lines lost to the bound or a full disk
	cause   string
}

// Stream names in the order of logWriter.parts.
var streams = [2]string{"stdout", "stderr"}

// take adds what arrived on a stream at a moment.
func (w *logWriter) take(stream int, data []byte, at time.Time) {
	var room [len(stampLayout)]byte
	stamp := at.UTC().AppendFormat(room[:0], stampLayout)
	for len(data) > 0 {
		n := bytes.IndexByte(data, '\n')
		text, whole := data, n >= 0
		if whole {
			text = data[:n]
		}
		if rest := lineBytes - len(w.parts[stream]); len(text) > rest {
			w.line(stamp, stream, 'P', w.parts[stream], text[:rest])
			w.parts[stream] = w.parts[stream][:0]
			data = data[rest:]
			continue
		}
		if !whole {
			w.parts[stream] = append(w.parts[stream], text...)
			return
		}
		w.line(stamp, stream, 'F', w.parts[stream], text)
		w.parts[stream] = w.parts[stream][:0]
		data = data[n+1:]
	}
}

// flush writes everything, unfinished lines as partial ones.
func (w *logWriter) flush(at time.Time) {
	for stream, part := range w.parts {
		if len(part) > 0 {
			stamp := at.UTC().AppendFormat(nil, stampLayout)
			w.line(stamp, stream, 'P', part, nil)
			w.parts[stream] = part[:0]
		}
	}
	w.write()
}

// pending says whether a flush would do anything.
func (w *logWriter) pending() bool {
	return len(w.buffer)+len(w.parts[0])+len(w.parts[1]) > 0
}

// line formats one line, in a new segment when this one has no room for it.
func (w *logWriter) line(stamp []byte, stream int, tag byte, head, tail []byte) {
	n := len(stamp) + 1 + len(streams[stream]) + 1 + 1 + 1 + len(head) + len(tail) + 1
	if w.written+int64(len(w.buffer)+n) > w.max {
		w.drop(1, fmt.Sprintf("the log reached its limit of %d bytes", w.max))
		return
	}
	if w.size+int64(len(w.buffer)+n) > SegmentBytes {
		w.write()
		w.rotate()
	}
	b := append(w.buffer, stamp...)
	b = append(b, ' ')
	b = append(b, streams[stream]...)
	b = append(b, ' ', tag, ' ')
	b = append(b, head...)
	b = append(b, tail...)
	w.buffer = append(b, '\n')
	w.lines++
	if len(w.buffer) >= bufferBytes {
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
	name := SegmentPath(w.dir, w.segment)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if os.IsNotExist(err) {
		if err := os.MkdirAll(w.dir, 0o700); err != nil {
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

// close writes what is left and, when lines were dropped, one that says so.
func (w *logWriter) close(at time.Time) {
	w.flush(at)
	if w.dropped > 0 {
		text := fmt.Sprintf("backfleet: %d lines dropped: %s", w.dropped, w.cause)
		w.max += lineBytes // the note may exceed the limit it tells of
		w.line(at.UTC().AppendFormat(nil, stampLayout), 1, 'F', []byte(text), nil)
		w.write()
	}
	w.rotate()
	w.buffer, w.parts = nil, [2][]byte{}
}

// WholeLines gives the length of the log in a folder whose writer died: the
// bytes up to the last line that is complete.
func WholeLines(dir string) uint64 {
	total := uint64(0)
	for n := 0; ; n++ {
		data, err := os.ReadFile(SegmentPath(dir, n)) // a segment fits in memory
		if err != nil {
			return total
		}
		total += uint64(bytes.LastIndexByte(data, '\n') + 1)
	}
}
