package spans

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

// Names of the flags.
const (
	FlagEndpoint = "otlp-endpoint"
	FlagCA       = "otlp-ca"
	FlagMTLS     = "otlp-mtls"
	FlagHeaders  = "otlp-headers-file"
	FlagRatio    = "trace-ratio"
	FlagService  = "trace-service"
)

// DefaultService is what traces call the coordinators together.
const DefaultService = "backfleet"

// Settings say where spans go. What they leave open, the variables OTEL_EXPORTER_OTLP_… and
// OTEL_RESOURCE_ATTRIBUTES may say; only Endpoint switches tracing on.
type Settings struct {
	// Endpoint is the collector's, https://host:4317, or http:// on the loopback.
	// Default: nothing is traced.
	Endpoint string
	// CA is a PEM file with authorities that are trusted for it. Default: the system's.
	CA string
	// MTLS proves this coordinator to it by its own certificate, and trusts the
	// cluster's authority.
	MTLS bool
	// Headers is a file with a header on each line, "name: value", for instance a
	// token. It is read for each message, so that a new one holds at once.
	Headers string
	// Ratio is the part of the dates that is traced. Every coordinator of a cluster
	// should have the same.
	Ratio float64
	// Service is the resource's service.name. Default: DefaultService.
	Service string
}

// On says whether anything is traced.
func (s *Settings) On() bool { return s.Endpoint != "" && s.Ratio > 0 }

// Check refuses what cannot work, by the name of the flag. Secure: the coordinator has
// certificates; open: what protects the network is something else.
func (s *Settings) Check(secure, open bool) error {
	if !(s.Ratio >= 0 && s.Ratio <= 1) {
		return fault.Field(FlagRatio, "%v: expected 0 to 1", s.Ratio)
	}
	if s.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Port() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fault.Field(FlagEndpoint, "expected where the collector takes OTLP by gRPC, such as https://otel.example.org:4317") // it may have a password in it
	case u.Scheme == "http" && !open && !mtls.Loopback(u.Host):
		return fault.Field(FlagEndpoint, "%q: traces would go over the network as plain text: expected https", s.Endpoint)
	case u.Scheme == "http" && (s.MTLS || s.CA != ""):
		return fault.Field(FlagEndpoint, "%q: expected https, as --%s or --%s says", s.Endpoint, FlagMTLS, FlagCA)
	case s.MTLS && !secure:
		return fault.Field(FlagMTLS, "it needs TLS: give %s, %s and %s", mtls.FlagCert, mtls.FlagKey, mtls.FlagCA)
	case s.MTLS && s.CA != "":
		return fault.Field(FlagCA, "it cannot be combined with --%s, which trusts the cluster's own authority", FlagMTLS)
	}
	if s.Headers != "" {
		_, err = headers(s.Headers).GetRequestMetadata(nothing)
	}
	return err
}

// client is the library's exporter.
func (s *Settings) client(ctx context.Context, secure *mtls.Material) (sdk.SpanExporter, error) {
	options := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpointURL(s.Endpoint),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: 100 * time.Millisecond, MaxInterval: 2 * time.Second, MaxElapsedTime: time.Minute}),
	}
	switch {
	case strings.HasPrefix(s.Endpoint, "http:"):
		options = append(options, otlptracegrpc.WithInsecure())
	case s.MTLS:
		options = append(options, otlptracegrpc.WithTLSCredentials(secure.AnyCredentials()))
	case s.CA != "":
		authorities, err := mtls.ReadCertificates(s.CA)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "--%s cannot be used", FlagCA)
		}
		pool := x509.NewCertPool()
		for _, a := range authorities {
			pool.AddCert(a)
		}
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool})))
	}
	if s.Headers != "" {
		options = append(options, otlptracegrpc.WithDialOption(grpc.WithPerRPCCredentials(headers(s.Headers))))
	}
	return otlptracegrpc.New(ctx, options...)
}

// Open makes the exporter of a coordinator.
func (s *Settings) Open(ctx context.Context, id, version string, secure *mtls.Material, count *prometheus.CounterVec, logger *slog.Logger) (*Exporter, error) {
	to, err := s.client(ctx, secure)
	if err != nil {
		return nil, err
	}
	whose, err := s.resource(ctx, id, version)
	if err != nil {
		return nil, err
	}
	return NewExporter(to, count, logger, sdk.WithResource(whose)), nil
}

// resource says whose spans they are: the service's, and of it this coordinator's.
func (s *Settings) resource(ctx context.Context, id, version string) (*resource.Resource, error) {
	fixed := []attribute.KeyValue{attribute.String("service.instance.id", id), attribute.String("service.version", version)}
	if s.Service != "" {
		fixed = append(fixed, attribute.String("service.name", s.Service))
	}
	r, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", DefaultService)), resource.WithTelemetrySDK(),
		resource.WithFromEnv(), resource.WithAttributes(fixed...))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "OTEL_RESOURCE_ATTRIBUTES cannot be used")
	}
	return r, nil
}

// headers is a file with those of each message. It implements
// credentials.PerRPCCredentials.
type headers string

var headerName = regexp.MustCompile(`^[a-z0-9._-]+$`)

// GetRequestMetadata implements credentials.PerRPCCredentials. What is wrong is told
// without what is in the file.
func (h headers) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	text, err := os.ReadFile(string(h))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "--%s cannot be read", FlagHeaders)
	}
	out := map[string]string{}
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.ToLower(strings.TrimSpace(name)); !ok || !headerName.MatchString(name) || strings.HasPrefix(name, "grpc-") {
			return nil, fault.Field(FlagHeaders, "%s, line %d: expected a header, name: value", string(h), i+1)
		}
		out[name] = strings.TrimSpace(value)
	}
	return out, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: Check has seen
// to it.
func (headers) RequireTransportSecurity() bool { return false }
