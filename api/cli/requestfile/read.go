// Package requestfile reads and writes backfill requests as YAML files, which
// are kept and reviewed beside code. The fields are those of the contract, and
// `key`. It is pure: bytes in, requests out.
package requestfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
)

const (
	maxFile     = 1 << 20 // bytes
	maxRequests = 1000    // of one file
	maxFindings = 100     // that one error tells
)

// File is one request as a file has it.
type File struct {
	Name    string // of the file, and the line of the request where it is not the first
	Key     string // empty: none is given
	Request v1.BackfillRequest

	where  string            // of the request
	places map[string]string // file:line:column of each field, by its path
}

// Read reads a file: a request for each YAML document. The error has a
// fault.Detail for each finding with Where "file:line:column" and the field's
// path. Whether nodes and dates make sense is for a coordinator to say.
func Read(name string, data []byte) ([]*File, error) {
	if len(data) > maxFile {
		return nil, fault.New(fault.TooLarge, "%s has more than %d bytes: a request is a page at most", name, maxFile)
	}
	form, err := contract()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the contract cannot be read")
	}
	r := &reader{name: name, form: form}
	r.documents(data)
	switch n := len(r.found); {
	case n == 0:
	case n > maxFindings:
		r.found = append(r.found[:maxFindings:maxFindings], fault.Detail{Message: fmt.Sprintf("and %d more", n-maxFindings)})
		fallthrough
	default:
		problems := strconv.Itoa(n) + " problems"
		if n == 1 {
			problems = "1 problem"
		}
		return nil, fault.New(fault.Invalid, "%s: %s", name, problems).WithDetails(r.found...)
	}
	if len(r.files) == 0 {
		return nil, fault.New(fault.Invalid, "%s holds no request: expected fields such as mode, root and dates (see backfleet backfill example)", name)
	}
	return r.files, nil
}

// Locate adds line and column to what a coordinator said of the request's
// fields.
func (f *File) Locate(err error) error {
	var e *fault.Error
	if f.where == "" || !errors.As(err, &e) {
		return err
	}
	if e.Field != "" {
		return fault.New(e.Code, "%s is refused", f.Name).WithDetails(fault.Detail{Where: f.place(e.Field), Field: e.Field, Message: e.Message})
	}
	located := *e
	located.Details = nil
	for _, d := range e.Details {
		if d.Where == "" {
			d.Where = f.place(d.Field)
		}
		located.Details = append(located.Details, d)
	}
	if len(located.Details) == 0 {
		located.Message = f.Name + ": " + e.Message
	}
	return &located
}

// place is where a field stands or, of one that was left out, the nearest that
// would hold it; at last the request.
func (f *File) place(field string) string {
	for there := field; there != ""; there = there[:max(0, strings.LastIndexAny(there, ".["))] {
		if where, ok := f.places[there]; ok {
			return where
		}
	}
	return f.where
}

type reader struct {
	name  string
	form  *shape
	files []*File
	found []fault.Detail
	// Of the document that is being read.
	file *File
}

func (r *reader) where(n *yaml.Node) string { return fmt.Sprintf("%s:%d:%d", r.name, n.Line, n.Column) }

