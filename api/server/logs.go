package server

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
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
	var found span
	if p.Tail > 0 {
		found, err = h.tail(c.Request.Context(), ref, p.Tail, p.Stream)
	} else {
		found, err = h.span(c.Request.Context(), ref, p.Offset, cmp.Or(int(p.Limit), logLimit), p.Stream)
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	c.Header("Backfleet-Log-Attempt", strconv.Itoa(int(found.attempt)))
	c.Header("Backfleet-Log-Next", strconv.FormatUint(found.next, 10))
	c.Header("Backfleet-Log-Complete", strconv.FormatBool(found.complete))
	if c.NegotiateFormat(gin.MIMEJSON, gin.MIMEPlain) == gin.MIMEPlain {
		c.Data(http.StatusOK, plainText, plain(nil, found.pieces, p.Timestamps))
		return
	}
	h.reply(c, http.StatusOK, &v1.LogPage{
		Attempt: int(found.attempt), Next: found.next, Size: found.size, Complete: found.complete, Lines: logLines(found.pieces),
	}, nil)
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

// span is the lines of a log that begin in a range.
type span struct {
	attempt    uint32
	next, size uint64
	complete   bool
	pieces     []piece
}

// span reads the lines that begin in the range. A range shorter than its first
// line is made as long as that.
func (h handlers) span(ctx context.Context, ref LogRef, offset uint64, limit int, stream v1.LogStream) (span, error) {
	for {
		ranges, err := h.read(ctx, ref, offset, limit)
		if err != nil {
			return span{}, err
		}
		split := splitFrom(offset)
		var pieces []piece
		bytes := 0
		for _, r := range ranges {
			pieces = append(pieces, split.add(r)...)
			bytes += len(r.Data)
		}
		got := ranges[len(ranges)-1]
		if got.Complete {
			pieces = append(pieces, split.rest()...)
		}
		if full := bytes == limit; len(pieces) == 0 && full && limit < 2*logLimitMost {
			limit *= 2
			continue
		}
		return span{attempt: got.Attempt, next: split.next, size: got.Size, complete: got.Complete, pieces: ofStream(pieces, stream)}, nil
	}
}

// tail reads the newest lines of a stream: it looks at ever more of the end of
// the log until there are enough.
func (h handlers) tail(ctx context.Context, ref LogRef, want int, stream v1.LogStream) (span, error) {
	end, err := h.Backend.ReadLog(ctx, ref, 0, 0)
	if err != nil {
		return span{}, err
	}
	ref.Attempt = end.Attempt // a retry meanwhile must not mix two logs
	for window := uint64(256 << 10); ; window *= 4 {
		from := uint64(0)
		if end.Size > window {
			from = end.Size - window
		}
		found, err := h.span(ctx, ref, from, int(end.Size-from)+1, stream)
		if err != nil {
			return span{}, err
		}
		if n := len(found.pieces); n >= want || from == 0 || window >= tailBytesMax {
			found.pieces = found.pieces[max(0, n-want):]
			return found, nil
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

const plainText = "text/plain; charset=utf-8"

// plain adds the bytes as the process wrote them, or each piece on a line of
// its own with its time and stream.
func plain(to []byte, pieces []piece, timestamps bool) []byte {
	for _, p := range pieces {
		if timestamps {
			to = p.Time.AppendFormat(to, time.RFC3339Nano)
			to = append(append(append(to, ' '), p.Stream...), ' ')
		}
		to = append(to, p.Text...)
		if timestamps || !p.Partial {
			to = append(to, '\n')
		}
	}
	return to
}

// DownloadLog sends the log range by range. What fails before the first byte is
// a problem document; after it the connection is cut, so that nobody takes a
// part for the whole.
func (h handlers) DownloadLog(c *gin.Context, id v1.InstanceID, p v1.DownloadLogParams) {
	ref, err := logRef(id, p.Attempt, p.Stream)
	if err != nil {
		h.fail(c, err)
		return
	}
	ctx, cancel := h.lasting(c)
	defer cancel()
	got, err := h.Backend.ReadLog(ctx, ref, 0, logLimit)
	if err != nil {
		h.fail(c, err)
		return
	}
	ref.Attempt = got.Attempt // a retry meanwhile must not mix two logs
	c.Header("Backfleet-Log-Attempt", strconv.Itoa(int(got.Attempt)))
	c.Header("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fmt.Sprintf("%s-attempt-%d.log", id, got.Attempt)))
	c.Header("Content-Type", plainText)
	c.Status(http.StatusOK)
	control := http.NewResponseController(c.Writer)
	split := splitFrom(0)
	for {
		pieces := split.add(got)
		if got.Complete {
			pieces = append(pieces, split.rest()...)
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeDeadline)) // a recorder has none
		if _, err = c.Writer.Write(plain(nil, ofStream(pieces, p.Stream), p.Timestamps)); err != nil {
			return // the client is gone
		}
		if got.Complete || len(got.Data) == 0 {
			return
		}
		if got, err = h.Backend.ReadLog(ctx, ref, got.Offset+uint64(len(got.Data)), logLimit); err != nil {
			h.Logger.Info("a download broke off", "instance", id, "request_id", requestID(c), "error", err)
			panic(http.ErrAbortHandler)
		}
	}
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
	pieces := split.add(r)
	if r.Complete {
		pieces = append(pieces, split.rest()...)
	}
	message := v1.LogLines{Attempt: int(r.Attempt), Next: split.next, Lines: logLines(ofStream(pieces, stream))}
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

// piece is a line as it is stored: a whole one, or a part of one. Its text may
// be part of the range it came with.
type piece struct {
	cri.Line
	offset uint64 // where it begins in the stored stream,
	end    uint64 // and where the next one does
}

// splitter cuts the stored stream into pieces and keeps count of offsets.
type splitter struct {
	next    uint64 // offset behind the last line that was cut off
	pending []byte // of a line that has not ended yet
	inside  bool   // the reader may have begun in the middle of a line
}

func splitFrom(offset uint64) *splitter { return &splitter{next: offset, inside: offset > 0} }

// add takes the next range. When it begins further on, what is between was
// cleared, whole lines of it.
func (s *splitter) add(r LogRange) (pieces []piece) {
	if r.Offset > s.next+uint64(len(s.pending)) {
		pieces = s.rest()
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
			return pieces
		}
		pieces = s.line(pieces, line, len(line)+1)
		data = rest
	}
}

// rest gives what a log that is complete ends with, when that is no full line.
func (s *splitter) rest() []piece {
	if len(s.pending) == 0 {
		return nil
	}
	pieces := s.line(nil, s.pending, len(s.pending))
	s.pending = nil
	return pieces
}

// line reads one line. One that cannot be read is shown as it is, so that nothing
// in a log is hidden, unless the reader began in its middle.
func (s *splitter) line(pieces []piece, text []byte, size int) []piece {
	offset := s.next
	inside := s.inside
	s.next, s.inside = s.next+uint64(size), false
	l, err := cri.ParseLine(text)
	if err != nil {
		if inside {
			return pieces
		}
		l = cri.Line{Stream: cri.Stderr, Text: text}
	}
	return append(pieces, piece{l, offset, s.next})
}

func logLines(pieces []piece) []v1.LogLine {
	var lines []v1.LogLine
	for _, p := range pieces {
		lines = append(lines, logLine(p.offset, p.Line))
	}
	return lines
}

// logLine copies a line for an answer.
func logLine(offset uint64, l cri.Line) v1.LogLine {
	return v1.LogLine{
		Offset: offset, Time: l.Time, Stream: v1.LogStream(l.Stream), Partial: l.Partial,
		Text: strings.ToValidUTF8(string(l.Text), "\uFFFD"),
	}
}

func ofStream(pieces []piece, stream v1.LogStream) []piece {
	if stream == "" {
		return pieces
	}
	return slices.DeleteFunc(pieces, func(p piece) bool { return v1.LogStream(p.Stream) != stream })
}
