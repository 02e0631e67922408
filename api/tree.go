package api

import (
	"encoding/json"
	"iter"

	"go.yaml.in/yaml/v3"
)

// The document as a tree whose maps keep the order in which they were written.

// Get finds what a map has under a key; nil: nothing, or it is no map.
func Get(m *yaml.Node, key string) *yaml.Node {
	for k, v := range Entries(m) {
		if k == key {
			return v
		}
	}
	return nil
}

// Entries gives what is in a map in its order; nothing for what is no map.
func Entries(m *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if m == nil || m.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(m.Content); i += 2 {
			if !yield(m.Content[i].Value, m.Content[i+1]) {
				return
			}
		}
	}
}

// text is a scalar of a map; empty: there is none.
func text(m *yaml.Node, key string) string {
	if v := Get(m, key); v != nil {
		return v.Value
	}
	return ""
}

func list(l *yaml.Node) []*yaml.Node {
	if l == nil || l.Kind != yaml.SequenceNode {
		return nil
	}
	return l.Content
}

// set puts a value under a key, in the place that it had or at the end.
func set(m *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = value
			return
		}
	}
	m.Content = append(m.Content, of(key), value)
}

// of is a value as a tree.
func of(value any) *yaml.Node {
	var n yaml.Node
	if err := n.Encode(value); err != nil {
		panic(err) // plain values of this package
	}
	return &n
}

// ofJSON is JSON as a tree; JSON is YAML.
func ofJSON(text json.RawMessage) *yaml.Node {
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil || len(n.Content) == 0 {
		return of(string(text))
	}
	return n.Content[0]
}

func reference(to string) map[string]any { return map[string]any{"$ref": "#/components/" + to} }

// clone copies a tree.
func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		c.Content[i] = clone(n.Content[i])
	}
	return &c
}
