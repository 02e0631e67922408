package command

import (
	"github.com/spf13/pflag"

	"backfleet/coordinator/spans"
)

// addTraces adds where spans go.
func addTraces(f *pflag.FlagSet, t *spans.Settings) {
	f.StringVar(&t.Endpoint, spans.FlagEndpoint, "", "URL of the OpenTelemetry collector that gets traces by gRPC, https://HOST:4317 (default: nothing is traced)")
	f.StringVar(&t.CA, spans.FlagCA, "", "PEM file with the authorities trusted for it (default the system's)")
	f.BoolVar(&t.MTLS, spans.FlagMTLS, false, "prove this coordinator to it by --tls-cert, and trust --tls-ca for it")
	f.StringVar(&t.Headers, spans.FlagHeaders, "", "file with headers for it, name: value on each line, such as a token; read for each message")
	f.Float64Var(&t.Ratio, spans.FlagRatio, 1, "which part of the dates of each backfill is traced, 0 to 1; every coordinator should have the same")
	f.StringVar(&t.Service, spans.FlagService, "", "service.name of the traces (default "+spans.DefaultService+")")
}
