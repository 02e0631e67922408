package server

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Headers of the API beside the standard ones.
const (
	headerIndex     = "Backfleet-Index"
	headerForwarded = "Backfleet-Forwarded"
	headerActor     = "Backfleet-Actor"
	headerKey       = "Idempotency-Key"
	headerRequestID = "X-Request-Id"

	headerRetryAfter = "Retry-After"
)

// Keys of what middleware leaves for handlers in the gin context.
const (
	keyActor    = "actor"
	keyIdentity = "identity" // who asks, and what they may
	keyDenied   = "denied"   // error: they may not, as far as is known here
	keyBody     = "body"
	keyWrite    = "write"
	keySorted   = "sorted" // func(body []byte) bool: finds the class by what the body asks for
)

// identify gives the request an id, or keeps the one that it came with, and tells
// browsers how to treat whatever is answered.
func (s *Server) identify(c *gin.Context) {
	s.protect(c)
	id := c.GetHeader(headerRequestID)
	if !visible(id, 100) {
		id = rand.Text()
	}
	c.Request.Header.Set(headerRequestID, id)
	c.Header(headerRequestID, id)
}

func requestID(c *gin.Context) string { return c.Request.Header.Get(headerRequestID) }

// visible says whether s is a word of 1 to limit printable ASCII characters.
func visible(s string, limit int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= limit
}

// recover turns a panic of ours into a problem document.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p) // the proxy's way to cut a connection whose answer broke off
		default:
			s.Logger.Error("a request panicked", "request_id", requestID(c), "panic", p, "stack", string(debug.Stack()))
			s.fail(c, fault.New(fault.Internal, "the coordinator failed at this; its log has the request id"))
		}
	}()
	c.Next()
}

func (s *Server) log(c *gin.Context) {
	began := time.Now()
	c.Next()
	if !isStream(c) {
		s.Answered(cmp.Or(describedOf(c).id, "page"), c.Writer.Status(), time.Since(began))
	}
	level := slog.LevelDebug
	switch status := c.Writer.Status(); {
	case status >= 500 && status != http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case c.Request.Method != http.MethodGet:
		level = slog.LevelInfo
	}
	s.Logger.LogAttrs(c.Request.Context(), level, "request",
		slog.String("method", c.Request.Method), slog.String("path", c.Request.URL.Path),
		slog.Int("status", c.Writer.Status()), slog.Duration("took", time.Since(began)),
		slog.String("request_id", requestID(c)), slog.String("actor", c.GetString(keyActor)))
}

// receive reads the whole body, bounded in bytes and time, and sets the bounds
// of the rest of the request.
func (s *Server) receive(c *gin.Context) {
	control := http.NewResponseController(c.Writer)
	if !isStream(c) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), s.RequestTimeout)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		// A recorder in a test has no deadlines; a connection always does.
		_ = control.SetWriteDeadline(time.Now().Add(s.RequestTimeout + 30*time.Second))
	}
	if c.Request.Method != http.MethodGet {
		_ = control.SetReadDeadline(time.Now().Add(s.RequestTimeout))
		body, done, err := s.body(c)
		_ = control.SetReadDeadline(time.Time{})
		defer done()
		if err != nil {
			s.fail(c, err)
			return
		}
		if sorted, ok := c.Get(keySorted); ok && !sorted.(func([]byte) bool)(body) {
			return
		}
		c.Set(keyBody, body)
		c.Request.Body, c.Request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if !s.keyed(c, body) {
			return
		}
	}
	c.Next() // here, so that the timeout ends after the handler
}

// smallBody is how many bytes a request may have without taking one of the few
// places for large ones.
const smallBody = 1 << 20

// body reads the whole body of a request, unpacked. done frees its place.
func (s *Server) body(c *gin.Context) (body []byte, done func(), err error) {
	done = func() {}
	packed := c.GetHeader("Content-Encoding")
	r := io.Reader(c.Request.Body)
	switch packed {
	case "", "identity":
	case "gzip":
		// As much again as it may unpack to: what is packed is smaller.
		unpack, err := gzip.NewReader(http.MaxBytesReader(c.Writer, c.Request.Body, s.MaxBody))
		if err != nil {
			return nil, done, fault.New(fault.Invalid, "the request says Content-Encoding gzip and is not packed so")
		}
		defer unpack.Close()
		r = unpack
		c.Request.Header.Del("Content-Encoding") // it is unpacked for whom it is passed on to
	default:
		return nil, done, fault.Field("Content-Encoding", "%q is not known: expected gzip, or none", clip(packed))
	}
	said := int64(0) // how long it will be, as far as is known
	if packed == "" {
		if said = c.Request.ContentLength; said > s.MaxBody {
			return nil, done, s.tooLarge()
		}
	}
	var buffer bytes.Buffer
	buffer.Grow(int(max(0, min(said, smallBody))) + bytes.MinRead)
	_, err = io.CopyN(&buffer, r, smallBody)
	if err == nil { // there may be more
		if !s.gates.large.enter(c.Request.Context()) {
			c.Header(headerRetryAfter, strconv.Itoa(s.gates.large.after))
			return nil, done, s.gates.large.err()
		}
		done = s.gates.large.leave
		buffer.Grow(int(max(0, said-smallBody)) + bytes.MinRead)
		_, err = io.CopyN(&buffer, r, s.MaxBody-smallBody+1)
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil && int64(buffer.Len()) > s.MaxBody, errors.As(err, &tooLarge), int64(buffer.Len()) > s.MaxBody:
		return nil, done, s.tooLarge()
	case err == nil, errors.Is(err, io.EOF):
		return buffer.Bytes(), done, nil
	default:
		return nil, done, fault.New(fault.Invalid, "the request broke off before its end")
	}
}

