package databases_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"backfleet/agent/task/check"
	"backfleet/agent/task/database"
	"backfleet/agent/task/fence"
	"backfleet/agent/task/output"
	"backfleet/agent/task/sqltask"
	"backfleet/integration/databases"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// patience is how long anything here may take on a busy machine.
const patience = time.Minute

// product is one of the databases that nodes write to.
type product struct {
	name string
	open func(t testing.TB) *wire.OpenSource
}

var products = []product{
	{database.Postgres, databases.Postgres},
	{database.MySQL, databases.MariaDB},
	{database.SQLite, func(t testing.TB) *wire.OpenSource {
		return &wire.OpenSource{Source: &wire.DataSource{Name: "sqlite", Type: database.SQLite, Database: filepath.Join(t.TempDir(), "test.db")}}
	}},
}

// world is a fresh database of one product.
type world struct {
	*testing.T
	product string
	source  *wire.OpenSource
	db      *database.DB
}

// everywhere runs a test on each of them.
func everywhere(t *testing.T, test func(w *world)) {
	for _, p := range products {
		t.Run(p.name, func(t *testing.T) {
			source := p.open(t)
			db, err := database.Open(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			test(&world{T: t, product: p.name, source: source, db: db})
		})
	}
}

// by chooses what is different in each product.
func by[V any](w *world, postgres, mysql, sqlite V) V {
	return map[string]V{database.Postgres: postgres, database.MySQL: mysql, database.SQLite: sqlite}[w.product]
}

func (w *world) exec(statements ...string) {
	w.Helper()
	for _, s := range statements {
		if _, err := w.db.ExecContext(w.Context(), s); err != nil {
			w.Fatalf("%s: %v", s, err)
		}
	}
}

// rows reads a query.
func (w *world) rows(query string, arguments ...any) (list [][]any) {
	w.Helper()
	rows, err := w.db.Query(w.Context(), query, arguments...)
	if err != nil {
		w.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			w.Fatal(err)
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return list
}

// sql runs a script as a node.
func (w *world) sql(ctx context.Context, code string, spec *wire.Sql) (log string, err error) {
	var b strings.Builder
	err = sqltask.Run(ctx, &wire.Task{Node: &wire.Node{Code: code, Source: w.source.Source.Name, Sql: spec}, Sources: []*wire.OpenSource{w.source},
		Fence: 7, Instance: "b1.2"}, &output.Output{Log: &b})
	return b.String(), err
}

// soon waits until a query gives a number above none.
func (w *world) soon(what, query string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	look := time.NewTicker(250 * time.Millisecond) // InnoDB looks anew for who has not just asked
	defer look.Stop()
	for {
		var n int
		if err := w.db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			w.Fatalf("%s: %v", what, err)
		}
		if n > 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			w.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func TestValues(t *testing.T) {
	everywhere(t, func(w *world) {
		kinds := []string{"text", "integer", "decimal", "float", "boolean", "date", "timestamp", "json"}
		var columns []database.Column
		var names []string
		for _, k := range kinds {
			columns = append(columns, database.Column{Name: "the " + k, Type: k})
			names = append(names, "the "+k)
		}
		columns = append(columns, database.Column{Name: "ds", Type: "text", Key: true})
		names = append(names, "ds")
		for range 2 { // the second finds it there
			if err := w.db.Define(w.Context(), database.CreateTable(w.db.Dialect(), "v", columns, false)...); err != nil {
				w.Fatal(err)
			}
		}
		when := time.Date(2025, 10, 31, 14, 30, 45, 123456000, time.FixedZone("", -7200))
		rows := [][]any{
			{"it's\n; \"x\" \\N \\ ü\t日本", int64(math.MinInt64), "-12345678901234567890.5", 0.1, true, "2025-10-31", when, `{"a": [1, null]}`, "1"},
			{"", int64(0), "0", -1e300, false, "0001-01-01", "2025-10-31 00:00:00", `"text"`, "2"},
			{nil, nil, nil, nil, nil, nil, nil, nil, "3"},
		}
		if w.product == database.SQLite {
			rows[0][2] = "-12345.5" // to fifteen digits
		}
		if w.product == database.MySQL {
			rows[1][5] = "1000-01-01" // its first year
		}
		if err := w.db.Write(w.Context(), func(tx *database.Tx) error {
			n, err := tx.Insert(w.Context(), "v", names, rows)
			if n != 3 {
				w.Errorf("%d rows written", n)
			}
			return err
		}); err != nil {
			w.Fatal(err)
		}
		day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
		want := [][]any{
			{rows[0][0], rows[0][1], by[any](w, "-12345678901234567890.5", "-12345678901234567890.50000000000000000000", -12345.5), 0.1,
				by[any](w, true, int64(1), true), day(2025, 10, 31), when.UTC(), `{"a": [1, null]}`, "1"},
			{"", int64(0), by[any](w, "0", "0.00000000000000000000", int64(0)), -1e300,
				by[any](w, false, int64(0), false), by(w, day(1, 1, 1), day(1000, 1, 1), day(1, 1, 1)), day(2025, 10, 31), `"text"`, "2"},
			rows[2],
		}
		got := w.rows("SELECT * FROM v ORDER BY ds")
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				w.Errorf("%#v\nwant\n%#v", got[i], want[i])
			}
		}
		there, err := w.db.Columns(w.Context(), "v")
		if err != nil {
			w.Fatal(err)
		}
		for i, c := range columns {
			if there[i].Name != c.Name || !database.SameType(w.db.Dialect(), c, there[i]) {
				w.Errorf("%v, want %v", there[i], c)
			}
		}
	})
}

func TestMissingTables(t *testing.T) {
	everywhere(t, func(w *world) {
		if _, err := w.db.Columns(w.Context(), "nowhere"); !fault.Is(err, fault.NotFound) {
			w.Error(err)
		}
	})
}

func TestStatements(t *testing.T) {
	everywhere(t, func(w *world) {
		trigger := by(w,
			"CREATE FUNCTION logged() RETURNS trigger AS $body$ BEGIN INSERT INTO log VALUES (NEW.i); RETURN NEW; END; $body$ LANGUAGE plpgsql;\nCREATE TRIGGER t AFTER INSERT ON n FOR EACH ROW EXECUTE FUNCTION logged();",
			"CREATE TRIGGER t AFTER INSERT ON n FOR EACH ROW BEGIN IF NEW.i > 0 THEN INSERT INTO log VALUES (NEW.i); END IF; END;",
			"CREATE TRIGGER t AFTER INSERT ON n BEGIN INSERT INTO log VALUES (NEW.i); END;")
		log, err := w.sql(w.Context(), `CREATE TABLE n (i int, s varchar(100));
CREATE TABLE log (i int);
`+trigger+`
INSERT INTO n VALUES (1, 'a;b'), (2, NULL), (3, 'it''s'); -- three
UPDATE n SET s = 'x' WHERE i > 1;
DELETE FROM n WHERE i = 3;
SELECT i, s FROM n ORDER BY i;
SELECT COUNT(*) AS logged FROM log`, nil)
		if err != nil {
			w.Fatalf("%v:\n%s", err, log)
		}
		for _, want := range []string{"3 rows affected", "2 rows affected", "1 row affected",
			"\n i | s\n---+-----\n 1 | a;b\n 2 | x\n", "logged\n", " 3\n", "6 rows written, 3 rows read\n"} {
			if !strings.Contains(log, want) {
				w.Errorf("there is no %q in\n%s", want, log)
			}
		}
	})
}

func TestWhereErrorsAre(t *testing.T) {
	everywhere(t, func(w *world) {
		w.exec("CREATE TABLE n (i int PRIMARY KEY, s varchar(3) NOT NULL)", "INSERT INTO n VALUES (1, 'x')")
		for _, c := range []struct{ name, code, postgres, mysql, sqlite string }{
			{"syntax", "SELECT 1;\n/* é */ SELECT *\n  FORM n",
				`statement 2 of 2 (line 3, column 3): syntax error at or near "FORM" (SQLSTATE 42601)`,
				"statement 2 of 2 (line 3, column 3): You have an error in your SQL syntax",
				`statement 2 of 2 (line 3, column 3): near "FORM": syntax error (error 1)`},
			{"a name", "SELECT i,\n  nope FROM n",
				`statement 1 of 1 (line 2, column 3): column "nope" does not exist (SQLSTATE 42703)`,
				"statement 1 of 1 (line 1): Unknown column 'nope' in",
				"statement 1 of 1 (line 2, column 3): no such column: nope (error 1)"},
			{"twice", "INSERT INTO n VALUES (1, 'y')",
				`statement 1 of 1 (line 1): duplicate key value violates unique constraint "n_pkey" (SQLSTATE 23505); Key (i)=(1) already exists.`,
				"Duplicate entry '1' for key 'PRIMARY' (error 1062)",
				"UNIQUE constraint failed: n.i (error 1555)"},
			{"null", "INSERT INTO n VALUES (2, NULL)", `null value in column "s"`, "Column 's' cannot be null (error 1048)", "NOT NULL constraint failed: n.s (error 1299)"},
			{"too long", "INSERT INTO n VALUES (3, 'long')", "value too long for type character varying(3) (SQLSTATE 22001)", "Data too long for column 's' at row 1 (error 1406)", ""},
		} {
			_, err := w.sql(w.Context(), c.code, nil)
			want := by(w, c.postgres, c.mysql, c.sqlite)
			if want == "" && err != nil || want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want)) {
				w.Errorf("%s: %v, want %q", c.name, err, want)
			}
		}
	})
}

