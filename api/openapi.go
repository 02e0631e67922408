// Package api holds the contract of the HTTP API. The folders beside it are
// made from it or checked against it.
package api

import _ "embed" // the document below

// Document is the OpenAPI document, as written. Do not change it.
//
//go:embed openapi.yaml
var Document []byte
