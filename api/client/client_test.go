package client_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backfleet/api/client"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

// coordinator serves a stand-in on a real socket.
func coordinator(t *testing.T, b *standin.Backend) *httptest.Server {
	t.Helper()
	s := server.New(server.Options{Backend: b, Logger: slog.New(slog.DiscardHandler), Heartbeat: 20 * time.Millisecond})
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil { // ends streams
			t.Error(err)
		}
		h.Close()
	})
	return h
}

func connect(t *testing.T, o client.Options, servers ...*httptest.Server) *client.Client {
	t.Helper()
	for _, s := range servers {
		o.Servers = append(o.Servers, s.URL)
	}
	o.Backoff = time.Millisecond
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

var request = v1.BackfillRequest{Mode: v1.ModeCurrent, Root: "orders", Dates: []string{"2012-01-01"}}

// dead is an address where nobody listens.
func dead(t *testing.T) *httptest.Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &httptest.Server{URL: "http://" + l.Addr().String()}
}

func TestALostAnswerIsAskedForWithTheSameKey(t *testing.T) {
	b := standin.New()
	var lost atomic.Int32
	b.Fail = func(call string) error {
		if call == "Submitted" && lost.Add(1) <= 1 {
			return fault.New(fault.Unknown, "leadership was lost while it was written")
		}
		return nil
	}
	c := connect(t, client.Options{}, dead(t), coordinator(t, b))
	s, err := c.Submit(within(t), request, "")
	if err != nil || s.ID != "b1" {
		t.Fatalf("%+v, %v", s, err)
	}
	if len(b.Writes) != 2 || b.Writes[0].RequestID != b.Writes[1].RequestID || b.Writes[0].RequestID == "" {
		t.Fatalf("writes: %+v", b.Writes)
	}
	if c.Index() != s.Index {
		t.Errorf("index %d after a write at %d", c.Index(), s.Index)
	}
}

func TestAFollowerPassesOnOnce(t *testing.T) {
	lead, follow, lost := standin.New(), standin.New(), standin.New()
	leader := coordinator(t, lead)
	follow.Lead = server.Leader{HTTPAddress: leader.URL}
	follower := coordinator(t, follow)
	c := connect(t, client.Options{Actor: "ada"}, follower)
	s, err := c.Submit(within(t), request, "k1")
	if err != nil || len(lead.Writes) != 1 || lead.Writes[0].Actor != "ada" || lead.Writes[0].RequestID != "k1" || len(follow.Writes) != 0 {
		t.Fatalf("%+v, %v; leader got %+v, follower %+v", s, err, lead.Writes, follow.Writes)
	}
	// The leader is at index 8, which the stand-in behind the follower never
	// reaches: what the leader reads must not wait for the follower.
	if _, err := c.Instance(within(t), "b1.1"); err != nil {
		t.Errorf("a leader's read over a follower: %v", err)
	}
	if _, err := c.Submit(within(t), v1.BackfillRequest{Mode: v1.ModeCurrent, Root: "x", Dates: []string{"2012-01-01"}}, "k1"); !fault.Is(err, fault.Conflict) {
		t.Errorf("the leader's refusal came as %v", err)
	}

	// Two that take each other for the leader.
	other := coordinator(t, lost)
	lost.Lead, follow.Lead = server.Leader{HTTPAddress: follower.URL}, server.Leader{HTTPAddress: other.URL}
	stop := v1.BackfillsOperation{Operation: v1.BackfillOperationStop, Backfills: []string{"b1"}}
	impatient := connect(t, client.Options{Patience: 50 * time.Millisecond}, follower)
	if _, err := impatient.Operate(within(t), stop); !fault.Is(err, fault.Unavailable) {
		t.Errorf("two followers: %v", err)
	}
	follow.Lead = server.Leader{HTTPAddress: dead(t).URL}
	if _, err := impatient.Operate(within(t), stop); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a dead leader: %v", err)
	}
	follow.Lead = server.Leader{}
	if _, err := impatient.Operate(within(t), stop); !fault.Is(err, fault.Unavailable) {
		t.Errorf("no leader: %v", err)
	}
}

