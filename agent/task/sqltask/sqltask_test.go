package sqltask

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"backfleet/agent/task/database"
	"backfleet/agent/task/fence"
	"backfleet/agent/task/metrics"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// world is a database, and tasks on it.
type world struct {
	t      *testing.T
	source *wire.OpenSource
	report string // metrics of the last run
}

func newWorld(t *testing.T, setup ...string) *world {
	w := &world{t: t, source: &wire.OpenSource{Source: &wire.DataSource{Name: "shop", Type: database.SQLite, Database: filepath.Join(t.TempDir(), "shop.db")}}}
	if len(setup) > 0 {
		if _, err := w.run(strings.Join(setup, ";\n"), nil); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// duration is what is different in each run.
var duration = regexp.MustCompile(`\b[0-9.]+(µs|ms|s)\b`)

// run gives the log of a script, without durations.
func (w *world) run(code string, spec *wire.Sql) (string, error) {
	return w.with(w.t.Context(), &wire.Task{Node: &wire.Node{Id: "n", Code: code, Source: "shop", Sql: spec}, Fence: 7, Instance: "b1.2"})
}

func (w *world) with(ctx context.Context, task *wire.Task) (string, error) {
	w.t.Helper()
	task.Sources = []*wire.OpenSource{w.source}
	var log strings.Builder
	report := &metrics.Report{}
	err := Run(ctx, task, &output.Output{Log: &log, Metrics: report})
	path := filepath.Join(w.t.TempDir(), metrics.File)
	w.t.Setenv(metrics.Variable, path)
	if err := report.Write(); err != nil {
		w.t.Fatal(err)
	}
	w.report = read(w.t, path)
	return duration.ReplaceAllString(log.String(), "0ms"), err
}

func TestAScript(t *testing.T) {
	w := newWorld(t)
	log, err := w.run(`-- orders
CREATE TABLE orders (id integer, item text, price numeric);
INSERT INTO orders VALUES
  (1, 'pen; blue', 1.5), (2, NULL, 20), (3, 'a
b', NULL);

SELECT * FROM orders; /* and */ UPDATE orders SET price = 2 WHERE id > 1;
SELECT * FROM orders WHERE id > 9`, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `[1/5] line 2: CREATE TABLE orders (id integer, item text, price numeric)
[1/5] 0 rows affected, 0ms
[2/5] line 3: INSERT INTO orders VALUES (1, 'pen; blue', 1.5), (2, NULL, 20), (3, 'a b', NULL)
[2/5] 3 rows affected, 0ms
[3/5] line 7: SELECT * FROM orders
 id | item      | price
----+-----------+-------
  1 | pen; blue |   1.5
  2 | NULL      |    20
  3 | a\nb      |  NULL
[3/5] 3 rows, 0ms
[4/5] line 7: UPDATE orders SET price = 2 WHERE id > 1
[4/5] 2 rows affected, 0ms
[5/5] line 8: SELECT * FROM orders WHERE id > 9
 id | item | price
----+------+-------
[5/5] 0 rows, 0ms
5 statements, 5 rows written, 3 rows read
`
	if log != want {
		t.Errorf("%s\nwant\n%s", log, want)
	}
	if want := "statements=5\nrows_written=5\nrows_read=3\nrows_written.2=3\nrows_written.4=2\n"; sorted(w.report) != sorted(want) {
		t.Errorf("metrics %s, want %s", w.report, want)
	}
}

func TestResultsAreCapped(t *testing.T) {
	w := newWorld(t)
	numbers := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) SELECT i FROM n"
	for _, c := range []struct {
		spec        *wire.Sql
		rows, lines int
		says        string
	}{{nil, 250, DefaultRows, "… and 150 more of 250 rows"}, {&wire.Sql{MaxRows: 3}, 250, 3, "… and 247 more of 250 rows"}, {&wire.Sql{MaxRows: 250}, 250, 250, "[1/1] 250 rows"}} {
		log, err := w.run(numbers, c.spec)
		if err != nil || !strings.Contains(log, c.says) || strings.Count(log, "\n") > c.lines+7 {
			t.Errorf("%v: %v:\n%s", c.spec, err, log)
		}
		if !strings.Contains(w.report, "rows_read=250") {
			t.Error(w.report)
		}
	}
	log, err := w.run("SELECT '"+strings.Repeat("ü", 300)+"' AS long, x'00ff' AS bytes", nil)
	if err != nil || !strings.Contains(log, strings.Repeat("ü", 200)+"… (300 characters)") || !strings.Contains(log, `\x00ff`) {
		t.Errorf("%v:\n%s", err, log)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for _, c := range []struct{ name, code, says, shows string }{
		{"a word", "SELECT 1;\n\nSELECT *\n\tFORM n", `statement 2 of 2 (line 4, column 2): near "FORM": syntax error (error 1)`, "4 |  FORM n\n     ^\n"},
		{"on the first line of its statement", "SELECT 1; SELEC 2", `statement 2 of 2 (line 1, column 11): near "SELEC": syntax error`, "1 | SELECT 1; SELEC 2\n              ^\n"},
		{"behind wide characters", "SELECT '日本', nope", "statement 1 of 1 (line 1, column 14): no such column: nope", "1 | SELECT '日本', nope\n                   ^\n"},
		{"no place", "INSERT INTO n VALUES (1)", "statement 1 of 1 (line 1): UNIQUE constraint failed: n.i (error 1555)", ""},
		{"a long line", "SELECT " + strings.Repeat("1, ", 200) + "nope", "column 608): no such column: nope", strings.Repeat(" ", 63) + "^\n"},
	} {
		w := newWorld(t, "CREATE TABLE n (i integer PRIMARY KEY)", "INSERT INTO n VALUES (1)")
		log, err := w.run(c.code, nil)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if !strings.Contains(log, c.shows) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, log, c.shows)
		}
	}
}

func TestTransaction(t *testing.T) {
	code := "INSERT INTO n VALUES (1);\nINSERT INTO n VALUES (2);\nINSERT INTO n VALUES (2)"
	for _, c := range []struct {
		spec *wire.Sql
		rows string
		says string
	}{
		{&wire.Sql{Transaction: true}, "0", "the transaction is rolled back: nothing of it stays\n"},
		{nil, "2", "the work of 2 statements stays"},
	} {
		w := newWorld(t, "CREATE TABLE n (i integer PRIMARY KEY)")
		log, err := w.run(code, c.spec)
		if err == nil || !strings.Contains(err.Error(), "statement 3 of 3 (line 3)") || !strings.Contains(log, c.says) {
			t.Errorf("%v: %v:\n%s", c.spec, err, log)
		}
		if log, err = w.run("SELECT COUNT(*) AS c FROM n", nil); err != nil || !strings.Contains(log, "\n "+c.rows+"\n") {
			t.Errorf("%v: %v:\n%s", c.spec, err, log)
		}
	}
	w := newWorld(t, "CREATE TABLE n (i integer PRIMARY KEY)")
	if log, err := w.run("INSERT INTO n VALUES (1); BEGIN; INSERT INTO n VALUES (2); INSERT INTO n VALUES (2); COMMIT", nil); err == nil || !strings.HasSuffix(log, "the work of 1 statement stays: there was no transaction around all (sql.transaction)\n") {
		t.Errorf("%v:\n%s", err, log)
	}
	if log, err := w.run("SELECT COUNT(*) AS c FROM n", nil); err != nil || !strings.Contains(log, "\n 1\n") {
		t.Errorf("a transaction of the script's own: %v:\n%s", err, log)
	}
	w = newWorld(t)
	if log, err := w.run("CREATE TABLE n (i integer); INSERT INTO n VALUES (1)", &wire.Sql{Transaction: true}); err != nil || !strings.HasSuffix(log, "committed\n") {
		t.Errorf("%v:\n%s", err, log)
	}
	if log, err := w.run("SELECT COUNT(*) AS c FROM n", nil); err != nil || !strings.Contains(log, "\n 1\n") {
		t.Errorf("%v:\n%s", err, log)
	}
}

func TestRefusedBeforeAnythingRuns(t *testing.T) {
	transaction := &wire.Sql{Transaction: true}
	for _, c := range []struct {
		code string
		spec *wire.Sql
		says string
	}{
		{"-- nothing", nil, "there is no statement"},
		{"DELETE FROM n; SELECT 'a", nil, "code: line 1: ' is never closed"},
		{"DELETE FROM n; COMMIT", transaction, "statement 2 (line 1): COMMIT within sql.transaction"},
		{"DELETE FROM n;\nROLLBACK", transaction, "statement 2 (line 2): ROLLBACK within"},
		{"BEGIN; DELETE FROM n; END", transaction, "statement 1 (line 1): BEGIN within"},
		{"DELETE FROM n; BEGIN; DELETE FROM n", nil, "statement 2 (line 1): the transaction that begins there is never committed"},
		{"BEGIN; DELETE FROM n; SAVEPOINT s; ROLLBACK TO s", nil, "never committed"},
		{"-- backfleet:fence n p\nDELETE FROM n", nil, "sql.transaction: the script claims a partition"},
		{"DELETE FROM n;\n-- backfleet:fence n p\nDELETE FROM n", transaction, "line 2: backfleet:fence stands before the first statement"},
		{"-- backfleet:fence\nDELETE FROM n", transaction, "line 1: expected -- backfleet:fence TABLE PARTITION"},
		{"-- backfleet:fnece n p\nDELETE FROM n", transaction, "line 1: expected -- backfleet:fence"},
	} {
		w := newWorld(t, "CREATE TABLE n (i integer)", "INSERT INTO n VALUES (1)")
		if _, err := w.run(c.code, c.spec); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.code, err, c.says)
		}
		if log, err := w.run("SELECT COUNT(*) AS c FROM n", nil); err != nil || !strings.Contains(log, "\n 1\n") {
			t.Errorf("%q has run: %v:\n%s", c.code, err, log)
		}
	}
	w := newWorld(t)
	if _, err := w.with(t.Context(), &wire.Task{Node: &wire.Node{Code: "SELECT 1", Source: "warehouse"}}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), `no data source "warehouse"`) {
		t.Error(err)
	}
	for _, code := range []string{"CREATE TABLE n (i int)", "DROP TABLE n", "TRUNCATE n", "ALTER TABLE n ADD j int", "SET autocommit = 1"} {
		if err := dry(t, database.MySQL, code); err == nil || !strings.Contains(err.Error(), "commits in MySQL") {
			t.Errorf("%s: %v", code, err)
		}
	}
	for _, code := range []string{"CREATE TEMPORARY TABLE n (i int)", "CREATE OR REPLACE TEMPORARY TABLE n (i int)", "DROP TEMPORARY TABLE n", "SET @a = 1", "BEGIN NOT ATOMIC SELECT 1; END", "ROLLBACK TO SAVEPOINT s", "ROLLBACK WORK TO s"} {
		if err := dry(t, database.MySQL, code); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestTheFenceOfAScript(t *testing.T) {
	w := newWorld(t, "CREATE TABLE n (ds text, i integer)")
	code := "-- what it does\n-- backfleet:fence n ds=20251031\n  -- backfleet:fence m\nDELETE FROM n;\nINSERT INTO n VALUES ('20251031', 1)"
	attempt := func(fence uint64) error {
		_, err := w.with(t.Context(), &wire.Task{Node: &wire.Node{Code: code, Source: "shop", Sql: &wire.Sql{Transaction: true}}, Fence: fence, Instance: "b1.2"})
		return err
	}
	for _, c := range []struct {
		fence uint64
		late  bool
	}{{5, false}, {4, true}, {6, false}, {5, true}} {
		if err := attempt(c.fence); fault.Is(err, fault.Conflict) != c.late || !c.late && err != nil {
			t.Errorf("fence %d: %v", c.fence, err)
		}
	}
	db, err := database.Open(t.Context(), w.source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, part := range [][2]string{{"n", "ds=20251031"}, {"m", ""}} {
		err := db.Write(t.Context(), func(tx *database.Tx) error { return fence.Claim(t.Context(), tx, part[0], part[1], fence.By{Fence: 5}) })
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%v: %v", part, err)
		}
	}
}

func TestStop(t *testing.T) {
	w := newWorld(t, "CREATE TABLE n (i integer)")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	code := "INSERT INTO n VALUES (1);\nWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
	_, err := w.with(ctx, &wire.Task{Node: &wire.Node{Code: code, Source: "shop", Sql: &wire.Sql{Transaction: true}}})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "statement 2 of 2 (line 2) was stopped") {
		t.Error(err)
	}
	if log, err := w.run("SELECT COUNT(*) AS c FROM n", nil); err != nil || !strings.Contains(log, "\n 0\n") {
		t.Errorf("%v:\n%s", err, log)
	}
}
