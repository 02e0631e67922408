package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/examples/weather"
)

// patience is how long a condition may take; only a failing test waits so long.
const patience = 150 * time.Second

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "backfleet-e2e-")
		if err == nil {
			defer os.RemoveAll(dir)
			binary = filepath.Join(dir, "backfleet")
			err = fleet.Build(context.Background(), "../..", binary)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// site is a fleet with a folder that the attempts write to.
type site struct {
	*fleet.Fleet
	t      *testing.T
	ctx    context.Context
	dir    string // of the fleet
	out    string // the attempts' folder
	client *client.Client
}

// trace is what the code of every node begins with: it notes the attempt's
// start and end in a file that all attempts share, one small write each.
const trace = `trace() { echo "$1 $BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $BACKFLEET_NODE ${dt}" >>"$OUT/attempts.log"; }
trace start
`

func start(t *testing.T, config fleet.Config) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &site{t: t, ctx: ctx, dir: t.TempDir(), out: t.TempDir()}
	config.Binary, config.Dir = binary, s.dir
	var err error
	if s.Fleet, err = fleet.Start(ctx, config); err != nil {
		s.tell()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.tell()
		}
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if s.client, err = s.Client(s.Servers...); err != nil {
		t.Fatal(err)
	}
	return s
}

// tell shows the end of every process's log.
func (s *site) tell() {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		s.t.Logf("%s:\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) until(what string, holds func() bool) {
	s.t.Helper()
	s.must(fleet.Until(s.ctx, what, func(context.Context) (bool, error) { return holds(), nil }))
}

// node is a node whose code begins with the trace. Fields are further lines of
// its file.
type node struct {
	id, code string
	fields   []string
}

func (s *site) apply(nodes ...node) {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, n := range nodes {
		text := "id: " + n.id + "\nparams: {dt: \"${yyyymmdd}\", day: \"${yyyy-mm-dd}\", days: \"${yyyymmdd-2} ${yyyymmdd-1} ${yyyymmdd}\"}\nenvironment: {OUT: {fromApply: OUT}}\n" +
			strings.Join(n.fields, "\n") + "\ncodeFile: " + n.id + ".sh\n"
		s.must(os.WriteFile(filepath.Join(dir, n.id+".yaml"), []byte(text), 0o644))
		s.must(os.WriteFile(filepath.Join(dir, n.id+".sh"), []byte(trace+n.code), 0o644))
	}
	out, err := s.cli("node", "apply", "-f", dir, "--env", "OUT="+s.out)
	if err != nil {
		s.t.Fatal(err, out)
	}
}

// cli runs a command against the fleet and gives what it printed.
func (s *site) cli(args ...string) (string, error) {
	cmd := s.command(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("backfleet %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out), err
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.ctx, binary, args...)
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVER="+strings.Join(s.Servers, ","))
	return cmd
}

// submit backfills a root, with its descendants, and gives the id.
func (s *site) submit(r v1.BackfillRequest) string {
	s.t.Helper()
	if r.Mode == "" {
		r.Mode = v1.ModeDescendants
	}
	got, err := s.client.Submit(s.ctx, r, "")
	s.must(err)
	return got.ID
}

// quiet waits for a backfill's end.
func (s *site) quiet(id string) *v1.Backfill {
	s.t.Helper()
	var b *v1.Backfill
	s.must(fleet.Until(s.ctx, id+" is quiet", func(ctx context.Context) (bool, error) {
		var err error
		b, err = s.client.Backfill(ctx, id)
		return err == nil && b.Summary.Quiet, err
	}))
	return b
}

// succeeded asserts that a backfill's receipt has so many instances, every one
// of them succeeded and in one place only.
func (s *site) succeeded(id string, instances int64) {
	s.t.Helper()
	b := s.quiet(id)
	want := v1.ReceiptTotals{Generated: instances, Succeeded: instances, Asked: b.Receipt.Asked, Bridges: b.Receipt.Bridges}
	if b.Receipt != want {
		s.t.Errorf("receipt of %s: got %+v, want %d generated, all of them succeeded", id, b.Receipt, instances)
	}
}

// instances lists all instances of a backfill.
func (s *site) instances(id string) []v1.Instance {
	s.t.Helper()
	var list []v1.Instance
	for cursor := ""; ; {
		page, err := s.client.Instances(s.ctx, id, &v1.ListInstancesParams{Cursor: cursor, Limit: 1000})
		s.must(err)
		list = append(list, page.Items...)
		if cursor = page.Next; cursor == "" {
			return list
		}
	}
}

// traced checks the attempts' own notes: no two attempts of an instance
// overlapped and fences only grew.
func (s *site) traced() weather.Trace {
	s.t.Helper()
	f, err := os.Open(filepath.Join(s.out, "attempts.log"))
	s.must(err)
	defer f.Close()
	got, err := weather.ReadTrace(f)
	s.must(err)
	for _, wrong := range got.Wrong {
		s.t.Error(wrong)
	}
	return got
}

// noted counts the notes of a kind, "start " or "end ", and of what follows.
func (s *site) noted(prefix string) int {
	text, err := os.ReadFile(filepath.Join(s.out, "attempts.log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Error(err)
	}
	return bytes.Count(append([]byte("\n"), text...), []byte("\n"+prefix))
}

// open makes the file that waiting attempts look for.
func (s *site) open(name string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.out, name), nil, 0o644))
}

// waits is code that lasts until the test opens a file.
func waits(name string) string {
	return "until [ -e \"$OUT/" + name + "\" ]; do sleep 0.05; done\ntrace end\n"
}

// lines collects what a command prints while it runs.
type lines struct {
	cmd  *exec.Cmd
	done chan error

	mu  sync.Mutex
	got []string
}

func (s *site) follow(args ...string) *lines {
	s.t.Helper()
	l := &lines{cmd: s.command(args...), done: make(chan error, 1)}
	out, err := l.cmd.StdoutPipe()
	s.must(err)
	var errs bytes.Buffer
	l.cmd.Stderr = &errs
	s.must(l.cmd.Start())
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			l.mu.Lock()
			l.got = append(l.got, scan.Text())
			l.mu.Unlock()
		}
		err := l.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("backfleet %s: %w: %s", strings.Join(args, " "), err, errs.String())
		}
		l.done <- err
	}()
	return l
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.got...)
}
