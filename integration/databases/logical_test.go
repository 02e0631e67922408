package databases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"backfleet/agent/task/database"
	"backfleet/agent/task/logical"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// shop runs the units of a logical table on a real server.
type shop struct {
	*testing.T
	source *wire.OpenSource
	db     *database.DB
}

func newShop(t *testing.T, source *wire.OpenSource) *shop {
	t.Helper()
	db, err := database.Open(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &shop{T: t, source: source, db: db}
	s.do("CREATE TABLE src (id integer, region varchar(20), name varchar(20), points integer)",
		"INSERT INTO src VALUES (1, 'eu', 'Ana', 10), (1, 'us', 'Al', 250), (2, 'eu', 'Bo', 40)")
	return s
}

func (s *shop) do(statements ...string) {
	s.Helper()
	for _, statement := range statements {
		if _, err := s.db.ExecContext(s.Context(), statement); err != nil {
			s.Fatalf("%s: %v", statement, err)
		}
	}
}

func (s *shop) see(query, want string) {
	s.Helper()
	rows, err := s.db.Query(s.Context(), query)
	if err != nil {
		s.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			s.Fatal(err)
		}
		var one []string
		for i, v := range values {
			one = append(one, database.Format(v, rows.Columns[i]))
		}
		out = append(out, strings.Join(one, " "))
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
	if got := strings.Join(out, "; "); got != want {
		s.Errorf("%s:\ngot  %s\nwant %s", query, got, want)
	}
}

// people is a table with a key of two columns, one of them text, and a column of
// every type.
func people() *wire.Logical {
	l := &wire.Logical{Table: "people", Partition: "ds", PartitionValue: "20210111"}
	for _, f := range []string{"id integer key", "region text key", "name text", "level text", "n integer", "amount decimal", "rate float", "ok boolean", "day date", "moment timestamp", "doc json"} {
		words := strings.Fields(f)
		l.Fields = append(l.Fields, &wire.LogicalField{Name: words[0], Type: words[1], PrimaryKey: len(words) > 2})
	}
	l.Units = []*wire.Unit{
		{Id: "base", Code: "SELECT id, region, name FROM src;", Fields: []string{"name"}},
		{Id: "score", Code: "SELECT region, id, CASE WHEN points > 99 THEN 'gold' ELSE 'plain' END AS level FROM src WHERE id < 2", Fields: []string{"level"}},
		{Id: "rest", Fields: []string{"n", "amount", "rate", "ok", "day", "moment", "doc"},
			Code: `SELECT id, region, 7 AS n, 1.50 AS amount, 2.5 AS rate, TRUE AS ok, DATE '2021-01-11' AS day,
	TIMESTAMP '2021-01-11 10:00:00' AS moment, CAST('{"a": 1}' AS JSON) AS doc FROM src`},
	}
	return l
}

func (s *shop) task(ctx context.Context, fence uint64, l *wire.Logical, units ...string) (log string, err error) {
	var text bytes.Buffer
	if s.source.Source.Type == "mysql" { // MariaDB has no type to cast to
		for _, u := range l.Units {
			u.Code = strings.ReplaceAll(u.Code, `CAST('{"a": 1}' AS JSON)`, `'{"a": 1}'`)
		}
	}
	err = logical.Run(ctx, &wire.Task{
		Node:    &wire.Node{Id: "people", Type: "logical_dimension", Source: s.source.Source.Name, Logical: l},
		Sources: []*wire.OpenSource{s.source}, Units: units, Fence: fence, Instance: fmt.Sprintf("b1.%d", fence),
	}, &output.Output{Log: &text})
	return text.String(), err
}

// onBoth runs a test on each product.
func onBoth(t *testing.T, test func(s *shop)) {
	for product, give := range map[string]func(testing.TB) *wire.OpenSource{"PostgreSQL": Postgres, "MariaDB": MariaDB} {
		t.Run(product, func(t *testing.T) { test(newShop(t, give(t))) })
	}
}

func TestR12_2_LogicalTables(t *testing.T) {
	onBoth(t, func(s *shop) {
		const query = "SELECT id, region, name, level, n, day, ds FROM people ORDER BY ds, id, region"
		const first = "1 eu Ana plain 7 2021-01-11 20210111; 1 us Al gold 7 2021-01-11 20210111; 2 eu Bo NULL 7 2021-01-11 20210111"
		log, err := s.task(s.Context(), 3, people())
		if err != nil || !strings.Contains(log, "view people is made of people__base, people__score, people__rest") {
			s.Fatalf("%v\n%s", err, log)
		}
		s.see(query, first)
		// The same again: tables are taken as they are, the view stays.
		if log, err = s.task(s.Context(), 4, people()); err != nil || strings.Contains(log, "view") || strings.Contains(log, "created") {
			s.Fatalf("%v\n%s", err, log)
		}
		s.see(query, first)
		// Of the units only one, which another day gives other rows.
		s.do("UPDATE src SET points = 500, name = 'Anna' WHERE id = 1 AND region = 'eu'")
		if log, err = s.task(s.Context(), 5, people(), "score"); err != nil {
			s.Fatalf("%v\n%s", err, log)
		}
		const later = "1 eu Ana gold 7 2021-01-11 20210111; 1 us Al gold 7 2021-01-11 20210111; 2 eu Bo NULL 7 2021-01-11 20210111"
		s.see(query, later)
		if _, err = s.task(s.Context(), 2, people()); !fault.Is(err, fault.Conflict) {
			s.Errorf("an older fence: %v", err)
		}
		s.see(query, later)
		s.wrong(query, later)
		// A node with fewer fields has a view with fewer columns.
		less := people()
		less.Fields, less.Units = less.Fields[:3], less.Units[:1]
		if log, err = s.task(s.Context(), 50, less); err != nil || !strings.Contains(log, "view people is made of people__base\n") {
			s.Fatalf("%v\n%s", err, log)
		}
		s.see("SELECT * FROM people ORDER BY id, region", "1 eu Anna 20210111; 1 us Al 20210111; 2 eu Bo 20210111")
	})
}

// wrong tries what must fail, and change nothing.
func (s *shop) wrong(query, rows string) {
	s.Helper()
	for _, c := range []struct {
		change func(l *wire.Logical)
		want   []string
	}{
		{func(l *wire.Logical) { l.Units[0].Code = "SELECT id, region FROM src" }, []string{`unit base: its query does not give "name"`}},
		{func(l *wire.Logical) { l.Units[0].Code = "SELECT 3 AS id, region, name FROM src" },
			[]string{"unit base: its query gives rows with the same primary key: id=3 region=eu (2 rows); nothing was written"}},
		{func(l *wire.Logical) { l.Units[0].Code = "SELECT NULL AS id, region, name FROM src" }, []string{"unit base: its rows cannot be written: "}},
		{func(l *wire.Logical) { l.Units[0].Code = "SELECT id,\n  region\n  naame FORM src" }, []string{"unit base: its query fails: line 3"}},
		{func(l *wire.Logical) { l.Fields[2].Type = "date" }, []string{`unit base: its table people__base is not as the node declares it: column "name" is of type text, and the node says date`}},
	} {
		l := people()
		c.change(l)
		_, err := s.task(s.Context(), 40, l)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				s.Errorf("got %v, want %q", err, want)
			}
		}
		s.see(query, rows)
	}
}

