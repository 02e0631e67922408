package trace_test

import (
	"math/rand/v2"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"backfleet/pkg/calendar"
	"backfleet/pkg/trace"
)

// Ids stand in backends and in logs of attempts: a new binary must not name what
// runs otherwise than the one before.
func TestIDsStay(t *testing.T) {
	c := trace.Cluster{Generation: 0xabc, Ratio: 1}
	date := c.Date(12, 19723)
	for _, x := range []struct{ got, want string }{
		{c.Parent(date, date.Span(trace.Process, 345, 6789)), "00-058c18ddbf4be8667878a7916e486021-ef484f71442ff741-01"},
		{c.Parent(c.Backfill(12), c.Backfill(12).Span(trace.Submit, 0, 0)), "00-53182c8668857f7f109e6a4bd0118444-93aad4939f3f9e71-01"},
	} {
		if x.got != x.want {
			t.Errorf("got %s, want %s", x.got, x.want)
		}
	}
}

// What differs in anything has another id, and each is one by W3C's rules.
func TestIDsAreApart(t *testing.T) {
	seen := map[string]bool{}
	traces := map[trace.ID]bool{}
	for _, generation := range []uint64{1, 1 << 24} {
		c := trace.Cluster{Generation: generation, Ratio: 1}
		for plan := range uint64(4) {
			ids := []trace.ID{c.Backfill(plan), c.Failover(plan)}
			for d := range calendar.Date(5) {
				ids = append(ids, c.Date(plan, d-2))
			}
			for _, id := range ids {
				if traces[id] || !otel.TraceID(id).IsValid() {
					t.Errorf("trace %x is there already, or none", id)
				}
				traces[id] = true
				for kind := trace.Submit; kind <= trace.Call; kind++ {
					for instance := range uint64(3) {
						for fence := range uint64(3) {
							span := id.Span(kind, instance, fence)
							text := c.Parent(id, span)
							read := otel.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": text}))
							if read.TraceID() != otel.TraceID(id) || read.SpanID() != otel.SpanID(span) || !read.IsSampled() || seen[text] {
								t.Errorf("%s is read as %v, or there already", text, read)
							}
							seen[text] = true
						}
					}
				}
			}
		}
	}
}

// Of all dates the part that was asked for is taken, the same that OpenTelemetry's
// own sampler takes; a larger part has all of a smaller one.
func TestRatio(t *testing.T) {
	const dates = 20_000
	before := make([]bool, dates)
	for _, ratio := range []float64{0, 0.001, 0.1, 0.5, 1} {
		c, sampler, taken := trace.Cluster{Generation: 7, Ratio: ratio}, sdk.TraceIDRatioBased(ratio), 0
		for d := range dates {
			id := c.Date(3, calendar.Date(d))
			takes := c.Takes(id)
			if want := sampler.ShouldSample(sdk.SamplingParameters{TraceID: otel.TraceID(id)}).Decision == sdk.RecordAndSample; takes != want {
				t.Fatalf("ratio %v of %x: %v, and OpenTelemetry says %v", ratio, id, takes, want)
			}
			if before[d] && !takes {
				t.Errorf("ratio %v leaves out %x, which a smaller one takes", ratio, id)
			}
			if before[d] = takes; takes {
				taken++
			}
			if text := c.Parent(id, trace.SpanID{1}); (text[len(text)-1] == '1') != takes {
				t.Errorf("%s says otherwise", text)
			}
		}
		if got := float64(taken) / dates; got < ratio*0.6-0.0001 || got > ratio*1.4 {
			t.Errorf("of ratio %v, %v were taken", ratio, got)
		}
	}
}

func TestHeader(t *testing.T) {
	for range 100 {
		c := trace.Cluster{Generation: rand.Uint64(), Ratio: 1 - rand.Float64()}
		if got := trace.Of(c.Header()); got != c {
			t.Errorf("got %v, want %v", got, c)
		}
	}
	for _, md := range []metadata.MD{nil, trace.Cluster{Generation: 1}.Header(), metadata.Pairs("backfleet-trace", "x/1"), metadata.Pairs("backfleet-trace", "1/NaN"),
		metadata.Pairs("backfleet-trace", "1/+Inf"), metadata.Pairs("backfleet-trace", "1"), metadata.Pairs("backfleet-trace", "1/-1")} {
		if got := trace.Of(md); got.On() {
			t.Errorf("%v is taken for %v", md, got)
		}
	}
}
