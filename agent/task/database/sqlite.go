package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"

	"backfleet/pkg/wire"
)

type sqliteDialect struct{}

func (sqliteDialect) Type() string { return SQLite }

func (sqliteDialect) Quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (sqliteDialect) Placeholder(int) string { return "?" }

// ColumnType declares types by which values are told when they are read: SQLite
// itself knows five. Decimals are exact to fifteen digits.
func (sqliteDialect) ColumnType(c Column) string {
	switch c.Type {
	case "integer", "boolean", "date", "timestamp":
		return c.Type
	case "decimal":
		return "numeric"
	case "float":
		return "real"
	case "json":
		return "json text" // or else a document that is a number would become one
	}
	return "text"
}

// kind follows SQLite's own rules for declared types, after those that it has
// not got.
func (sqliteDialect) kind(databaseType string) string {
	name, _, _ := strings.Cut(strings.ToUpper(databaseType), "(")
	switch name = strings.TrimSpace(name); name {
	case "BOOLEAN", "BOOL":
		return "boolean"
	case "DATE":
		return "date"
	case "DATETIME", "TIMESTAMP":
		return "timestamp"
	case "JSON", "JSON TEXT", "JSONB":
		return "json"
	case "NUMERIC", "DECIMAL":
		return "decimal"
	}
	for _, rule := range []struct{ part, kind string }{
		{"INT", "integer"}, {"CHAR", "text"}, {"CLOB", "text"}, {"TEXT", "text"}, {"REAL", "float"}, {"FLOA", "float"}, {"DOUB", "float"}, //nolint:misspell // as SQLite has it
	} {
		if strings.Contains(name, rule.part) {
			return rule.kind
		}
	}
	return ""
}

// binary: each value has its own type, and bytes are never text.
func (sqliteDialect) binary(string) bool { return true }

func (sqliteDialect) tables() (string, bool) { return "", false }

func (sqliteDialect) missingTable(p Problem) bool {
	return strings.Contains(p.Message, "no such table")
}

// connector opens the file, which is made if it is not there. In WAL mode readers
// and the one writer do not wait for each other; writers wait for each other, and
// take the lock before they read, so that none has read what another changes.
func (sqliteDialect) connector(_ *DB, source *wire.DataSource, _ *wire.OpenSource) (driver.Connector, time.Duration, error) {
	wait := patience
	pragmas := map[string]string{"journal_mode": "wal", "foreign_keys": "on", "busy_timeout": strconv.FormatInt(wait.Milliseconds(), 10)}
	for _, o := range source.Options {
		pragmas[o.Name] = o.Value
	}
	if ms, err := strconv.Atoi(pragmas["busy_timeout"]); err == nil {
		wait = max(wait, time.Duration(ms)*time.Millisecond) // even opening may have to wait
	}
	parameters := url.Values{"_txlock": {"immediate"}, "_time_format": {"sqlite"}}
	for name, value := range pragmas {
		parameters.Add("_pragma", name+"("+value+")")
	}
	file := url.URL{Scheme: "file", Path: source.Database, RawQuery: parameters.Encode()}
	c, err := sqlite.NewConnector(file.String())
	return c, wait, err
}

func (sqliteDialect) define(ctx context.Context, db *DB, statements []string) error {
	return inTransaction(ctx, db, "", statements)
}

func (d sqliteDialect) replaceView(ctx context.Context, db *DB, view, query string) error {
	name := QuoteTable(d, view)
	return d.define(ctx, db, []string{"DROP VIEW IF EXISTS " + name, "CREATE VIEW " + name + " AS " + query})
}

var (
	// resultCode ends what SQLite says: "no such table: x (1)".
	resultCode = regexp.MustCompile(` \(\d+\)( \(SQLITE_BUSY\))?$`)
	// generic begins it where it says no more than that something is wrong.
	generic = regexp.MustCompile(`^(SQL logic error|constraint failed): `)
	// culprit is the word at fault.
	culprit = regexp.MustCompile(`near "(.+)": syntax error|no such (?:column|table|function): ("?[^"\s]+)`)
)

func (sqliteDialect) Explain(err error, statement string) Problem {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return unknown(err)
	}
	text := generic.ReplaceAllString(resultCode.ReplaceAllString(e.Error(), ""), "")
	p := Problem{Code: strconv.Itoa(e.Code()), Message: oneLine(text)}
	if strings.Contains(text, "incomplete input") {
		p.at(statement, len(strings.TrimRight(statement, " \t\r\n")))
	}
	if found := culprit.FindStringSubmatch(text); found != nil {
		p.atOnly(statement, strings.Trim(found[1]+found[2], `"`))
	}
	return p
}

// run counts what was written where the statement is of a kind that writes rows:
// SQLite goes on telling the count of the last one that was.
func (d sqliteDialect) run(ctx context.Context, c *Conn, statement string, show func(*Rows) error) (int64, error) {
	columns, err := query(ctx, d, c, statement, show)
	if err != nil {
		return 0, err
	}
	end := strings.IndexFunc(statement, func(r rune) bool { return r < 'A' || r > 'z' })
	switch first := strings.ToUpper(statement[:max(end, 0)]); first {
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
	case "WITH":
		if columns > 0 {
			return 0, nil
		}
	default:
		return 0, nil
	}
	var affected int64
	err = c.QueryRowContext(ctx, "SELECT changes()").Scan(&affected)
	return affected, err
}

func (d sqliteDialect) insert(ctx context.Context, tx *Tx, table string, columns []string, rows [][]any) (int64, error) {
	return insertMany(ctx, tx, d, table, columns, rows, 16_000) // 32,766 in one statement; more are no faster
}
