package datasource

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/wire"
)

// MaxFile is the largest file with data sources, in bytes.
const MaxFile = 1 << 20

// Read reads the files at and below root, a folder or a file of fsys, and checks
// each document as Compile does: *.yaml and *.yml, several documents a file, in
// lexical order; names that begin with "." are passed over.
//
// The error has a fault.Detail for each finding, with Where "file:line:column"
// and the field.
func Read(fsys fs.FS, root string) ([]*wire.DataSource, error) {
	r := &reader{first: map[string]string{}}
	err := fs.WalkDir(fsys, root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != root && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && (path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" || name == root):
			r.file(fsys, name)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "the files of data sources cannot be read")
	case len(r.details) > 0:
		return nil, problems("the data sources", r.details)
	case len(r.sources) == 0:
		return nil, fault.New(fault.Invalid, "no data source was found: expected *.yaml files with a document for each")
	}
	return r.sources, nil
}

type reader struct {
	sources []*wire.DataSource
	first   map[string]string // where a name was first given
	details []fault.Detail
}

func (r *reader) file(fsys fs.FS, name string) {
	refuse := func(where, format string, args ...any) {
		r.details = append(r.details, fault.Detail{Where: where, Message: fmt.Sprintf(format, args...)})
	}
	data, err := fs.ReadFile(fsys, name)
	switch {
	case err != nil:
		refuse(name, "%v", err)
		return
	case len(data) > MaxFile:
		refuse(name, "the file has more than %d bytes: make it smaller", MaxFile)
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			line, message := syntax(err)
			refuse(fmt.Sprintf("%s:%d:1", name, line), "it is not YAML: %s", message)
			return
		case len(root.Content) == 1 && root.Content[0].ShortTag() != "!!null":
			r.document(name, root.Content[0])
		}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax takes the line out of what the YAML library says.
func syntax(err error) (line int, message string) {
	message = err.Error()
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	return max(1, line), message
}

func (r *reader) document(file string, root *yaml.Node) {
	d := &document{file: file, source: &wire.DataSource{}, places: map[string]*yaml.Node{"": root}}
	d.mapping("", root, fields)
	if len(d.details) == 0 {
		r.take(d)
	}
	slices.SortStableFunc(d.details, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.at.Column, b.at.Column))
	})
	for _, f := range d.details {
		r.details = append(r.details, fault.Detail{Where: d.where(f.at), Field: f.field, Message: f.message})
	}
}

// take checks a document that was read without findings, and takes it.
func (r *reader) take(d *document) {
	s, err := Compile(d.source)
	var e *fault.Error
	switch {
	case errors.As(err, &e):
		for _, found := range e.Details {
			d.refuse(found.Field, d.place(found.Field), "%s", found.Message)
		}
	case r.first[s.Name] != "":
		d.refuse("name", d.place("name"), "%q is already defined at %s: a name is one data source's", s.Name, r.first[s.Name])
	default:
		r.first[s.Name] = d.where(d.place("name"))
		r.sources = append(r.sources, s)
	}
}

// document is one YAML document while it is read.
type document struct {
	file    string
	source  *wire.DataSource
	places  map[string]*yaml.Node // by field
	details []finding
}

type finding struct {
	at             *yaml.Node
	field, message string
}

func (d *document) where(n *yaml.Node) string {
	return fmt.Sprintf("%s:%d:%d", d.file, n.Line, n.Column)
}

func (d *document) refuse(field string, at *yaml.Node, format string, args ...any) {
	d.details = append(d.details, finding{at, field, fmt.Sprintf(format, args...)})
}