func (r *reader) refuse(n *yaml.Node, field, format string, args ...any) {
	r.found = append(r.found, fault.Detail{Where: r.where(n), Field: field, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) documents(data []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			r.found = append(r.found, syntax(r.name, err))
			return
		case len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null":
			continue
		case len(r.files) == maxRequests:
			r.refuse(document.Content[0], "", "the file has more than %d requests: split it", maxRequests)
			return
		}
		r.document(document.Content[0])
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax tells what the YAML library refused.
func syntax(name string, err error) fault.Detail {
	where, message := name, err.Error()
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		if m[1] != "" {
			where += ":" + m[1]
		}
	}
	return fault.Detail{Where: where, Message: "it is not YAML: " + message}
}

func (r *reader) document(root *yaml.Node) {
	r.file = &File{Name: r.name, where: r.where(root), places: map[string]string{}}
	if len(r.files) > 0 {
		r.file.Name = fmt.Sprintf("%s:%d", r.name, root.Line)
	}
	r.files = append(r.files, r.file)
	before := len(r.found)
	fields, _ := r.value(root, "", r.form).(map[string]any)
	if len(r.found) > before {
		return
	}
	r.file.Key, _ = fields[keyField].(string)
	delete(fields, keyField)
	if strings.ContainsFunc(r.file.Key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.found = append(r.found, fault.Detail{Where: r.file.place(keyField), Field: keyField, Message: "expected visible ASCII characters without blanks"})
		return
	}
	text, err := json.Marshal(fields)
	if err == nil {
		err = json.Unmarshal(text, &r.file.Request)
	}
	if err == nil {
		_, err = convert.ReadRequest(r.file.Request)
	}
	var e *fault.Error
	switch {
	case err == nil:
	case errors.As(r.file.Locate(err), &e) && len(e.Details) > 0:
		r.found = append(r.found, e.Details...)
	default:
		r.refuse(root, "", "%s", err.Error())
	}
}

// value reads a value as the contract has it: what it says as JSON would, nil
// where it was refused.
func (r *reader) value(n *yaml.Node, path string, s *shape) any {
	if path != "" {
		r.file.places[path] = r.where(n)
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.refuse(n, path, "anchors and aliases are not supported: write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(n, path, "tags such as %s are not supported: take it out", clip(n.Tag))
	case s.Type == "object":
		return r.object(n, path, s)
	case s.Type == "array":
		return r.list(n, path, s)
	case n.Kind != yaml.ScalarNode:
		r.refuse(n, path, "%s: expected %s", kind(n), s.expected())
	case n.ShortTag() == "!!null":
		r.refuse(n, path, `it has no value: give one, or leave the field out ("" is the empty text)`)
	default:
		return r.scalar(n, path, s)
	}
	return nil
}

func (r *reader) object(n *yaml.Node, path string, s *shape) any {
	if n.Kind != yaml.MappingNode {
		r.refuse(n, path, "%s: expected %s", kind(n), s.expected())
		return nil
	}
	out := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		at, name := n.Content[i], n.Content[i].Value
		field := join(path, clip(name))
		form := s.Properties.find(name)
		_, twice := out[name]
		switch {
		case at.Kind != yaml.ScalarNode || at.Style&yaml.TaggedStyle != 0 || at.Anchor != "":
			r.refuse(at, path, "%s: expected the name of a field", kind(at))
		case form == nil:
			r.refuse(at, field, "there is no such field%s: expected %s", nearest.Hint(name, s.Properties.names()), s.fields())
		case twice:
			r.refuse(at, field, "it is given twice: expected one value")
		default:
			out[name] = r.value(n.Content[i+1], field, form)
		}
	}
	for _, name := range s.Required {
		if _, ok := out[name]; !ok {
			r.refuse(n, join(path, name), "it is missing: expected %s", s.Properties.find(name).expected())
		}
	}
	return out
}

func (r *reader) list(n *yaml.Node, path string, s *shape) any {
	if n.Kind != yaml.SequenceNode {
		r.refuse(n, path, "%s: expected a list of %s (- …)", kind(n), s.Items.expected())
		return nil
	}
	switch size := len(n.Content); {
	case s.MinItems != nil && size < *s.MinItems:
		r.refuse(n, path, "it has %d: expected at least %d", size, *s.MinItems)
	case s.MaxItems != nil && size > *s.MaxItems:
		r.refuse(n, path, "it has %d: expected at most %d", size, *s.MaxItems)
	}
	out := []any{}
	for i, item := range n.Content {
		out = append(out, r.value(item, fmt.Sprintf("%s[%d]", path, i), s.Items))
	}
	return out
}

// scalar takes a text as it is written, so that 007 stays 007 and a date is no
// moment.
func (r *reader) scalar(n *yaml.Node, path string, s *shape) any {
	text := n.Value
	switch s.Type {
	case "boolean":
		if text == "true" || text == "false" {
			return text == "true"
		}
	case "integer":
		bits := 64
		if s.Format == "int32" {
			bits = 32
		}
		if i, err := strconv.ParseInt(text, 10, bits); err == nil && (s.Minimum == nil || i >= *s.Minimum) && (s.Maximum == nil || i <= *s.Maximum) {
			return i
		}
	default:
		if s.fits(text) {
			return text
		}
		if s.Enum != nil {
			r.refuse(n, path, "%q is not known here%s: expected %s", clip(text), nearest.Hint(text, s.Enum), list(s.Enum))
			return nil
		}
	}
	r.refuse(n, path, "%q: expected %s", clip(text), s.expected())
	return nil
}

// fits says whether a text is one that the contract allows.
func (s *shape) fits(text string) bool {
	if s.Enum != nil {
		for _, word := range s.Enum {
			if word == text {
				return true
			}
		}
		return false
	}
	size := utf8.RuneCountInString(text)
	switch {
	case s.MinLength != nil && size < *s.MinLength, s.MaxLength != nil && size > *s.MaxLength, !utf8.ValidString(text):
		return false
	case s.Pattern != "":
		form, err := regexp.Compile(s.Pattern)
		return err == nil && form.MatchString(text)
	case s.Format == "date-time":
		_, err := time.Parse(time.RFC3339, text)
		return err == nil
	}
	return true
}

// expected says for people what the contract allows.
func (s *shape) expected() string {
	switch {
	case s.Type == "object":
		return "fields (" + s.fields() + ")"
	case s.Type == "array":
		return "a list of " + s.Items.expected()
	case s.Enum != nil:
		return list(s.Enum)
	case s.Type == "boolean":
		return "true or false"
	case s.Type == "integer" && s.Minimum != nil && s.Maximum != nil:
		return fmt.Sprintf("a whole number from %d to %d", *s.Minimum, *s.Maximum)
	case s.Type == "integer" && s.Minimum != nil:
		return fmt.Sprintf("a whole number from %d on", *s.Minimum)
	case s.Type == "integer":
		return "a whole number"
	case s.Format == "date-time":
		return "a moment such as 2026-01-31T22:00:00Z"
	case len(s.Examples) > 0:
		return "one like " + list(s.Examples)
	case s.Pattern != "" && s.Description != "":
		return strings.ToLower(s.Description[:1]) + strings.TrimSuffix(s.Description[1:], ".")
	case s.MaxLength != nil:
		return fmt.Sprintf("a text of at most %d characters", *s.MaxLength)
	}
	return "a text"
}

// fields names the fields of an object; of the request, which has many, some.
func (s *shape) fields() string {
	const most = 8
	if len(s.Properties) > most {
		return "those of a request, such as mode, root and dates (see backfleet backfill example)"
	}
	return list(s.Properties.names())
}

// kind says for people what stands at a place.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields are given"
	case yaml.SequenceNode:
		return "a list is given"
	case yaml.AliasNode:
		return "an alias is given"
	}
	if n.ShortTag() == "!!null" {
		return "it has no value"
	}
	return strconv.Quote(clip(n.Value))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clip cuts foreign text, so that it cannot flood a message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