// TestALaterRefusalDoesNotUndoWhatMayHaveHappened: a write whose first try was
// lost on the way back stays unknown, though those asked after it cannot be
// reached or have too much to do.
func TestALaterRefusalDoesNotUndoWhatMayHaveHappened(t *testing.T) {
	for _, code := range []fault.Code{fault.Unavailable, fault.Overloaded} {
		b, later := standin.New(), standin.New()
		b.Fail = func(call string) error {
			if call == "Submitted" {
				return fault.New(fault.Unknown, "leadership was lost while it was written")
			}
			return nil
		}
		var refusals atomic.Int32
		later.Fail = func(string) error {
			refusals.Add(1)
			return fault.New(code, "not now")
		}
		first := coordinator(t, b)
		o := client.Options{Patience: 300 * time.Millisecond, Tries: 1}
		o.OnRetry = func(server string, _ error) {
			if server == first.URL {
				first.CloseClientConnections()
				first.Listener.Close()
			}
		}
		_, err := connect(t, o, first, coordinator(t, later)).Submit(within(t), request, "")
		if !fault.Is(err, fault.Unknown) || len(b.Writes) != 1 || refusals.Load() == 0 {
			t.Errorf("%s after %d writes and %d refusals: %v", code, len(b.Writes), refusals.Load(), err)
		}
	}
}

func TestALeaderThatFallsSilentLeavesTheOutcomeUnknown(t *testing.T) {
	seen := make(chan string, 1000)
	breaking := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Idempotency-Key")
		panic(http.ErrAbortHandler)
	}))
	defer breaking.Close()
	follow := standin.New()
	follow.Lead = server.Leader{HTTPAddress: breaking.URL}
	follower := coordinator(t, follow)
	c := connect(t, client.Options{Patience: 30 * time.Millisecond}, follower)
	if _, err := c.Submit(within(t), request, ""); !fault.Is(err, fault.Unknown) {
		t.Errorf("over a follower: %v", err)
	}
	for first := <-seen; len(seen) > 0; {
		if k := <-seen; k != first || k == "" {
			t.Fatalf("keys %q and %q", first, k)
		}
	}
	if _, err := connect(t, client.Options{Patience: 30 * time.Millisecond}, breaking).Submit(within(t), request, ""); !fault.Is(err, fault.Unknown) {
		t.Errorf("direct: %v", err)
	}
}

