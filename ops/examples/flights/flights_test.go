package flights

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/agent/task/database"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/examples/trial"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// patience is how long the example may take; only a failing test waits so long.
const patience = 5 * time.Minute

// TestEndToEnd runs the example on processes of its own, over the first
// eight days of a month: the week is full and has moved on.
func TestEndToEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	binary := filepath.Join(t.TempDir(), "backfleet")
	if err := fleet.Build(ctx, "../../..", binary); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	f, err := trial.Start(ctx, trial.Config{Binary: binary, Dir: t.TempDir(), Coordinators: 1, Agents: 2, Slots: 3, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	folder, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	from := calendar.DateOf(2001, 2, 1)
	if err := Run(ctx, f, folder, from, from+7); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	checkerNotices(t, f.Path("flights.db"), from, from+7)
}

// checkerNotices damages the database of a finished run.
func checkerNotices(t *testing.T, path string, from, to calendar.Date) {
	t.Helper()
	db, err := database.Open(t.Context(), &wire.OpenSource{Source: &wire.DataSource{Name: "flights", Type: database.SQLite, Database: path}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for statement, want := range map[string]string{
		"UPDATE week_average SET change_hundredths = 0 WHERE ds = '20010203'":                  "partition 20010203: ",
		"DELETE FROM route_hour WHERE ds = '20010204' AND hour = 7 AND origin < 'C'":           "partition 20010204/7: ",
		"DELETE FROM day_summary WHERE ds = '20010208'":                                        "partition 20010208: it is missing, with its 1 rows",
		"INSERT INTO airports (month, airport, name) VALUES ('200103', 'XXX', 'in the wrong')": "partition 200103: it has 1 rows and should not be there",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		reports, err := Check(t.Context(), path, from, to)
		if err != nil {
			t.Fatal(err)
		}
		var wrong []string
		for _, r := range reports {
			wrong = append(wrong, r.Wrong...)
		}
		if all := strings.Join(wrong, "\n"); !strings.Contains(all, want) {
			t.Errorf("after %s: %q, expected %q", statement, all, want)
		}
	}
}

// TestExpected holds some of what is expected against numbers taken from the
// data by other means.
func TestExpected(t *testing.T) {
	tables, err := Expected(First, Last)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	partitions := map[string]int{}
	for _, table := range tables {
		partitions[table.Name] = len(table.Rows)
		for _, r := range table.Rows {
			rows[table.Name] += len(r)
		}
	}
	for name, want := range map[string]struct{ partitions, rows int }{
		"flights":      {90, 20000},
		"airports":     {3, 3 * 3376},
		"route_hour":   {1784, 19956},
		"airport_day":  {90, 6901},
		"day_summary":  {90, 90},
		"week_average": {90, 90},
	} {
		if partitions[name] != want.partitions || rows[name] != want.rows {
			t.Errorf("%s: %d partitions with %d rows, expected %d with %d", name, partitions[name], rows[name], want.partitions, want.rows)
		}
	}
	for _, c := range []struct{ table, partition, want string }{
		{"day_summary", "20010101", "222 | 207 | 79 | 3502 | 22"},
		{"day_summary", "20010228", "209 | 194 | 64 | 2992 | 18"},
		{"week_average", "20010101", "1 | 222 | 1577 | ∅"},
		{"week_average", "20010105", "5 | 1136 | 1238 | -48"},
		{"week_average", "20010331", "7 | 1614 | 479 | 5"},
		{"route_hour", "20010101/0", "DTW | LAS | 1 | 1 | 66 | 66"},
	} {
		for _, table := range tables {
			if table.Name == c.table && strings.Join(table.Rows[c.partition], "\n") != c.want {
				t.Errorf("%s %s: %q, expected %q", c.table, c.partition, table.Rows[c.partition], c.want)
			}
		}
	}
}

func TestRounded(t *testing.T) {
	for _, c := range []struct{ sum, n, want int }{{7, 2, 4}, {-7, 2, -4}, {6, 4, 2}, {5, 4, 1}, {-5, 4, -1}, {0, 3, 0}} {
		if got := rounded(c.sum, c.n); got != c.want {
			t.Errorf("%d/%d: %d, expected %d", c.sum, c.n, got, c.want)
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "SQLite"},
		{[]string{"--database", "/no/such/file"}, "/no/such/file"},
		{[]string{"--dates", "2001-01-02..2001-01-05"}, "begins with a month"},
		{[]string{"--dates", "2001-03-01..2001-04-05"}, "within 2001-01-01..2001-03-31"},
		{[]string{"--dates", "2001-03-01"}, "expected YYYY-MM-DD"},
	} {
		var out, errs bytes.Buffer
		if code := CheckMain(c.args, &out, &errs); code != 2 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%q: exit %d, %q, expected %q", c.args, code, errs.String(), c.want)
		}
	}
}
