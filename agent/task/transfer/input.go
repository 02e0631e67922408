package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// record is one row of a source.
type record struct {
	cells []any // of the columns bound to, in their order
	raw   any   // what was there instead, of a row that cannot be read
	file  string
	unit  string // what number counts: line, row
	at    int64
}

// where names the row to people.
func (r *record) where() string {
	if r.file == "" {
		return fmt.Sprintf("%s %d", r.unit, r.at)
	}
	return fmt.Sprintf("%s, %s %d", r.file, r.unit, r.at)
}

// values are the cells by the names of their columns, for people.
func (r *record) values(names []string) any {
	if r.raw != nil {
		return r.raw
	}
	values := make(map[string]any, len(names))
	for i, c := range r.cells {
		switch c := c.(type) {
		case nil, bool, json.RawMessage:
			values[names[i]] = c
		case []byte:
			values[names[i]] = strings.ToValidUTF8(string(c), "\uFFFD")
		default:
			values[names[i]] = string(appendText(nil, c))
		}
	}
	return values
}

// reader reads one file, or the result of one query.
type reader interface {
	// fields are its columns; none if it has nothing from which they could be known.
	fields() []field
	// bind chooses the columns of the records to come. A field that is not known
	// is an error if known is given.
	bind(names, known []string) error
	// next gives the next record, or io.EOF. With a refusal as the error there is
	// a record that cannot be read, and reading goes on.
	next() (record, error)
	close() error
}

// input is all that a node reads: files in order, or one query.
type input struct {
	paths []string
	open  func(path string) (reader, error)
	names []string // bound to
	known []string

	ahead   []reader // opened to see the fields, for the first of paths
	current reader
}

// openInput finds the source of a task.
func openInput(ctx context.Context, t *wire.Task) (*input, error) {
	from := t.Node.Integration.From
	if from.Source != "" {
		s, err := sourceOf(t, "integration.from.source", from.Source)
		if err != nil {
			return nil, err
		}
		return &input{paths: []string{""}, open: func(string) (reader, error) { return openQuery(ctx, s, from.Query) }}, nil
	}
	if !filepath.IsAbs(from.Files) {
		return nil, fault.Field("integration.from.files", "%q: expected an absolute path, or a pattern of one", from.Files)
	}
	paths, err := filepath.Glob(from.Files) // in sorted order
	if err != nil {
		return nil, fault.Field("integration.from.files", "%q is no pattern: expected *, ? and [a-z] in names", from.Files)
	}
	if len(paths) == 0 && !from.MayBeEmpty {
		return nil, fault.New(fault.NotFound, "integration.from.files: no file matches %s: expected one at least, or mayBeEmpty: true", from.Files)
	}
	return &input{paths: paths, open: func(path string) (reader, error) { return openFile(path, from) }}, nil
}

// sourceOf finds a data source among those of the task.
func sourceOf(t *wire.Task, field, name string) (*wire.OpenSource, error) {
	for _, s := range t.Sources {
		if s.GetSource().GetName() == name {
			return s, nil
		}
	}
	return nil, fault.Field(field, "there is no data source %q: apply it with `backfleet source apply`", name)
}

// fields are those of the first file that has any.
func (in *input) fields() ([]field, error) {
	for _, path := range in.paths {
		r, err := in.open(path)
		if err != nil {
			return nil, err
		}
		in.ahead = append(in.ahead, r)
		if f := r.fields(); len(f) > 0 {
			return f, nil
		}
	}
	return nil, nil
}

// bind chooses the columns of all files. What is wrong with the first is told
// now.
func (in *input) bind(names, known []string) error {
	in.names, in.known = names, known
	return in.advance()
}

// advance goes to the next file, if there is one.
func (in *input) advance() (err error) {
	if len(in.paths) == 0 {
		in.current = nil
		return nil
	}
	path := in.paths[0]
	in.paths = in.paths[1:]
	if len(in.ahead) > 0 {
		in.current, in.ahead = in.ahead[0], in.ahead[1:]
	} else if in.current, err = in.open(path); err != nil {
		in.current = nil
		return err
	}
	if err := in.current.bind(in.names, in.known); err != nil {
		if path == "" {
			path = "the query"
		}
		return fault.Wrap(err, fault.Invalid, "integration.columns: %s", path)
	}
	return nil
}

// next gives the next record of all files; errors are those of reader.next. At
// the end nothing is open any more.
func (in *input) next() (record, error) {
	for in.current != nil {
		r, err := in.current.next()
		if !errors.Is(err, io.EOF) {
			return r, err
		}
		if err := in.current.close(); err != nil {
			return record{}, fault.Wrap(err, fault.Unavailable, "the source cannot be read to its end")
		}
		if err := in.advance(); err != nil {
			return record{}, err
		}
	}
	return record{}, io.EOF
}

func (in *input) close() {
	if in.current != nil {
		_ = in.current.close() // it was read
	}
	for _, r := range in.ahead {
		_ = r.close()
	}
	in.current, in.ahead = nil, nil
}
