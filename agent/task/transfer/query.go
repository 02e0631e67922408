package transfer

import (
	"context"
	"io"
	"slices"
	"time"

	"backfleet/agent/task/database"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// queryReader reads the result of a query on a data source.
type queryReader struct {
	db     *database.DB
	rows   *database.Rows
	seen   []field
	ahead  [][]any // read to see the types of what has none
	places []int
	at     int64
}

func openQuery(ctx context.Context, source *wire.OpenSource, query string) (_ reader, err error) {
	r := &queryReader{}
	if r.db, err = database.Open(ctx, source); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = r.close()
		}
	}()
	if r.rows, err = r.db.Query(ctx, query); err != nil {
		return nil, explained(r.db, err, query, "integration.from.query")
	}
	for _, c := range r.rows.Columns {
		r.seen = append(r.seen, field{name: c.Name, kind: kind(c.Type)})
	}
	return r, r.sample()
}

// explained says what the server said of a statement, and where in it.
func explained(db *database.DB, err error, statement, what string) error {
	p := db.Dialect().Explain(err, statement)
	if p.Line > 0 {
		return fault.New(fault.Invalid, "%s: line %d, column %d: %s", what, p.Line, p.Column, p)
	}
	return fault.New(fault.Invalid, "%s: %s", what, p)
}

// sample tells the types of columns that have none, such as SQLite's sums, by the
// first rows.
func (r *queryReader) sample() error {
	typeless := func(f field) bool { return f.kind == "" }
	if !slices.ContainsFunc(r.seen, typeless) {
		return nil
	}
	kinds := make([]kind, len(r.seen))
	for len(r.ahead) < sampleRows && r.rows.Next() {
		values, err := r.rows.Values()
		if err != nil {
			return err
		}
		for i, v := range values {
			kinds[i] = widened(kinds[i], kindOfGo(v))
		}
		r.ahead = append(r.ahead, values)
	}
	for i := range r.seen {
		if typeless(r.seen[i]) {
			r.seen[i].kind, r.seen[i].guessed = kinds[i], true
		}
		if typeless(r.seen[i]) {
			r.seen[i].kind = text
		}
	}
	return r.rows.Err()
}

func kindOfGo(v any) kind {
	switch v.(type) {
	case nil:
		return ""
	case bool:
		return boolean
	case int64:
		return integer
	case float64:
		return float
	case time.Time:
		return timestamp
	default:
		return text
	}
}

func (r *queryReader) fields() []field { return r.seen }

func (r *queryReader) bind(names, known []string) (err error) {
	r.places, err = place(r.seen, names, known)
	return err
}

func (r *queryReader) next() (record, error) {
	var values []any
	switch {
	case len(r.ahead) > 0:
		values, r.ahead = r.ahead[0], r.ahead[1:]
	case r.rows.Next():
		var err error
		if values, err = r.rows.Values(); err != nil {
			return record{}, fault.Wrap(err, fault.Unavailable, "integration.from.query: row %d cannot be read", r.at+1)
		}
	case r.rows.Err() != nil:
		return record{}, fault.Wrap(r.rows.Err(), fault.Unavailable, "integration.from.query: it ended after %d rows", r.at)
	default:
		return record{}, io.EOF
	}
	r.at++
	rec := record{cells: make([]any, len(r.places)), unit: "row", at: r.at}
	for i, at := range r.places {
		rec.cells[i] = values[at]
		if t, ok := values[at].(time.Time); ok {
			rec.cells[i] = civil(t, r.seen[at].kind)
		}
	}
	return rec, nil
}

// civil is a time as a database has it: a date is a day wherever, a timestamp
// is in UTC.
func civil(t time.Time, k kind) any {
	if k == date {
		y, m, d := t.Date()
		return calendar.DateOf(y, m, d)
	}
	return moment(t.UnixMicro())
}

func (r *queryReader) close() error {
	var err error
	if r.rows != nil {
		err = r.rows.Close()
	}
	if closed := r.db.Close(); err == nil {
		err = closed
	}
	return err
}
