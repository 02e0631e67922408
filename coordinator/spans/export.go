package spans

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	otel "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	queued  = 8192 // spans that wait; what is more is dropped
	batched = 512  // spans of one message
	// linger is how long a span waits for others to share a message.
	linger = 250 * time.Millisecond
	// farewell bounds what is still exported at the end.
	farewell = 2 * time.Second
)

var nothing = context.Background()

// Outcomes of spans, as the figure has them.
const (
	exported = "exported"
	dropped  = "dropped"
	refused  = "failed"
)

// Count makes the figure of spans by what became of them.
func Count(r prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backfleet_trace_spans_total", Help: "Spans that this coordinator made, by what became of them: exported, dropped (too many waited) or failed (the collector did not take them).",
	}, []string{"outcome"})
	for _, o := range []string{exported, dropped, refused} {
		c.WithLabelValues(o)
	}
	r.MustRegister(c)
	return c
}

// Exporter hands spans to a collector, in batches. What the collector cannot take in
// time waits, up to a bound, and is dropped beyond it.
type Exporter struct {
	to     sdk.SpanExporter
	tracer trace.Tracer
	made   batch
	count  *prometheus.CounterVec
	logger *slog.Logger
	queue  chan Span
	fails  bool // the last export has
}

// NewExporter makes one; Run does the work. Options say whose spans they are
// (sdk.WithResource).
func NewExporter(to sdk.SpanExporter, count *prometheus.CounterVec, logger *slog.Logger, options ...sdk.TracerProviderOption) *Exporter {
	e := &Exporter{to: to, count: count, logger: logger, queue: make(chan Span, queued)}
	options = append(options, sdk.WithIDGenerator(given{}), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithSpanProcessor(&e.made))
	e.tracer = sdk.NewTracerProvider(options...).Tracer("backfleet")
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Debug("OpenTelemetry", "error", err) }))
	return e
}

// Offer implements Sink.
func (e *Exporter) Offer(s Span) {
	select {
	case e.queue <- s:
	default:
		e.count.WithLabelValues(dropped).Inc()
	}
}

// Run exports until ctx ends, and then for a moment what is there still.
func (e *Exporter) Run(ctx context.Context) {
	work, abandon := context.WithCancel(nothing)
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(farewell, abandon) })()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case s := <-e.queue:
			e.make(s)
			e.gather(ctx)
			e.export(work)
		}
	}
	for len(e.queue) > 0 {
		for len(e.queue) > 0 && len(e.made) < batched {
			e.make(<-e.queue)
		}
		e.export(work)
	}
	_ = e.to.Shutdown(work)
}

// gather takes what comes in the time for which a span may wait.
func (e *Exporter) gather(ctx context.Context) {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for len(e.made) < batched {
		select {
		case s := <-e.queue:
			e.make(s)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (e *Exporter) export(ctx context.Context) {
	n := float64(len(e.made))
	err := e.to.ExportSpans(ctx, e.made)
	clear(e.made)
	e.made = e.made[:0]
	if err == nil {
		e.count.WithLabelValues(exported).Add(n)
	} else {
		e.count.WithLabelValues(refused).Add(n)
	}
	switch {
	case err == nil && e.fails:
		e.logger.Info("the collector takes traces again")
	case err != nil && !e.fails && ctx.Err() == nil:
		e.logger.Warn("the collector does not take traces; the work goes on without", "error", err)
	}
	e.fails = err != nil
}

// make turns a span into one of the library's, and puts it into the batch.
func (e *Exporter) make(s Span) {
	ctx := context.WithValue(nothing, given{}, &s)
	var none trace.SpanID
	if parent := trace.SpanID(s.Parent); parent != none {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID(s.Trace), SpanID: parent, TraceFlags: trace.FlagsSampled,
		}))
	}
	options := []trace.SpanStartOption{trace.WithTimestamp(s.Start), trace.WithAttributes(s.Attributes...)}
	if s.Server {
		options = append(options, trace.WithSpanKind(trace.SpanKindServer))
	}
	for _, l := range s.Links {
		options = append(options, trace.WithLinks(trace.Link{
			SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID(l.Trace), SpanID: trace.SpanID(l.ID), TraceFlags: trace.FlagsSampled}),
			Attributes:  []attribute.KeyValue{attribute.String("backfleet.link", l.Why)},
		}))
	}
	_, span := e.tracer.Start(ctx, s.Name, options...)
	for _, ev := range s.Events {
		span.AddEvent(ev.Name, trace.WithTimestamp(ev.At))
	}
	switch s.Outcome {
	case well:
		span.SetStatus(codes.Ok, "")
	case failed:
		span.SetStatus(codes.Error, s.Cause)
	default:
	}
	span.End(trace.WithTimestamp(s.End))
}

// given gives the library the ids that a span has.
type given struct{}

// NewIDs implements sdk.IDGenerator.
func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	s := ctx.Value(given{}).(*Span)
	return trace.TraceID(s.Trace), trace.SpanID(s.ID)
}

// NewSpanID implements sdk.IDGenerator.
func (given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	return trace.SpanID(ctx.Value(given{}).(*Span).ID)
}

// batch is spans that go out together. It implements sdk.SpanProcessor.
type batch []sdk.ReadOnlySpan

// OnStart implements sdk.SpanProcessor.
func (*batch) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor.
func (b *batch) OnEnd(s sdk.ReadOnlySpan) { *b = append(*b, s) }

// ForceFlush implements sdk.SpanProcessor.
func (*batch) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdk.SpanProcessor.
func (*batch) Shutdown(context.Context) error { return nil }
