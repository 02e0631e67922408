package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"backfleet/agent/task/database"
	"backfleet/agent/task/fence"
	"backfleet/pkg/calendar"
	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/wire"
)

// openTarget opens what a task writes to.
func openTarget(ctx context.Context, t *wire.Task, by fence.By) (target, error) {
	to := t.Node.Integration.To
	if to.Source == "" {
		return openFolder(to, by)
	}
	source, err := sourceOf(t, "integration.to.source", to.Source)
	if err != nil {
		return nil, err
	}
	return openTable(ctx, source, to, by)
}

// table is a partition of a table: its rows with the partition's values in the
// partition's columns, or all of them where it has none.
type table struct {
	db      *database.DB
	name    string
	values  []*wire.Assignment // of the partition
	create  bool
	by      fence.By
	there   []database.Column // before; none: there is no table
	columns []string          // written, those of the partition last
	rooms   []room            // of the columns without the partition's
}

func openTable(ctx context.Context, source *wire.OpenSource, to *wire.IntegrationTarget, by fence.By) (_ *table, err error) {
	t := &table{name: to.Table, values: to.Partition, create: to.Create, by: by}
	if t.db, err = database.Open(ctx, source); err != nil {
		return nil, err
	}
	t.there, err = t.db.Columns(ctx, t.name)
	if fault.Is(err, fault.NotFound) && t.create {
		err = nil
	}
	if err == nil {
		err = fence.Prepare(ctx, t.db)
	}
	if err != nil {
		_ = t.db.Close()
		return nil, fault.Wrap(err, fault.Invalid, "integration.to.table: %q", t.name)
	}
	return t, nil
}

func (t *table) types() map[string]kind {
	types := map[string]kind{}
	for _, c := range t.there {
		if slices.Contains(kinds, kind(c.Type)) {
			types[strings.ToLower(c.Name)] = kind(c.Type)
		}
	}
	return types
}

func (t *table) sets(column string) bool {
	return slices.ContainsFunc(t.values, func(v *wire.Assignment) bool { return strings.EqualFold(v.Name, column) })
}

func (t *table) prepare(ctx context.Context, columns []column) error {
	var wanted []database.Column
	for _, c := range columns {
		wanted = append(wanted, database.Column{Name: c.name, Type: string(c.kind)})
	}
	for _, v := range t.values {
		wanted = append(wanted, database.Column{Name: v.Name, Type: string(text), Key: true})
	}
	for _, c := range wanted {
		t.columns = append(t.columns, c.Name)
	}
	switch {
	case len(t.there) > 0:
		if err := t.check(wanted); err != nil {
			return err
		}
	case len(columns) == 0:
		return fault.Field("integration.columns", "the table %q is to be created, and there is no row that tells its columns: list them", t.name)
	default:
		statements := database.CreateTable(t.db.Dialect(), t.name, wanted, false)
		if err := t.db.Define(ctx, statements...); err != nil {
			return explained(t.db, err, statements[0], fmt.Sprintf("the table %q cannot be created", t.name))
		}
	}
	return t.measure(ctx, len(columns))
}

// check finds columns that the table has not, all of them.
func (t *table) check(wanted []database.Column) error {
	var names, missing []string
	for _, c := range t.there {
		names = append(names, c.Name)
	}
	for _, c := range wanted {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, c.Name) }) {
			missing = append(missing, strconv.Quote(c.Name)+nearest.Hint(c.Name, names))
		}
	}
	if len(missing) > 0 {
		return fault.Field("integration.columns", "the table %q has no column %s: it has %s", t.name, strings.Join(missing, ", "), strings.Join(names, ", "))
	}
	return nil
}

// room is how many decimals a column holds. Databases round what has more, some
// of them in silence.
type room struct {
	decimals int64
	fifteen  bool // digits, in SQLite, where a number is a float or an integer
}

