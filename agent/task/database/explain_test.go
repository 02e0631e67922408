package database

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name         string
		d            Dialect
		err          error
		statement    string
		says         string
		line, column int
	}{
		{"postgres", postgresDialect{}, &pgconn.PgError{Code: "42601", Message: `syntax error at or near "FORM"`, Position: 10}, "SELECT *\nFORM t", `syntax error at or near "FORM" (SQLSTATE 42601)`, 2, 1},
		{"postgres counts characters", postgresDialect{}, &pgconn.PgError{Code: "42703", Message: "m", Position: 13}, "SELECT 'äöü', x", "m (SQLSTATE 42703)", 1, 13},
		{"postgres, details", postgresDialect{}, &pgconn.PgError{Code: "23505", Message: "twice", Detail: "Key (a)=(1).", Hint: "do\n not", Where: "COPY t, line 3"}, "INSERT",
			"twice (SQLSTATE 23505); Key (a)=(1).; hint: do not; where: COPY t, line 3", 0, 0},
		{"mysql", mysqlDialect{}, &mysql.MySQLError{Number: 1064, Message: "You have an error in your SQL syntax; check … for the right syntax to use near 'FORM t\nWHERE a' at line 2"},
			"SELECT 'FORM t\nWHERE a',\n* FORM t\nWHERE a", "check … for the right syntax to use near 'FORM t WHERE a' at line 2 (error 1064)", 2, 0},
		{"mysql, where", mysqlDialect{}, &mysql.MySQLError{Number: 1064, Message: "near 'FORM t' at line 2"}, "SELECT\n  * FORM t", "(error 1064)", 2, 5},
		{"mysql, at the end", mysqlDialect{}, &mysql.MySQLError{Number: 1064, Message: "near '' at line 3"}, "SELECT (\n 1\n ", "(error 1064)", 2, 3},
		{"mysql, no place", mysqlDialect{}, &mysql.MySQLError{Number: 1146, Message: "Table 'a.b' doesn't exist"}, "SELECT 1", "Table 'a.b' doesn't exist (error 1146)", 0, 0},
		{"no server", mysqlDialect{}, errors.New("broken\npipe"), "SELECT 1", "broken pipe", 0, 0},
		{"none", postgresDialect{}, nil, "SELECT 1", "", 0, 0},
	} {
		p := c.d.Explain(c.err, c.statement)
		if !strings.HasSuffix(p.String(), c.says) || p.Line != c.line || p.Column != c.column {
			t.Errorf("%s: %q at %d:%d, want %q at %d:%d", c.name, p, p.Line, p.Column, c.says, c.line, c.column)
		}
	}
}

func TestExplainOfSQLite(t *testing.T) {
	db := file(t)
	exec(t, db, "CREATE TABLE n (a integer PRIMARY KEY, b text NOT NULL)", "INSERT INTO n VALUES (1, 'x')")
	for _, c := range []struct {
		statement, says string
		line, column    int
	}{
		{"SELECT *\n  FORM n", `near "FORM": syntax error (error 1)`, 2, 3},
		{"SELECT a, a a a FROM n", `near "a": syntax error (error 1)`, 0, 0},
		{"SELECT a,\n nope\nFROM n", `no such column: nope (error 1)`, 2, 2},
		{"SELECT * FROM nowhere", `no such table: nowhere (error 1)`, 1, 15},
		{"SELECT (1", `incomplete input (error 1)`, 1, 10},
		{"INSERT INTO n VALUES (1, 'y')", `UNIQUE constraint failed: n.a (error 1555)`, 0, 0},
		{"INSERT INTO n VALUES (2, NULL)", `NOT NULL constraint failed: n.b (error 1299)`, 0, 0},
	} {
		_, err := db.ExecContext(t.Context(), c.statement)
		p := db.Dialect().Explain(err, c.statement)
		if p.String() != c.says || p.Line != c.line || p.Column != c.column {
			t.Errorf("%q: %q at %d:%d, want %q at %d:%d", c.statement, p, p.Line, p.Column, c.says, c.line, c.column)
		}
	}
}
