// Package api holds the contract of the HTTP API. The folders beside it are
// made from it or checked against it.
package api

import (
	_ "embed" // the document below
	"encoding/json"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Document is the OpenAPI document, as written. Do not change it.
//
//go:embed openapi.yaml
var Document []byte

// DocumentJSON gives the document as JSON.
var DocumentJSON = sync.OnceValues(func() ([]byte, error) {
	var tree any
	if err := yaml.Unmarshal(Document, &tree); err != nil {
		return nil, err
	}
	return json.Marshal(tree)
})
