package client_test

import (
	"context"
	"fmt"
	"log/slog"
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
	"backfleet/pkg/fault"
)

// TestOverloadIsWaitedForAsAskedAndNotForEver counts the tries and the waits.
func TestOverloadIsWaitedForAsAskedAndNotForEver(t *testing.T) {
	var asked atomic.Int32
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		asked.Add(1)
		_, _ = w.Write([]byte(`{"type":"about:blank","title":"Too Many Requests","status":429,"code":"overloaded","detail":"too much","requestId":"r"}`))
	}))
	defer busy.Close()
	var waits []time.Duration
	o := client.Options{Tries: 2, OnOverload: func(try, of int, wait time.Duration, err error) {
		if try != len(waits)+2 || of != 2 || !fault.Is(err, fault.Overloaded) {
			t.Errorf("try %d of %d after %v", try, of, err)
		}
		waits = append(waits, wait)
	}}
	began := time.Now()
	_, err := connect(t, o, busy).Submit(within(t), request, "")
	if !fault.Is(err, fault.Overloaded) || asked.Load() != 2 || len(waits) != 1 {
		t.Fatalf("%v after %d tries, waits %v", err, asked.Load(), waits)
	}
	if waits[0] < time.Second || waits[0] > 1600*time.Millisecond || time.Since(began) < waits[0] {
		t.Errorf("waited %v, in all %s", waits, time.Since(began))
	}
	// Whoever has less patience than the refusal asks for gives up sooner.
	impatient := connect(t, client.Options{Patience: 50 * time.Millisecond}, busy)
	if _, err := impatient.Submit(within(t), request, ""); !fault.Is(err, fault.Overloaded) {
		t.Errorf("the impatient got %v", err)
	}
}

// patient is for a machine that others use as well: it is no bound on anything.
const patient = 5 * time.Minute

// TestTenThousandNodesInOneCall sends a hundred thousand edges, packed, to a
// follower that passes them on.
func TestTenThousandNodesInOneCall(t *testing.T) {
	lead, follow := standin.New(), standin.New()
	var sent atomic.Int64
	inner := server.New(server.Options{Backend: lead, Logger: slog.New(slog.DiscardHandler), RequestTimeout: patient})
	leader := httptest.NewServer(inner.Handler())
	defer leader.Close()
	follow.Lead = server.Leader{HTTPAddress: leader.URL}
	outer := server.New(server.Options{Backend: follow, Logger: slog.New(slog.DiscardHandler), RequestTimeout: patient})
	follower := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s came unpacked", r.URL)
		}
		sent.Store(r.ContentLength)
		outer.Handler().ServeHTTP(w, r)
	}))
	defer follower.Close()

	code := strings.Repeat("insert into t select * from s where d = ${bizdate};\n", 20)
	var a v1.NodeApplication
	for i := range 10_000 {
		n := v1.Node{ID: fmt.Sprintf("n%05d", i), Code: code, Params: []v1.Assignment{{Name: "bizdate", Value: "$[yyyymmdd-1]"}}}
		for k := 1; k <= 10 && k <= i; k++ {
			n.Upstreams = append(n.Upstreams, v1.Upstream{Node: fmt.Sprintf("n%05d", i-k)})
		}
		a.Nodes = append(a.Nodes, n)
	}
	c := connect(t, client.Options{AttemptTimeout: patient}, follower)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	got, err := c.ApplyNodes(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	if got.Counts.Added != 10_000 || got.Index == 0 || sent.Load() > 4<<20 {
		t.Errorf("%+v, %d bytes sent", got.Counts, sent.Load())
	}
	a.Nodes[7312].Upstreams[3].Node = "nowhere"
	_, err = c.ApplyNodes(ctx, a)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), `nodes["n07312"].upstreams[3]`) {
		t.Errorf("one wrong edge: %v", err)
	}
}
