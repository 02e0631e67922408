package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
)

// listening serves a stand-in on a real socket.
func listening(t *testing.T, b *standin.Backend, o server.Options) (*server.Server, *httptest.Server) {
	t.Helper()
	o.Backend, o.Logger = b, slog.New(slog.DiscardHandler)
	s := server.New(o)
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		h.Close()
	})
	return s, h
}

// answer is what became of a request.
type answer struct {
	status int
	after  string
	p      v1.Problem
	body   []byte
}

func send(t testing.TB, h *httptest.Server, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, h.URL+path, body)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	for k := 0; k+1 < len(headers); k += 2 {
		r.Header.Set(headers[k], headers[k+1])
	}
	w, err := h.Client().Do(r)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return answer{}
	}
	defer w.Body.Close()
	out := answer{status: w.StatusCode, after: w.Header.Get("Retry-After")}
	if out.body, err = io.ReadAll(w.Body); err != nil {
		t.Error(err)
	}
	if out.status >= 300 {
		if err := json.Unmarshal(out.body, &out.p); err != nil {
			t.Errorf("%s %s: %d %s", method, path, out.status, out.body)
		}
	}
	return out
}

const stopB1, resumeB1 = `{"operation":"stop","backfills":["b1"]}`, `{"operation":"resume","backfills":["b1"]}`

// TestAFloodIsRefusedAndWhatRelievesGetsThrough holds every call of the backend
// until the end, and sends far more requests than there are places.
func TestAFloodIsRefusedAndWhatRelievesGetsThrough(t *testing.T) {
	b := standin.New()
	hold := make(chan struct{})
	var inside, most atomic.Int64
	b.Fail = func(call string) error {
		switch call {
		case "Agents", "Receipt", "Submit":
		default:
			return nil
		}
		for n := inside.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		<-hold
		inside.Add(-1)
		return nil
	}
	limits := server.Places{Reads: 8, Heavy: 2, Writes: 4, Relief: 2, Streams: 3, Large: 1}
	s, h := listening(t, b, server.Options{Places: limits})
	h.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 100

	const flood = 3000
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kinds := []struct{ method, path, body string }{
		{"GET", "/v1/agents", ""}, {"GET", "/v1/backfills/b1/receipt", ""}, {"POST", "/v1/backfills", aRequest},
		{"POST", "/v1/backfills/operate", resumeB1},
	}
	var done sync.WaitGroup
	var ok, refused atomic.Int64
	connections := make(chan struct{}, 200)
	for i := range flood {
		k := kinds[i%len(kinds)]
		done.Go(func() {
			connections <- struct{}{}
			defer func() { <-connections }()
			a := send(t, h, k.method, k.path, strings.NewReader(k.body))
			if a.status < 300 {
				ok.Add(1)
				return
			}
			if a.status != http.StatusTooManyRequests || a.p.Code != v1.ErrorCodeOverloaded || a.after == "" || !strings.Contains(a.p.Detail, "nothing was done") {
				t.Errorf("%s: %d %+v", k.path, a.status, a.p)
			}
			refused.Add(1)
		})
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/v1/cluster"} {
		if a := send(t, h, "GET", path, nil); a.status != http.StatusOK {
			t.Errorf("%s under a flood: %d %s", path, a.status, a.body)
		}
	}
	for path, body := range map[string]string{"/v1/backfills/operate": stopB1, "/v1/backfills/b1/stop": "{}", "/v1/backfills/b1/pause": "{}", "/v1/backfills/b1/freeze": "{}"} {
		if a := send(t, h, "POST", path, strings.NewReader(body)); a.status != http.StatusOK {
			t.Errorf("%s under a flood: %d %s", path, a.status, a.body)
		}
	}
	// Those that hold a place are the only ones that get no answer.
	places := int64(limits.Reads + limits.Heavy + limits.Writes)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(60 * time.Second); ok.Load()+refused.Load() < flood-places; {
		select {
		case <-deadline:
			t.Fatalf("%d answered, %d refused: %+v", ok.Load(), refused.Load(), s.Load())
		case <-tick.C:
		}
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB under the flood", grown>>20)
	}
	if n := most.Load(); n != places {
		t.Errorf("%d calls were inside at once, expected as many as there are places, %d", n, places)
	}
	for _, l := range s.Load() {
		if l.Active > l.Limit || slices.Contains([]string{"read", "heavy", "write"}, l.Class) && l.Refused == 0 {
			t.Errorf("%+v", l)
		}
	}
	close(hold)
	done.Wait()
	for _, l := range s.Load() {
		if l.Active != 0 || l.Waiting != 0 {
			t.Errorf("after the flood: %+v", l)
		}
	}
	if a := send(t, h, "GET", "/v1/agents", nil); a.status != http.StatusOK {
		t.Errorf("after the flood: %d %s", a.status, a.body)
	}
}