func TestATransactionIsUndone(t *testing.T) {
	everywhere(t, func(w *world) {
		w.exec("CREATE TABLE n (i int PRIMARY KEY)")
		code := "INSERT INTO n VALUES (1); INSERT INTO n VALUES (2); INSERT INTO n VALUES (2)"
		if _, err := w.sql(w.Context(), code, &wire.Sql{Transaction: true}); err == nil {
			w.Error("no error")
		}
		if got := w.rows("SELECT i FROM n"); len(got) != 0 {
			w.Errorf("%v stays", got)
		}
		if log, err := w.sql(w.Context(), "INSERT INTO n VALUES (1); INSERT INTO n VALUES (2)", &wire.Sql{Transaction: true}); err != nil || !strings.HasSuffix(log, "committed\n") {
			w.Errorf("%v:\n%s", err, log)
		}
		if got := w.rows("SELECT i FROM n"); len(got) != 2 {
			w.Errorf("%v", got)
		}
	})
}

// TestStopReachesTheServer asks the server itself whether it still works on what
// was stopped.
func TestStopReachesTheServer(t *testing.T) {
	for _, how := range []string{"while it runs", "while rows come", "in a transaction"} {
		t.Run(how, func(t *testing.T) {
			everywhere(t, func(w *world) {
				if w.product == database.SQLite {
					stopHere(w)
					return
				}
				w.exec("CREATE TABLE n (i int)")
				// A server may notice by itself that a client is gone while it sleeps or
				// has rows to send; while it works, it does not.
				statement := by(w, "SELECT COUNT(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) working", "SELECT BENCHMARK(1000000000000, SHA2('working', 512))", "")
				if how == "while rows come" {
					statement = by(w, "SELECT i, pg_sleep(i / 1000) AS working FROM generate_series(1, 100000) i", "SELECT seq, BENCHMARK((seq DIV 1000) * 1000000000000, SHA2('working', 512)) FROM seq_1_to_100000", "")
				}
				busy := by(w, "FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%working%' AND pid <> pg_backend_pid() AND datname = current_database()",
					"FROM information_schema.processlist WHERE info LIKE '%working%' AND id <> CONNECTION_ID() AND db = DATABASE()", "")
				ctx, cancel := context.WithCancel(w.Context())
				defer cancel()
				ended := make(chan error, 1)
				go func() {
					_, err := w.sql(ctx, "INSERT INTO n VALUES (1); "+statement, &wire.Sql{Transaction: how == "in a transaction", MaxRows: 1})
					ended <- err
				}()
				w.soon("it runs", "SELECT COUNT(*) "+busy)
				cancel()
				select {
				case err := <-ended:
					if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "was stopped") {
						w.Error(err)
					}
				case <-time.After(patience):
					w.Fatal("it does not end")
				}
				w.soon("the server has stopped", "SELECT CASE COUNT(*) WHEN 0 THEN 1 ELSE 0 END "+busy)
				if got, want := len(w.rows("SELECT i FROM n")), map[bool]int{true: 0, false: 1}[how == "in a transaction"]; got != want {
					w.Errorf("%d rows stay, want %d", got, want)
				}
			})
		})
	}
}

