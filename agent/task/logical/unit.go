package logical

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"backfleet/agent/task/database"
	"backfleet/agent/task/fence"
	"backfleet/agent/task/statement"
	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// unit is one materialised piece of the table.
type unit struct {
	*run
	spec    *wire.Unit
	runs    bool
	table   string
	columns []database.Column // the partition's, those of the primary key, those of its fields
	query   statement.Statement
}

func (r *run) unit(spec *wire.Unit, runs bool) *unit {
	u := &unit{run: r, spec: spec, runs: runs, table: node.UnitTable(r.spec, spec.Id)}
	u.columns = append(u.columns, database.Column{Name: r.spec.Partition, Type: "text", Key: true})
	for _, f := range r.keys {
		u.columns = append(u.columns, column(f))
	}
	for _, f := range r.spec.Fields {
		if slices.Contains(spec.Fields, f.Name) {
			u.columns = append(u.columns, column(f))
		}
	}
	return u
}

// names are those of the columns that the unit's query gives.
func (u *unit) names() []string {
	var names []string
	for _, c := range u.columns[1:] {
		names = append(names, c.Name)
	}
	return names
}

// prepare creates the unit's table, or checks the one that is there.
func (u *unit) prepare(ctx context.Context) error {
	has, err := u.db.Columns(ctx, u.table)
	if fault.Is(err, fault.NotFound) {
		// Its keys get an index and are not the table's primary key: that two rows
		// share one is found by a look at the partition, which can show them.
		statements := database.CreateTable(u.db.Dialect(), u.table, u.columns, false)
		if err := u.db.Define(ctx, statements...); err != nil {
			return u.explain(err, statements[0], "table "+u.table+" cannot be created")
		}
		u.out.Line("unit %s: table %s is created", u.spec.Id, u.table)
		return nil
	}
	if err != nil {
		return err
	}
	var wrong []string
	for _, c := range u.columns {
		i := slices.IndexFunc(has, func(h database.Column) bool { return strings.EqualFold(h.Name, c.Name) })
		switch {
		case i < 0:
			wrong = append(wrong, fmt.Sprintf("column %q of type %s is missing", c.Name, c.Type))
		case !database.SameType(u.db.Dialect(), c, has[i]):
			wrong = append(wrong, fmt.Sprintf("column %q is of type %s, and the node says %s", c.Name, has[i].Type, c.Type))
		}
	}
	if len(wrong) > 0 {
		return fault.New(fault.Invalid, "its table %s is not as the node declares it: %s; change the table or the node, or drop the table and backfill its partitions again",
			u.table, strings.Join(wrong, "; "))
	}
	return nil
}

// read takes the unit's query from its code.
func (u *unit) read() error {
	all, err := statement.Split(u.db.Dialect().Type(), u.spec.Code)
	switch {
	case err != nil:
		return fault.Wrap(err, fault.Invalid, "its code cannot be read")
	case len(all) != 1:
		return fault.New(fault.Invalid, "its code has %d statements: expected one query", len(all))
	}
	u.query = all[0]
	return nil
}