// TestR12_2_PartitionsAtOnce: on an empty database, attempts of many partitions
// that begin at the same moment all make the tables and the view.
func TestR12_2_PartitionsAtOnce(t *testing.T) {
	onBoth(t, func(s *shop) {
		const partitions = 8
		failed := make([]error, partitions)
		var wg sync.WaitGroup
		for i := range partitions {
			wg.Go(func() {
				l := people()
				l.PartitionValue = fmt.Sprintf("2021011%d", i)
				_, failed[i] = s.task(s.Context(), uint64(100-i), l)
			})
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil {
			s.Fatal(err)
		}
		s.see("SELECT COUNT(*), COUNT(DISTINCT ds) FROM people", "24 8")
	})
}

// TestR12_2_StoppedInTheMiddle: a query that is cancelled ends on the server, and
// the partition has its old rows.
func TestR12_2_StoppedInTheMiddle(t *testing.T) {
	onBoth(t, func(s *shop) {
		if log, err := s.task(s.Context(), 1, people()); err != nil {
			s.Fatalf("%v\n%s", err, log)
		}
		sleep := map[string]string{"postgres": "(SELECT '' FROM pg_sleep(600))", "mysql": "SLEEP(600)"}[s.source.Source.Type]
		l := people()
		l.Units[0].Code = "SELECT id, region, CONCAT(name, " + sleep + ") AS name FROM src"
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := s.task(ctx, 2, l); err == nil {
			s.Error("it has succeeded")
		}
		if took := time.Since(began); took > time.Minute {
			s.Errorf("stopping took %s", took)
		}
		s.see("SELECT id, region, name FROM people ORDER BY id, region", "1 eu Ana; 1 us Al; 2 eu Bo")
		if log, err := s.task(s.Context(), 3, people()); err != nil { // nothing there holds a lock
			s.Fatalf("%v\n%s", err, log)
		}
	})
}
