package database

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"backfleet/pkg/wire"
)

// patience is how long a connection may take if the data source does not say.
const patience = 10 * time.Second

// answering is how long a server that was told to stop may take to say so.
const answering = 5 * time.Second

// defining is the advisory lock of those who create tables and views: "if not
// exists" alone is no help to two who find that it does not exist.
const defining = "SELECT pg_advisory_xact_lock(4849573602138)"

type postgresDialect struct{}

func (postgresDialect) Type() string { return Postgres }

func (postgresDialect) Quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (postgresDialect) Placeholder(n int) string { return "$" + strconv.Itoa(n) }

func (postgresDialect) ColumnType(c Column) string {
	switch c.Type {
	case "integer":
		return "bigint"
	case "decimal":
		return "numeric"
	case "float":
		return "double precision"
	case "boolean", "date", "timestamp":
		return c.Type
	case "json":
		return "jsonb"
	}
	return "text"
}

func (postgresDialect) kind(databaseType string) string {
	switch databaseType {
	case "TEXT", "VARCHAR", "BPCHAR", "NAME", "UUID", "CITEXT":
		return "text"
	case "INT2", "INT4", "INT8":
		return "integer"
	case "NUMERIC":
		return "decimal"
	case "FLOAT4", "FLOAT8":
		return "float"
	case "BOOL":
		return "boolean"
	case "DATE":
		return "date"
	case "TIMESTAMP", "TIMESTAMPTZ":
		return "timestamp"
	case "JSON", "JSONB":
		return "json"
	}
	return ""
}

func (postgresDialect) binary(databaseType string) bool { return databaseType == "BYTEA" }

func (postgresDialect) tables() (string, bool) { return "", false }

func (postgresDialect) missingTable(p Problem) bool { return p.Code == "42P01" || p.Code == "3F000" }

// connector takes nothing from the surroundings: what pgx finds in variables and
// files is overwritten, all but a host's name is the data source's.
func (postgresDialect) connector(db *DB, source *wire.DataSource, s *wire.OpenSource) (driver.Connector, time.Duration, error) {
	// Without kept plans, for a task changes the tables that it reads; and through
	// a pool of connections, too.
	text, mode, wait := "sslmode=disable", "describe_exec", patience
	parameters := map[string]string{"application_name": "backfleet", "timezone": "UTC"}
	for _, o := range source.Options {
		switch o.Name {
		case "connect_timeout":
			seconds, err := strconv.Atoi(o.Value)
			if err != nil {
				return nil, 0, err
			}
			wait = time.Duration(max(seconds, 1)) * time.Second
		case "target_session_attrs":
			text += " target_session_attrs=" + o.Value
		case "default_query_exec_mode":
			mode = o.Value
		default:
			parameters[o.Name] = o.Value
		}
	}
	config, err := pgx.ParseConfig(text + " default_query_exec_mode=" + mode)
	if err != nil {
		return nil, 0, err
	}
	config.Host, config.Port, config.Database = source.Host, uint16(source.Port), source.Database
	config.User, config.Password = source.User, s.GetPassword()
	if config.TLSConfig, err = protection(source, s.GetCa()); err != nil {
		return nil, 0, err
	}
	config.Fallbacks, config.RuntimeParams, config.ConnectTimeout = nil, parameters, wait
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { db.notice(n.Severity + ": " + oneLine(n.Message)) }
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: answering}
	}
	return stdlib.GetConnector(*config), wait, nil
}

func (postgresDialect) define(ctx context.Context, db *DB, statements []string) error {
	return inTransaction(ctx, db, defining, statements)
}

// replaceView replaces a view in place where that is possible, for others may
// have views on it; columns that are gone or different make a new one necessary.
func (d postgresDialect) replaceView(ctx context.Context, db *DB, view, query string) error {
	name := QuoteTable(d, view)
	err := d.define(ctx, db, []string{"CREATE OR REPLACE VIEW " + name + " AS " + query})
	if d.Explain(err, "").Code == "42P16" { // invalid_table_definition
		return d.define(ctx, db, []string{"DROP VIEW IF EXISTS " + name, "CREATE OR REPLACE VIEW " + name + " AS " + query})
	}
	return err
}

