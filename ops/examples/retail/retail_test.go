package retail

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/agent/task/database"
	"backfleet/integration/databases"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/examples/trial"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// patience is how long the example may take; only a failing test waits so long.
const patience = 5 * time.Minute

// small is a shop of nine days: the window of seven is full and has moved on.
var small = Settings{Seed: 5, First: calendar.DateOf(2024, 2, 25), Days: 9, Orders: 150}

// TestEndToEnd runs all of the example on processes of its own.
func TestEndToEnd(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "backfleet")
	if err := fleet.Build(t.Context(), "../../..", binary); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]func(dir string) *wire.OpenSource{
		"SQLite":     func(dir string) *wire.OpenSource { return SQLite(filepath.Join(dir, "warehouse.db")) },
		"PostgreSQL": func(string) *wire.OpenSource { return databases.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			dir := t.TempDir()
			warehouse := source(dir)
			t.Setenv(secret, warehouse.Password)
			var out bytes.Buffer
			f, err := trial.Start(ctx, trial.Config{Binary: binary, Dir: dir, Coordinators: 1, Agents: 2, Slots: 3, Out: &out})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := f.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			if err := Run(ctx, f, "nodes", small, warehouse); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			checkerNotices(t, warehouse)
		})
	}
}

// checkerNotices damages the warehouse of a finished run.
func checkerNotices(t *testing.T, source *wire.OpenSource) {
	t.Helper()
	db, err := database.Open(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, c := range []struct{ statement, table, want string }{
		{"UPDATE ods_orders SET quantity = quantity + 1 WHERE ds = '20240226'", "ods_orders", "partition 20240226: "},
		{"DELETE FROM dim_products__price WHERE ds = '20240301'", "dim_products", "partition 20240301: "},
		{"INSERT INTO ods_customers (ds, customer_id, name) VALUES ('20240101', 1, 'x')", "ods_customers", "partition 20240101: it has 1 rows and should not be there"},
	} {
		if _, err := db.ExecContext(t.Context(), c.statement); err != nil {
			t.Fatal(err)
		}
		reports, err := small.Check(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range reports {
			if wrong := strings.Join(r.Wrong, "\n"); r.Table == c.table && !strings.Contains(wrong, c.want) {
				t.Errorf("after %s: %s: %q, expected %q", c.statement, r.Table, wrong, c.want)
			}
		}
	}
}

// TestGenerator: the same seed gives the same bytes, whatever the number of
// days; another seed gives others.
func TestGenerator(t *testing.T) {
	files := func(s Settings) map[string]string {
		dir := t.TempDir()
		if code := GenerateMain([]string{"--dir", dir, "--seed", fmt.Sprint(s.Seed), "--first", s.First.String(), "--days", fmt.Sprint(s.Days), "--orders", fmt.Sprint(s.Orders)},
			&bytes.Buffer{}, os.Stderr); code != 0 {
			t.Fatalf("exit %d", code)
		}
		found := map[string]string{}
		for _, kind := range []string{"customers", "products", "orders"} {
			for d := s.First; d <= s.Last(); d++ {
				text, err := os.ReadFile(export(dir, kind, d))
				if err != nil {
					t.Fatal(err)
				}
				found[kind+d.Compact()] = string(text)
			}
		}
		return found
	}
	long := small
	long.Days += 3
	other := small
	other.Seed++
	a, b, c := files(small), files(long), files(other)
	for name, text := range a {
		if b[name] != text {
			t.Errorf("%s depends on the number of days", name)
		}
		if c[name] == text {
			t.Errorf("%s does not depend on the seed", name)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(a["orders20240226"])).ReadAll()
	if err != nil || len(rows) < small.Orders/2 {
		t.Errorf("%d orders, %v", len(rows), err)
	}
}

// TestShopHasWhatItIsFor: the data has the cases that the nodes must get right.
func TestShopHasWhatItIsFor(t *testing.T) {
	for _, s := range []Settings{DefaultSettings(), small} {
		rejected, cancelled := 0, 0
		bands, levels := map[string]bool{}, map[string]bool{}
		seen := map[int]bool{}
		for d := s.First; d <= s.Last(); d++ {
			y := s.day(d)
			rejected += y.rejected
			cancelled += len(y.orders) - len(y.bought)
			for _, p := range y.products {
				bands[band(p.cents)] = true
			}
			for _, c := range y.customers {
				levels[c.level] = true
				if c.joined > d {
					t.Errorf("%s: customer %d joins later, on %s", d, c.id, c.joined)
				}
			}
			for _, o := range s.orders(d) {
				if seen[o.id] {
					t.Errorf("order %d is there twice", o.id)
				}
				seen[o.id] = true
			}
		}
		if rejected == 0 || cancelled == 0 || len(bands) != 3 || len(levels) != 3 {
			t.Errorf("%d rejected, %d cancelled, bands %v, levels %v", rejected, cancelled, bands, levels)
		}
	}
}

func TestCommandsRefuse(t *testing.T) {
	for _, c := range []struct {
		main func(args []string, stdout, stderr *bytes.Buffer) int
		args []string
		want string
	}{
		{generate, nil, "--dir"},
		{generate, []string{"--dir", t.TempDir(), "--days", "0"}, "days"},
		{generate, []string{"--dir", t.TempDir(), "--first", "2024-02-30"}, "there is no such day"},
		{check, nil, "SQLite"},
		{check, []string{"--database", "/no/such/file"}, "/no/such/file"},
		{check, []string{"--database", "postgres://host"}, "postgres://user@host:port/name"},
	} {
		var out, errs bytes.Buffer
		if code := c.main(c.args, &out, &errs); code == 0 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%q: exit %d, %q, expected %q", c.args, code, errs.String(), c.want)
		}
	}
}

func generate(args []string, stdout, stderr *bytes.Buffer) int {
	return GenerateMain(args, stdout, stderr)
}
func check(args []string, stdout, stderr *bytes.Buffer) int { return CheckMain(args, stdout, stderr) }

func TestSourceOf(t *testing.T) {
	s, err := sourceOf("postgres://me@db.example:5433/shop", "pass")
	if err != nil || s.Source.Host != "db.example" || s.Source.Port != 5433 || s.Source.Database != "shop" || s.Source.User != "me" || s.Password != "pass" {
		t.Errorf("%v, %v", s, err)
	}
}
