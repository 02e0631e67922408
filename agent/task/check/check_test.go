package check

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/agent/task/database"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func ptr[T any](v T) *T { return &v }

// run gives the log of a check on a database of its own.
func run(ctx context.Context, t *testing.T, n *wire.Node) (string, error) {
	t.Helper()
	source := &wire.OpenSource{Source: &wire.DataSource{Name: "shop", Type: database.SQLite, Database: filepath.Join(t.TempDir(), "shop.db")}}
	var log strings.Builder
	err := Run(ctx, &wire.Task{Node: n, Sources: []*wire.OpenSource{source}}, &output.Output{Log: &log, Arguments: []string{"20251031"}})
	return log.String(), err
}

func TestAQuery(t *testing.T) {
	for _, c := range []struct {
		name, query string
		check       *wire.Check
		says        string // empty: it holds
	}{
		{"rows", "VALUES (1), (2)", &wire.Check{Rows: ptr(int64(2))}, ""},
		{"rows, other", "VALUES (1), (2)", &wire.Check{Rows: ptr(int64(3))}, "1 of 1 expectations do not hold: rows: expected 3, found 2"},
		{"no rows", "SELECT 1 WHERE 0", &wire.Check{Rows: ptr(int64(0))}, ""},
		{"a range of rows", "VALUES (1), (2)", &wire.Check{MinRows: ptr(int64(1)), MaxRows: ptr(int64(2))}, ""},
		{"too few", "VALUES (1), (2)", &wire.Check{MinRows: ptr(int64(3)), MaxRows: ptr(int64(4))}, "1 of 2 expectations do not hold: minRows: expected at least 3, found 2"},
		{"too many", "VALUES (1), (2)", &wire.Check{MaxRows: ptr(int64(1))}, "maxRows: expected at most 1, found 2"},
		{"more rows than are shown", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n", &wire.Check{Rows: ptr(int64(1000))}, ""},
		{"value", "SELECT 'x'", &wire.Check{Value: ptr("x")}, ""},
		{"value, other", "SELECT 'x'", &wire.Check{Value: ptr("y")}, `value: expected "y", found "x"`},
		{"a number as it may be written", "SELECT 12", &wire.Check{Value: ptr("12.00")}, ""},
		{"numbers beyond floats", "SELECT 9007199254740993", &wire.Check{Value: ptr("9007199254740992")}, "value: expected 9007199254740992, found 9007199254740993"},
		{"decimals in text", "SELECT '0.30000000000000001'", &wire.Check{Max: ptr("0.3")}, "max: expected at most 0.3, found 0.30000000000000001"},
		{"exactly the bounds", "SELECT '-1.50'", &wire.Check{Min: ptr("-1.5"), Max: ptr("-1.5")}, ""},
		{"all that fail", "SELECT 5", &wire.Check{Value: ptr("6"), Min: ptr("7"), Max: ptr("4"), Rows: ptr(int64(1))},
			"3 of 4 expectations do not hold: value: expected 6, found 5; min: expected at least 7, found 5; max: expected at most 4, found 5"},
		{"no number", "SELECT 'many'", &wire.Check{Min: ptr("1")}, `min: expected at least 1, found "many", which is no number`},
		{"null", "SELECT NULL", &wire.Check{Value: ptr("NULL"), Min: ptr("0")}, `2 of 2 expectations do not hold: value: expected "NULL", found NULL; min: expected at least 0, found NULL`},
		{"no row", "SELECT 1 WHERE 0", &wire.Check{Value: ptr("1")}, "value: expected 1, found no row"},
		{"several rows", "VALUES (1), (1)", &wire.Check{Value: ptr("1")}, "value: expected 1, found 2 rows, of which none is the only one"},
		{"the first column", "SELECT 1, 2", &wire.Check{Value: ptr("1")}, ""},
		{"an empty text", "SELECT ''", &wire.Check{Value: ptr("")}, ""},
		{"a huge exponent is text", "SELECT '1e99999'", &wire.Check{Min: ptr("0")}, "which is no number"},
	} {
		log, err := run(t.Context(), t, &wire.Node{Source: "shop", Code: c.query, Check: c.check})
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v\n%s", c.name, err, log)
		case c.says != "" && (!fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		case c.says != "" && !strings.Contains(log, "DOES NOT HOLD"):
			t.Errorf("%s:\n%s", c.name, log)
		}
	}
}

func TestWhatIsNoQuery(t *testing.T) {
	for _, c := range []struct {
		code string
		want *wire.Check
		says string
	}{
		{"SELECT 1; SELECT 2", &wire.Check{Rows: ptr(int64(1))}, "there are 2 statements"},
		{"-- nothing", &wire.Check{Rows: ptr(int64(1))}, "there are 0 statements"},
		{"CREATE TABLE a (b)", &wire.Check{Rows: ptr(int64(1))}, "gives no rows, not even none"},
		{"\nSELECT *\nFORM a", &wire.Check{Rows: ptr(int64(1))}, `the query fails (line 3): near "FORM": syntax error`},
		{"SELECT 1", &wire.Check{Min: ptr("one")}, `check.min: "one" is no number`},
	} {
		if _, err := run(t.Context(), t, &wire.Node{Source: "shop", Code: c.code, Check: c.want}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.code, err, c.says)
		}
	}
}

func TestAScript(t *testing.T) {
	for _, c := range []struct {
		name, code string
		check      *wire.Check
		says       string
	}{
		{"it ends well", "true", nil, ""},
		{"it does not", "echo no; exit 3", nil, "the script says that the check failed: exit status 3"},
		{"a value", "printf '  12.0\n\n'", &wire.Check{Value: ptr("12")}, ""},
		{"another", "echo 12; echo 13", &wire.Check{Value: ptr("12")}, `value: expected 12, found "12\n13"`},
		{"a range", "echo 12", &wire.Check{Min: ptr("12"), Max: ptr("13")}, ""},
		{"nothing", "true", &wire.Check{Min: ptr("1")}, `min: expected at least 1, found "", which is no number`},
		{"parameters", "echo $1", &wire.Check{Value: ptr("20251031")}, ""},
		{"errors are no output", "echo x >&2; echo 1", &wire.Check{Value: ptr("1")}, ""},
		{"too much", "head -c 70000 /dev/zero | tr '\\0' x", &wire.Check{Value: ptr("x")}, "found more than 64 KiB of output"},
		{"a long script", "# " + strings.Repeat("x", 200_000) + "\necho 1", &wire.Check{Value: ptr("1")}, ""},
	} {
		log, err := run(t.Context(), t, &wire.Node{Code: c.code, Check: c.check})
		if c.says == "" && err != nil || c.says != "" && (!fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q\n%.200s", c.name, err, c.says, log)
		}
	}
	if log, err := run(t.Context(), t, &wire.Node{Code: "echo 5 rows are wrong; exit 1"}); err == nil || !strings.Contains(log, "5 rows are wrong\n") {
		t.Errorf("%v: %s", err, log)
	}
}

func TestStop(t *testing.T) {
	for name, n := range map[string]*wire.Node{
		"a script": {Code: "exec sleep 1000"},
		"a query":  {Source: "shop", Code: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n", Check: &wire.Check{Rows: ptr(int64(1))}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := run(ctx, t, n)
		cancel()
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "was stopped") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
