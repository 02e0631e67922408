package database

import (
	"bytes"
	"context"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// file opens a fresh SQLite database.
func file(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), &wire.OpenSource{Source: &wire.DataSource{Name: "shop", Type: SQLite, Database: filepath.Join(t.TempDir(), "shop 100.db")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db *DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// all reads a query.
func all(t *testing.T, db *DB, query string, arguments ...any) (rows [][]any) {
	t.Helper()
	r, err := db.Query(t.Context(), query, arguments...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer r.Close()
	for r.Next() {
		row, err := r.Values()
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestTexts(t *testing.T) {
	columns := []Column{{Name: "ds", Type: "text", Key: true}, {Name: `a"b`, Type: "decimal"}, {Name: "c`d", Type: "json"}, {Name: "e"}}
	for _, c := range []struct {
		d                     Dialect
		create, primary, part string
	}{
		{postgresDialect{},
			"CREATE TABLE IF NOT EXISTS \"s\".\"t\" (\n  \"ds\" text NOT NULL,\n  \"a\"\"b\" numeric,\n  \"c`d\" jsonb,\n  \"e\" text\n)\nCREATE INDEX IF NOT EXISTS \"t_partition\" ON \"s\".\"t\" (\"ds\")",
			"CREATE TABLE IF NOT EXISTS \"s\".\"t\" (\n  \"ds\" text NOT NULL,\n  \"a\"\"b\" numeric,\n  \"c`d\" jsonb,\n  \"e\" text,\n  PRIMARY KEY (\"ds\")\n)",
			`DELETE FROM "s"."t" WHERE "ds" = $1 AND "hour" = $2`},
		{mysqlDialect{},
			"CREATE TABLE IF NOT EXISTS `s`.`t` (\n  `ds` varchar(255) NOT NULL,\n  `a\"b` decimal(65,20),\n  `c``d` json,\n  `e` longtext,\n  KEY (`ds`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
			"CREATE TABLE IF NOT EXISTS `s`.`t` (\n  `ds` varchar(255) NOT NULL,\n  `a\"b` decimal(65,20),\n  `c``d` json,\n  `e` longtext,\n  PRIMARY KEY (`ds`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
			"DELETE FROM `s`.`t` WHERE `ds` = ? AND `hour` = ?"},
		{sqliteDialect{},
			"CREATE TABLE IF NOT EXISTS \"s\".\"t\" (\n  \"ds\" text NOT NULL,\n  \"a\"\"b\" numeric,\n  \"c`d\" json text,\n  \"e\" text\n)\nCREATE INDEX IF NOT EXISTS \"t_partition\" ON \"s\".\"t\" (\"ds\")",
			"CREATE TABLE IF NOT EXISTS \"s\".\"t\" (\n  \"ds\" text NOT NULL,\n  \"a\"\"b\" numeric,\n  \"c`d\" json text,\n  \"e\" text,\n  PRIMARY KEY (\"ds\")\n)",
			`DELETE FROM "s"."t" WHERE "ds" = ? AND "hour" = ?`},
	} {
		if got := strings.Join(CreateTable(c.d, "s.t", columns, false), "\n"); got != c.create {
			t.Errorf("%s:\n%s\nwant\n%s", c.d.Type(), got, c.create)
		}
		if got := strings.Join(CreateTable(c.d, "s.t", columns, true), "\n"); got != c.primary {
			t.Errorf("%s:\n%s\nwant\n%s", c.d.Type(), got, c.primary)
		}
		if got := DeletePartition(c.d, "s.t", []string{"ds", "hour"}); got != c.part {
			t.Errorf("%s: %s, want %s", c.d.Type(), got, c.part)
		}
		if got := DeletePartition(c.d, "t", nil); got != "DELETE FROM "+c.d.Quote("t") {
			t.Errorf("%s: %s", c.d.Type(), got)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	secret := "open sesame"
	for _, c := range []struct {
		name   string
		source *wire.OpenSource
		says   string
	}{
		{"nothing", &wire.OpenSource{}, "name"},
		{"an option", &wire.OpenSource{Source: &wire.DataSource{Name: "x", Type: SQLite, Database: "/tmp/x.db", Options: []*wire.Assignment{{Name: "mode", Value: "ro"}}}}, "options.mode"},
		{"no such folder", &wire.OpenSource{Source: &wire.DataSource{Name: "x", Type: SQLite, Database: filepath.Join(t.TempDir(), "none", "x.db")}}, `data source "x": no connection to sqlite /`},
		{"ca", &wire.OpenSource{Ca: []byte("no certificate"), Password: secret, Source: &wire.DataSource{Name: "x", Type: Postgres, Host: "db.example", Database: "d", User: "u",
			Tls: "verify", Ca: &wire.Secret{File: "ca.pem"}}}, "no certificate in it"},
		{"postgres, nobody there", &wire.OpenSource{Password: secret, Source: &wire.DataSource{Name: "x", Type: Postgres, Host: "127.0.0.1", Port: 1, Database: "d", User: "u"}}, "no connection to postgres u@127.0.0.1:1/d"},
		{"mysql, nobody there", &wire.OpenSource{Password: secret, Source: &wire.DataSource{Name: "x", Type: MySQL, Host: "127.0.0.1", Port: 1, Database: "d", User: "u"}}, "no connection to mysql u@127.0.0.1:1/d"},
	} {
		db, err := Open(t.Context(), c.source)
		if err == nil {
			_ = db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	if _, err := OpenNamed(t.Context(), nil, "warehouse"); !strings.Contains(err.Error(), `"warehouse"`) {
		t.Error(err)
	}
	original := errors.New("user=u password=open sesame")
	if err := hide(original, secret); err.Error() != "user=u password=***" || !errors.Is(err, original) {
		t.Error(err)
	}
}

func TestValuesOfSQLite(t *testing.T) {
	db := file(t)
	kinds := []string{"text", "integer", "decimal", "float", "boolean", "date", "timestamp", "json", ""}
	var columns []Column
	var names []string
	for i, k := range kinds {
		columns = append(columns, Column{Name: string(rune('a' + i)), Type: k})
		names = append(names, columns[i].Name)
	}
	if err := db.Define(t.Context(), CreateTable(db.Dialect(), "v", columns, false)...); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2025, 10, 31, 14, 30, 45, 123456000, time.FixedZone("", 3600))
	rows := [][]any{
		{"it's\n; \"x\" \\ ü", int64(math.MaxInt64), "12.5", 0.1, true, "2025-10-31", when, "123", []byte{0, 255}},
		{nil, nil, nil, nil, nil, nil, nil, nil, nil},
	}
	if err := db.Write(t.Context(), func(tx *Tx) error {
		n, err := tx.Insert(t.Context(), "v", names, rows)
		if n != 2 {
			t.Errorf("%d rows written", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := [][]any{
		{"it's\n; \"x\" \\ ü", int64(math.MaxInt64), 12.5, 0.1, true, time.Date(2025, 10, 31, 0, 0, 0, 0, time.UTC), when.UTC(), "123", []byte{0, 255}},
		rows[1],
	}
	if got := all(t, db, "SELECT * FROM v"); !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	there, err := db.Columns(t.Context(), "v")
	if err != nil {
		t.Fatal(err)
	}
	columns[8].Type = "text"
	if !reflect.DeepEqual(there, columns) {
		t.Errorf("%v, want %v", there, columns)
	}
	if _, err := db.Columns(t.Context(), "none"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	err = db.Write(t.Context(), func(tx *Tx) error {
		_, err := tx.Insert(t.Context(), "v", []string{"d"}, [][]any{{math.NaN()}})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "column d: NaN") {
		t.Error(err)
	}
}

func TestInsertOfManyRows(t *testing.T) {
	db := file(t)
	exec(t, db, "CREATE TABLE n (a integer, b text)")
	var rows [][]any
	for i := range 20_001 {
		rows = append(rows, []any{int64(i), strings.Repeat("x", i%300)})
	}
	if err := db.Write(t.Context(), func(tx *Tx) error {
		n, err := tx.Insert(t.Context(), "n", []string{"a", "b"}, rows)
		if n != int64(len(rows)) {
			t.Errorf("%d rows written", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	got := all(t, db, "SELECT COUNT(*), COUNT(DISTINCT a), SUM(LENGTH(b)) FROM n")
	sum := int64(0)
	for i := range 20_001 {
		sum += int64(i % 300)
	}
	if want := [][]any{{int64(20_001), int64(20_001), sum}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	db := file(t)
	exec(t, db, "CREATE TABLE n (a integer)")
	refuse := errors.New("no")
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"an error", func() error { return refuse }},
		{"the end of ctx", func() error { cancel(); return nil }},
	} {
		err := db.Write(ctx, func(tx *Tx) error {
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO n VALUES (1)"); err != nil {
				t.Error(err)
			}
			return c.do()
		})
		if err == nil {
			t.Errorf("%s: it was written", c.name)
		}
		if got := all(t, db, "SELECT * FROM n"); len(got) != 0 {
			t.Errorf("%s: %v stays", c.name, got)
		}
	}
}

// TestWritersWait has many read and write back in transactions: without the lock
// from the beginning they would have read what another changes.
func TestWritersWait(t *testing.T) {
	db := file(t)
	exec(t, db, "CREATE TABLE n (a integer)", "INSERT INTO n VALUES (0)")
	const writers, times = 8, 20
	var done sync.WaitGroup
	for range writers {
		done.Go(func() {
			for range times {
				if err := db.Write(t.Context(), func(tx *Tx) error {
					var a int
					if err := tx.QueryRowContext(t.Context(), "SELECT a FROM n").Scan(&a); err != nil {
						return err
					}
					_, err := tx.ExecContext(t.Context(), "UPDATE n SET a = ?", a+1)
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	if got := all(t, db, "SELECT a FROM n"); got[0][0] != int64(writers*times) {
		t.Errorf("%v, want %d", got, writers*times)
	}
}

func TestRunOfSQLite(t *testing.T) {
	db := file(t)
	c, err := db.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range []struct {
		text     string
		affected int64
		rows     int
	}{
		{"CREATE TABLE n (a integer, b text)", 0, -1},
		{"INSERT INTO n VALUES (1, 'x'), (2, NULL), (3, 'z')", 3, -1},
		{"CREATE TABLE m AS SELECT * FROM n", 0, -1},
		{"SELECT * FROM n", 0, 3},
		{"SELECT * FROM n WHERE a > 9", 0, 0},
		{"UPDATE n SET b = 'y' WHERE a < 3", 2, -1},
		{"CREATE INDEX i ON n (a)", 0, -1},
		{"WITH x AS (SELECT 1 AS a) INSERT INTO n SELECT a, 'w' FROM x", 1, -1},
		{"WITH x AS (SELECT 1 AS a) SELECT * FROM x", 0, 1},
		{"DELETE FROM n WHERE a = 1 RETURNING a, b", 2, 2},
		{"COMMIT_NOTHING", -1, 0},
	} {
		rows := -1
		affected, err := c.Run(t.Context(), s.text, func(r *Rows) error {
			rows = 0
			for r.Next() {
				rows++
			}
			return r.Err()
		})
		if s.affected < 0 {
			if err == nil {
				t.Errorf("%s: no error", s.text)
			}
			continue
		}
		if err != nil || affected != s.affected || rows != s.rows {
			t.Errorf("%s: %d affected, %d rows, %v, want %d and %d", s.text, affected, rows, err, s.affected, s.rows)
		}
	}
}

func TestCancelInterruptsSQLite(t *testing.T) {
	db := file(t)
	c, err := db.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Run(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n", func(*Rows) error { return nil })
	if err == nil || ctx.Err() == nil {
		t.Errorf("%v", err)
	}
}

func TestReplaceViewOfSQLite(t *testing.T) {
	db := file(t)
	exec(t, db, "CREATE TABLE n (a integer, b text)", "INSERT INTO n VALUES (1, 'x')")
	for _, c := range []struct {
		query string
		want  []any
	}{{"SELECT a FROM n", []any{int64(1)}}, {"SELECT b, a FROM n", []any{"x", int64(1)}}} {
		if err := db.ReplaceView(t.Context(), "v", c.query); err != nil {
			t.Fatal(err)
		}
		if got := all(t, db, "SELECT * FROM v"); !reflect.DeepEqual(got, [][]any{c.want}) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
	if err := db.ReplaceView(t.Context(), "v", "SELECT missing FROM nowhere"); err != nil {
		t.Fatal(err) // SQLite looks at a view when it is used
	}
	if err := db.ReplaceView(t.Context(), "v", "SELEC"); err == nil {
		t.Error("no error")
	}
	if text, err := db.ViewText(t.Context(), "v"); err != nil || !strings.Contains(text, "nowhere") {
		t.Errorf("a view that could not be replaced is %q, %v", text, err)
	}
}

func TestFormat(t *testing.T) {
	when := time.Date(2025, 10, 31, 14, 30, 45, 500, time.UTC)
	for _, c := range []struct {
		value  any
		column Column
		want   string
	}{
		{nil, Column{}, "NULL"}, {"x", Column{}, "x"}, {true, Column{}, "true"}, {int64(-5), Column{}, "-5"}, {1e6, Column{}, "1000000"},
		{0.1, Column{}, "0.1"}, {1e-9, Column{}, "1e-09"}, {1e300, Column{}, "1e+300"}, {[]byte{1, 255}, Column{}, `\x01ff`},
		{when, Column{Type: "date"}, "2025-10-31"}, {when, Column{Type: "timestamp"}, "2025-10-31 14:30:45"},
	} {
		if got := Format(c.value, c.column); got != c.want {
			t.Errorf("%v is %q, want %q", c.value, got, c.want)
		}
	}
}

func TestCopyText(t *testing.T) {
	var b bytes.Buffer
	for _, v := range []any{nil, "a\tb\\c\nd\r", `\N`, true, int64(5), math.Inf(-1), math.Inf(1), math.NaN(), 1e300, []byte{1, 2}, time.Date(2025, 1, 2, 3, 4, 5, 6000, time.UTC)} {
		copyText(&b, v)
		b.WriteByte('|')
	}
	want := `\N|a\tb\\c\nd\r|\\N|true|5|-Infinity|Infinity|NaN|1e+300|\\x0102|2025-01-02 03:04:05.000006|`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}
