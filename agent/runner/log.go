package runner

import (
	"bytes"
	"errors"
	"os"
	"time"

	"backfleet/pkg/cri"
)

const (
	// lineBytes bounds the text of one log line; longer lines come in parts.
	lineBytes = 16 << 10
	// ShortLogBytes is the most that waits in memory before it is written to a
	// file although its flush is not yet due, and so the longest log that can do
	// without one.
	ShortLogBytes = 32 << 10
)

// logWriter turns what a process prints into CRI log lines, in order of
// arrival, and gathers them in blocks for its files; what is short and ends
// before its first flush is due never becomes a file. It is used by one
// goroutine.
type logWriter struct {
	files *segments  // for the disk's goroutine, once a block was handed over
	masks [2]*masker // of stdout and stderr; nil: nothing is masked
	parts [2][]byte  // the unfinished line of stdout and stderr

	block []byte    // formatted lines that were not handed over
	since time.Time // of the first of them
	lost  int       // lines dropped before them: the disk took nothing for too long
	begun bool      // a block was handed over
}

// Stream names in the order of logWriter.parts.
var streams = [2]cri.Stream{cri.Stdout, cri.Stderr}

var errSlow = errors.New("the disk took nothing for too long")

func newLog(base string, most int64, masked []string) logWriter {
	if most <= 0 {
		most = DefaultLogBytes
	}
	w := logWriter{files: &segments{base: base, max: most}}
	w.mask(secrets(masked))
	return w
}

func (w *logWriter) mask(texts [][]byte) {
	if len(texts) > 0 {
		w.masks = [2]*masker{{texts: texts}, {texts: texts}}
	}
}

// take adds what arrived on a stream at a moment. It may write into data.
func (w *logWriter) take(stream int, data []byte, at time.Time) {
	if m := w.masks[stream]; m != nil {
		data = m.add(data)
	}
	w.split(stream, data, at)
}

func (w *logWriter) split(stream int, data []byte, at time.Time) {
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
	if len(w.block) == 0 {
		w.since = at
	}
	w.block = cri.AppendLine(w.block, at, streams[stream], partial, text)
}

// finishParts makes partial lines of unfinished ones. What may be the beginning
// of a masked text is held back further.
func (w *logWriter) finishParts(at time.Time) {
	for stream, part := range w.parts {
		if len(part) > 0 {
			w.emit(at, stream, true, nil)
		}
	}
}

// pending is how many bytes of the log are here.
func (w *logWriter) pending() int {
	n := len(w.block) + len(w.parts[0]) + len(w.parts[1])
	for _, m := range w.masks {
		if m != nil {
			n += len(m.held)
		}
	}
	return n
}

// handed says that the block is the disk's now, and gives room for the next.
func (w *logWriter) handed(room []byte) { w.block, w.lost, w.begun = room[:0], 0, true }

// drop gives the block up.
func (w *logWriter) drop() {
	w.lost += bytes.Count(w.block, []byte{'\n'})
	w.block = w.block[:0]
}

// close ends the log. If it is in no file, is short and may stay in memory, it
// is given back. Otherwise the block is to be handed over, and the files are to
// be closed behind it.
func (w *logWriter) close(at time.Time, inMemory bool) (log []byte, whole bool) {
	w.complete(at)
	w.parts = [2][]byte{}
	if !inMemory || w.begun || w.lost > 0 {
		return nil, false
	}
	return w.files.short(w.block, at)
}

// complete ends the lines of both streams, of which nothing more comes.
func (w *logWriter) complete(at time.Time) {
	for stream, m := range w.masks {
		if m != nil {
			w.split(stream, m.rest(), at)
		}
	}
	w.finishParts(at)
}

// note adds lines of the runner's own, after all that the process has printed.
func (w *logWriter) note(at time.Time, lines []string) {
	if len(lines) == 0 {
		return
	}
	w.complete(at)
	for _, line := range lines {
		w.emit(at, 1, false, []byte(w.masked(line)))
	}
}

// masked is a text as the log shows it.
func (w *logWriter) masked(text string) string {
	if w.masks[0] == nil {
		return text
	}
	m := masker{texts: w.masks[0].texts}
	return string(m.add([]byte(text))) + string(m.rest())
}

// LogState is an attempt's log as it is handed over, when nothing of it is on
// its way to the disk.
type LogState struct {
	Base    string
	Max     int64
	Masked  [][]byte
	Held    [2][]byte // see masker
	Covered [2]int
	Parts   [2][]byte
	Block   []byte
	Since   time.Time
	Missing int // see logWriter.lost
	Begun   bool
	Open    bool // the last segment is being written
	Segment int
	Size    int64
	Written int64
	Full    bool
	Lost    int // see segments.lost
	Cause   string
}

func (w *logWriter) state() LogState {
	f := w.files
	s := LogState{
		Base: f.base, Max: f.max, Parts: w.parts, Block: w.block, Since: w.since, Missing: w.lost, Begun: w.begun,
		Open: f.file != nil, Segment: f.next, Size: f.size, Written: f.written, Full: f.full, Lost: f.lost, Cause: f.cause,
	}
	for i, m := range w.masks {
		if m != nil {
			s.Masked, s.Held[i], s.Covered[i] = m.texts, m.held, m.covered
		}
	}
	return s
}

// resumeLog goes on in the segment that was being written, or, if it cannot be
// opened, in the next.
func resumeLog(s LogState) logWriter {
	f := &segments{base: s.Base, max: s.Max, next: s.Segment, size: s.Size, written: s.Written, full: s.Full, lost: s.Lost, cause: s.Cause}
	w := logWriter{files: f, parts: s.Parts, block: s.Block, since: s.Since, lost: s.Missing, begun: s.Begun}
	w.mask(s.Masked)
	for i, m := range w.masks {
		if m != nil {
			m.held, m.covered = s.Held[i], s.Covered[i]
		}
	}
	if !s.Open {
		return w
	}
	file, err := os.OpenFile(SegmentPath(f.base, f.next-1), os.O_WRONLY, 0)
	if err == nil {
		_, err = file.Seek(f.size, 0)
	}
	if f.file = file; err != nil {
		f.rotate()
	}
	return w
}