func (postgresDialect) Explain(err error, statement string) Problem {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return unknown(err)
	}
	p := Problem{Code: e.Code, Message: oneLine(e.Message)}
	for _, more := range []struct{ name, text string }{{"", e.Detail}, {"hint: ", e.Hint}, {"where: ", e.Where}} {
		if more.text == "" {
			continue
		}
		if p.Detail != "" {
			p.Detail += "; "
		}
		p.Detail += more.name + oneLine(more.text)
	}
	if e.Position > 0 {
		p.at(statement, byteOf(statement, int(e.Position)-1))
	}
	return p
}

// byteOf is where the n-th character of a text begins, from 0.
func byteOf(text string, n int) int {
	at := 0
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// run uses the simple protocol: any one statement, and text as psql shows it.
func (d postgresDialect) run(ctx context.Context, c *Conn, statement string, show func(*Rows) error) (affected int64, err error) {
	err = c.Raw(func(driverConn any) error {
		conn := driverConn.(*stdlib.Conn).Conn()
		results := conn.PgConn().Exec(ctx, statement)
		for results.NextResult() {
			r := results.ResultReader()
			fields := r.FieldDescriptions()
			if len(fields) > 0 {
				rows := &Rows{Columns: d.columns(conn.TypeMap(), fields), from: &textRows{r: r, fields: fields}}
				if err := show(rows); err != nil {
					return errors.Join(err, results.Close())
				}
			}
			tag, err := r.Close()
			if err != nil {
				break
			}
			if len(fields) == 0 || !tag.Select() { // CREATE TABLE AS has written what it selected
				affected += tag.RowsAffected()
			}
		}
		return results.Close()
	})
	return affected, err
}

func (d postgresDialect) columns(types *pgtype.Map, fields []pgconn.FieldDescription) []Column {
	columns := make([]Column, len(fields))
	for i, f := range fields {
		columns[i].Name = f.Name
		if t, ok := types.TypeForOID(f.DataTypeOID); ok {
			columns[i].Type = d.kind(strings.ToUpper(t.Name))
		}
	}
	return columns
}

// textRows are rows of the simple protocol.
type textRows struct {
	r      *pgconn.ResultReader
	fields []pgconn.FieldDescription
	err    error
}

func (t *textRows) Next() bool {
	more := t.r.NextRow()
	if !more {
		_ = t.Close() // which is how the error is asked for
	}
	return more
}

func (t *textRows) values() ([]any, error) {
	row := make([]any, len(t.r.Values()))
	for i, v := range t.r.Values() {
		switch {
		case v == nil:
		case t.fields[i].DataTypeOID == pgtype.BoolOID:
			row[i] = string(v) == "t"
		default:
			row[i] = string(v)
		}
	}
	return row, nil
}

func (t *textRows) Err() error { return t.err }

func (t *textRows) Close() error {
	_, t.err = t.r.Close()
	return t.err
}

// insert copies rows as text, which the server reads as it reads any text: into
// whatever types the columns have, and with the line in what it refuses.
func (d postgresDialect) insert(ctx context.Context, tx *Tx, table string, columns []string, rows [][]any) (int64, error) {
	var text bytes.Buffer
	for _, row := range rows {
		for i, v := range row {
			if i > 0 {
				text.WriteByte('\t')
			}
			copyText(&text, v)
		}
		text.WriteByte('\n')
	}
	var tag pgconn.CommandTag
	err := tx.conn.Raw(func(driverConn any) error {
		var err error
		tag, err = driverConn.(*stdlib.Conn).Conn().PgConn().CopyFrom(ctx, &text,
			"COPY "+QuoteTable(d, table)+" ("+QuoteColumns(d, columns)+") FROM STDIN")
		return err
	})
	return tag.RowsAffected(), err
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// copyText writes a value in COPY's text format.
func copyText(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString(`\N`)
	case []byte:
		b.WriteString(`\\x` + hex.EncodeToString(v))
	case float64:
		if math.IsInf(v, 0) {
			b.WriteString(map[bool]string{true: "Infinity", false: "-Infinity"}[v > 0])
			return
		}
		b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	case time.Time:
		b.WriteString(v.UTC().Format(moment))
	default:
		_, _ = copyEscapes.WriteString(b, Format(v, Column{}))
	}
}
