package channel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/wire"
)

// MaxFile is the largest file with channels, in bytes.
const MaxFile = 1 << 20

// Read reads the channels of a YAML file, a document for each, and checks them
// as Compile and ParseTemplates do. name is the file's, for messages: the error
// has a fault.Detail for each finding, with Where "file:line:column" and the
// field.
func Read(name string, data []byte) ([]*wire.Channel, error) {
	if len(data) > MaxFile {
		return nil, fault.New(fault.TooLarge, "%s has more than %d bytes: make it smaller", name, MaxFile)
	}
	r := &reader{file: name, first: map[string]string{}}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.syntax(err)
			break
		}
		if len(root.Content) == 1 && root.Content[0].ShortTag() != "!!null" {
			r.document(root.Content[0])
		}
	}
	switch {
	case len(r.details) > 0:
		return nil, problems("the channels", r.details)
	case len(r.channels) == 0:
		return nil, fault.New(fault.Invalid, "no channel was found in %s: expected a document for each", name)
	}
	return r.channels, nil
}

type reader struct {
	file     string
	channels []*wire.Channel
	first    map[string]string // where a name was first given
	details  []fault.Detail

	c      *wire.Channel         // of the document that is read
	places map[string]*yaml.Node // by field
}

func (r *reader) where(n *yaml.Node) string {
	return fmt.Sprintf("%s:%d:%d", r.file, n.Line, n.Column)
}

func (r *reader) refuse(field string, at *yaml.Node, format string, args ...any) {
	r.details = append(r.details, fault.Detail{Where: r.where(at), Field: field, Message: fmt.Sprintf(format, args...)})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax takes the line out of what the YAML library says.
func (r *reader) syntax(err error) {
	line, message := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		message = message[len(m[0]):]
	}
	r.details = append(r.details, fault.Detail{Where: fmt.Sprintf("%s:%d:1", r.file, line), Message: "it is not YAML: " + message})
}

func (r *reader) document(root *yaml.Node) {
	before := len(r.details)
	r.c, r.places = &wire.Channel{}, map[string]*yaml.Node{"": root}
	r.each("", root, r.field)
	if len(r.details) > before {
		return
	}
	done, err := Compile(r.c)
	if err == nil {
		_, err = ParseTemplates(done)
	}
	var e *fault.Error
	switch {
	case errors.As(err, &e):
		for _, d := range e.Details {
			message := d.Message
			if d.Where != "" {
				message = d.Where + ": " + message // in the template
			}
			r.refuse(d.Field, r.place(d.Field), "%s", message)
		}
	case r.first[done.Name] != "":
		r.refuse("name", r.place("name"), "%q is already defined at %s: a name is one channel's", done.Name, r.first[done.Name])
	default:
		r.first[done.Name] = r.where(r.place("name"))
		r.channels = append(r.channels, done)
	}
}

// place finds where a field stands or, of one that was left out, what holds it.
func (r *reader) place(field string) *yaml.Node {
	for {
		if n, ok := r.places[field]; ok {
			return n
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
}

var fieldNames = []string{"name", "kind", "description", "url", "secret", "headers", "to", "subject", "body", "disabled"}

func (r *reader) field(key, at string, k, v *yaml.Node) {
	c := r.c
	texts := map[string]*string{"name": &c.Name, "description": &c.Description, "url": &c.Url, "subject": &c.Subject, "body": &c.Body}
	if to := texts[key]; to != nil {
		*to, _ = r.scalar(at, v)
		return
	}
	switch key {
	case "kind":
		if word, ok := r.scalar(at, v); ok {
			kind, err := KindOf(word)
			if err != nil {
				r.refuse(at, v, "%q%s: expected %s", clip(word), nearest.Hint(word, Kinds), strings.Join(Kinds, " or "))
			}
			c.Kind = kind
		}
	case "secret":
		r.secret(at, v)
	case "headers":
		r.each(at, v, func(key, at string, _, v *yaml.Node) {
			value, _ := r.scalar(at, v)
			c.Headers = append(c.Headers, &wire.Assignment{Name: key, Value: value})
		})
	case "to":
		c.To = r.list(at, v)
	case "disabled":
		if word, ok := r.scalar(at, v); ok && word != "true" && word != "false" {
			r.refuse(at, v, "%q: expected true or false", clip(word))
		} else {
			c.Disabled = word == "true"
		}
	default:
		r.refuse(at, k, "there is no such field%s: expected %s", nearest.Hint(key, fieldNames), strings.Join(fieldNames, ", "))
	}
}

// secret reads where a secret is. One in clear is not repeated.
func (r *reader) secret(at string, v *yaml.Node) {
	if v.Kind == yaml.ScalarNode {
		r.refuse(at, v, "a secret is never written here, for the cluster must not know it: say where the coordinators find it, as {environment: %sNAME} or {file: NAME}, and change it if it was one that is in use", SecretPrefix)
		return
	}
	r.c.Secret = &wire.Secret{}
	r.each(at, v, func(key, at string, k, v *yaml.Node) {
		switch key {
		case "environment":
			r.c.Secret.Environment, _ = r.scalar(at, v)
		case "file":
			r.c.Secret.File, _ = r.scalar(at, v)
		default:
			r.refuse(at, k, "there is no such field: expected environment or file")
		}
	})
}

func (r *reader) list(at string, v *yaml.Node) (out []string) {
	if v.Kind != yaml.SequenceNode || !plain(v) {
		r.refuse(at, v, "expected a list")
		return nil
	}
	for i, item := range v.Content {
		path := fmt.Sprintf("%s[%d]", at, i)
		r.places[path] = item
		text, _ := r.scalar(path, item)
		out = append(out, text)
	}
	return out
}

// each walks over a mapping's keys and values, with the path of each.
func (r *reader) each(at string, v *yaml.Node, visit func(key, at string, k, v *yaml.Node)) {
	if v.Kind != yaml.MappingNode || !plain(v) {
		r.refuse(at, v, "expected a mapping (name: value), without anchors, aliases and tags")
		return
	}
	for pair := range slices.Chunk(v.Content, 2) {
		k, v := pair[0], pair[1]
		key, ok := r.scalar(at, k)
		if !ok {
			continue
		}
		below := clip(key)
		if at != "" {
			below = at + "." + below
		}
		if r.places[below] != nil {
			r.refuse(below, k, "it is given twice: expected one value")
			continue
		}
		r.places[below] = v
		visit(key, below, k, v)
	}
}

// plain says that a value says what it seems to: it is no alias, has no anchor and
// no tag.
func plain(v *yaml.Node) bool {
	return v.Kind != yaml.AliasNode && v.Anchor == "" && v.Style&yaml.TaggedStyle == 0
}

// scalar is the text of a value as it was written.
func (r *reader) scalar(at string, v *yaml.Node) (string, bool) {
	if v.Kind != yaml.ScalarNode || !plain(v) || v.ShortTag() == "!!null" {
		r.refuse(at, v, `expected one value, without anchors, aliases and tags ("" is the empty text)`)
		return "", false
	}
	return v.Value, true
}
