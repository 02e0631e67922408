package command_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/wire"
)

// types are those that an agent says by labels of its own.
func types(h *wire.Hello) (list []string) {
	for _, l := range h.Agent.Labels {
		if name, ok := strings.CutPrefix(l.Name, "backfleet/"); ok && l.Value == "true" {
			list = append(list, name)
		}
	}
	return list
}

func told(r *wire.AttemptResult) string {
	var parts []string
	for _, m := range r.Metrics {
		parts = append(parts, m.Name+"="+m.Value)
	}
	return strings.Join(parts, " ")
}

// printed is what an attempt has printed, without times and streams.
func (l *leader) printed(instance uint64) string {
	l.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(l.log(key(instance), "the end", func(_ string, ended bool) bool { return ended })) {
		b.WriteString(strings.SplitN(line, " ", 4)[3])
	}
	return b.String()
}

func TestAPythonNode(t *testing.T) {
	l, data, venv := lead(t, nil, ""), t.TempDir(), filepath.Join(t.TempDir(), "venv")
	args := []string{"--group", "default=4", "--coordinators", l.address}
	python, err := exec.LookPath("python3")
	if err == nil {
		if out, err := exec.Command(python, "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		args = append(args, "--python-venvs", "default="+venv)
	}
	agentWith(t, "/proc/self/exe", data, args...)
	h := l.hello()
	node := &wire.Node{Id: "p", Type: "python", Python: &wire.Python{Arguments: []string{"--for", "${yyyymmdd}"}}, Code: `
import os, sys
print(sys.argv[1:], f"{'x'}", os.environ["day"])
print("in the environment:", sys.prefix == "` + venv + `" == os.environ["VIRTUAL_ENV"])
with open(os.environ["BACKFLEET_METRICS"], "a") as f:
    f.write("rows_written=%d\n" % len("${day}"))
raise SystemExit(4)
`}
	l.assign(node, []*wire.Assignment{{Name: "day", Value: "2018-07-21"}}, key(1))
	r := l.result()
	if python == "" { // the only thing that can be shown here
		if slices.Contains(types(h), "python") || r.Outcome != wire.Outcome_FAILED || !strings.Contains(r.Cause, `cannot run type "python"`) {
			t.Errorf("types %v, result %v: there is no Python here", types(h), r)
		}
		return
	}
	if !slices.Equal(types(h), []string{"python"}) {
		t.Errorf("the agent says that it can run %v", types(h))
	}
	if r.ExitCode != 4 || told(r) != "rows_written=10" {
		t.Errorf("result %v", r)
	}
	want := "['2018-07-21', '--for', '20180721'] x 2018-07-21\nin the environment: True\n"
	if got := l.printed(1); got != want {
		t.Errorf("printed\n%swant\n%s", got, want)
	}
}

// taskProgram is this test's binary as the program for tasks.
func taskProgram(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "backfleet-task")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec env "+asTask+"=1 "+self+" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestATask(t *testing.T) {
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/hang" {
			close(hangs)
			<-r.Context().Done()
			return
		}
		fmt.Fprintf(w, "%s %s with %s: %s", r.Method, r.URL, r.Header.Get("Authorization"), body)
	}))
	defer server.Close()
	l, data := lead(t, nil, ""), t.TempDir()
	agentWith(t, "/proc/self/exe", data, "--group", "default=4", "--coordinators", l.address, "--task-program", taskProgram(t), "--environment-set", "TOKEN=s3cr3t")
	can := types(l.hello())
	for _, kind := range []string{"sql", "http", "check", "integration", "logical_dimension", "logical_fact", "logical_aggregate"} {
		if !slices.Contains(can, kind) {
			t.Errorf("the agent says that it can run %v, want %s among them", can, kind)
		}
	}
	node := func(path string) *wire.Node {
		return &wire.Node{Id: "h", Type: "http", Http: &wire.Http{Method: "POST", Url: server.URL + path, Body: "${yyyymmdd}",
			Headers: []*wire.Assignment{{Name: "Authorization", Value: "Bearer {secret:TOKEN}"}}}}
	}
	l.assign(node("/load?day=${day}"), []*wire.Assignment{{Name: "day", Value: "2018-07-21"}}, key(1))
	if r := l.result(); r.Outcome != wire.Outcome_SUCCEEDED || told(r) != "tries=1 status=200 bytes=54" {
		t.Errorf("result %v", r)
	}
	if got := l.printed(1); !strings.Contains(got, "\nPOST /load?day=2018-07-21 with Bearer ******: 20180721\n") {
		t.Errorf("printed\n%s", got)
	}

	l.assign(node("/hang"), nil, key(2))
	<-hangs
	l.send(&wire.Assign{Stops: []*wire.StopWork{{Ref: key(2).Ref(), GraceMs: 10_000, Cause: "by ann"}}})
	if r := l.result(); r.Outcome != wire.Outcome_STOPPED || r.ExitCode != 1 || told(r) != "tries=1" {
		t.Errorf("result %v", r)
	}
	if got := l.printed(2); !strings.HasPrefix(got, "stopped on request: POST ") || strings.Count(got, "\n") != 1 {
		t.Errorf("printed\n%s", got)
	}

	l.assign(&wire.Node{Id: "s", Type: "sql", Source: "dw", Code: "SELECT 1"}, nil, key(3))
	if r := l.result(); r.Outcome != wire.Outcome_FAILED || !strings.Contains(r.Cause, `node "s": there is no data source "dw"`) {
		t.Errorf("result %v, want the cause", r)
	}
}