func TestErrorsKeepTheirCodeFieldAndDetails(t *testing.T) {
	b := standin.New()
	c := connect(t, client.Options{}, coordinator(t, b))
	b.Fail = func(string) error {
		e := fault.Field("root", "node %q does not exist", "orders")
		return e.WithDetails(fault.Detail{Field: "dates[0]", Where: "a.yaml:1:2", Message: "too far"})
	}
	_, err := c.Submit(within(t), request, "")
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != fault.Invalid || e.Field != "root" || len(e.Details) != 1 || e.Details[0].Where != "a.yaml:1:2" {
		t.Errorf("%#v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Agents(cancelled, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", 418) }))
	defer stranger.Close()
	if _, err := connect(t, client.Options{}, stranger).Agents(within(t), nil); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "418") {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := client.New(client.Options{Servers: []string{"localhost:8470"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an address without http: %v", err)
	}
}

func TestReadsSeeTheClientsWrites(t *testing.T) {
	ahead, behind := standin.New(), standin.New()
	first := coordinator(t, ahead)
	c := connect(t, client.Options{}, first, coordinator(t, behind))
	if _, err := c.Operate(within(t), v1.BackfillsOperation{Operation: v1.BackfillOperationPause, Backfills: []string{"b1"}}); err != nil { // index 8
		t.Fatal(err)
	}
	ahead.Fail = func(string) error { return fault.New(fault.Unavailable, "shutting down") }
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.Agents(short, nil); err == nil {
		t.Error("a coordinator at index 7 answered a client that has seen 8")
	}
}

func TestALogIsFollowedWithoutGapOrRepetition(t *testing.T) {
	b := standin.New()
	var broke atomic.Int32
	b.Fail = func(call string) error {
		if strings.HasPrefix(call, "sent ") && broke.Add(1)%3 == 1 {
			return fault.New(fault.Unavailable, "this coordinator stops")
		}
		return nil
	}
	lines := []string{"one", "two", strings.Repeat("x", 120), "", "fünf"}
	b.WriteLog(cri.Stdout, false, lines[0])
	c := connect(t, client.Options{}, coordinator(t, b), coordinator(t, b))
	var got []string
	wrote := 1
	err := c.Follow(within(t), "b1.1", nil, func(l v1.LogLines) error {
		for _, line := range l.Lines {
			got = append(got, line.Text)
		}
		if wrote < len(lines) {
			b.WriteLog(cri.Stderr, false, lines[wrote])
			wrote++
		} else {
			b.EndLog()
		}
		return nil
	})
	if err != nil || strings.Join(got, "\n") != strings.Join(lines, "\n") {
		t.Errorf("%v\n%q\n%q", err, got, lines)
	}
	if broke.Load() < 3 {
		t.Errorf("the stream broke off %d times only", broke.Load())
	}
	if err := c.Follow(within(t), "b1.2", nil, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such instance: %v", err)
	}
}

func TestEventsResume(t *testing.T) {
	b := standin.New()
	b.Fail = func(call string) error {
		if call == "event e1" || call == "event e2" {
			return fault.New(fault.Overloaded, "the reader is too slow")
		}
		return nil
	}
	for _, id := range []string{"e1", "e2", "e3"} {
		b.Queue <- &v1.Event{ID: id, Type: v1.EventTypeBackfill, At: standin.At, Backfill: "b1"}
	}
	c := connect(t, client.Options{}, coordinator(t, b))
	ctx, cancel := context.WithCancel(within(t))
	var got []string
	err := c.Events(ctx, &v1.StreamEventsParams{Backfill: "b1", Types: []v1.EventType{v1.EventTypeBackfill}}, func(e v1.Event) error {
		if got = append(got, e.ID+" "+string(e.Type)); e.ID == "e3" {
			cancel()
		}
		return nil
	})
	// e0 is the reset: the stand-in resumes after e1, but not after e2.
	if want := "e1 backfill,e2 backfill,e0 reset,e3 backfill"; !errors.Is(err, context.Canceled) || strings.Join(got, ",") != want {
		t.Errorf("%v: %q", err, got)
	}
}

func TestASilentStreamIsGivenUp(t *testing.T) {
	var asked atomic.Int32
	b := standin.New()
	real := server.New(server.Options{Backend: b, Logger: slog.New(slog.DiscardHandler)})
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			real.Handler().ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer silent.Close()
	b.EndLog()
	c := connect(t, client.Options{IdleTimeout: 20 * time.Millisecond}, silent)
	if err := c.Follow(within(t), "b1.1", nil, nil); err != nil || asked.Load() != 2 {
		t.Errorf("%v after %d tries", err, asked.Load())
	}
}

func TestStartStop(t *testing.T) {
	b := standin.New()
	s := server.New(server.Options{Backend: b, Logger: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(l); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(l); !fault.Is(err, fault.Conflict) {
		t.Errorf("started twice: %v", err)
	}
	c := connect(t, client.Options{Patience: 10 * time.Millisecond}, &httptest.Server{URL: "http://" + l.Addr().String()})
	b.WriteLog(cri.Stdout, false, "one")
	stopped := make(chan error, 1)
	err = c.Follow(within(t), "b1.1", nil, func(v1.LogLines) error {
		go func() { stopped <- s.Stop(context.Background()) }() // while a stream is open
		return nil
	})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("the stream ended with %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
}
