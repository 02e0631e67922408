package task

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/agent/executor/task"
	"backfleet/agent/task/metrics"
	"backfleet/agent/task/taskfile"
	"backfleet/pkg/wire"
)

func write(t *testing.T, node *wire.Node) string {
	t.Helper()
	text, err := taskfile.Text(&wire.Task{Node: node})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "task")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAgentsAndTheirProgramKnowTheSameTypes.
func TestAgentsAndTheirProgramKnowTheSameTypes(t *testing.T) {
	for _, kind := range task.Types {
		if kinds[kind] == nil {
			t.Errorf("agents start the program for %s, which it does not know", kind)
		}
	}
	if len(kinds) != len(task.Types) {
		t.Errorf("the program knows %d types, agents %d", len(kinds), len(task.Types))
	}
}

func TestHowATaskEnds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer server.Close()
	request := func(expect ...int32) *wire.Node {
		return &wire.Node{Id: "n", Type: "http", Http: &wire.Http{Url: server.URL, Expect: expect}}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		ctx     context.Context
		path    string
		status  int
		last    string // line of stderr
		metrics string
	}{
		"as expected":      {t.Context(), write(t, request(418)), 0, "", "tries=1\nstatus=418\nbytes=0\n"},
		"not as expected":  {t.Context(), write(t, request()), 1, "answered 418 I'm a teapot, expected 200 to 299", "tries=1\nstatus=418\nbytes=0\n"},
		"stopped":          {stopped, write(t, request()), 1, "stopped on request: ", "tries=1\n"},
		"an unknown type":  {t.Context(), write(t, &wire.Node{Id: "n", Type: "spark"}), 1, `node "n": this program cannot run type "spark", only check, http, `, ""},
		"no task":          {t.Context(), "/dev/null", 1, "/dev/null is no task", ""},
		"no file":          {t.Context(), "/gone", 1, "the task cannot be read", ""},
		"what it is given": {t.Context(), write(t, &wire.Node{Id: "n", Type: "http"}), 1, `http: node "n": expected a request, found none`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), metrics.File)
			t.Setenv(metrics.Variable, path)
			var stdout, stderr bytes.Buffer
			if status := run(c.ctx, []string{c.path}, &stdout, &stderr); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if text := stderr.String(); !strings.Contains(text, c.last) || strings.Count(text, "\n") != min(len(c.last), 1) {
				t.Errorf("stderr %q, want one line with %q", text, c.last)
			}
			if got, _ := os.ReadFile(path); string(got) != c.metrics {
				t.Errorf("metrics %q, want %q", got, c.metrics)
			}
		})
	}
}

func TestMetricsThatCannotBeWrittenAreNoFailure(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	t.Setenv(metrics.Variable, filepath.Join(t.TempDir(), "gone", "file"))
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), []string{write(t, &wire.Node{Type: "http", Http: &wire.Http{Url: server.URL}})}, &stdout, &stderr)
	if status != 0 || !strings.Contains(stderr.String(), "the metrics cannot be written") {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}

func TestAnErrorIsOneLine(t *testing.T) {
	if status := Main(nil); status != 1 {
		t.Errorf("without arguments: status %d", status)
	}
	if got := line(errors.New("statement 2, line 3: no such table\n  detail: x\n")); got != "statement 2, line 3: no such table detail: x" {
		t.Errorf("got %q", got)
	}
}
