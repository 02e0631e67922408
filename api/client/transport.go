package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// transport sends a request to one coordinator after the other until one
// answers it. Only good answers come out of it; everything else is an error.
type transport struct {
	Options
	servers []*url.URL
	http    *http.Client
	current atomic.Uint64 // counts up; the server in use is this modulo their number
	index   atomic.Uint64
}

// maxBackoff is how many times the first pause the longest is.
const maxBackoff = 20

// Do sends the request (v1.HttpRequestDoer).
func (t *transport) Do(request *http.Request) (*http.Response, error) {
	t.prepare(request)
	if err := pack(request); err != nil {
		return nil, err
	}
	ctx := request.Context()
	var giveUp <-chan time.Time
	if t.Patience > 0 {
		timer := time.NewTimer(t.Patience)
		defer timer.Stop()
		giveUp = timer.C
	}
	refused := 0
	var unsure error // of a try that may have taken effect, whatever later ones say
	for pause := t.Backoff; ; pause = min(2*pause, maxBackoff*t.Backoff) {
		turn := t.current.Load()
		server := t.servers[turn%uint64(len(t.servers))]
		response, after, err := t.try(request, server)
		if err == nil {
			return response, nil
		}
		if fault.Is(err, fault.Unknown) {
			unsure = err
		}
		if ctx.Err() != nil {
			return nil, ended(ctx, untold(unsure, err))
		}
		if !again(err) {
			return nil, err
		}
		t.current.CompareAndSwap(turn, turn+1) // not twice for calls side by side
		rest := pause
		if fault.Is(err, fault.Overloaded) {
			if refused++; refused >= t.Tries {
				return nil, untold(unsure, err)
			}
			// By chance a little more, so that those who were refused together do
			// not come back together.
			rest = max(pause, after)
			rest += mathrand.N(rest/2 + 1)
			if t.OnOverload != nil {
				t.OnOverload(refused+1, t.Tries, rest, err)
			}
		} else if t.OnRetry != nil {
			t.OnRetry(server.String(), err)
		}
		select {
		case <-ctx.Done():
			return nil, ended(ctx, untold(unsure, err))
		case <-giveUp:
			return nil, untold(unsure, err)
		case <-time.After(rest):
		}
	}
}

// packFrom is from how many bytes on a body is sent packed.
const packFrom = 64 << 10

// pack makes the body of a large request smaller, once for all tries.
func pack(r *http.Request) error {
	if r.GetBody == nil || r.ContentLength < packFrom || r.Header.Get("Content-Encoding") != "" {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // the level exists
	if _, err := io.Copy(w, body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	r.ContentLength = int64(packed.Len())
	r.Header.Set("Content-Encoding", "gzip")
	return nil
}

// retryAfter is how long a refusal asks to wait, at most a minute; 0: it does
// not say.
func retryAfter(r *http.Response) time.Duration {
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 60)) * time.Second
}

// ended says why a call ended with its context: what kept it from an answer
// counts more than that time ran out, but not more than the caller's own cancel.
func ended(ctx context.Context, last error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && fault.CodeOf(last) != fault.Internal {
		return last
	}
	return ctx.Err()
}

// untold is what becomes of a request that never had an answer. If one of its
// tries may have taken effect, that a later one found nobody does not undo it.
func untold(unsure, last error) error {
	if unsure == nil || fault.Is(last, fault.Unknown) {
		return last
	}
	return fault.Wrap(unsure, fault.Unknown, "the last try failed (%s), and one before it may have taken effect", last)
}

// again says whether the same request may succeed, here or elsewhere. Writes
// carry a key, so that even those that may have been applied can be repeated.
func again(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.Unknown, fault.Overloaded:
		return true
	}
	return false
}

// prepare sets what is the same for every try.
func (t *transport) prepare(r *http.Request) {
	if t.Token != "" {
		r.Header.Set("Authorization", "Bearer "+t.Token)
	}
	if t.Actor != "" {
		r.Header.Set("Backfleet-Actor", t.Actor)
	}
	if r.Method != http.MethodGet && r.Header.Get("Idempotency-Key") == "" {
		r.Header.Set("Idempotency-Key", rand.Text())
	}
	if seen := t.index.Load(); seen > 0 && (r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/preview")) {
		query := r.URL.Query()
		if !query.Has("min_index") && query.Get("consistency") != string(v1.ConsistencyStale) {
			query.Set("min_index", strconv.FormatUint(seen, 10))
			r.URL.RawQuery = query.Encode()
		}
	}
}

// try sends the request to one server. Unless it is a stream, the whole answer
// is read, so that one that breaks off can be asked for again. after is how long
// a refusal asks to wait.
func (t *transport) try(request *http.Request, server *url.URL) (_ *http.Response, after time.Duration, _ error) {
	ctx, cancel := context.WithCancel(request.Context())
	isStream := request.Header.Get("Accept") == eventStream
	if !isStream {
		ctx, cancel = context.WithTimeout(request.Context(), t.AttemptTimeout)
	}
	r := request.Clone(ctx)
	r.URL.Scheme, r.URL.Host, r.Host = server.Scheme, server.Host, ""
	r.URL.Path = server.Path + r.URL.Path
	if request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			cancel()
			return nil, 0, err
		}
		r.Body = body
	}
	begun := time.Now()
	response, err := t.http.Do(r)
	if err != nil {
		cancel()
		return nil, 0, unreachable(request, server, err)
	}
	if t.OnAnswer != nil {
		t.OnAnswer(response, time.Since(begun))
	}
	t.see(response)
	if isStream && response.StatusCode == http.StatusOK {
		response.Body = &streamBody{response.Body, cancel}
		return response, 0, nil
	}
	defer cancel()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, 0, unreachable(request, server, err)
	}
	if response.StatusCode >= 300 {
		return nil, retryAfter(response), problem(response, server, body)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, 0, nil
}

// streamBody frees what belongs to a stream when it is closed.
type streamBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *streamBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// unreachable says whether the request can have taken effect.
func unreachable(r *http.Request, server *url.URL, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // its text repeats the address
	}
	var op *net.OpError
	if dialing := errors.As(err, &op) && op.Op == "dial"; dialing || r.Method == http.MethodGet {
		return fault.Wrap(err, fault.Unavailable, "coordinator %s cannot be reached: is it running, and is --server right?", server)
	}
	return fault.Wrap(err, fault.Unknown, "coordinator %s did not answer; the request may have taken effect", server)
}

// problem reads a refusal. One that is not in the API's form comes from
// something between, or from no coordinator at all.
func problem(r *http.Response, server *url.URL, body []byte) error {
	var p v1.Problem
	if json.Unmarshal(body, &p) == nil && p.Code != "" {
		return convert.ReadProblem(p)
	}
	code := fault.Internal
	switch r.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = fault.Unavailable
		if r.Request.Method != http.MethodGet {
			code = fault.Unknown
		}
	case http.StatusTooManyRequests:
		code = fault.Overloaded
	case http.StatusUnauthorized:
		code = fault.Unauthenticated
	case http.StatusForbidden:
		code = fault.Denied
	}
	return fault.New(code, "%s answered %s, not as a coordinator does", server, r.Status)
}

// see keeps the newest index that was met.
func (t *transport) see(r *http.Response) {
	index, err := strconv.ParseUint(r.Header.Get("Backfleet-Index"), 10, 64)
	for err == nil {
		seen := t.index.Load()
		if index <= seen || t.index.CompareAndSwap(seen, index) {
			return
		}
	}
}
