package logstore

import (
	"bytes"
	"context"
)

const (
	// scanBytes is how much of a log one call of Lines looks at where the caller
	// does not say.
	scanBytes = 8 << 20
	// longestLine is what Lines holds of a line that does not end; agents' lines
	// are shorter by far.
	longestLine = 1 << 20
)

// Lines calls fn with the lines of a log as they are stored, without their
// newline, and where each begins, in order, until fn returns false or about
// maximum bytes (≤ 0: 8 MiB) were looked at: so one call's work is bounded,
// however long the log is, and so is its memory. The offset is 0 or one that
// Lines gave as next, behind the last line that fn saw. ended tells that next
// is the log's end. What the daily cut cleared is passed over, the line that
// says so is among the others. A line that is not all there is left for later,
// unless the log has ended. The line is fn's until it returns.
//
// Not ended, and next where the call began: there is no more yet. Errors are
// those of Read; lines that fn saw before one are not seen again from next on.
func (r *Reader) Lines(ctx context.Context, key Key, offset uint64, maximum int, fn func(at uint64, line []byte) bool) (next uint64, ended bool, err error) {
	if maximum <= 0 {
		maximum = scanBytes
	}
	next = offset
	var rest []byte // of a line that is not all there, from next on
	for looked := 0; looked < maximum || next == offset; {
		data, to, last, err := r.Read(ctx, key, next+uint64(len(rest)), 0)
		if err != nil {
			return next, false, err
		}
		from := to - uint64(len(data))
		if len(rest) > 0 && from > next+uint64(len(rest)) { // its other end was cleared
			if !fn(next, rest) {
				return from, false, nil
			}
			rest = rest[:0]
		}
		if len(rest) == 0 {
			next = from
		}
		looked += len(data)
		rest = append(rest, data...)
		for text := rest; ; text = rest {
			n := bytes.IndexByte(text, '\n')
			if n < 0 && len(text) < longestLine && !(last && len(text) > 0) {
				break
			}
			size := n + 1
			if n < 0 {
				n, size = len(text), len(text)
			}
			more := fn(next, text[:n])
			next, rest = next+uint64(size), text[size:]
			if !more {
				return next, last && len(rest) == 0, nil
			}
		}
		if last {
			return next, true, nil
		}
		if len(data) == 0 {
			return next, false, nil
		}
		rest = bytes.Clone(rest) // and lets go of the page
	}
	return next, false, nil
}