// stopHere is the same where the server is this process.
func stopHere(w *world) {
	ctx, cancel := context.WithTimeout(w.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := w.sql(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n", nil)
	if !fault.Is(err, fault.Unavailable) {
		w.Error(err)
	}
}

func TestDefinedAtTheSameMoment(t *testing.T) {
	everywhere(t, func(w *world) {
		columns := []database.Column{{Name: "ds", Type: "text", Key: true}, {Name: "i", Type: "integer"}}
		var done sync.WaitGroup
		for range 8 {
			done.Go(func() {
				err := w.db.Define(w.Context(), database.CreateTable(w.db.Dialect(), "made", columns, false)...)
				if err == nil {
					err = fence.Prepare(w.Context(), w.db)
				}
				if err == nil {
					err = w.db.ReplaceView(w.Context(), "seen", "SELECT * FROM made")
				}
				if err != nil {
					w.Error(err)
				}
			})
		}
		done.Wait()
		if got, err := w.db.Columns(w.Context(), "seen"); err != nil || len(got) != 2 {
			w.Errorf("%v, %v", got, err)
		}
	})
}

func TestViewsAreReplaced(t *testing.T) {
	everywhere(t, func(w *world) {
		w.exec("CREATE TABLE n (a int, b int)", "INSERT INTO n VALUES (1, 2)")
		for _, c := range []struct {
			query string
			want  []any
		}{{"SELECT a FROM n", []any{int64(1)}}, {"SELECT a, b FROM n", []any{int64(1), int64(2)}}, {"SELECT b FROM n", []any{int64(2)}}} {
			if err := w.db.ReplaceView(w.Context(), "v", c.query); err != nil {
				w.Fatal(err)
			}
			if got := w.rows("SELECT * FROM v"); !reflect.DeepEqual(got, [][]any{c.want}) {
				w.Errorf("%v, want %v", got, c.want)
			}
		}
	})
}

func TestChecks(t *testing.T) {
	everywhere(t, func(w *world) {
		w.exec("CREATE TABLE n (d decimal(30,10), b boolean)", "INSERT INTO n VALUES (9007199254740993.5, true)")
		for _, c := range []struct {
			query string
			value string
			holds bool
		}{
			{"SELECT COUNT(*) FROM n", "1", true},
			{"SELECT CAST(COUNT(*) AS decimal(10,3)) FROM n", "1", true},
			{"SELECT b FROM n", by(w, "true", "1", "true"), true},
			{"SELECT 'x'", "x", true},
			{by(w, "SELECT d FROM n", "SELECT d FROM n", "SELECT '9007199254740993.5'"), "9007199254740993.50", true},
			{by(w, "SELECT d FROM n", "SELECT d FROM n", "SELECT '9007199254740993.5'"), "9007199254740992.5", false},
			{"SELECT NULL", "NULL", false},
		} {
			err := check.Run(w.Context(), &wire.Task{Node: &wire.Node{Code: c.query, Source: w.source.Source.Name, Check: &wire.Check{Value: &c.value}},
				Sources: []*wire.OpenSource{w.source}}, &output.Output{Log: &strings.Builder{}})
			if c.holds && err != nil || !c.holds && !fault.Is(err, fault.Conflict) {
				w.Errorf("%s = %s: %v", c.query, c.value, err)
			}
		}
	})
}

func TestPasswordsAreInNoError(t *testing.T) {
	for _, p := range products[:2] {
		source := p.open(t)
		source.Password = "wrong sesame"
		_, err := database.Open(t.Context(), source)
		if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), source.Password) {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

// overwrite is what an attempt does to a partition. claimed is called when it has
// passed the fence.
func overwrite(ctx context.Context, db *database.DB, part string, number uint64, claimed func()) error {
	return db.Write(ctx, func(tx *database.Tx) error {
		if err := fence.Claim(ctx, tx, "orders", part, fence.By{Fence: number, Instance: fmt.Sprintf("b1.%d", number)}); err != nil {
			return err
		}
		claimed()
		if _, err := tx.ExecContext(ctx, database.DeletePartition(tx.Dialect(), "orders", []string{"ds"}), part); err != nil {
			return err
		}
		_, err := tx.Insert(ctx, "orders", []string{"ds", "writer"}, [][]any{{part, int64(number)}, {part, int64(number)}})
		return err
	})
}

func (w *world) orders() {
	w.Helper()
	w.exec("CREATE TABLE orders (ds varchar(20), writer int)")
	if err := fence.Prepare(w.Context(), w.db); err != nil {
		w.Fatal(err)
	}
}

// holds says whose rows a partition must have.
func (w *world) holds(part string, writer uint64) {
	w.Helper()
	query := "SELECT writer FROM orders WHERE ds = " + w.db.Dialect().Placeholder(1)
	if got := w.rows(query, part); !reflect.DeepEqual(got, [][]any{{int64(writer)}, {int64(writer)}}) {
		w.Errorf("%s holds rows of %v, want two of %d", part, got, writer)
	}
}

func TestALateWriterIsRefused(t *testing.T) {
	everywhere(t, func(w *world) {
		w.orders()
		for _, c := range []struct {
			fence uint64
			late  bool
			then  uint64
		}{{5, false, 5}, {5, false, 5}, {4, true, 5}, {9, false, 9}, {8, true, 9}} {
			err := overwrite(w.Context(), w.db, "ds=1", c.fence, func() {})
			if fault.Is(err, fault.Conflict) != c.late || !c.late && err != nil {
				w.Errorf("fence %d: %v", c.fence, err)
			}
			w.holds("ds=1", c.then)
		}
	})
}

// TestALateWriterMeetsANewerOne has both in their transactions at the same time,
// in both orders: the second waits for the first, and the newer one's rows stay.
func TestALateWriterMeetsANewerOne(t *testing.T) {
	everywhere(t, func(w *world) {
		w.orders()
		for i, c := range []struct{ first, second uint64 }{{6, 5}, {5, 6}} {
			part := fmt.Sprintf("ds=%d", i)
			first, second := make(chan error, 1), make(chan error, 1)
			inside, goOn := make(chan struct{}), make(chan struct{})
			go func() {
				first <- overwrite(w.Context(), w.db, part, c.first, func() { close(inside); <-goOn })
			}()
			<-inside
			go func() { second <- overwrite(w.Context(), w.db, part, c.second, func() {}) }()
			if waits := by(w, "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
				"SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'", ""); waits != "" {
				w.soon("the second waits", waits)
			}
			close(goOn)
			if err := <-first; err != nil {
				w.Errorf("the first, fence %d: %v", c.first, err)
			}
			if err := <-second; fault.Is(err, fault.Conflict) != (c.second < c.first) || c.second > c.first && err != nil {
				w.Errorf("the second, fence %d after %d: %v", c.second, c.first, err)
			}
			w.holds(part, 6)
		}
	})
}

func TestManyAtTheSameMoment(t *testing.T) {
	everywhere(t, func(w *world) {
		w.orders()
		const rounds, attempts = 15, 4
		for round := range rounds {
			part := fmt.Sprintf("ds=%d", round)
			errs := make([]error, attempts)
			var done sync.WaitGroup
			for i := range attempts {
				done.Go(func() { errs[i] = overwrite(w.Context(), w.db, part, uint64(10*round+i+1), func() {}) })
			}
			done.Wait()
			// A server may end one of those that wait for each other. It has written
			// nothing, so the newest tries again, as its node would.
			newest := uint64(10*round + attempts)
			for i, err := range errs {
				if err != nil && !fault.Is(err, fault.Conflict) && !deadlock(w, err) {
					w.Errorf("attempt %d: %v", i, err)
				}
			}
			if errs[attempts-1] != nil {
				if err := overwrite(w.Context(), w.db, part, newest, func() {}); err != nil {
					w.Error(err)
				}
			}
			w.holds(part, newest)
		}
	})
}

// deadlock says whether a server has ended a transaction for the sake of others.
func deadlock(w *world, err error) bool {
	return w.product == database.MySQL && strings.Contains(err.Error(), "Deadlock found") ||
		w.product == database.Postgres && strings.Contains(err.Error(), "deadlock detected")
}

// TestThePatternForUsers runs the statements that the design of fences gives to
// people, in the form of each product.
func TestThePatternForUsers(t *testing.T) {
	everywhere(t, func(w *world) {
		w.orders()
		text, err := os.ReadFile(filepath.Join("..", "..", "agent", "task", "fence", "DESIGN.md"))
		if err != nil {
			w.Fatal(err)
		}
		var blocks []string
		for _, part := range strings.Split(string(text), "\n```sql\n")[1:] {
			block, _, _ := strings.Cut(part, "\n```")
			blocks = append(blocks, block)
		}
		pattern := by(w, blocks[2], blocks[3], blocks[2])
		for _, c := range []struct {
			fence string
			late  bool
		}{{"5", false}, {"5", false}, {"4", true}, {"6", false}, {"5", true}} {
			statement := strings.NewReplacer(":fence", c.fence, ":instance", "b1."+c.fence).Replace(pattern)
			if _, err := w.db.ExecContext(w.Context(), statement); (err != nil) != c.late {
				w.Errorf("fence %s: %v", c.fence, err)
			}
		}
		// The ledger is the one of tasks.
		err = w.db.Write(w.Context(), func(tx *database.Tx) error {
			return fence.Claim(w.Context(), tx, "orders", "ds=20251031", fence.By{Fence: 5})
		})
		if !fault.Is(err, fault.Conflict) {
			w.Error(err)
		}
	})
}

// TestAScriptClaims runs a sql node with a fence.
func TestAScriptClaims(t *testing.T) {
	everywhere(t, func(w *world) {
		w.exec("CREATE TABLE orders (ds varchar(20), writer int)")
		code := "-- backfleet:fence orders ds=1\nDELETE FROM orders WHERE ds = '1'; INSERT INTO orders VALUES ('1', 7)"
		if log, err := w.sql(w.Context(), code, &wire.Sql{Transaction: true}); err != nil {
			w.Fatalf("%v:\n%s", err, log)
		}
		failed := errors.New("after the claim")
		err := w.db.Write(w.Context(), func(tx *database.Tx) error {
			if err := fence.Claim(w.Context(), tx, "orders", "ds=1", fence.By{Fence: 6}); err != nil {
				return err
			}
			return failed
		})
		if !fault.Is(err, fault.Conflict) {
			w.Error(err)
		}
	})
}
