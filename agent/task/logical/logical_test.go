package logical

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/task/database"
	"backfleet/agent/task/metrics"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// shop is a database with a source table and a logical table over it.
type shop struct {
	*testing.T
	source *wire.OpenSource
	db     *database.DB
	fence  uint64
	log    string // of the last task
}

func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{T: t, source: &wire.OpenSource{Source: &wire.DataSource{Name: "shop", Type: "sqlite", Database: filepath.Join(t.TempDir(), "shop.db")}}}
	var err error
	if s.db, err = database.Open(t.Context(), s.source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	s.do("CREATE TABLE src (id integer, name text, city text, points integer)",
		"INSERT INTO src VALUES (1, 'Ana', 'Rome', 10), (2, 'Bo', 'Oslo', 250), (3, 'Cy', NULL, 40)")
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

// rows are those of a query, "1 Ana Rome; 2 …".
func (s *shop) rows(query string) string {
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
	return strings.Join(out, "; ")
}

// see expects rows of a query.
func (s *shop) see(query, want string) {
	s.Helper()
	if got := s.rows(query); got != want {
		s.Errorf("%s:\ngot  %s\nwant %s", query, got, want)
	}
}

// customers is the logical table: base has name and city, score has level.
func customers() *wire.Logical {
	return &wire.Logical{
		Table: "dim", Partition: "ds", PartitionValue: "20210111",
		Fields: []*wire.LogicalField{
			{Name: "level", Type: "text"}, {Name: "id", Type: "integer", PrimaryKey: true}, {Name: "name", Type: "text"}, {Name: "city", Type: "text"},
		},
		Units: []*wire.Unit{
			{Id: "base", Code: "SELECT id, name, city\nFROM src;\n", Fields: []string{"name", "city"}},
			{Id: "score", Code: "SELECT CASE WHEN points > 99 THEN 'gold' ELSE 'plain' END AS level, id FROM src WHERE id < 3", Fields: []string{"level"}},
		},
	}
}

// task runs units of a table, with a fence larger than the last one's.
func (s *shop) task(l *wire.Logical, units ...string) error {
	s.Helper()
	s.fence++
	return s.taskOf(s.fence, l, units...)
}

func (s *shop) taskOf(by uint64, l *wire.Logical, units ...string) error {
	s.Helper()
	var log bytes.Buffer
	report := &metrics.Report{}
	err := Run(s.Context(), &wire.Task{
		Node:    &wire.Node{Id: "dim_customer", Type: "logical_dimension", Source: "shop", Logical: proto.CloneOf(l)},
		Sources: []*wire.OpenSource{s.source}, Units: units, Fence: by, Instance: fmt.Sprintf("b1.%d", by),
	}, &output.Output{Log: &log, Metrics: report})
	s.log = log.String()
	return err
}

func (s *shop) succeeds(l *wire.Logical, units ...string) {
	s.Helper()
	if err := s.task(l, units...); err != nil {
		s.Fatal(err)
	}
}

// fails expects a failure with these words, that changes nothing.
func (s *shop) fails(l *wire.Logical, words ...string) {
	s.Helper()
	err := s.task(l)
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			s.Errorf("got %v, want %q", err, w)
		}
	}
}

const all = "SELECT * FROM dim ORDER BY ds, id"

func TestR12_2_UnitsAndTheirView(t *testing.T) {
	s := open(t)
	s.succeeds(customers())
	const first = "plain 1 Ana Rome 20210111; gold 2 Bo Oslo 20210111; NULL 3 Cy NULL 20210111"
	s.see(all, first)
	for _, want := range []string{"unit base: 3 rows in ds=20210111 of dim__base, where 0 were", "unit score: 2 rows in ds=20210111 of dim__score, where 0 were", "view dim is made of dim__base, dim__score"} {
		if !strings.Contains(s.log, want) {
			t.Errorf("the log has no %q:\n%s", want, s.log)
		}
	}
	s.succeeds(customers()) // the same again
	s.see(all, first)
	if strings.Contains(s.log, "view") || strings.Contains(s.log, "created") || !strings.Contains(s.log, "where 3 were") {
		t.Errorf("the second time the tables and the view stay:\n%s", s.log)
	}
	next := customers()
	next.PartitionValue = "20210112"
	s.do("UPDATE src SET points = 300 WHERE id = 1", "DELETE FROM src WHERE id = 3")
	s.succeeds(next)
	s.see(all, first+"; gold 1 Ana Rome 20210112; gold 2 Bo Oslo 20210112") // the other partition stays
	s.succeeds(customers())
	s.see("SELECT ds, COUNT(*) FROM dim GROUP BY ds", "20210111 2; 20210112 2")
}

