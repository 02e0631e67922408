package logical

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"backfleet/agent/task/database"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// view makes the logical table, a view over the tables of all units, unless it is
// there as it should be. Databases do not keep a view's text as it was given, so
// the text has a condition that always holds with the text's own checksum.
func (r *run) view(ctx context.Context) error {
	query := r.query()
	sum := sha256.Sum256([]byte(query))
	mark := "'" + hex.EncodeToString(sum[:16]) + "'"
	there, err := r.db.ViewText(ctx, r.spec.Table)
	if err == nil && !strings.Contains(there, mark) {
		query += " WHERE " + mark + " = " + mark
		if err = r.db.ReplaceView(ctx, r.spec.Table, query); err == nil {
			r.out.Line("view %s is made of %s", r.spec.Table, r.tables())
		}
	}
	if err != nil {
		return fault.New(fault.Invalid, "the units are written, and the view %s cannot be made: %s; if there is a table of its name, rename it",
			r.spec.Table, r.db.Dialect().Explain(err, query))
	}
	return nil
}

func (r *run) tables() string {
	var names []string
	for _, u := range r.units {
		names = append(names, u.table)
	}
	return strings.Join(names, ", ")
}

// query is the logical table: the rows of the first unit, with what the others
// have for the same primary key and partition. A field that several units
// produce has the value of the first that has one.
func (r *run) query() string {
	d := r.db.Dialect()
	quote := func(k int, name string) string { return fmt.Sprintf("u%d.%s", k, d.Quote(name)) }
	var columns []string
	for _, f := range r.spec.Fields {
		columns = append(columns, r.value(f, quote)+" AS "+d.Quote(f.Name))
	}
	columns = append(columns, quote(0, r.spec.Partition)+" AS "+d.Quote(r.spec.Partition))
	text := "SELECT " + strings.Join(columns, ", ")
	for k, u := range r.units {
		table := fmt.Sprintf("%s u%d", database.QuoteTable(d, u.table), k)
		if k == 0 {
			text += " FROM " + table
			continue
		}
		same := []string{quote(k, r.spec.Partition) + " = " + quote(0, r.spec.Partition)}
		for _, f := range r.keys {
			same = append(same, quote(k, f.Name)+" = "+quote(0, f.Name))
		}
		text += " LEFT JOIN " + table + " ON " + strings.Join(same, " AND ")
	}
	return text
}

// value is where a field comes from.
func (r *run) value(f *wire.LogicalField, quote func(k int, name string) string) string {
	if f.PrimaryKey {
		return quote(0, f.Name)
	}
	var from []string
	for k, u := range r.units {
		if slices.Contains(u.spec.Fields, f.Name) {
			from = append(from, quote(k, f.Name))
		}
	}
	if len(from) == 1 {
		return from[0]
	}
	return "COALESCE(" + strings.Join(from, ", ") + ")"
}
