package database

import (
	"context"
	"math"
	"strings"
	"time"

	"backfleet/pkg/fault"
)

// mostBytes bounds one INSERT, roughly: servers refuse packets beyond a size that
// is seldom less.
const mostBytes = 1 << 20

// insertMany adds rows by INSERTs of many rows, each with at most so many
// arguments.
func insertMany(ctx context.Context, tx *Tx, d Dialect, table string, columns []string, rows [][]any, arguments int) (written int64, err error) {
	head := "INSERT INTO " + QuoteTable(d, table) + " (" + QuoteColumns(d, columns) + ") VALUES "
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	for len(rows) > 0 {
		var values []any
		n, size := 0, len(head)
		for n < len(rows) && len(values)+len(columns) <= max(arguments, len(columns)) && size < mostBytes {
			for i, v := range rows[n] {
				v, err := argument(v)
				if err != nil {
					return written, fault.Wrap(err, fault.Invalid, "column %s", columns[i])
				}
				values, size = append(values, v), size+weight(v)
			}
			n++
		}
		text := head + row + strings.Repeat(", "+row, n-1)
		if _, err := tx.ExecContext(ctx, text, values...); err != nil {
			return written, err
		}
		written += int64(n)
		rows = rows[n:]
	}
	return written, nil
}

// argument makes of a value what both drivers write alike.
func argument(v any) (any, error) {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format(moment), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fault.New(fault.Invalid, "%v: the database has numbers only", v)
		}
	}
	return v, nil
}

// weight is about how long a value is in a statement.
func weight(v any) int {
	switch v := v.(type) {
	case string:
		return len(v) + 4
	case []byte:
		return len(v) + 12
	}
	return 12
}
