// Package database opens the databases that data sources name, and is the one
// place that knows how PostgreSQL, MySQL or MariaDB, and SQLite differ: how a
// name is quoted, how rows are written in bulk, where in a statement an error
// is, how a statement is stopped on the server.
package database

import (
	"context"
	"database/sql"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Types of data sources, as wire.DataSource.Type has them.
const (
	Postgres = "postgres"
	MySQL    = "mysql" // MariaDB, too
	SQLite   = "sqlite"
)

// A Column is one of a table or of a query's result.
type Column struct {
	Name string
	// Type is as wire.Column.Type: text, integer, decimal, float, boolean, date,
	// timestamp or json. Of a result it is empty where it is none of those.
	Type string
	// Key: the column is of the primary key, or a partition's; it is never null
	// and may have an index, for which MySQL wants a bounded type.
	Key bool
}

// A Problem is what a server said of a statement.
type Problem struct {
	Code    string // SQLSTATE, MySQL's number or SQLite's result code; empty: no server said it
	Message string // one line
	Detail  string // what more it said: details, a hint; may be empty
	// Line and Column are the place in the statement, from 1, the column in
	// characters; 0: not said.
	Line, Column int
}

// A Dialect is what is different from database to database and needs no
// connection. Texts are statements without a semicolon.
type Dialect interface {
	// Type is Postgres, MySQL or SQLite.
	Type() string
	// Quote writes an identifier, whatever is in it.
	Quote(name string) string
	// Placeholder is that of the n-th argument, from 1.
	Placeholder(n int) string
	// ColumnType is the database's own type for a Column.Type; text if that is
	// empty or unknown.
	ColumnType(c Column) string
	// Explain reads an error of a statement; of one that is no server's the
	// message alone is set.
	Explain(err error, statement string) Problem

	// options checks and sorts what a data source's options say.
	connector(s *wire.OpenSource) (connector, error)
	// literal renders a value for insert, which joins rows of them.
	tail() string
	insert(ctx context.Context, tx *Tx, table string, columns []string, rows [][]any) (int64, error)
	run(ctx context.Context, c *Conn, statement string, show func(Result) error) (int64, error)
	view(name, query string) []string
	missingTable(p Problem) bool
	kind(databaseType string) string
}

// DB is an open data source. Connections are made as they are needed; all are
// set to UTC.
type DB struct {
	*sql.DB
	name    string
	dialect Dialect
}

// Open connects to a data source within its time for that (option
// connect_timeout, 10 s if it says nothing). No error has the password in it.
func Open(ctx context.Context, s *wire.OpenSource) (*DB, error) {
	return nil, fault.New(fault.Internal, "not yet")
}

// Name is the data source's.
func (db *DB) Name() string { return db.name }

// Dialect is that of its database.
func (db *DB) Dialect() Dialect { return db.dialect }

// Columns are those of a table or view; of one that does not exist the error is
// fault.NotFound.
func (db *DB) Columns(ctx context.Context, table string) ([]Column, error) { return nil, nil }

// Define runs statements that create or change tables and views. Where the
// database has transactions for that (not MySQL) they are one, and tasks that
// define at the same moment wait for one another. It must not be called within
// Write: MySQL would commit.
func (db *DB) Define(ctx context.Context, statements ...string) error { return nil }

// CreateTable is the statement that creates a table if there is none of its
// name, with a primary key of those columns that are keys if primary is set.
func CreateTable(d Dialect, table string, columns []Column, primary bool) string { return "" }

// ReplaceView gives a view a new query, whatever columns it had before.
func (db *DB) ReplaceView(ctx context.Context, view, query string) error { return nil }

// DeletePartition is the statement that deletes the rows whose columns have the
// values given as arguments, in this order. Without columns it deletes all.
func DeletePartition(d Dialect, table string, columns []string) string { return "" }

// QuoteTable quotes a name of a table, which may have a schema before it:
// "sales.orders" is two identifiers.
func QuoteTable(d Dialect, table string) string { return "" }

// Write runs do in a transaction, which it commits if do gives no error and
// rolls back otherwise. SQLite takes its write lock at the beginning.
func (db *DB) Write(ctx context.Context, do func(tx *Tx) error) error { return nil }

// Tx is a transaction. Its methods ExecContext and QueryContext are those of
// database/sql, with the dialect's placeholders.
type Tx struct {
	*sql.Tx
	conn *Conn
}

// Dialect is that of the transaction's database.
func (tx *Tx) Dialect() Dialect { return tx.conn.db.dialect }

// Insert adds rows to a table, each with a value for every column: by COPY in
// PostgreSQL, by INSERT with many rows elsewhere. Values are nil, bool, int64,
// float64, string, []byte or time.Time, which is written in UTC; a string is
// read by the database as whatever the column is, so decimals and dates lose
// nothing. Give it some hundred to some thousand rows at a time.
func (tx *Tx) Insert(ctx context.Context, table string, columns []string, rows [][]any) (int64, error) {
	return 0, nil
}

// Rows are the result of a query, read one by one.
type Rows struct {
	Columns []Column
	rows    *sql.Rows
}

// Query begins to read a query's result, with placeholders of the dialect. Close
// the rows.
func (db *DB) Query(ctx context.Context, query string, arguments ...any) (*Rows, error) {
	return nil, nil
}

// Next goes to the next row; false: there is none, or Err says why.
func (r *Rows) Next() bool { return r.rows.Next() }

// Values are those of the row: nil, bool, int64, float64, string, []byte or
// time.Time. Decimals, JSON and what Go has no type for are strings. The slice
// is the caller's.
func (r *Rows) Values() ([]any, error) { return nil, nil }

// Err is why the rows ended, nil after the last one.
func (r *Rows) Err() error { return r.rows.Err() }

// Close ends reading.
func (r *Rows) Close() error { return r.rows.Close() }

type (
	connector interface{}
	// Result is what a statement gave.
	Result interface{}
	// Conn is a connection.
	Conn struct {
		*sql.Conn
		db *DB
	}
)
