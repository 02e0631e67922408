// Package convert turns the in-memory model (pkg/wire, pkg/fault) into the HTTP
// API's messages and back. Server and client share it, so that what one writes
// the other reads: each pair of functions is tested as a round trip.
package convert
