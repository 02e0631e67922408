package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/agent/task/database"
	"backfleet/agent/task/metrics"
	"backfleet/agent/task/output"
	"backfleet/pkg/wire"
)

// rig is one integration node that is run.
type rig struct {
	t    *testing.T
	task *wire.Task
	log  bytes.Buffer
	now  func() time.Time
}

func newRig(t *testing.T, from *wire.IntegrationSource, to *wire.IntegrationTarget, columns ...*wire.Column) *rig {
	t.Helper()
	t.Setenv(metrics.Variable, filepath.Join(t.TempDir(), "metrics"))
	return &rig{t: t, now: time.Now, task: &wire.Task{
		Fence: 1, Instance: "b1.1",
		Node: &wire.Node{Id: "n", Type: "integration", Integration: &wire.Integration{From: from, To: to, Columns: columns}},
	}}
}

func (r *rig) with(sources ...*wire.OpenSource) *rig {
	r.task.Sources = append(r.task.Sources, sources...)
	return r
}

func (r *rig) spec() *wire.Integration { return r.task.Node.Integration }

// run runs the task once, with the next fence. It gives the metrics.
func (r *rig) run() (map[string]string, error) {
	r.t.Helper()
	r.task.Fence++
	r.log.Reset()
	out := &output.Output{Log: &r.log, Metrics: &metrics.Report{}}
	err := run(r.t.Context(), r.task, out, r.now)
	path := os.Getenv(metrics.Variable)
	if e := out.Metrics.Write(); e != nil {
		r.t.Fatal(e)
	}
	b, e := os.ReadFile(path)
	if e != nil && !os.IsNotExist(e) {
		r.t.Fatal(e)
	}
	_ = os.Remove(path)
	list, notes := metrics.Read(b)
	if len(notes) > 0 {
		r.t.Errorf("metrics: %v", notes)
	}
	values := map[string]string{}
	for _, m := range list {
		values[m.Name] = m.Value
	}
	return values, err
}

func (r *rig) must() map[string]string {
	r.t.Helper()
	m, err := r.run()
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.log.String())
	}
	return m
}

// fails wants an error with all of the texts in it.
func (r *rig) fails(texts ...string) error {
	r.t.Helper()
	_, err := r.run()
	if err == nil {
		r.t.Fatalf("it succeeds; expected %q\n%s", texts, r.log.String())
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			r.t.Errorf("got %v; expected %q in it", err, s)
		}
	}
	return err
}

func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// sqliteIn is a data source with a file of its own.
func sqliteIn(t *testing.T, name string) *wire.OpenSource {
	t.Helper()
	return &wire.OpenSource{Source: &wire.DataSource{Name: name, Type: "sqlite", Database: filepath.Join(t.TempDir(), name+".db")}}
}

func execute(t *testing.T, s *wire.OpenSource, statements ...string) {
	t.Helper()
	db, err := database.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range statements {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// rowsOf gives the rows of a query, the values joined by "|".
func rowsOf(t *testing.T, s *wire.OpenSource, query string) []string {
	t.Helper()
	rows, err := queried(t.Context(), s, query)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func queried(ctx context.Context, s *wire.OpenSource, query string) ([]string, error) {
	db, err := database.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		var cells []string
		for i, v := range values {
			cells = append(cells, database.Format(v, rows.Columns[i]))
		}
		list = append(list, strings.Join(cells, "|"))
	}
	return list, rows.Err()
}

// contents are all rows of the files of a folder, the values joined by "|".
func contents(t *testing.T, folder string) []string {
	t.Helper()
	var list []string
	paths, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		r, err := openFile(path, &wire.IntegrationSource{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range r.fields() {
			names = append(names, f.name)
		}
		if err := r.bind(names, nil); err != nil {
			t.Fatal(err)
		}
		for {
			rec, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, joined(rec.cells))
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func joined(cells []any) string {
	var texts []string
	for _, c := range cells {
		switch c := c.(type) {
		case nil:
			texts = append(texts, "NULL")
		case json.RawMessage:
			texts = append(texts, string(c))
		default:
			texts = append(texts, string(appendText(nil, c)))
		}
	}
	return strings.Join(texts, "|")
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func expect(t *testing.T, got map[string]string, want ...string) {
	t.Helper()
	for i := 0; i < len(want); i += 2 {
		if got[want[i]] != want[i+1] {
			t.Errorf("metric %s is %q; want %q (of %v)", want[i], got[want[i]], want[i+1], got)
		}
	}
}

// beside lists what is hidden next to a path.
func hiddenBeside(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

func numbered(n int, form string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, form, i)
	}
	return b.String()
}
