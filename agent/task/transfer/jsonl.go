package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// jsonlReader reads JSON objects, one a line, or those of one array. What
// columns there are, and of which types, is told by the first rows.
type jsonlReader struct {
	path  string
	lines *textFile
	// source gives the next object's text and where it is; io.EOF at the end.
	source func() (jsonLine, error)
	unit   string
	ahead  []jsonLine // read to see the fields
	seen   []field
	places map[string][]int // of the columns bound to
	known  map[string]bool
	count  int // of columns
}

type jsonLine struct {
	text []byte
	at   int64
}

// How many of the first rows tell the fields.
const (
	sampleRows  = 1000
	sampleBytes = 4 << 20
)

func newJSONLReader(lines *textFile) (*jsonlReader, error) {
	r := &jsonlReader{path: lines.path, lines: lines, unit: "line"}
	in := bufio.NewReaderSize(lines, 64<<10)
	r.source = func() (jsonLine, error) { return jsonLine{}, io.EOF }
	first, err := firstByte(in)
	switch {
	case errors.Is(err, io.EOF):
		return r, nil
	case err != nil:
		return nil, err
	case first == '[':
		r.unit = "row"
		r.source, err = elements(in, lines)
	default:
		r.source = textLines(in, lines)
	}
	if err != nil {
		return nil, err
	}
	return r, r.sample()
}

// firstByte looks at the first byte that is no blank. Empty lines before it count.
func firstByte(in *bufio.Reader) (byte, error) {
	for n := 1; ; n++ {
		b, err := in.Peek(n)
		if len(b) < n {
			if errors.Is(err, bufio.ErrBufferFull) {
				return ' ', nil
			}
			return 0, err
		}
		if !bytes.ContainsAny(b[n-1:], " \t\r\n") {
			return b[n-1], nil
		}
	}
}

// textLines gives one line after another, empty ones left out.
func textLines(in *bufio.Reader, lines *textFile) func() (jsonLine, error) {
	at := int64(0)
	return func() (jsonLine, error) {
		for {
			lines.record()
			text, err := in.ReadBytes('\n')
			at++
			if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0) {
				return jsonLine{}, err
			}
			if text = bytes.TrimSpace(text); len(text) > 0 {
				return jsonLine{text, at}, nil
			}
		}
	}
}

// elements gives one element of an array after another.
func elements(in *bufio.Reader, lines *textFile) (func() (jsonLine, error), error) {
	d := json.NewDecoder(in)
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	at, ended := int64(0), false
	return func() (jsonLine, error) {
		if ended {
			return jsonLine{}, io.EOF
		}
		lines.record()
		at++
		var raw json.RawMessage
		var err error
		if d.More() {
			err = d.Decode(&raw)
		} else if _, err = d.Token(); err == nil {
			ended = true
			return jsonLine{}, io.EOF
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return jsonLine{}, fault.Wrap(err, fault.Invalid, "%s, row %d: the array cannot be read on", lines.path, at)
		}
		return jsonLine{raw, at}, nil
	}, nil
}

// sample reads the first rows for their fields.
func (r *jsonlReader) sample() error {
	for size := 0; len(r.ahead) < sampleRows && size < sampleBytes; {
		line, err := r.source()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		r.ahead = append(r.ahead, line)
		size += len(line.text)
		_ = members(line.text, func(name string, value json.RawMessage) refusal { // what is wrong is told when it is read again
			r.see(name, kindOfJSON(value))
			return ""
		})
	}
	for i := range r.seen {
		if r.seen[i].kind == "" {
			r.seen[i].kind = text
		}
	}
	return nil
}

func (r *jsonlReader) see(name string, k kind) {
	for i := range r.seen {
		if f := &r.seen[i]; f.name == name {
			f.kind = widened(f.kind, k)
			return
		}
	}
	r.seen = append(r.seen, field{name: name, kind: k, guessed: true})
}

func (r *jsonlReader) fields() []field { return r.seen }

// bind takes any names: a member that no row has is no value.
func (r *jsonlReader) bind(names, known []string) error {
	r.places, r.count = map[string][]int{}, len(names)
	for i, n := range names {
		r.places[n] = append(r.places[n], i)
	}
	if known != nil {
		r.known = map[string]bool{}
		for _, n := range known {
			r.known[n] = true
		}
	}
	return nil
}