func TestR12_2_UnitsThatAreNotChosenAreLeftAlone(t *testing.T) {
	s := open(t)
	s.succeeds(customers(), "score")
	s.see(all, "") // the rows are those of the first unit
	s.see("SELECT id, level FROM dim__score ORDER BY id", "1 plain; 2 gold")
	s.succeeds(customers())
	s.do("UPDATE src SET name = 'Anna', points = 500 WHERE id = 1")
	s.succeeds(customers(), "score")
	s.see(all, "gold 1 Ana Rome 20210111; gold 2 Bo Oslo 20210111; NULL 3 Cy NULL 20210111")
	if strings.Contains(s.log, "unit base") {
		t.Errorf("base ran:\n%s", s.log)
	}
	err := s.task(customers(), "score", "gone")
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), `there is no unit "gone" any more`) {
		t.Errorf("%v", err)
	}
}

func TestR12_2_AFieldOfSeveralUnitsIsThatOfTheFirstThatHasIt(t *testing.T) {
	s := open(t)
	l := customers()
	l.Units = append(l.Units, &wire.Unit{Id: "geo", Code: "SELECT id, 'somewhere' AS city FROM src", Fields: []string{"city"}})
	s.succeeds(l)
	s.see("SELECT id, city FROM dim ORDER BY id", "1 Rome; 2 Oslo; 3 somewhere")
}

func TestR12_2_TheViewFollowsTheNode(t *testing.T) {
	s := open(t)
	s.succeeds(customers())
	l := customers()
	l.Fields = append(l.Fields, &wire.LogicalField{Name: "zip", Type: "integer"})
	l.Units = append(l.Units, &wire.Unit{Id: "post", Code: "SELECT id, 7 AS zip FROM src", Fields: []string{"zip"}})
	s.succeeds(l, "post")
	s.see(all, "plain 1 Ana Rome 7 20210111; gold 2 Bo Oslo 7 20210111; NULL 3 Cy NULL 7 20210111")
	if !strings.Contains(s.log, "view dim is made of dim__base, dim__score, dim__post") {
		t.Errorf("%s", s.log)
	}
	s.do("DROP VIEW dim")
	s.succeeds(l, "post")
	s.see("SELECT COUNT(*) FROM dim", "3")
}

func TestR12_2_R13_3_ALateWriterIsRefused(t *testing.T) {
	s := open(t)
	if err := s.taskOf(7, customers()); err != nil {
		t.Fatal(err)
	}
	before := s.rows(all)
	s.do("DELETE FROM src")
	err := s.taskOf(6, customers())
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want a refusal of the older fence", err)
	}
	s.see(all, before)
	other := customers()
	other.PartitionValue = "20210112" // another partition has its own
	if err := s.taskOf(6, other); err != nil {
		t.Error(err)
	}
	if err := s.taskOf(7, customers()); err != nil { // the same attempt may go on
		t.Error(err)
	}
	s.see(all, "")
}

