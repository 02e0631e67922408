package transfer

import (
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"backfleet/pkg/fault"
)

// csvReader reads a file of comma-separated values (RFC 4180, any delimiter).
type csvReader struct {
	lines    *textFile
	csv      *csv.Reader
	header   []field
	nullText string
	first    []string // read already: the first row, where there is no header
	places   []int
}

func newCSVReader(lines *textFile, delimiter string, noHeader bool, nullText string) (*csvReader, error) {
	r := &csvReader{lines: lines, csv: csv.NewReader(lines), nullText: nullText}
	r.csv.ReuseRecord = true
	if delimiter == `\t` {
		delimiter = "\t"
	}
	if delimiter != "" {
		comma, size := utf8.DecodeRuneInString(delimiter)
		if size != len(delimiter) || comma == utf8.RuneError || strings.ContainsRune("\"\r\n", comma) {
			return nil, fault.Field("integration.from.delimiter", "%q: expected one character, no quote and no end of a line", delimiter)
		}
		r.csv.Comma = comma
	}
	first, err := r.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return r, nil
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "its first line cannot be read")
	}
	if noHeader {
		r.first = append(r.first, first...)
	}
	for i, name := range first {
		if name = strings.TrimSpace(name); noHeader {
			name = strconv.Itoa(i + 1)
		}
		r.header = append(r.header, field{name: name, kind: text, guessed: true})
	}
	return r, nil
}

func (r *csvReader) fields() []field { return r.header }

func (r *csvReader) bind(names, known []string) (err error) {
	if r.header == nil {
		return nil // it is empty
	}
	r.places, err = place(r.header, names, known)
	return err
}

func (r *csvReader) next() (record, error) {
	if r.first != nil {
		first := r.first
		r.first = nil
		return r.record(first, 1), nil
	}
	r.lines.record()
	row, err := r.csv.Read()
	var wrong *csv.ParseError
	switch {
	case err == nil:
		line, _ := r.csv.FieldPos(0)
		return r.record(row, line), nil
	case errors.Is(err, csv.ErrFieldCount):
		line, _ := r.csv.FieldPos(0)
		return record{raw: append([]string(nil), row...), file: r.lines.path, unit: "line", at: int64(line)},
			refuse("it has %d fields: expected %d, as many as the first line", len(row), len(r.header))
	case errors.As(err, &wrong):
		return record{file: r.lines.path, unit: "line", at: int64(wrong.StartLine)},
			refuse("line %d, column %d: %v", wrong.Line, wrong.Column, wrong.Err)
	default:
		return record{}, err
	}
}

func (r *csvReader) record(row []string, line int) record {
	cells := make([]any, len(r.places))
	for i, at := range r.places {
		if row[at] != r.nullText {
			cells[i] = row[at]
		}
	}
	return record{cells: cells, file: r.lines.path, unit: "line", at: int64(line)}
}

func (r *csvReader) close() error { return r.lines.close() }

// csvWriter writes a header and lines that end with a line feed. No value is
// nothing at all, and an empty text is a pair of quotes.
type csvWriter struct {
	counter
	line []byte
}

func newCSVWriter(columns []column, to io.Writer) (*csvWriter, error) {
	w := &csvWriter{counter: counter{to: to}}
	for i, c := range columns {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		w.line = appendField(w.line, c.name)
	}
	w.line = append(w.line, '\n')
	_, err := w.Write(w.line)
	return w, err
}

func (w *csvWriter) add(values []any) error {
	w.line = w.line[:0]
	for i, v := range values {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		switch v := v.(type) {
		case nil:
			if len(values) == 1 {
				w.line = append(w.line, '"', '"') // an empty line would be no row
			}
		case string:
			w.line = appendField(w.line, v)
		case jsonText:
			w.line = appendField(w.line, string(v))
		default:
			w.line = appendText(w.line, v)
		}
	}
	w.line = append(w.line, '\n')
	_, err := w.Write(w.line)
	return err
}

func (w *csvWriter) close() error { return nil }

// appendField writes a text, in quotes if it needs them.
func appendField(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}
