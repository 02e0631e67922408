package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"backfleet/pkg/wire"
)

type mysqlDialect struct{}

func (mysqlDialect) Type() string { return MySQL }

func (mysqlDialect) Quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (mysqlDialect) Placeholder(int) string { return "?" }

// ColumnType has exact decimals, of 45 digits and 20 more: MySQL rounds what does
// not fit, in silence.
func (mysqlDialect) ColumnType(c Column) string {
	switch c.Type {
	case "integer":
		return "bigint"
	case "decimal":
		return "decimal(65,20)"
	case "float":
		return "double"
	case "boolean", "date", "json":
		return c.Type
	case "timestamp":
		return "datetime(6)"
	}
	if c.Key {
		return "varchar(255)"
	}
	return "longtext"
}

func (mysqlDialect) kind(databaseType string) string {
	switch name := strings.TrimPrefix(databaseType, "UNSIGNED "); name {
	case "CHAR", "VARCHAR", "TEXT", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM", "SET":
		return "text"
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR":
		return "integer"
	case "DECIMAL":
		return "decimal"
	case "FLOAT", "DOUBLE":
		return "float"
	case "DATE":
		return "date"
	case "DATETIME", "TIMESTAMP":
		return "timestamp"
	case "JSON":
		return "json"
	}
	return ""
}

func (mysqlDialect) binary(databaseType string) bool {
	switch databaseType {
	case "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BINARY", "VARBINARY", "BIT", "GEOMETRY", "VECTOR":
		return true
	}
	return false
}

// tables are of the engine that has transactions, and compare text as the other
// databases do: by its characters.
func (mysqlDialect) tables() (string, bool) {
	return " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin", true
}

func (mysqlDialect) missingTable(p Problem) bool { return p.Code == "1146" || p.Code == "1049" }

// connector makes sessions that refuse a value that does not fit a column, where
// a server may be set to cut it instead.
func (mysqlDialect) connector(_ *DB, source *wire.DataSource, s *wire.OpenSource) (driver.Connector, time.Duration, error) {
	config := mysql.NewConfig()
	config.Logger = &mysql.NopLogger{} // errors are returned, too
	config.User, config.Passwd, config.DBName = source.User, s.GetPassword(), source.Database
	config.Net, config.Addr = "tcp", net.JoinHostPort(source.Host, strconv.Itoa(int(source.Port)))
	if path.IsAbs(source.Host) {
		config.Net, config.Addr = "unix", source.Host
	}
	config.Timeout, config.MaxAllowedPacket = patience, 0 // of the packet: as the server says
	config.ParseTime, config.InterpolateParams = true, true
	config.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"}
	var err error
	if config.TLS, err = protection(source, s.GetCa()); err != nil {
		return nil, 0, err
	}
	charset := ""
	for _, o := range source.Options {
		if err != nil {
			break
		}
		switch o.Name {
		case "charset":
			charset = o.Value
		case "collation":
			config.Collation = o.Value
		case "timeout":
			config.Timeout, err = time.ParseDuration(o.Value)
		case "readTimeout":
			config.ReadTimeout, err = time.ParseDuration(o.Value)
		case "writeTimeout":
			config.WriteTimeout, err = time.ParseDuration(o.Value)
		case "maxAllowedPacket":
			config.MaxAllowedPacket, err = strconv.Atoi(o.Value)
		default:
			config.Params[o.Name] = o.Value // numbers, all of them
		}
	}
	if config.Timeout <= 0 {
		config.Timeout = patience
	}
	if err == nil && charset != "" {
		err = config.Apply(mysql.Charset(charset, config.Collation))
	}
	if err != nil {
		return nil, 0, err
	}
	plain, err := mysql.NewConnector(config)
	if err != nil {
		return nil, 0, err
	}
	return stoppable{plain}, config.Timeout, nil
}

// define runs one after another: each is committed by itself, whatever is asked.
func (mysqlDialect) define(ctx context.Context, db *DB, statements []string) error {
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (d mysqlDialect) replaceView(ctx context.Context, db *DB, view, query string) error {
	return d.define(ctx, db, []string{"CREATE OR REPLACE VIEW " + QuoteTable(d, view) + " AS " + query})
}

// near is how a syntax error says where it is: by what stands there, and its line.
var near = regexp.MustCompile(`(?s)near '(.*)' at line (\d+)$`)

func (mysqlDialect) Explain(err error, statement string) Problem {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return unknown(err)
	}
	p := Problem{Code: strconv.Itoa(int(e.Number)), Message: oneLine(e.Message)}
	found := near.FindStringSubmatch(e.Message)
	if found == nil {
		return p
	}
	line, err := strconv.Atoi(found[2])
	if err != nil {
		return p
	}
	if found[1] == "" {
		p.at(statement, len(strings.TrimRight(statement, " \t\r\n")))
		return p
	}
	p.Line = line
	for from := 0; ; {
		next := strings.Index(statement[from:], found[1])
		if next < 0 {
			return p
		}
		place := Problem{}
		if place.at(statement, from+next); place.Line == line {
			p.Column = place.Column
			return p
		}
		from += next + 1
	}
}

// run asks the session how many rows were written, which database/sql does not
// say of what is queried.
func (d mysqlDialect) run(ctx context.Context, c *Conn, statement string, show func(*Rows) error) (int64, error) {
	columns, err := query(ctx, d, c, statement, show)
	if err != nil || columns > 0 {
		return 0, err
	}
	var affected int64
	err = c.QueryRowContext(ctx, "SELECT ROW_COUNT()").Scan(&affected)
	return max(affected, 0), err
}

// query runs a statement and shows its results; columns counts those of the last.
func query(ctx context.Context, d Dialect, c *Conn, statement string, show func(*Rows) error) (columns int, err error) {
	rows, err := c.QueryContext(ctx, statement)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for more := true; more; more = rows.NextResultSet() {
		result, err := newRows(d, rows)
		if err != nil {
			return 0, err
		}
		if columns = len(result.Columns); columns == 0 {
			continue
		}
		if err := show(result); err != nil {
			return 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	return columns, rows.Close()
}

func (d mysqlDialect) insert(ctx context.Context, tx *Tx, table string, columns []string, rows [][]any) (int64, error) {
	return insertMany(ctx, tx, d, table, columns, rows, 60_000) // 65,535 in a prepared statement
}
