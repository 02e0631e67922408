// Package v1 is the HTTP API's messages and its bare client, generated from
// ../openapi.yaml. Callers use api/client, which adds retries, failover and
// coded errors.
package v1

//go:generate go tool oapi-codegen -config codegen.yaml ../openapi.yaml
