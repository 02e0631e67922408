package database

import (
	"database/sql"
	"encoding/hex"
	"math"
	"strconv"
	"time"
)

// A Column is one of a table, or of a query's result.
type Column struct {
	Name string
	// Type is as wire.Column.Type: text, integer, decimal, float, boolean, date,
	// timestamp or json. Of a result it is empty where it is none of those.
	Type string
	// Key: it is of the primary key, or of the partition. It is never null and has
	// an index, for which MySQL wants text to be bounded: at most 255 characters.
	Key bool
}

// Rows are the result of a query, read one by one.
type Rows struct {
	Columns []Column
	from    cursor
}

// cursor is what drivers give.
type cursor interface {
	Next() bool
	values() ([]any, error)
	Err() error
	Close() error
}

// Next goes to the next row; false: there is none, or Err says why.
func (r *Rows) Next() bool { return r.from.Next() }

// Values are those of the row: nil, bool, int64, float64, string, []byte or
// time.Time in UTC. Decimals, JSON and all that Go has no type for are strings.
// The slice is the caller's.
func (r *Rows) Values() ([]any, error) { return r.from.values() }

// Err is why the rows ended; nil after the last one.
func (r *Rows) Err() error { return r.from.Err() }

// Close ends reading.
func (r *Rows) Close() error { return r.from.Close() }

// newRows takes over what database/sql gave.
func newRows(d Dialect, rows *sql.Rows) (*Rows, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		_ = rows.Close()
		return nil, err
	}
	r := &Rows{Columns: make([]Column, len(types))}
	from := &sqlRows{Rows: rows, columns: r.Columns, binary: make([]bool, len(types))}
	for i, t := range types {
		r.Columns[i] = Column{Name: t.Name(), Type: d.kind(t.DatabaseTypeName())}
		from.binary[i] = d.binary(t.DatabaseTypeName())
	}
	r.from = from
	return r, nil
}

// sqlRows are rows of database/sql.
type sqlRows struct {
	*sql.Rows
	columns []Column
	binary  []bool
}

func (r *sqlRows) values() ([]any, error) {
	row := make([]any, len(r.columns))
	at := make([]any, len(row))
	for i := range row {
		at[i] = &row[i]
	}
	if err := r.Scan(at...); err != nil {
		return nil, err
	}
	for i, v := range row {
		row[i] = plain(v, r.columns[i], r.binary[i])
	}
	return row, nil
}

// plain makes of what drivers give one of the types of Values.
func plain(v any, c Column, binary bool) any {
	switch v := v.(type) {
	case []byte:
		if binary {
			return append([]byte{}, v...) // a driver may give nil for an empty one
		}
		return string(v)
	case int64:
		if c.Type == "boolean" && (v == 0 || v == 1) {
			return v == 1
		}
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
		return strconv.FormatUint(v, 10)
	case float32:
		// the shortest decimal that is this number, as the server writes it
		exact, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
		if err == nil {
			return exact
		}
	case time.Time:
		return v.UTC()
	}
	return v
}

// moment is how times are written for databases and people.
const moment = "2006-01-02 15:04:05.999999"

// Format writes a value for people, as its column's type is usually written. No
// value is NULL.
func Format(v any, c Column) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
			return strconv.FormatFloat(v, 'e', -1, 64)
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []byte:
		return `\x` + hex.EncodeToString(v)
	case time.Time:
		if c.Type == "date" {
			return v.Format(time.DateOnly)
		}
		return v.Format(moment)
	}
	return ""
}
