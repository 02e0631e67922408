// Package cri reads and writes the CRI log format, in which an attempt's
// stdout and stderr are kept in order (RULES R10.3). One line is
//
//	2026-11-22T03:14:15.123456789Z stdout F text
//
// with tag F for a full line and P for a piece whose rest follows in a later
// line of the same stream. Text is any bytes but a newline.
package cri

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// Stream says where a line came from.
type Stream string

// The two streams of a process.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

const timeLayout = "2006-01-02T15:04:05.000000000Z"

// Line is one line of a log. Text has no newline at its end and is valid only
// until the next line is read.
type Line struct {
	Time    time.Time // UTC, to the nanosecond
	Stream  Stream
	Partial bool
	Text    []byte
}

// AppendLine appends one encoded line to dst. It allocates only to grow dst.
// The text must hold no newline: split it first.
func AppendLine(dst []byte, t time.Time, stream Stream, partial bool, text []byte) []byte {
	dst = t.UTC().AppendFormat(dst, timeLayout)
	dst = append(dst, ' ')
	dst = append(dst, stream...)
	if partial {
		dst = append(dst, " P "...)
	} else {
		dst = append(dst, " F "...)
	}
	dst = append(dst, text...)
	return append(dst, '\n')
}

// ParseLine reads one line, without its newline. Text is part of b.
func ParseLine(b []byte) (Line, error) {
	stamp, rest, ok := bytes.Cut(b, []byte{' '})
	if !ok {
		return Line{}, bad(b, "expected a time, a stream, a tag and text, with single spaces between")
	}
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Line{}, bad(b, "expected a time like 2026-11-22T03:14:15.123456789Z at its start")
	}
	l := Line{Time: t.UTC()}
	if y := l.Time.Year(); y < 1 || y > 9999 {
		return Line{}, bad(b, "expected a year from 1 to 9999")
	}
	name, rest, _ := bytes.Cut(rest, []byte{' '})
	switch Stream(name) {
	case Stdout:
		l.Stream = Stdout
	case Stderr:
		l.Stream = Stderr
	default:
		return Line{}, bad(b, "expected stdout or stderr after the time")
	}
	if len(rest) < 2 || rest[1] != ' ' || (rest[0] != 'F' && rest[0] != 'P') {
		return Line{}, bad(b, "expected the tag F or P and a space after the stream")
	}
	l.Partial, l.Text = rest[0] == 'P', rest[2:]
	return l, nil
}

func bad(b []byte, expected string) error {
	const show = 60
	if len(b) > show {
		b = b[:show]
	}
	return fmt.Errorf("log line %q: %s", b, expected)
}

// Reader iterates over the lines of a log.
type Reader struct {
	src     io.Reader
	buf     []byte
	at, end int // unread bytes of buf
	max     int
	err     error // of src, once it has one
}

// DefaultMaxLine is the longest line, in bytes, that a Reader takes by itself.
const DefaultMaxLine = 1 << 20

// ErrLineTooLong: a line is longer than the reader may hold.
var ErrLineTooLong = errors.New("log line is longer than the reader's limit; raise the limit, or read the log as bytes")

// NewReader reads lines of at most maxLine bytes (≤ 0: DefaultMaxLine) from src.
func NewReader(src io.Reader, maxLine int) *Reader {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	return &Reader{src: src, max: maxLine}
}

// Next gives the next line as it stands, partial or not. It returns io.EOF
// after the last one and io.ErrUnexpectedEOF when the log stops inside a line.
// After a malformed line the one behind it can be read.
func (r *Reader) Next() (Line, error) {
	b, err := r.line()
	if err != nil {
		return Line{}, err
	}
	return ParseLine(b)
}

func (r *Reader) line() ([]byte, error) {
	for searched := r.at; ; {
		if i := bytes.IndexByte(r.buf[searched:r.end], '\n'); i >= 0 {
			b := r.buf[r.at : searched+i]
			r.at = searched + i + 1
			return b, nil
		}
		pending := r.end - r.at
		switch {
		case r.err == io.EOF && pending > 0:
			r.at = r.end
			return nil, io.ErrUnexpectedEOF
		case r.err != nil:
			return nil, r.err
		case pending > r.max:
			return nil, ErrLineTooLong
		}
		r.fill()
		searched = r.at + pending
	}
}

// fill moves what is unread to the front, makes room and reads once.
func (r *Reader) fill() {
	r.end = copy(r.buf, r.buf[r.at:r.end])
	r.at = 0
	if r.end == len(r.buf) {
		grown := make([]byte, max(4096, 2*len(r.buf)))
		copy(grown, r.buf)
		r.buf = grown
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	r.err = err
}

// Joiner puts partial lines together again, each stream by itself.
type Joiner struct {
	parts map[Stream]*joined
	max   int
}

// joined is what came of a line so far.
type joined struct {
	open  bool
	first time.Time
	text  []byte
}

// NewJoiner joins to lines of about maxText bytes (≤ 0: DefaultMaxLine): when
// that is reached, what came so far is handed out, marked partial.
func NewJoiner(maxText int) *Joiner {
	if maxText <= 0 {
		maxText = DefaultMaxLine
	}
	return &Joiner{parts: map[Stream]*joined{Stdout: {}, Stderr: {}}, max: maxText}
}

// Add takes the next line and gives a joined one, with the time of its first
// piece, when that is complete. Its text is valid until the next call.
func (j *Joiner) Add(l Line) (Line, bool) {
	p := j.parts[l.Stream]
	if p == nil || !l.Partial && !p.open {
		return l, true
	}
	if !p.open {
		*p = joined{open: true, first: l.Time, text: p.text[:0]}
	}
	p.text = append(p.text, l.Text...)
	if l.Partial && len(p.text) < j.max {
		return Line{}, false
	}
	p.open = false
	return Line{Time: p.first, Stream: l.Stream, Partial: l.Partial, Text: p.text}, true
}

// Rest gives what a stream left unfinished when its log ended.
func (j *Joiner) Rest(stream Stream) (Line, bool) {
	p := j.parts[stream]
	if p == nil || !p.open {
		return Line{}, false
	}
	p.open = false
	return Line{Time: p.first, Stream: stream, Partial: true, Text: p.text}, true
}
