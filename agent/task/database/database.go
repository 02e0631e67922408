// Package database opens the databases that data sources name, and is the one
// place that knows how PostgreSQL, MySQL or MariaDB, and SQLite differ: how a
// name is quoted, how rows are written in bulk, where in a statement an error
// is, how a statement is stopped on the server. Another database is another
// Dialect, in a file of its own.
package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"time"

	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// The types of data sources.
const (
	Postgres = datasource.Postgres
	MySQL    = datasource.MySQL // MariaDB, too
	SQLite   = datasource.SQLite
)

// A Dialect is what is different from database to database.
type Dialect interface {
	// Type is Postgres, MySQL or SQLite.
	Type() string
	// Quote writes an identifier, whatever is in it.
	Quote(name string) string
	// Placeholder is that of the n-th argument of a statement, from 1.
	Placeholder(n int) string
	// ColumnType is the database's own type for a column's; for text if that is
	// empty or unknown.
	ColumnType(c Column) string
	// Explain reads what a server said of a statement. Of an error that no server
	// said only the message is known.
	Explain(err error, statement string) Problem

	// connector makes connections, each within the time that is given too.
	connector(db *DB, source *wire.DataSource, s *wire.OpenSource) (driver.Connector, time.Duration, error)
	insert(ctx context.Context, tx *Tx, table string, columns []string, rows [][]any) (int64, error)
	run(ctx context.Context, c *Conn, statement string, show func(*Rows) error) (int64, error)
	define(ctx context.Context, db *DB, statements []string) error
	replaceView(ctx context.Context, db *DB, view, query string) error
	// tables is what comes after the columns of a table that is created, and
	// whether an index of it stands among them.
	tables() (tail string, inlineIndex bool)
	missingTable(p Problem) bool
	// kind is the Column.Type for one of the database's.
	kind(databaseType string) string
	binary(databaseType string) bool
}

var dialects = map[string]Dialect{
	Postgres: postgresDialect{},
	MySQL:    mysqlDialect{},
	SQLite:   sqliteDialect{},
}

// DB is an open data source. Connections are made as they are needed; all are
// set to UTC.
type DB struct {
	*sql.DB
	name    string
	dialect Dialect
	notice  func(text string)
}

// Open connects to a data source, within its time for that (10 s if it says
// nothing). No error has the password in it.
func Open(ctx context.Context, s *wire.OpenSource) (*DB, error) {
	source, err := datasource.Compile(s.GetSource())
	if err != nil {
		return nil, err
	}
	db := &DB{name: source.Name, dialect: dialects[source.Type], notice: func(string) {}}
	connector, patience, err := db.dialect.connector(db, source, s)
	if err != nil {
		return nil, fault.Wrap(hide(err, s.GetPassword()), fault.Invalid, "data source %q", db.name)
	}
	db.DB = sql.OpenDB(connector)
	first, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := db.PingContext(first); err != nil {
		_ = db.Close()
		return nil, fault.Wrap(hide(err, s.GetPassword()), fault.Unavailable, "data source %q: no connection to %s", db.name, datasource.Where(source))
	}
	return db, nil
}

// OpenNamed opens the data source of this name among a task's.
func OpenNamed(ctx context.Context, sources []*wire.OpenSource, name string) (*DB, error) {
	for _, s := range sources {
		if s.GetSource().GetName() == name {
			return Open(ctx, s)
		}
	}
	return nil, fault.Field("source", "there is no data source %q: make it (backfleet source apply -f FILE) or name another", name)
}

// Name is the data source's.
func (db *DB) Name() string { return db.name }

// Dialect is that of its database.
func (db *DB) Dialect() Dialect { return db.dialect }

// OnNotice gives f what PostgreSQL says beside results, a line each: notices and
// warnings. Call it before anything is run.
func (db *DB) OnNotice(f func(text string)) { db.notice = f }

// Query begins to read a query's result, with placeholders of the dialect. Close
// the rows.
func (db *DB) Query(ctx context.Context, query string, arguments ...any) (*Rows, error) {
	rows, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	return newRows(db.dialect, rows)
}

