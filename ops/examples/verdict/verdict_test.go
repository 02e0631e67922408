package verdict_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/agent/task/database"
	"backfleet/ops/examples/verdict"
	"backfleet/pkg/wire"
)

// TestCheck holds a table against a database in which one partition is right.
func TestCheck(t *testing.T) {
	source := &wire.OpenSource{Source: &wire.DataSource{Name: "x", Type: "sqlite", Database: filepath.Join(t.TempDir(), "x.db")}}
	db, err := database.Open(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		"CREATE TABLE x (ds text, hour integer, name text, n integer)",
		"INSERT INTO x VALUES ('1', 7, 'a', NULL), ('1', 7, 'b', 2), ('1', 7, 'b', 2), ('2', 0, 'a', 1), ('3', 0, 'a', 2), ('5', 0, 'a', 1), ('5', 0, 'b', 1), ('6', 0, 'a', 1)",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	want := verdict.NewTable("x", "ds hour", "name n")
	want.Add("1/7", "b", 2)
	want.Add("1/7", "b", "2")
	want.Add("1/7", "a", nil)
	want.Add("3/0", "a", 1)
	want.Add("4/0", "a", 1)
	want.Add("5/0", "a", 1)
	want.Add("6/0", "a", 1)
	want.Add("6/0", "a", 1)
	reports, err := verdict.Check(t.Context(), db, []*verdict.Table{want})
	if err != nil || len(reports) != 1 || reports[0].Right != 1 || reports[0].Of != 5 {
		t.Fatalf("%+v, %v", reports, err)
	}
	wrong := strings.Join([]string{
		"partition 2/0: it has 1 rows and should not be there",
		"partition 3/0: 1 rows, expected 1; the first difference is (a | 2), expected (a | 1)",
		"partition 4/0: it is missing, with its 1 rows",
		"partition 5/0: 2 rows, expected 1; the first difference is (b | 1), expected no more rows",
		"partition 6/0: 1 rows, expected 2; the first difference is no more rows, expected (a | 1)",
	}, "\n")
	if got := strings.Join(reports[0].Wrong, "\n"); got != wrong {
		t.Errorf("got\n%s\nwant\n%s", got, wrong)
	}
	var out bytes.Buffer
	if verdict.Print(&out, reports) || !strings.HasPrefix(out.String(), "x                      1 right of 5\n  partition 2/0") {
		t.Errorf("printed as right, or not at all: %s", out.String())
	}
	if _, err := verdict.Check(t.Context(), db, []*verdict.Table{verdict.NewTable("y", "ds", "n")}); err == nil || !strings.Contains(err.Error(), "table y") {
		t.Errorf("a table that is not there: %v", err)
	}
	if verdict.Print(&out, nil) {
		t.Error("nothing is right")
	}
	if !verdict.Print(&out, []verdict.Report{{Table: "x", Right: 2, Of: 2}}) {
		t.Error("a right table is wrong")
	}
}