// TestStreamsAndLargeRequestsHavePlacesOfTheirOwn fills them.
func TestStreamsAndLargeRequestsHavePlacesOfTheirOwn(t *testing.T) {
	b := standin.New()
	s, h := listening(t, b, server.Options{Places: server.Places{Streams: 2, Large: 1}, Heartbeat: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		r, err := http.NewRequestWithContext(ctx, "GET", h.URL+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := h.Client().Do(r)
		if err != nil || w.StatusCode != http.StatusOK {
			t.Fatal(err, w)
		}
		defer w.Body.Close()
	}
	if a := send(t, h, "GET", "/v1/events", nil); a.status != http.StatusTooManyRequests || a.after != "5" || !strings.Contains(a.p.Detail, "2 streams") {
		t.Errorf("a third stream: %d %+v", a.status, a.p)
	}
	cancel()

	// One that holds the place for large requests with a body that does not end.
	body, held := io.Pipe()
	first := make(chan answer, 1)
	go func() { first <- send(t, h, "PUT", "/v1/nodes", body) }()
	if _, err := held.Write(bytes.Repeat([]byte(" "), 2<<20)); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for taken := false; !taken; <-tick.C {
		for _, l := range s.Load() {
			taken = taken || l.Class == "large" && l.Active == 1
		}
	}
	if a := send(t, h, "PUT", "/v1/nodes", bytes.NewReader(bytes.Repeat([]byte(" "), 2<<20))); a.status != http.StatusTooManyRequests {
		t.Errorf("a second large request: %d %s", a.status, a.body)
	}
	if a := send(t, h, "PUT", "/v1/nodes", strings.NewReader(`{"nodes":[{"id":"small","code":"true"}]}`)); a.status != http.StatusOK {
		t.Errorf("a small one beside it: %d %s", a.status, a.body)
	}
	held.Close()
	if a := <-first; a.status != http.StatusBadRequest {
		t.Errorf("an empty large request: %d %s", a.status, a.body)
	}
	for _, l := range s.Load() {
		if l.Class == "large" && (l.Active != 0 || l.Refused != 1) {
			t.Errorf("%+v", l)
		}
	}
}

func zipped(t *testing.T, data []byte) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

// TestRequestsMayBePacked reads gzip, and bounds what it unpacks to.
func TestRequestsMayBePacked(t *testing.T) {
	b := standin.New()
	_, h := listening(t, b, server.Options{MaxBody: 4 << 20})
	text := []byte(`{"nodes":[{"id":"a","code":"true"}]}`)
	if a := send(t, h, "PUT", "/v1/nodes", zipped(t, text), "Content-Encoding", "gzip", "Idempotency-Key", "k"); a.status != http.StatusOK {
		t.Errorf("packed: %d %s", a.status, a.body)
	}
	if a := send(t, h, "PUT", "/v1/nodes", bytes.NewReader(text), "Content-Encoding", "gzip"); a.status != http.StatusBadRequest || !strings.Contains(a.p.Detail, "gzip") {
		t.Errorf("not packed: %d %s", a.status, a.body)
	}
	if a := send(t, h, "PUT", "/v1/nodes", bytes.NewReader(text), "Content-Encoding", "br"); a.status != http.StatusBadRequest || a.p.Field != "Content-Encoding" {
		t.Errorf("packed otherwise: %d %s", a.status, a.body)
	}
	bomb := zipped(t, bytes.Repeat([]byte(" "), 20<<20))
	if a := send(t, h, "PUT", "/v1/nodes", bomb, "Content-Encoding", "gzip"); a.status != http.StatusRequestEntityTooLarge || !strings.Contains(a.p.Detail, fmt.Sprint(4<<20)) {
		t.Errorf("%d packed bytes of 20 MiB: %d %s", bomb.Len(), a.status, a.body)
	}
	if a := send(t, h, "PUT", "/v1/nodes", bytes.NewReader(bytes.Repeat([]byte(" "), 5<<20))); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("5 MiB: %d %s", a.status, a.body)
	}
	cut := zipped(t, bytes.Repeat(text, 1000)).Bytes()
	if a := send(t, h, "PUT", "/v1/nodes", bytes.NewReader(cut[:len(cut)/2]), "Content-Encoding", "gzip"); a.status != http.StatusBadRequest || !strings.Contains(a.p.Detail, "broke off") {
		t.Errorf("half of it: %d %s", a.status, a.body)
	}
}

// TestMistakesAreFoundByTheirPlace names what is wrong with one node of many,
// and at most a hundred mistakes.
func TestMistakesAreFoundByTheirPlace(t *testing.T) {
	var nodes []string
	for i := range 10_000 {
		nodes = append(nodes, fmt.Sprintf(`{"id":"n%d","code":"true"}`, i))
	}
	_, h := listening(t, standin.New(), server.Options{})
	ask := func(change func([]string)) v1.Problem {
		all := append([]string(nil), nodes...)
		change(all)
		a := send(t, h, "PUT", "/v1/nodes", strings.NewReader(`{"nodes":[`+strings.Join(all, ",")+`]}`))
		if a.status != http.StatusBadRequest || len(a.body) > 64<<10 {
			t.Fatalf("%d, %d bytes", a.status, len(a.body))
		}
		return a.p
	}
	for wrong, want := range map[string][2]string{
		`{"id":"n7312","retries":"3"}`:                                           {"nodes[7312].retries", "whole number"},
		`{"id":"n7312","retries":3000000000}`:                                    {"nodes[7312].retries", "3000000000"},
		`{"id":"n7312","Retries":3}`:                                             {"nodes[7312].Retries", "no such field"},
		`{"id":"n7312","schedule":{"kind":"daily","days":["x"]}}`:                {"nodes[7312].schedule.days[0]", "last"},
		`{"id":"n7312","upstreams":[{"node":"n1"},"n2"]}`:                        {"nodes[7312].upstreams[1]", "an object"},
		`{"id":"n7312","schedule":{"kind":"daily","at":"25:00"}}`:                {`nodes["n7312"].schedule.at`, "23:59"},
		`{"id":"n7312","code":"true","upstreams":[{"node":"n1"},{"node":"nx"}]}`: {"", "1 problem"},
	} {
		p := ask(func(all []string) { all[7312] = wrong })
		if p.Field != want[0] || !strings.Contains(p.Detail, want[1]) {
			t.Errorf("%s: %+v", wrong, p)
		}
		if want[0] == "" && (len(p.Errors) != 1 || p.Errors[0].Field != `nodes["n7312"].upstreams[1]`) {
			t.Errorf("%s: %+v", wrong, p.Errors)
		}
	}
	for _, wrong := range []string{`{"id":"n%d","misspelt":1}`, `{"id":"n%d","mode":"off"}`, `{"id":"n%d","code":"true","retries":-1}`} {
		p := ask(func(all []string) {
			for i := range all {
				all[i] = fmt.Sprintf(wrong, i)
			}
		})
		if n := len(p.Errors); n != 101 || !strings.Contains(p.Detail, "10000") || !strings.Contains(p.Errors[100].Message, "9900 more") {
			t.Errorf("%s: %d mistakes, %s, the last %+v", wrong, n, p.Detail, p.Errors[max(0, n-1)])
		}
	}
	deep := strings.Repeat("[", 100_000)
	if a := send(t, h, "PUT", "/v1/nodes", strings.NewReader(`{"nodes":`+deep)); a.status != http.StatusBadRequest || !strings.Contains(a.p.Detail, "deep") {
		t.Errorf("nested: %d %s", a.status, a.body)
	}
}