func (r *jsonlReader) next() (record, error) {
	var line jsonLine
	if len(r.ahead) > 0 {
		line, r.ahead = r.ahead[0], r.ahead[1:]
	} else {
		var err error
		if line, err = r.source(); err != nil {
			return record{}, err
		}
	}
	rec := record{cells: make([]any, r.count), file: r.path, unit: r.unit, at: line.at}
	why := members(line.text, func(name string, value json.RawMessage) refusal {
		places := r.places[name]
		switch {
		case len(places) > 0 && rec.cells[places[0]] != nil:
			return refuse("the member %s is there twice", quote(name))
		case len(places) == 0 && r.known != nil && !r.known[name]:
			return refuse("the member %s is not one of the first rows': list the columns that are to be moved", quote(name))
		}
		for _, at := range places {
			rec.cells[at] = value
		}
		return ""
	})
	if why != "" {
		const most = 4 << 10
		rec.raw = strings.ToValidUTF8(string(line.text[:min(len(line.text), most)]), "\uFFFD")
		return rec, why
	}
	return rec, nil
}

func (r *jsonlReader) close() error { return r.lines.close() }

// members gives the members of an object in their order.
func members(object []byte, each func(name string, value json.RawMessage) refusal) refusal {
	d := json.NewDecoder(bytes.NewReader(object))
	broken := func(err error) refusal {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "it ends within the object"
		}
		return refuse("it is no JSON: %v", err)
	}
	opening, err := d.Token()
	if err != nil {
		return broken(err)
	}
	if opening != json.Delim('{') {
		return "it is no JSON object: expected {…}"
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return broken(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return broken(err)
		}
		if why := each(name.(string), value); why != "" { // of an object every other token is a text
			return why
		}
	}
	if _, err := d.Token(); err != nil {
		return broken(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "there is more after the object"
	}
	return ""
}

// kindOfJSON is what a value looks like; null tells nothing.
func kindOfJSON(raw json.RawMessage) kind {
	switch raw[0] {
	case 'n':
		return ""
	case '"':
		return text
	case 't', 'f':
		return boolean
	case '{', '[':
		return document
	}
	switch {
	case bytes.ContainsAny(raw, "eE"):
		return float
	case bytes.IndexByte(raw, '.') >= 0:
		return decimal
	}
	if _, err := strconv.ParseInt(string(raw), 10, 64); err != nil {
		return decimal
	}
	return integer
}

// widened is the kind that holds the values of two.
func widened(a, b kind) kind {
	numeric := func(k kind) bool { return k == integer || k == decimal || k == float }
	switch {
	case a == b || b == "":
		return a
	case a == "":
		return b
	case a == decimal && numeric(b), b == decimal && numeric(a):
		return decimal
	case numeric(a) && numeric(b):
		return float
	case a == document || b == document:
		return document
	default:
		return text
	}
}

// jsonlWriter writes an object a line, with every column in it.
type jsonlWriter struct {
	counter
	names [][]byte // with their quotes, the colon, and what stands before
	line  []byte
}

func newJSONLWriter(columns []column, to io.Writer) *jsonlWriter {
	w := &jsonlWriter{counter: counter{to: to}}
	for i, c := range columns {
		before := byte(',')
		if i == 0 {
			before = '{'
		}
		w.names = append(w.names, append(append([]byte{before}, compact(c.name)...), ':'))
	}
	return w
}

func (w *jsonlWriter) add(values []any) error {
	w.line = w.line[:0]
	for i, v := range values {
		w.line = append(w.line, w.names[i]...)
		switch v := v.(type) {
		case nil:
			w.line = append(w.line, "null"...)
		case string:
			w.line = append(w.line, compact(v)...)
		case calendar.Date, moment:
			w.line = append(w.line, '"')
			w.line = append(appendText(w.line, v), '"')
		default:
			w.line = appendText(w.line, v)
		}
	}
	w.line = append(w.line, '}', '\n')
	_, err := w.Write(w.line)
	return err
}

func (w *jsonlWriter) close() error { return nil }