// Columns are those of a table or view; of one that does not exist the error is
// fault.NotFound.
func (db *DB) Columns(ctx context.Context, table string) ([]Column, error) {
	query := "SELECT * FROM " + QuoteTable(db.dialect, table) + " WHERE 1 = 0"
	rows, err := db.Query(ctx, query)
	if err != nil {
		if db.dialect.missingTable(db.dialect.Explain(err, query)) {
			return nil, fault.Wrap(err, fault.NotFound, "data source %q has no table %s", db.name, table)
		}
		return nil, err
	}
	return rows.Columns, rows.Close()
}

// Write runs do in a transaction, which it commits if do gives no error and rolls
// back otherwise, or if ctx has ended meanwhile. SQLite takes its lock for
// writing at the beginning.
func (db *DB) Write(ctx context.Context, do func(tx *Tx) error) error {
	c, err := db.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit there is nothing to roll back
	if err := do(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return tx.Commit()
}

// Connect takes a connection of its own, for what belongs to a session. Close it.
func (db *DB) Connect(ctx context.Context) (*Conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, db: db}, nil
}

// Conn is a connection, a session of the server.
type Conn struct {
	*sql.Conn
	db *DB
}

// Run executes one statement, whatever it is, without arguments. show reads each
// result that it has: in PostgreSQL its values are bool or text as the server
// writes it. affected counts the rows that were written. When ctx ends, the server is
// told to stop.
func (c *Conn) Run(ctx context.Context, statement string, show func(*Rows) error) (affected int64, err error) {
	return c.db.dialect.run(ctx, c, statement, show)
}

// Begin begins a transaction. It does not end with ctx, which bears on its
// beginning alone: statements have their own, and so a rollback still reaches
// the server. Others' rows are seen as soon as they are committed, in MySQL too.
func (c *Conn) Begin(ctx context.Context) (*Tx, error) {
	life, abandon := context.WithCancel(context.WithoutCancel(ctx))
	begun := context.AfterFunc(ctx, abandon)
	tx, err := c.BeginTx(life, isolation[c.db.dialect.Type()])
	if !begun() && err == nil {
		_ = tx.Rollback()
		err = context.Cause(ctx)
	}
	if err != nil {
		abandon()
		return nil, err
	}
	return &Tx{Tx: tx, conn: c, abandon: abandon}, nil
}

// isolation is that of transactions where it is not the server's own. By itself
// InnoDB locks the gaps between rows, too: writers of different partitions then
// wait for each other in a circle.
var isolation = map[string]*sql.TxOptions{datasource.MySQL: {Isolation: sql.LevelReadCommitted}}

// Tx is a transaction. ExecContext and QueryContext are those of database/sql,
// with the dialect's placeholders.
type Tx struct {
	*sql.Tx
	conn    *Conn
	abandon context.CancelFunc
}

// Dialect is that of the transaction's database.
func (tx *Tx) Dialect() Dialect { return tx.conn.db.dialect }

// Query is DB.Query within the transaction.
func (tx *Tx) Query(ctx context.Context, query string, arguments ...any) (*Rows, error) {
	rows, err := tx.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	return newRows(tx.Dialect(), rows)
}

// Commit ends the transaction; after an error it may or may not have been
// committed, if the error is that the connection broke.
func (tx *Tx) Commit() error {
	defer tx.abandon()
	return tx.Tx.Commit()
}

// Rollback ends the transaction, of which nothing stays.
func (tx *Tx) Rollback() error {
	defer tx.abandon()
	return tx.Tx.Rollback()
}

// Insert adds rows to a table, each with a value for every column: by COPY in
// PostgreSQL, by INSERT with many rows elsewhere. Values are nil, bool, int64,
// float64, string, []byte, or time.Time, which is written in UTC. A string is
// read by the database as whatever the column is, so that decimals and dates lose
// nothing. Give it some hundred to some thousand rows at a time.
func (tx *Tx) Insert(ctx context.Context, table string, columns []string, rows [][]any) (int64, error) {
	for _, row := range rows {
		if len(row) != len(columns) {
			return 0, fault.New(fault.Internal, "a row of %d values for the %d columns of %s", len(row), len(columns), table)
		}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	return tx.Dialect().insert(ctx, tx, table, columns, rows)
}

// hide takes a password out of what an error says.
func hide(err error, password string) error {
	text := err.Error()
	if password == "" || !strings.Contains(text, password) {
		return err
	}
	return &hidden{text: strings.ReplaceAll(text, password, "***"), err: err}
}

type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.err }
