package traces

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// span is one that came in, and from whom.
type span struct {
	*otlp.Span
	from string // service.instance.id
	says map[string]string
}

func (s *span) id() string     { return hex.EncodeToString(s.SpanId) }
func (s *span) parent() string { return hex.EncodeToString(s.ParentSpanId) }
func (s *span) trace() string  { return hex.EncodeToString(s.TraceId) }

// backend is a collector.
type backend struct {
	collector.UnimplementedTraceServiceServer
	address string

	mu  sync.Mutex
	got []*span
}

func (b *backend) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, whole := range r.ResourceSpans {
		whose := texts(whole.Resource.Attributes)
		for _, scope := range whole.ScopeSpans {
			for _, s := range scope.Spans {
				b.got = append(b.got, &span{s, whose["service.name"] + "/" + whose["service.instance.id"], texts(s.Attributes)})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func texts(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		out[a.Key] = a.Value.GetStringValue()
	}
	return out
}

func (b *backend) spans() []*span {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func startBackend(t *testing.T) *backend {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, s := &backend{address: "http://" + l.Addr().String()}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, b)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return b
}
