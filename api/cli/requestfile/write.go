package requestfile

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the example
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
)

// Example is a commented request file with every field.
//
//go:embed example.yaml
var Example []byte

// Normal is a request as a coordinator takes it: what means the same is the
// same. One that has no form in the model stays as it is.
func Normal(r v1.BackfillRequest) v1.BackfillRequest {
	model, err := convert.ReadRequest(r)
	if err != nil {
		return r
	}
	model.Groups = cmp.Or(model.Groups, 1)
	return convert.Request(model)
}

// KeyOf makes an idempotency key of what a request asks for.
func KeyOf(r v1.BackfillRequest) string {
	text, err := json.Marshal(Normal(r))
	if err != nil {
		return "" // a moment beyond the year 9999, which is refused: the client makes a key
	}
	sum := sha256.Sum256(text)
	return "file-" + hex.EncodeToString(sum[:16])
}

// Write writes a request as a file that reads as the same request, its fields
// in the contract's order, below a comment.
func Write(r v1.BackfillRequest, comment string) ([]byte, error) {
	form, err := contract()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for line := range strings.Lines(comment) {
		b.WriteString(strings.TrimSpace("# "+strings.TrimSpace(line)) + "\n")
	}
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(form.node(tree)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// node writes a value of JSON as YAML.
func (s *shape) node(value any) *yaml.Node {
	switch value := value.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, p := range s.Properties {
			if v, ok := value[p.name]; ok {
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: p.name}, p.node(v))
			}
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, v := range value {
			n.Content = append(n.Content, s.Items.node(v))
		}
		return n
	case string:
		n := &yaml.Node{}
		n.SetString(value)
		if n.Style == 0 && n.Tag == "!!str" && dateLike(value) {
			n.Tag = "" // as people write it: 2024-01-31
		}
		return n
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: value.String()}
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(value)}
	}
}

// dateLike says whether a text is a date, which the reader takes bare.
func dateLike(s string) bool {
	_, err := convert.ReadDateRange(s)
	return err == nil
}

// Field is one field of a request as its JSON.
type Field struct{ Name, Value string }

// Fields are those of a request that say something, in the contract's order.
func Fields(r v1.BackfillRequest) []Field {
	form, err := contract()
	if err != nil {
		return nil
	}
	text, _ := json.Marshal(r) // as in KeyOf
	var all map[string]json.RawMessage
	_ = json.Unmarshal(text, &all)
	var out []Field
	for _, p := range form.Properties {
		if v, ok := all[p.name]; ok {
			out = append(out, Field{p.name, string(v)})
		}
	}
	return out
}
