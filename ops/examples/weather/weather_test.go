package weather_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backfleet/ops/examples/verdict"
	"backfleet/ops/examples/weather"
	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/params"
)

// warehouse is a folder that the example's nodes write to.
type warehouse struct {
	t      *testing.T
	dir    string
	trace  string
	graph  *node.Graph
	fences int
}

func newWarehouse(t *testing.T) *warehouse {
	t.Helper()
	w := &warehouse{t: t, dir: filepath.Join(t.TempDir(), "ware house"), fences: 10}
	w.trace = filepath.Join(t.TempDir(), "attempts.log")
	files, warnings, err := node.Read(os.DirFS("nodes"), ".", node.Options{Values: map[string]string{
		"WAREHOUSE": w.dir, "WEATHER_CSV": "data/seattle-weather.csv", "TRACE_FILE": w.trace,
	}})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	change, err := node.Apply(nil, files.Nodes, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.graph = change.Graph
	return w
}

// run executes a node for a date as an agent does and gives its error output.
func (w *warehouse) run(id string, d calendar.Date) (string, error) {
	w.t.Helper()
	i, _ := w.graph.Index(id)
	n := w.graph.Node(i)
	ctx := params.Context{Data: d, Scheduled: calendar.Wall{Date: d + 1}, Generated: d + 1}
	values, err := n.Params.Values(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	code, err := n.Code.Expand(ctx, values)
	if err != nil {
		w.t.Fatal(err)
	}
	w.fences++
	cmd := exec.Command("sh", "-c", code)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), fmt.Sprintf("BACKFLEET_FENCE=%d", w.fences), "BACKFLEET_ATTEMPT=1",
		fmt.Sprintf("BACKFLEET_INSTANCE=b1.%d", w.fences), "BACKFLEET_NODE=" + id,
	}
	for _, a := range n.Spec.Environment {
		cmd.Env = append(cmd.Env, a.Name+"="+a.Value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	return stderr.String(), err
}

// backfill runs all nodes for every date of a range, in order.
func (w *warehouse) backfill(from, to string) {
	w.t.Helper()
	for d := date(w.t, from); d <= date(w.t, to); d++ {
		for i := range w.graph.Len() {
			if stderr, err := w.run(w.graph.Node(i).Spec.Id, d); err != nil {
				w.t.Fatalf("%s for %s: %v: %s", w.graph.Node(i).Spec.Id, d, err, stderr)
			}
		}
	}
}

func (w *warehouse) reports() map[string]verdict.Report {
	w.t.Helper()
	reports, err := weather.Check(os.DirFS(w.dir))
	if err != nil {
		w.t.Fatal(err)
	}
	byTable := map[string]verdict.Report{}
	for _, r := range reports {
		byTable[r.Table] = r
	}
	return byTable
}

func date(t *testing.T, s string) calendar.Date {
	t.Helper()
	d, err := calendar.ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestScriptsAgreeWithTheChecker runs the real scripts over the beginning of
// the data, with its frost, and over a turn of the year.
func TestScriptsAgreeWithTheChecker(t *testing.T) {
	w := newWarehouse(t)
	w.backfill("2012-01-01", "2012-02-03")
	for table, r := range w.reports() {
		if r.Right != 34 || r.Of != 1461 {
			t.Errorf("%s: %d right of %d, want 34: %s", table, r.Right, r.Of, r.Wrong[0])
		}
	}
	for d := date(t, "2013-11-30"); d <= date(t, "2014-01-02"); d++ { // frost: means below zero
		for _, id := range []string{"weather_ingest", "weather_clean"} {
			if stderr, err := w.run(id, d); err != nil {
				t.Fatal(stderr, err)
			}
		}
	}
	for d := date(t, "2013-12-06"); d <= date(t, "2014-01-02"); d++ {
		for _, id := range []string{"weather_rolling7", "weather_month_to_date"} {
			if stderr, err := w.run(id, d); err != nil {
				t.Fatal(stderr, err)
			}
		}
	}
	for table, want := range map[string]int{"weather_ingest": 68, "weather_clean": 68, "weather_rolling7": 62, "weather_month_to_date": 62} {
		if r := w.reports()[table]; r.Right != want {
			t.Errorf("%s: %d right, want %d", table, r.Right, want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, "*", "*", ".part*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files stay: %v, %v", left, err)
	}
	f, err := os.Open(w.trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	trace, err := weather.ReadTrace(f)
	if err != nil || trace.Attempts != 34*4+34*2+28*2 || trace.Unended != 0 || len(trace.Wrong) != 0 {
		t.Errorf("trace %+v, %v", trace, err)
	}
}

func TestScriptsFailLoudly(t *testing.T) {
	w := newWarehouse(t)
	first := date(t, "2012-01-01")
	for _, c := range []struct {
		node string
		date calendar.Date
		want string
	}{
		{"weather_ingest", first - 1, "there is no row for 2011-12-31 in data/seattle-weather.csv"},
		{"weather_clean", first, "weather_ingest"},
		{"weather_rolling7", first, "weather_clean has no partition dt=20120101: run it first"},
		{"weather_month_to_date", first + 1, "weather_clean has no partition dt=20120101: run it first"},
	} {
		stderr, err := w.run(c.node, c.date)
		if err == nil || !strings.Contains(stderr, c.want) {
			t.Errorf("%s for %s: %v, %q, want %q", c.node, c.date, err, stderr, c.want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, "*", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestCheckerNotices(t *testing.T) {
	w := newWarehouse(t)
	w.backfill("2012-01-01", "2012-01-02")
	part := filepath.Join(w.dir, "weather_clean", "dt=20120102", "part.csv")
	whole, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() error{
		"a wrong byte": func() error {
			return os.WriteFile(part, bytes.Replace(whole, []byte("10.6"), []byte("10.7"), 1), 0o644)
		},
		"a byte more":    func() error { return os.WriteFile(part, append(slices.Clone(whole), '\n'), 0o644) },
		"no such file":   func() error { return os.Remove(part) },
		"an empty file":  func() error { return os.WriteFile(part, nil, 0o644) },
		"half of a file": func() error { return os.WriteFile(part, whole[:len(whole)/2], 0o644) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if r := w.reports()["weather_clean"]; r.Right != 1 || !strings.Contains(r.Wrong[0], "weather_clean/dt=20120102/part.csv") {
			t.Errorf("%s: %d right, first wrong: %s", name, r.Right, r.Wrong[0])
		}
		if err := os.WriteFile(part, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(w.dir, "weather_clean", "dt=20160101"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := w.reports()["weather_clean"]; !strings.Contains(r.Wrong[len(r.Wrong)-1], "dt=20160101: the data has no such day") {
		t.Errorf("a partition too many is not noticed: %v", r.Wrong[len(r.Wrong)-1])
	}
}

func TestTrace(t *testing.T) {
	for _, c := range []struct {
		name, lines, wrong string
		unended            int
	}{
		{"one after another", "start b1.1 1 5 n d\nend b1.1 1 5 n d\nstart b1.1 2 9 n d\nend b1.1 2 9 n d\n", "", 0},
		{"killed, then again", "start b1.1 1 5 n d\nstart b1.2 1 5 n d\nstart b1.1 2 9 n d\nend b1.1 2 9 n d\n", "", 2},
		{"overlap", "start b1.1 1 5 n d\nstart b1.1 2 9 n d\nend b1.1 1 5 n d\nend b1.1 2 9 n d\n", "line 3: b1.1 (n dt=d), attempt 1: it still ran when the attempt with fence 9 began", 0},
		{"fence falls", "start b1.1 1 5 n d\nend b1.1 1 5 n d\nstart b1.1 2 4 n d\n", "line 3: b1.1 (n dt=d), attempt 2: its fence 4 does not exceed the 5 before it", 1},
		{"same fence", "start b1.1 1 5 n d\nstart b1.1 1 5 n d\n", "line 2: b1.1 (n dt=d), attempt 1: its fence 5 does not exceed the 5 before it", 2},
		{"end alone", "end b1.1 1 5 n d\n", "line 1: b1.1 (n dt=d), attempt 1: it ended without having started", 0},
		{"two ends", "start b1.1 1 5 n d\nend b1.1 1 5 n d\nend b1.1 1 5 n d\n", "line 3: b1.1 (n dt=d), attempt 1: it ended twice", 0},
	} {
		got, err := weather.ReadTrace(strings.NewReader(c.lines))
		if err != nil || strings.Join(got.Wrong, "\n") != c.wrong || got.Unended != c.unended {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	if _, err := weather.ReadTrace(strings.NewReader("begin b1.1\n")); err == nil {
		t.Error("a torn line is taken")
	}
}

func TestCommand(t *testing.T) {
	w := newWarehouse(t)
	w.backfill("2012-01-01", "2012-01-01")
	var out, errs bytes.Buffer
	if code := weather.Main([]string{"--warehouse", w.dir, "--trace", w.trace}, &out, &errs); code != 1 {
		t.Errorf("an incomplete warehouse: exit %d", code)
	}
	for _, want := range []string{"weather_clean          1 right of 1461\n", "  and 1455 more\n", "trace                  4 attempts, 0 of them killed, 0 overlaps or wrong fences\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if code := weather.Main(nil, &out, &errs); code != 2 || !strings.Contains(errs.String(), "--warehouse") {
		t.Errorf("without arguments: exit %d, %s", code, errs.String())
	}
}
