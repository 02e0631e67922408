// Package server serves the HTTP API of a coordinator: routes, decoding, errors,
// forwarding to the leader, logs and events as streams. What it serves comes
// from a Backend.
package server

//go:generate go tool oapi-codegen -config codegen.yaml ../openapi.yaml
