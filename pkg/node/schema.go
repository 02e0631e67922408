package node

import _ "embed"

// Schema is the JSON Schema of a node document, for editors that complete and
// check YAML. The reader is stricter; a test keeps the fields of both in step.
//
//go:embed node.schema.json
var Schema []byte