// write overwrites the unit's partition with what its query gives.
func (u *unit) write(ctx context.Context) (rows int64, err error) {
	if err := u.read(); err != nil {
		return 0, err
	}
	err = u.db.Write(ctx, func(tx *database.Tx) error {
		if err := fence.Claim(ctx, tx, u.table, u.partition(), u.by); err != nil {
			return err
		}
		given, err := u.given(ctx, tx)
		if err != nil {
			return err
		}
		old := database.DeletePartition(tx.Dialect(), u.table, []string{u.run.spec.Partition})
		before, err := affected(tx.ExecContext(ctx, old, u.run.spec.PartitionValue))
		if err != nil {
			return u.explain(err, old, "the old rows cannot be deleted")
		}
		insert := u.insert(tx.Dialect(), given)
		if rows, err = affected(tx.ExecContext(ctx, insert, u.run.spec.PartitionValue)); err != nil {
			return u.explain(err, insert, "its rows cannot be written")
		}
		if err := u.unique(ctx, tx); err != nil {
			return err
		}
		u.out.Line("unit %s: %d rows in %s of %s, where %d were", u.spec.Id, rows, u.partition(), u.table, before)
		return nil
	})
	return rows, err
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// queryBegins is what stands before the unit's query in a statement, on the
// first line, so that the second is the query's first.
const queryBegins = " FROM (\n"

// from is the unit's query as a table.
func (u *unit) from(before string) string { return before + queryBegins + u.query.Text + "\n) q" }

// given finds what the query calls the columns of the table: databases differ in
// what they make of names without quotes.
func (u *unit) given(ctx context.Context, tx *database.Tx) ([]string, error) {
	text := u.from("SELECT *") + " WHERE 1 = 0"
	rows, err := tx.Query(ctx, text)
	if err != nil {
		return nil, u.explain(err, text, "its query fails")
	}
	var has []string
	for _, c := range rows.Columns {
		has = append(has, c.Name)
	}
	if err := rows.Close(); err != nil {
		return nil, u.explain(err, text, "its query fails")
	}
	var given, missing []string
	for _, name := range u.names() {
		i := slices.IndexFunc(has, func(h string) bool { return strings.EqualFold(h, name) })
		if i < 0 {
			missing = append(missing, fmt.Sprintf("%q%s", name, nearest.Hint(name, has)))
			continue
		}
		given = append(given, has[i])
	}
	if len(missing) > 0 {
		return nil, fault.New(fault.Invalid, "its query does not give %s: expected the primary key and the unit's fields by name (AS …), and it gives %s",
			strings.Join(missing, ", "), quoted(has))
	}
	return given, nil
}

// insert is the statement that fills the partition, whose value is its argument.
func (u *unit) insert(d database.Dialect, given []string) string {
	values := []string{d.Placeholder(1)}
	for _, name := range given {
		values = append(values, "q."+d.Quote(name))
	}
	columns := append([]string{u.run.spec.Partition}, u.names()...)
	return u.from("INSERT INTO " + database.QuoteTable(d, u.table) + " (" + database.QuoteColumns(d, columns) + ") SELECT " + strings.Join(values, ", "))
}

// duplicatesShown is how many primary keys that come twice a failure tells.
const duplicatesShown = 5

// unique refuses a partition in which rows share a primary key.
func (u *unit) unique(ctx context.Context, tx *database.Tx) error {
	d := tx.Dialect()
	var names []string
	for _, f := range u.keys {
		names = append(names, f.Name)
	}
	keys := database.QuoteColumns(d, names)
	text := fmt.Sprintf("SELECT %s, COUNT(*) FROM %s WHERE %s = %s GROUP BY %s HAVING COUNT(*) > 1 ORDER BY %s LIMIT %d",
		keys, database.QuoteTable(d, u.table), d.Quote(u.run.spec.Partition), d.Placeholder(1), keys, keys, duplicatesShown)
	rows, err := tx.Query(ctx, text, u.run.spec.PartitionValue)
	if err != nil {
		return u.explain(err, text, "its primary key cannot be looked at")
	}
	defer rows.Close()
	var twice []string
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		var parts []string
		for i, f := range u.keys {
			parts = append(parts, f.Name+"="+database.Format(values[i], column(f)))
		}
		twice = append(twice, fmt.Sprintf("%s (%v rows)", strings.Join(parts, " "), values[len(u.keys)]))
	}
	if err := rows.Err(); err != nil {
		return u.explain(err, text, "its primary key cannot be looked at")
	}
	if len(twice) > 0 {
		more := ""
		if len(twice) == duplicatesShown {
			more = ", perhaps among others"
		}
		return fault.New(fault.Invalid, "its query gives rows with the same primary key: %s%s; nothing was written, make the query give one row for each", strings.Join(twice, ", "), more)
	}
	return nil
}

// explain says what the database said of a statement, and where in the unit's
// code that is.
func (u *unit) explain(err error, text, what string) error {
	p := u.db.Dialect().Explain(err, text)
	_, query, _ := strings.Cut(text, queryBegins)
	if line := p.Line - 1; line >= 1 && line < strings.Count(query, "\n")+1 {
		column := p.Column
		if line == 1 && column > 0 {
			column += u.query.Column - 1
		}
		what += fmt.Sprintf(": line %d", line+u.query.Line-1)
		if column > 0 {
			what += fmt.Sprintf(", column %d", column)
		}
	}
	return fault.New(fault.Invalid, "%s: %s", what, p)
}
