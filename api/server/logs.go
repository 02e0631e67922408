package server

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

const (
	logLimit     = 1 << 20  // bytes read when the caller does not say
	logLimitMost = 4 << 20  // bytes a caller may ask for
	tailLinesMax = 100_000  // lines of a tail
	tailBytesMax = 32 << 20 // bytes searched for them, newest first
)

func (h handlers) ReadLog(c *gin.Context, id v1.InstanceID, p v1.ReadLogParams) {
	ref, err := logRef(id, p.Attempt, p.Stream)
	switch {
	case err != nil:
	case p.Limit < 0 || p.Limit > logLimitMost:
		err = fault.Field("limit", "%d bytes were asked for: expected 1 to %d", p.Limit, logLimitMost)
	case p.Tail < 0 || p.Tail > tailLinesMax:
		err = fault.Field("tail", "%d lines were asked for: expected 1 to %d", p.Tail, tailLinesMax)
	case p.Tail > 0 && p.Offset > 0:
		err = fault.Field("tail", "a tail begins where it must: leave out offset or tail")
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	var result v1.LogPage
	if p.Tail > 0 {
		result, err = h.tail(c.Request.Context(), ref, p.Tail, p.Stream)
	} else {
		result, err = h.span(c.Request.Context(), ref, p.Offset, cmp.Or(int(p.Limit), logLimit), p.Stream)
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	c.Header("Backfleet-Log-Attempt", strconv.Itoa(result.Attempt))
	c.Header("Backfleet-Log-Next", strconv.FormatUint(result.Next, 10))
	c.Header("Backfleet-Log-Complete", strconv.FormatBool(result.Complete))
	if c.NegotiateFormat(gin.MIMEJSON, gin.MIMEPlain) == gin.MIMEPlain {
		c.String(http.StatusOK, "%s", plain(result.Lines, p.Timestamps))
		return
	}
	h.reply(c, http.StatusOK, &result, nil)
}

func logRef(id string, attempt int, stream v1.LogStream) (LogRef, error) {
	plan, number, err := convert.ParseInstanceID(id)
	if err != nil {
		return LogRef{}, err
	}
	if attempt < 0 || attempt > 1<<31 {
		return LogRef{}, fault.Field("attempt", "%d is no number of an attempt: expected one from 1", attempt)
	}
	return LogRef{Plan: plan, Instance: number, Attempt: uint32(attempt)}, word("stream", stream)
}

// span reads the lines that begin in the range. A range shorter than its first
// line is made as long as that.
func (h handlers) span(ctx context.Context, ref LogRef, offset uint64, limit int, stream v1.LogStream) (v1.LogPage, error) {
	for {
		pieces, err := h.read(ctx, ref, offset, limit)
		if err != nil {
			return v1.LogPage{}, err
		}
		split := splitFrom(offset)
		var lines []v1.LogLine
		bytes := 0
		for _, p := range pieces {
			lines = append(lines, split.add(p)...)
			bytes += len(p.Data)
		}
		got := pieces[len(pieces)-1]
		if got.Complete {
			lines = append(lines, split.rest()...)
		}
		if full := bytes == limit; len(lines) == 0 && full && limit < 2*logLimitMost {
			limit *= 2
			continue
		}
		return v1.LogPage{
			Attempt: int(got.Attempt), Next: split.next, Size: got.Size, Complete: got.Complete,
			Lines: ofStream(lines, stream),
		}, nil
	}
}

// tail reads the newest lines of a stream: it looks at ever more of the end of
// the log until there are enough.
func (h handlers) tail(ctx context.Context, ref LogRef, want int, stream v1.LogStream) (v1.LogPage, error) {
	end, err := h.Backend.ReadLog(ctx, ref, 0, 0)
	if err != nil {
		return v1.LogPage{}, err
	}
	ref.Attempt = end.Attempt // a retry meanwhile must not mix two logs
	for window := uint64(256 << 10); ; window *= 4 {
		from := uint64(0)
		if end.Size > window {
			from = end.Size - window
		}
		result, err := h.span(ctx, ref, from, int(end.Size-from)+1, stream)
		if err != nil {
			return v1.LogPage{}, err
		}
		if n := len(result.Lines); n >= want || from == 0 || window >= tailBytesMax {
			result.Lines = result.Lines[max(0, n-want):]
			return result, nil
		}
	}
}

// read gathers up to limit bytes, however the backend divides them: at least
// one piece.
func (h handlers) read(ctx context.Context, ref LogRef, offset uint64, limit int) ([]LogRange, error) {
	got, err := h.Backend.ReadLog(ctx, ref, offset, limit)
	if err != nil {
		return nil, err
	}
	pieces := []LogRange{got}
	for limit -= len(got.Data); limit > 0; limit -= len(got.Data) {
		offset = got.Offset + uint64(len(got.Data))
		if offset >= got.Size {
			break
		}
		ref.Attempt = got.Attempt
		if got, err = h.Backend.ReadLog(ctx, ref, offset, limit); err != nil {
			return nil, err
		}
		if len(got.Data) == 0 {
			break
		}
		pieces = append(pieces, got)
	}
	return pieces, nil
}

// plain is the text as the process wrote it, or each piece on a line of its
// own with its time and stream.
func plain(lines []v1.LogLine, timestamps bool) string {
	var b strings.Builder
	for _, l := range lines {
		if timestamps {
			b.WriteString(l.Time.Format(time.RFC3339Nano) + " " + string(l.Stream) + " ")
		}
		b.WriteString(l.Text)
		if timestamps || !l.Partial {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (h handlers) FollowLog(c *gin.Context, id v1.InstanceID, p v1.FollowLogParams) {
	ref, err := logRef(id, p.Attempt, p.Stream)
	offset := p.Offset
	if err == nil && p.LastEventID != "" {
		if offset, err = strconv.ParseUint(p.LastEventID, 10, 64); err != nil {
			err = fault.Field("Last-Event-ID", "%q is not an offset: expected the id of an event of this log", p.LastEventID)
		}
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	h.stream(c, func(ctx context.Context, out *stream) error {
		split := splitFrom(offset)
		return h.Backend.FollowLog(ctx, ref, offset, func(r LogRange) error {
			return sendLines(out, split, r, p.Stream)
		})
	})
}

// sendLines sends what a range completes, and the end after the last one.
func sendLines(out *stream, split *splitter, r LogRange, stream v1.LogStream) error {
	lines := split.add(r)
	if r.Complete {
		lines = append(lines, split.rest()...)
	}
	message := v1.LogLines{Attempt: int(r.Attempt), Next: split.next, Lines: ofStream(lines, stream)}
	id := strconv.FormatUint(split.next, 10)
	if len(message.Lines) > 0 {
		if err := out.send("lines", id, message); err != nil {
			return err
		}
	}
	if !r.Complete {
		return nil
	}
	return out.send("end", id, v1.LogLines{Attempt: message.Attempt, Next: split.next})
}

// splitter cuts the stored stream into lines and keeps count of offsets.
type splitter struct {
	next    uint64 // offset behind the last line that was cut off
	pending []byte // of a line that has not ended yet
	inside  bool   // the reader may have begun in the middle of a line
}

func splitFrom(offset uint64) *splitter { return &splitter{next: offset, inside: offset > 0} }

// add takes the next range. When it begins further on, what is between was
// cleared, whole lines of it.
func (s *splitter) add(r LogRange) (lines []v1.LogLine) {
	if r.Offset > s.next+uint64(len(s.pending)) {
		lines = s.rest()
		s.next, s.inside = r.Offset, false
	}
	data := r.Data
	if len(s.pending) > 0 {
		data = append(s.pending, data...)
	}
	for {
		line, rest, found := bytes.Cut(data, []byte{'\n'})
		if !found {
			s.pending = bytes.Clone(data) // data is the backend's
			return lines
		}
		lines = s.line(lines, line, len(line)+1)
		data = rest
	}
}

// rest gives what a log that is complete ends with, when that is no full line.
func (s *splitter) rest() []v1.LogLine {
	if len(s.pending) == 0 {
		return nil
	}
	lines := s.line(nil, s.pending, len(s.pending))
	s.pending = nil
	return lines
}

// line reads one line. One that cannot be read is shown as it is, so that nothing
// in a log is hidden, unless the reader began in its middle.
func (s *splitter) line(lines []v1.LogLine, text []byte, size int) []v1.LogLine {
	offset := s.next
	inside := s.inside
	s.next, s.inside = s.next+uint64(size), false
	l, err := cri.ParseLine(text)
	if err != nil {
		if inside {
			return lines
		}
		l = cri.Line{Stream: cri.Stderr, Text: text}
	}
	return append(lines, v1.LogLine{
		Offset: offset, Time: l.Time, Stream: v1.LogStream(l.Stream), Partial: l.Partial,
		Text: strings.ToValidUTF8(string(l.Text), "\uFFFD"),
	})
}

func ofStream(lines []v1.LogLine, stream v1.LogStream) []v1.LogLine {
	if stream == "" {
		return lines
	}
	var kept []v1.LogLine
	for _, l := range lines {
		if l.Stream == stream {
			kept = append(kept, l)
		}
	}
	return kept
}
