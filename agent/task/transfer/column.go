package transfer

import (
	"fmt"
	"slices"
	"strings"

	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// kind is the type of a column's values, in the words of wire.Column.type.
type kind string

// The kinds, and the Go types of their values. nil is no value.
const (
	text      kind = "text"      // string
	integer   kind = "integer"   // int64
	decimal   kind = "decimal"   // number, exact
	float     kind = "float"     // float64, finite
	boolean   kind = "boolean"   // bool
	date      kind = "date"      // calendar.Date
	timestamp kind = "timestamp" // moment
	document  kind = "json"      // jsonText, without blanks, keys in order
)

var kinds = []kind{text, integer, decimal, float, boolean, date, timestamp, document}

// column is one column of what is written.
type column struct {
	name     string
	kind     kind
	layout   *params.Layout // of dates and times in text; nil: ISO 8601
	required bool
}

// plan decides what is written, and binds the input to the columns that it
// takes. A column without a type has that of the source; where the source only
// guesses, that of the target's column if there is one already.
func plan(spec []*wire.Column, in *input, to target, dialect params.Dialect, out *output.Output) ([]column, error) {
	if dialect == "" {
		dialect = params.DataWorks
	}
	fields, err := in.fields()
	if err != nil {
		return nil, err
	}
	all := len(spec) == 0
	if all {
		if spec, err = everything(fields, to, out); err != nil {
			return nil, err
		}
	}
	there := to.types()
	columns := make([]column, len(spec))
	names := make([]string, len(spec))
	for i, s := range spec {
		c := column{name: s.Name, kind: kind(s.Type), required: s.Required}
		names[i] = s.From
		if names[i] == "" {
			names[i] = s.Name
		}
		where := fmt.Sprintf("integration.columns[%d]", i)
		switch {
		case s.Name == "":
			return nil, fault.Field(where, "it has no name: expected that of a column of the target")
		case to.sets(s.Name):
			return nil, fault.Field(where, "%q is a column of the partition, whose value is the partition's: leave it out", s.Name)
		case slices.ContainsFunc(columns[:i], func(o column) bool { return strings.EqualFold(o.name, s.Name) }):
			return nil, fault.Field(where, "%q is there twice: expected each column of the target once", s.Name)
		case c.kind != "" && !slices.Contains(kinds, c.kind):
			return nil, fault.Field(where+".type", "%q is no type: expected one of %v", s.Type, kinds)
		}
		if s.Format != "" {
			if c.layout, err = params.ParseLayout(dialect, s.Format); err != nil {
				return nil, fault.Wrap(err, fault.Invalid, "%s.format", where)
			}
		}
		if c.kind == "" {
			c.kind = kindOf(fields, names[i], there[strings.ToLower(s.Name)])
		}
		columns[i] = c
	}
	var known []string
	if all {
		known = namesOf(fields)
	}
	return columns, in.bind(names, known)
}

// everything is a column for each field of the source, but for those whose
// values the target sets.
func everything(fields []field, to target, out *output.Output) ([]*wire.Column, error) {
	var spec []*wire.Column
	for i, f := range fields {
		switch {
		case slices.ContainsFunc(fields[:i], func(o field) bool { return strings.EqualFold(o.name, f.name) }):
			return nil, fault.Field("integration.columns", "the source has two columns %q: list the columns, or name them apart", f.name)
		case f.name == "":
			return nil, fault.Field("integration.columns", "column %d of the source has no name: list the columns that are to be moved", i+1)
		case f.kind == foreign:
			return nil, fault.Field("integration.columns", "the source's column %q is a list, a group or of another form that no type holds: list the columns that are to be moved", f.name)
		case to.sets(f.name):
			out.Line("the source's column %q is not taken: its value is the partition's", f.name)
			continue
		}
		spec = append(spec, &wire.Column{Name: f.name, From: f.name})
	}
	return spec, nil
}

// kindOf is the kind of a column that says none.
func kindOf(fields []field, name string, there kind) kind {
	for _, f := range fields {
		switch {
		case f.name != name:
		case f.guessed && there != "", f.kind == "":
			if there == "" {
				return text
			}
			return there
		default:
			return f.kind
		}
	}
	if there == "" {
		return text
	}
	return there
}

// field is a column of a source.
type field struct {
	name string
	kind kind
	// guessed: the source has no types, this is what its first rows look like.
	guessed bool
}

// foreign is the kind of a field that no column can take.
const foreign kind = "foreign"

// place finds the fields with these names. A field that is not known is an error
// if known is given: then everything is to be moved.
func place(fields []field, names, known []string) ([]int, error) {
	places := make([]int, len(names))
	for i, name := range names {
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		switch {
		case at < 0:
			return nil, fault.New(fault.Invalid, "there is no column %q%s: it has %s", name, nearest.Hint(name, namesOf(fields)), listed(fields))
		case slices.ContainsFunc(fields[at+1:], func(f field) bool { return f.name == name }):
			return nil, fault.New(fault.Invalid, "there are two columns %q: name them apart", name)
		case fields[at].kind == foreign:
			return nil, fault.New(fault.Invalid, "the column %q is a list, a group or of another form that no type holds", name)
		}
		places[i] = at
	}
	for _, f := range fields {
		if known != nil && !slices.Contains(known, f.name) {
			return nil, fault.New(fault.Invalid, "there is a column %q that the first of the files has not: list the columns that are to be moved", f.name)
		}
	}
	return places, nil
}

func namesOf(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// listed names fields in an error, the first of many.
func listed(fields []field) string {
	const most = 20
	names := namesOf(fields[:min(len(fields), most)])
	if len(fields) > most {
		names = append(names, fmt.Sprintf("and %d more", len(fields)-most))
	}
	return strings.Join(names, ", ")
}