// place finds where a field stands or, of one that was left out, what holds it.
func (d *document) place(field string) *yaml.Node {
	for {
		if n, ok := d.places[field]; ok {
			return n
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
}

// field is one of the format.
type field struct {
	name string
	read func(d *document, at string, v *yaml.Node)
}

var fields = []field{
	{"name", text(func(s *wire.DataSource) *string { return &s.Name })},
	{"type", text(func(s *wire.DataSource) *string { return &s.Type })},
	{"description", text(func(s *wire.DataSource) *string { return &s.Description })},
	{"host", text(func(s *wire.DataSource) *string { return &s.Host })},
	{"port", (*document).port},
	{"database", text(func(s *wire.DataSource) *string { return &s.Database })},
	{"user", text(func(s *wire.DataSource) *string { return &s.User })},
	{"password", secret(func(s *wire.DataSource) **wire.Secret { return &s.Password })},
	{"tls", text(func(s *wire.DataSource) *string { return &s.Tls })},
	{"ca", secret(func(s *wire.DataSource) **wire.Secret { return &s.Ca })},
	{"options", (*document).options},
	{"resourceGroups", (*document).groups},
}

// mapping reads the fields of a mapping.
func (d *document) mapping(at string, v *yaml.Node, known []field) {
	d.each(at, v, func(key, at string, k, v *yaml.Node) {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == key })
		if i < 0 {
			names := make([]string, len(known))
			for i, f := range known {
				names[i] = f.name
			}
			d.refuse(at, k, "there is no such field%s: expected %s", nearest.Hint(key, names), list(names))
			return
		}
		known[i].read(d, at, v)
	})
}

// each walks over a mapping's keys and values, with the path of each.
func (d *document) each(at string, v *yaml.Node, visit func(key, at string, k, v *yaml.Node)) {
	if v.Kind != yaml.MappingNode || !plain(v) {
		d.refuse(at, v, "expected a mapping (name: value), without anchors, aliases and tags")
		return
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		k, v := v.Content[i], v.Content[i+1]
		key, ok := d.scalar(at, k)
		if !ok {
			continue
		}
		below := clip(key)
		if at != "" {
			below = at + "." + below
		}
		if d.places[below] != nil {
			d.refuse(below, k, "it is given twice: expected one value")
			continue
		}
		d.places[below] = v
		visit(key, below, k, v)
	}
}

// plain says that a value says what it seems to: it is no alias, has no anchor and
// no tag.
func plain(v *yaml.Node) bool {
	return v.Kind != yaml.AliasNode && v.Anchor == "" && v.Style&yaml.TaggedStyle == 0
}

// scalar is the text of a value as it was written.
func (d *document) scalar(at string, v *yaml.Node) (string, bool) {
	if v.Kind != yaml.ScalarNode || !plain(v) || v.ShortTag() == "!!null" {
		d.refuse(at, v, `expected one value, without anchors, aliases and tags ("" is the empty text)`)
		return "", false
	}
	return v.Value, true
}

func text(of func(*wire.DataSource) *string) func(*document, string, *yaml.Node) {
	return func(d *document, at string, v *yaml.Node) { *of(d.source), _ = d.scalar(at, v) }
}

func (d *document) port(at string, v *yaml.Node) {
	s, ok := d.scalar(at, v)
	if !ok {
		return
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		d.refuse(at, v, "%q: expected a whole number from 1 to 65535", clip(s))
		return
	}
	d.source.Port = int32(n)
}

// secret reads where a secret is. One in clear is not repeated.
func secret(of func(*wire.DataSource) **wire.Secret) func(*document, string, *yaml.Node) {
	return func(d *document, at string, v *yaml.Node) {
		if v.Kind == yaml.ScalarNode {
			d.refuse(at, v, "a secret is never written here, for the cluster must not know it: say where the agent finds it, as {environment: %sNAME} or {file: NAME}, and change it if it was one that is in use", SecretPrefix)
			return
		}
		s := &wire.Secret{}
		*of(d.source) = s
		d.mapping(at, v, []field{
			{"environment", func(d *document, at string, v *yaml.Node) { s.Environment, _ = d.scalar(at, v) }},
			{"file", func(d *document, at string, v *yaml.Node) { s.File, _ = d.scalar(at, v) }},
		})
	}
}

func (d *document) options(at string, v *yaml.Node) {
	d.each(at, v, func(key, at string, _, v *yaml.Node) {
		value, _ := d.scalar(at, v)
		d.source.Options = append(d.source.Options, &wire.Assignment{Name: key, Value: value})
	})
}

func (d *document) groups(at string, v *yaml.Node) {
	if v.Kind != yaml.SequenceNode || !plain(v) {
		d.refuse(at, v, "expected a list of resource groups")
		return
	}
	for _, item := range v.Content {
		name, _ := d.scalar(at, item)
		d.source.ResourceGroups = append(d.source.ResourceGroups, name)
	}
}