// measure asks for the room of the first columns.
func (t *table) measure(ctx context.Context, columns int) error {
	t.rooms = make([]room, columns)
	if columns == 0 {
		return nil
	}
	d := t.db.Dialect()
	query := "SELECT " + database.QuoteColumns(d, t.columns[:columns]) + " FROM " + database.QuoteTable(d, t.name) + " WHERE 1 = 0"
	rows, err := t.db.QueryContext(ctx, query)
	if err != nil {
		return explained(t.db, err, query, fmt.Sprintf("the columns of the table %q cannot be read", t.name))
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	there, err := t.db.Columns(ctx, t.name)
	if err != nil {
		return err
	}
	for i, c := range types {
		t.rooms[i].decimals = math.MaxInt64
		at := slices.IndexFunc(there, func(o database.Column) bool { return strings.EqualFold(o.Name, t.columns[i]) })
		if at < 0 {
			continue
		}
		switch there[at].Type {
		case string(integer):
			t.rooms[i].decimals = 0
		case string(decimal):
			if _, scale, ok := c.DecimalSize(); ok {
				t.rooms[i].decimals = scale
			}
			t.rooms[i].fifteen = d.Type() == datasource.SQLite
		}
	}
	return nil
}

// holds tells why a decimal would be rounded.
func (r room) holds(n number) refusal {
	_, fraction, _ := strings.Cut(string(n), ".")
	if int64(len(fraction)) > r.decimals {
		return refuse("%s has more than the %d decimals that the table's column holds", quote(string(n)), r.decimals)
	}
	if r.fifteen {
		const exact = 15
		digits := strings.Trim(strings.ReplaceAll(strings.TrimPrefix(string(n), "-"), ".", ""), "0")
		if _, err := strconv.ParseInt(string(n), 10, 64); err != nil && len(digits) > exact {
			return refuse("%s has more than the %d digits that SQLite holds: the type text holds it", quote(string(n)), exact)
		}
	}
	return ""
}

func (t *table) replace(ctx context.Context, fill func(sink) error) (int64, error) {
	d := t.db.Dialect()
	var names []string
	var values []any
	for _, v := range t.values {
		names, values = append(names, v.Name), append(values, v.Value)
	}
	err := t.db.Write(ctx, func(tx *database.Tx) error {
		if err := fence.Claim(ctx, tx, t.name, part(t.values), t.by); err != nil {
			return err
		}
		statement := database.DeletePartition(d, t.name, names)
		if _, err := tx.ExecContext(ctx, statement, values...); err != nil {
			return explained(t.db, err, statement, "the old rows cannot be deleted")
		}
		return fill(&inserter{table: t, tx: tx, constants: values})
	})
	var told *fault.Error
	if err != nil && !errors.As(err, &told) {
		err = fault.Wrap(errors.New(d.Explain(err, "").String()), fault.Unavailable, "%s cannot be written", t)
	}
	return 0, err
}

// part names a partition to the fence, whatever the order of its columns.
func part(values []*wire.Assignment) string {
	const most = 255
	var pieces []string
	for _, v := range values {
		pieces = append(pieces, v.Name+"="+v.Value)
	}
	slices.Sort(pieces)
	name := strings.Join(pieces, "/")
	if len(name) > most {
		name = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	return name
}

func (t *table) close() error { return t.db.Close() }

// String names the partition to people.
func (t *table) String() string {
	if len(t.values) == 0 {
		return "table " + t.name
	}
	return fmt.Sprintf("table %s (%s)", t.name, part(t.values))
}

// inserter writes into the transaction.
type inserter struct {
	*table
	tx        *database.Tx
	constants []any
}

func (w *inserter) write(ctx context.Context, rows [][]any) ([]refusedAt, error) {
	var refused []refusedAt
	var taken []int // places of what is in arguments
	arguments := make([][]any, 0, len(rows))
	for place, row := range rows {
		a, why := w.arguments(row)
		if why != "" {
			refused = append(refused, refusedAt{place, why})
			continue
		}
		taken, arguments = append(taken, place), append(arguments, a)
	}
	if len(arguments) == 0 {
		return refused, nil
	}
	more, err := w.insert(ctx, arguments, 0)
	if stopped := ctx.Err(); err != nil && stopped != nil {
		err = fault.Wrap(stopped, fault.Timeout, "stopped while rows were written")
	}
	if err != nil {
		return nil, err
	}
	for _, r := range more {
		refused = append(refused, refusedAt{taken[r.place], r.why})
	}
	slices.SortFunc(refused, func(a, b refusedAt) int { return a.place - b.place })
	return refused, nil
}

func (w *inserter) arguments(row []any) ([]any, refusal) {
	a := make([]any, 0, len(row)+len(w.constants))
	for i, v := range row {
		if n, ok := v.(number); ok {
			if why := w.rooms[i].holds(n); why != "" {
				return nil, refuse("column %q: %s", w.columns[i], why)
			}
		}
		a = append(a, argument(v))
	}
	return append(a, w.constants...), ""
}

// argument is a value as databases are given it. A decimal goes as text, which
// loses nothing.
func argument(v any) any {
	switch v := v.(type) {
	case number:
		return string(v)
	case jsonText:
		return string(v)
	case calendar.Date:
		return v.String()
	case moment:
		return v.time()
	default:
		return v
	}
}

// insert writes rows, of which the database may refuse some. Those it finds by
// halves: what was tried is undone to a savepoint.
func (w *inserter) insert(ctx context.Context, rows [][]any, from int) ([]refusedAt, error) {
	const mark = "backfleet_rows"
	if _, err := w.tx.ExecContext(ctx, "SAVEPOINT "+mark); err != nil {
		return nil, err
	}
	_, err := w.tx.Insert(ctx, w.name, w.columns, rows)
	if err == nil {
		_, err = w.tx.ExecContext(ctx, "RELEASE SAVEPOINT "+mark)
		return nil, err
	}
	p := w.db.Dialect().Explain(err, "")
	if !ofTheRows(w.db.Dialect().Type(), p.Code) {
		return nil, fault.Wrap(errors.New(p.String()), fault.Unavailable, "rows cannot be written to %s", w.table)
	}
	if _, err := w.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT "+mark); err != nil {
		return nil, err
	}
	if len(rows) == 1 {
		return []refusedAt{{from, refuse("the database does not take it: %s", p)}}, nil
	}
	half := len(rows) / 2
	first, err := w.insert(ctx, rows[:half], from)
	if err != nil {
		return nil, err
	}
	second, err := w.insert(ctx, rows[half:], from+half)
	return append(first, second...), err
}

// Errors of MySQL and MariaDB that are about the values of a row: no value where
// there must be one, too long, out of range, no number, there already, a check.
var mysqlOfRows = []string{"1048", "1062", "1169", "1264", "1265", "1292", "1364", "1366", "1367", "1406", "1416", "1452", "1557", "1586", "1690", "3140", "3156", "3819", "4025"}

// ofTheRows says whether an error is about values, so that other rows may well
// be written.
func ofTheRows(product, code string) bool {
	switch product {
	case datasource.Postgres: // classes of SQLSTATE: data exceptions, constraints
		return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23")
	case datasource.MySQL:
		return slices.Contains(mysqlOfRows, code)
	default:
		n, err := strconv.Atoi(code)
		const tooBig, constraint, mismatch = 18, 19, 20 // primary result codes, the low byte
		return err == nil && slices.Contains([]int{tooBig, constraint, mismatch}, n&0xff)
	}
}