func TestR12_2_WhatIsWrongIsSaidAndChangesNothing(t *testing.T) {
	s := open(t)
	s.succeeds(customers())
	before := s.rows(all)
	with := func(change func(*wire.Logical)) *wire.Logical {
		l := customers()
		change(l)
		return l
	}
	s.fails(with(func(l *wire.Logical) { l.Units[0].Code = "SELECT id, name, city AS ctiy, 1 AS more FROM src" }),
		`unit base: its query does not give "city" (did you mean "ctiy"?)`, `it gives "id", "name", "ctiy", "more"`)
	s.fails(with(func(l *wire.Logical) { l.Units[0].Code = "-- nothing\n" }), "unit base: its code has 0 statements: expected one query")
	s.fails(with(func(l *wire.Logical) { l.Units[0].Code = "SELECT 1; SELECT 2" }), "unit base: its code has 2 statements: expected one query")
	s.fails(with(func(l *wire.Logical) { l.Units[0].Code = "-- names\n SELECT naem, id FROM src; -- end" }), "unit base: its query fails: line 2, column 9: ", "naem")
	s.fails(with(func(l *wire.Logical) { l.Units[0].Code = "SELECT id,\n  naem AS name,\n  city\nFROM src" }), "unit base: its query fails: line 2, column 3: ", "naem")
	s.fails(with(func(l *wire.Logical) {
		l.Units[0].Code = "SELECT id % 2 AS id, name, city FROM src UNION ALL SELECT 1, 'x', NULL UNION ALL SELECT 4, 'y', NULL UNION ALL SELECT 4, 'z', NULL"
	}), "unit base: its query gives rows with the same primary key: id=1 (3 rows), id=4 (2 rows); nothing was written")
	s.fails(with(func(l *wire.Logical) { l.Units[0].Code = "SELECT NULL AS id, name, city FROM src" }), "unit base: its rows cannot be written: ", "id")
	s.fails(with(func(l *wire.Logical) { l.Fields[2].Type = "integer" }), `unit base: its table dim__base is not as the node declares it: column "name" is of type text, and the node says integer`)
	s.fails(with(func(l *wire.Logical) {
		l.Fields = append(l.Fields, &wire.LogicalField{Name: "zip", Type: "text"})
		l.Units[1].Fields = []string{"level", "zip"}
	}), `unit score: its table dim__score is not as the node declares it: column "zip" of type text is missing`)
	s.fails(with(func(l *wire.Logical) { l.PartitionValue = "" }), "logical.partitionValue: it comes to nothing")
	s.see(all, before)

	// The units before one that fails have their new rows; it has its old ones.
	s.do("UPDATE src SET name = 'Anna', points = 0 WHERE id < 3")
	s.fails(with(func(l *wire.Logical) { l.Units[1].Code = "SELECT id, no_such AS level FROM src" }), "unit score: its query fails")
	s.see(all, "plain 1 Anna Rome 20210111; gold 2 Anna Oslo 20210111; NULL 3 Cy NULL 20210111")

	task := &wire.Task{Node: &wire.Node{Id: "dim", Source: "shpo", Logical: customers()}, Sources: []*wire.OpenSource{s.source}}
	if err := Run(t.Context(), task, &output.Output{Log: &bytes.Buffer{}}); err == nil || !strings.Contains(err.Error(), `source: there is no data source "shpo"`) {
		t.Errorf("%v", err)
	}
	s.do("DROP VIEW dim", "CREATE TABLE dim (id integer)")
	s.fails(customers(), "the view dim cannot be made")
}

func TestR12_2_StoppedItChangesNothing(t *testing.T) {
	s := open(t)
	s.succeeds(customers())
	before := s.rows(all)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Run(ctx, &wire.Task{Node: &wire.Node{Source: "shop", Logical: customers()}, Sources: []*wire.OpenSource{s.source}, Fence: 99}, &output.Output{Log: &bytes.Buffer{}})
	if err == nil {
		t.Error("a task that was stopped has succeeded")
	}
	s.see(all, before)
}

func TestR12_2_RowsAreReported(t *testing.T) {
	s := open(t)
	t.Setenv(metrics.Variable, filepath.Join(t.TempDir(), metrics.File))
	report := &metrics.Report{}
	err := Run(t.Context(), &wire.Task{Node: &wire.Node{Source: "shop", Logical: customers()}, Sources: []*wire.OpenSource{s.source}, Fence: 1},
		&output.Output{Log: &bytes.Buffer{}, Metrics: report})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Write(); err != nil {
		t.Fatal(err)
	}
	text := readFile(t)
	for _, want := range []string{"rows_written=5", "rows_written.base=3", "rows_written.score=2"} {
		if !slices.Contains(strings.Fields(text), want) {
			t.Errorf("the metrics have no %s:\n%s", want, text)
		}
	}
}

func readFile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(os.Getenv(metrics.Variable))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
