package requestfile

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"backfleet/api"
)

// shape is what the contract says of a value: as much of JSON Schema as it uses
// for requests, which a test holds it to.
type shape struct {
	Ref         string     `yaml:"$ref"`
	Type        string     `yaml:"type"`
	Description string     `yaml:"description"`
	Properties  properties `yaml:"properties"`
	Required    []string   `yaml:"required"`
	Items       *shape     `yaml:"items"`
	Enum        []string   `yaml:"enum"`
	Pattern     string     `yaml:"pattern"`
	Format      string     `yaml:"format"`
	Examples    []string   `yaml:"examples"`
	Minimum     *int64     `yaml:"minimum"`
	Maximum     *int64     `yaml:"maximum"`
	MinItems    *int       `yaml:"minItems"`
	MaxItems    *int       `yaml:"maxItems"`
	MinLength   *int       `yaml:"minLength"`
	MaxLength   *int       `yaml:"maxLength"`
}

// properties keep the order of the contract, in which files are written and
// fields are told.
type properties []property

type property struct {
	name string
	*shape
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *properties) UnmarshalYAML(n *yaml.Node) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		s := &shape{}
		if err := n.Content[i+1].Decode(s); err != nil {
			return err
		}
		*p = append(*p, property{n.Content[i].Value, s})
	}
	return nil
}

func (p properties) find(name string) *shape {
	for _, one := range p {
		if one.name == name {
			return one.shape
		}
	}
	return nil
}

func (p properties) names() []string {
	var all []string
	for _, one := range p {
		all = append(all, one.name)
	}
	return all
}

const refPrefix = "#/components/schemas/"

// keyField is the one field of a file that is not one of the request.
const (
	keyField = "key"
	keyText  = "Submit at most once under this key, also with another file: with another request it is refused. Default: one made of the request, so that the same file is submitted once."
	longest  = 200 // characters of a key
)

// contract is what a request file may say, references resolved.
var contract = sync.OnceValues(func() (*shape, error) {
	var document struct {
		Components struct {
			Schemas map[string]yaml.Node `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(api.Document, &document); err != nil {
		return nil, err
	}
	root := &shape{Ref: refPrefix + "BackfillRequest"}
	if err := root.resolve(document.Components.Schemas); err != nil {
		return nil, err
	}
	one, most := 1, longest
	root.Properties = append(properties{{keyField, &shape{Type: "string", Description: keyText, MinLength: &one, MaxLength: &most}}}, root.Properties...)
	return root, nil
})

// resolve puts what is referred to where it is referred to. Requests are not
// recursive.
func (s *shape) resolve(all map[string]yaml.Node) error {
	if name, ok := strings.CutPrefix(s.Ref, refPrefix); ok {
		node, own := all[name], s.Description
		*s = shape{}
		if err := node.Decode(s); err != nil {
			return err
		}
		if own != "" {
			s.Description = own
		}
		return s.resolve(all)
	}
	if s.Items != nil {
		if err := s.Items.resolve(all); err != nil {
			return err
		}
	}
	for _, p := range s.Properties {
		if err := p.resolve(all); err != nil {
			return err
		}
	}
	return nil
}

// Schema is the JSON Schema of a request file, for editors that complete and
// check YAML. The reader is as strict, but takes numbers and dates for texts.
func Schema() ([]byte, error) {
	root, err := contract()
	if err != nil {
		return nil, err
	}
	tree := root.schema()
	tree["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	tree["title"] = "Backfleet backfill request"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(tree)
	return b.Bytes(), err
}

func (s *shape) schema() map[string]any {
	out := map[string]any{"type": s.Type}
	put := func(name string, set bool, value any) {
		if set {
			out[name] = value
		}
	}
	put("description", s.Description != "", s.Description)
	put("enum", s.Enum != nil, s.Enum)
	put("pattern", s.Pattern != "", s.Pattern)
	put("format", s.Format == "date-time", s.Format)
	put("examples", s.Examples != nil, s.Examples)
	put("minimum", s.Minimum != nil, s.Minimum)
	put("maximum", s.Maximum != nil, s.Maximum)
	put("minItems", s.MinItems != nil, s.MinItems)
	put("maxItems", s.MaxItems != nil, s.MaxItems)
	put("minLength", s.MinLength != nil, s.MinLength)
	put("maxLength", s.MaxLength != nil, s.MaxLength)
	if s.Items != nil {
		out["items"] = s.Items.schema()
	}
	if s.Type == "object" {
		fields := map[string]any{}
		for _, p := range s.Properties {
			fields[p.name] = p.schema()
		}
		out["properties"], out["additionalProperties"] = fields, false
		put("required", s.Required != nil, s.Required)
	}
	return out
}
