package spans

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"backfleet/pkg/trace"
)

// collector takes spans when it is let.
type collector struct {
	let  chan error // what each message is answered
	mu   sync.Mutex
	got  []sdk.ReadOnlySpan
	most int
	down bool
	// forgets has it keep nothing.
	forgets bool
}

func (c *collector) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	select {
	case err := <-c.let:
		c.mu.Lock()
		defer c.mu.Unlock()
		if err == nil && !c.forgets {
			c.got = append(c.got, spans...)
		}
		c.most = max(c.most, len(spans))
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *collector) Shutdown(context.Context) error { c.down = true; return nil }

func counts(t *testing.T, c *prometheus.CounterVec) (out [3]int) {
	t.Helper()
	for i, o := range []string{exported, dropped, refused} {
		var m dto.Metric
		if err := c.WithLabelValues(o).Write(&m); err != nil {
			t.Fatal(err)
		}
		out[i] = int(m.Counter.GetValue())
	}
	return out
}

func sample(n int) Span {
	id := trace.Cluster{Generation: 1, Ratio: 1}.Backfill(uint64(n))
	return Span{Trace: id, ID: id.Span(trace.Process, 1, 2), Parent: id.Span(trace.Attempt, 1, 2), Name: "process", Start: noon, End: noon.Add(time.Second), Outcome: failed, Cause: "x"}
}

// A collector that takes nothing makes nobody wait: what is too much is dropped and
// counted, and memory is bounded.
func TestASlowCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &collector{let: make(chan error)}
		e := NewExporter(to, Count(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { e.Run(ctx) })
		const offered = 3 * queued
		for i := range offered {
			e.Offer(sample(i)) // would not come back
		}
		synctest.Wait()
		if n := counts(t, e.count); n[0] != 0 || n[2] != 0 || n[1] < offered-queued-2*batched {
			t.Errorf("%v exported, dropped, failed", n)
		}
		to.let <- errors.New("no")
		for range 2 * queued / batched {
			select {
			case to.let <- nil:
			case <-time.After(time.Second):
			}
			synctest.Wait()
		}
		cancel()
		run.Wait()
		n := counts(t, e.count)
		if n[0] != len(to.got) || n[0]+n[1]+n[2] != offered || n[2] != batched || to.most != batched || !to.down {
			t.Errorf("%v exported, dropped, failed; the collector has %d of %d", n, len(to.got), offered)
		}
	})
}

// At the end there is a moment for what waits, and no more.
func TestTheEndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &collector{let: make(chan error)}
		e := NewExporter(to, Count(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		e.Offer(sample(1))
		cancel()
		began := time.Now()
		e.Run(ctx)
		if took := time.Since(began); took != farewell || counts(t, e.count) != [3]int{0, 0, 1} {
			t.Errorf("the end took %s", took)
		}
	})
}

func TestAsExported(t *testing.T) {
	to := &collector{let: make(chan error, 1)}
	e := NewExporter(to, Count(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	s := sample(1)
	s.Events, s.Links = []Event{{"x", noon}}, []Link{{s.Trace, s.Parent, "retry"}}
	e.Offer(s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to.let <- nil
	e.Run(ctx)
	got := to.got[0]
	if got.SpanContext().TraceID() != otel.TraceID(s.Trace) || got.SpanContext().SpanID() != otel.SpanID(s.ID) || got.Parent().SpanID() != otel.SpanID(s.Parent) ||
		!got.StartTime().Equal(s.Start) || !got.EndTime().Equal(s.End) || got.Status().Description != "x" || len(got.Events()) != 1 || len(got.Links()) != 1 {
		t.Errorf("%+v", got)
	}
	s.Parent = trace.SpanID{}
	e.make(s)
	if got := e.made[0]; got.SpanContext().TraceID() != otel.TraceID(s.Trace) || got.SpanContext().SpanID() != otel.SpanID(s.ID) || got.Parent().IsValid() {
		t.Errorf("a root: %+v", got)
	}
}

func TestSettings(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "headers")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const far = "https://otel.example.org:4317"
	for _, x := range []struct {
		s            Settings
		secure, open bool
		wrong        string // the flag; empty: it is right
	}{
		{Settings{}, false, false, ""},
		{Settings{Endpoint: far, Ratio: 1}, false, false, ""},
		{Settings{Endpoint: far, Ratio: 0.5, MTLS: true}, true, false, ""},
		{Settings{Endpoint: "http://127.0.0.1:4317", Ratio: 1}, false, false, ""},
		{Settings{Endpoint: "http://otel:4317", Ratio: 1}, false, true, ""},
		{Settings{Endpoint: far, Headers: file("# ours\nAuthorization: Bearer s3cret\n\n")}, false, false, ""},
		{Settings{Endpoint: "http://otel:4317", Ratio: 1}, false, false, FlagEndpoint},
		{Settings{Endpoint: "http://127.0.0.1:4317", CA: "x"}, false, false, FlagEndpoint},
		{Settings{Endpoint: "otel:4317"}, false, false, FlagEndpoint},
		{Settings{Endpoint: "https://otel"}, false, false, FlagEndpoint},
		{Settings{Endpoint: "https://me:s3cret@otel:4317"}, false, false, FlagEndpoint},
		{Settings{Endpoint: "https://otel:4317/v1/traces"}, false, false, FlagEndpoint},
		{Settings{Endpoint: far, MTLS: true}, false, false, FlagMTLS},
		{Settings{Endpoint: far, MTLS: true, CA: "x"}, true, false, FlagCA},
		{Settings{Ratio: 1.1}, false, false, FlagRatio},
		{Settings{Ratio: -0.1}, false, false, FlagRatio},
		{Settings{Endpoint: far, Headers: file("s3cret")}, false, false, FlagHeaders},
		{Settings{Endpoint: far, Headers: file("a b: s3cret")}, false, false, FlagHeaders},
		{Settings{Endpoint: far, Headers: filepath.Join(t.TempDir(), "none")}, false, false, FlagHeaders},
	} {
		err := x.s.Check(x.secure, x.open)
		if (err == nil) != (x.wrong == "") || err != nil && (!strings.Contains(err.Error(), x.wrong) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%+v: %v, want %q", x.s, err, x.wrong)
		}
	}
	got, err := headers(file("Authorization: Bearer s3cret\nx-scope: a:b")).GetRequestMetadata(t.Context())
	if err != nil || len(got) != 2 || got["authorization"] != "Bearer s3cret" || got["x-scope"] != "a:b" {
		t.Errorf("%v, %v", got, err)
	}
}
