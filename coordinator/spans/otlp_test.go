package spans

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"
)

// gateway is a collector behind TLS that notes what it is shown.
type gateway struct {
	otlp.UnimplementedTraceServiceServer
	shown []string // the tokens
	whose []string // service.name and service.instance.id
}

func (g *gateway) Export(ctx context.Context, r *otlp.ExportTraceServiceRequest) (*otlp.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	g.shown = append(g.shown, strings.Join(md.Get("authorization"), "+"))
	g.whose = nil
	for _, a := range r.ResourceSpans[0].Resource.Attributes {
		if strings.HasPrefix(a.Key, "service.") {
			g.whose = append(g.whose, a.Key+"="+a.Value.GetStringValue())
		}
	}
	slices.Sort(g.whose)
	return &otlp.ExportTraceServiceResponse{}, nil
}

// Traces go to whom the settings trust and to nobody else, with a token that may
// change, and say whose they are.
func TestCollectorsBehindTLS(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5000") // only who is refused waits so long
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=elsewhere,service.instance.id=c9,service.namespace=etl")
	load := func(files mtls.Files) *mtls.Material {
		m, err := mtls.Load(files)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ours, others := mtlstest.NewCA(t), mtlstest.NewCA(t)
	own, foreign := ours.Issue(mtls.CoordinatorName("c1")), others.Issue("x")
	theirs := load(ours.Issue("collector"))
	for name, x := range map[string]struct {
		certify bool // the collector asks for a certificate
		s       Settings
		taken   bool
	}{
		"by authority":           {false, Settings{CA: own.CA}, true},
		"by the cluster's":       {true, Settings{MTLS: true}, true},
		"nobody shows one":       {true, Settings{CA: own.CA}, false},
		"of another authority":   {false, Settings{CA: foreign.CA}, false},
		"not of the system's":    {false, Settings{}, false},
		"with a name of its own": {false, Settings{CA: own.CA, Service: "night"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			config := theirs.PublicServer(false)
			if x.certify {
				config = theirs.Server()
			}
			g, server := &gateway{}, grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
			otlp.RegisterTraceServiceServer(server, g)
			go func() { _ = server.Serve(l) }()
			defer server.Stop()
			x.s.Endpoint, x.s.Ratio, x.s.Headers = "https://"+l.Addr().String(), 1, filepath.Join(t.TempDir(), "headers")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var e *Exporter
			for i, token := range []string{"one", "two"} {
				if err := os.WriteFile(x.s.Headers, []byte("Authorization: "+token+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := x.s.Check(true, false); err != nil {
					t.Fatal(err)
				}
				if e == nil {
					if e, err = x.s.Open(ctx, "c1", "1.2", load(own), Count(prometheus.NewRegistry()), slog.New(slog.DiscardHandler)); err != nil {
						t.Fatal(err)
					}
				}
				e.make(sample(i))
				if e.export(ctx); !x.taken {
					break
				}
			}
			n, want := counts(t, e.count), [3]int{0, 0, 1}
			if x.taken {
				want = [3]int{2, 0, 0}
				service := "elsewhere"
				if x.s.Service != "" {
					service = x.s.Service
				}
				if whose := []string{"service.instance.id=c1", "service.name=" + service, "service.namespace=etl", "service.version=1.2"}; !slices.Equal(g.whose, whose) ||
					!slices.Equal(g.shown, []string{"one", "two"}) {
					t.Errorf("shown %q by %q, want %q", g.shown, g.whose, whose)
				}
			}
			if n != want || !x.taken && len(g.shown) > 0 {
				t.Errorf("%v exported, dropped, failed, want %v; the collector was shown %q", n, want, g.shown)
			}
		})
	}
}