func (s *Server) tooLarge() error {
	return fault.New(fault.TooLarge, "the request has more than %d bytes, the most that one may have unpacked: send it in parts", s.MaxBody)
}

// clip cuts foreign text, so that it cannot flood a message.
func clip(text string) string { return clipTo(text, 64) }

func clipTo(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// keyed makes sure that the request has an idempotency key, before it is
// passed on to another coordinator, and says who asked for what.
func (s *Server) keyed(c *gin.Context, body []byte) bool {
	key := c.GetHeader(headerKey)
	switch {
	case len(c.Request.Header.Values(headerKey)) == 0:
		key = rand.Text()
		c.Request.Header.Set(headerKey, key)
	case !visible(key, 200):
		s.fail(c, fault.Field(headerKey, "expected 1 to 200 visible ASCII characters"))
		return false
	}
	c.Header(headerKey, key)
	h := sha256.New()
	for _, part := range [][]byte{[]byte(c.Request.Method), []byte(c.Request.URL.Path), body} {
		h.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		h.Write([]byte{' '})
		h.Write(part)
	}
	w := bearer(c)
	w.RequestID, w.Hash = key, h.Sum(nil)
	c.Set(keyWrite, w)
	return true
}

// write is what receive left of a write.
func write(c *gin.Context) Write { return c.MustGet(keyWrite).(Write) }

// writeFor is write with the reason that the caller gave.
func writeFor(c *gin.Context, why string) (Write, error) {
	const most = 1000 // it stays in the log
	if n := utf8.RuneCountInString(why); n > most {
		return Write{}, fault.Field("why", "%d characters were given: expected at most %d", n, most)
	}
	w := write(c)
	w.Why = why
	return w, nil
}

// operators refuses what is for operators (RULES R7.6, R15.1).
func (w Write) operators(field, what string) error {
	if w.Role >= wire.Role_OPERATOR {
		return nil
	}
	e := fault.New(fault.Denied, "%s is for operators, and you are %s: ask one", what, convert.WithArticle(w.Role))
	e.Field = field
	return e
}

// isStream says that the answer takes as long as it takes.
func isStream(c *gin.Context) bool {
	p := c.FullPath()
	return p == "/v1/events" || p == pathSnapshot || exports(c) || strings.HasSuffix(p, "/logs/follow") || strings.HasSuffix(p, "/logs/download")
}

// settle lets a read wait until the state here is new enough for it, and tells
// in the answer how new that is.
func (s *Server) settle(c *gin.Context) {
	p := c.FullPath()
	if !strings.HasPrefix(p, "/v1/") || c.Request.Method != http.MethodGet && p != "/v1/backfills/preview" {
		return
	}
	if err := s.await(c); err != nil {
		s.fail(c, err)
		return
	}
	setIndex(c, s.Backend.AppliedIndex())
}

func (s *Server) await(c *gin.Context) error {
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.WaitTimeout)
	defer cancel()
	var index uint64
	if text, given := c.GetQuery("min_index"); given {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fault.Field("min_index", "%q is not a log index: expected a whole number", text)
		}
		index = n
	}
	switch level := v1.Consistency(c.DefaultQuery("consistency", string(v1.ConsistencySession))); level {
	case v1.ConsistencyStale:
		return nil
	case v1.ConsistencySession:
		if p := c.FullPath(); p == "/v1/cluster" || p == "/v1/login" {
			return nil // how the cluster stands must be told above all when nobody leads
		}
	case v1.ConsistencyLinearizable:
		read, err := s.Backend.ReadIndex(ctx)
		if err != nil {
			return err
		}
		index = max(index, read)
	default:
		return fault.Field("consistency", "%q is not known: expected stale, session or linearizable", string(level))
	}
	return s.Backend.WaitIndex(ctx, index)
}

func setIndex(c *gin.Context, index uint64) {
	c.Header(headerIndex, strconv.FormatUint(index, 10))
}
