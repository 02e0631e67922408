// Package rig is what tests with real fleets have in common: a fleet of
// processes, nodes whose attempts note their own starts and ends, and what a
// person's commands say of it all.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
	"backfleet/ops/examples/weather"
)

// Patience is how long a condition may take; only a failing test waits so long.
const Patience = 150 * time.Second

// Trace is what the code of every node begins with: it notes the attempt's
// start and end in a file that all attempts share, one small write each.
const Trace = `trace() { echo "$1 $BACKFLEET_INSTANCE $BACKFLEET_ATTEMPT $BACKFLEET_FENCE $BACKFLEET_NODE ${dt}" >>"$OUT/attempts.log"; }
trace start
`

// Waits is code that lasts until the test opens a file (Rig.Open).
func Waits(name string) string {
	return "until [ -e \"$OUT/" + name + "\" ]; do sleep 0.05; done\ntrace end\n"
}

// Build makes a binary of a module in a folder of its own. done removes it.
func Build(module string) (binary string, done func(), err error) {
	dir, err := os.MkdirTemp("", "backfleet-rig-")
	if err != nil {
		return "", nil, err
	}
	binary = filepath.Join(dir, "backfleet")
	return binary, func() { os.RemoveAll(dir) }, fleet.Build(context.Background(), module, binary)
}

// Rig is a fleet with a folder that the attempts write to. What fails, fails
// its test.
type Rig struct {
	*fleet.Fleet
	T   *testing.T
	Ctx context.Context // ends with Patience
	Dir string          // of the fleet
	Out string          // the attempts' folder
	API *client.Client

	binary  string
	environ []string
}

// Start starts a fleet that ends with the test. environ is set for commands,
// beside the addresses of the coordinators.
func Start(t *testing.T, config fleet.Config, environ ...string) *Rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	r := &Rig{T: t, Ctx: ctx, Dir: t.TempDir(), Out: t.TempDir(), binary: config.Binary, environ: environ}
	config.Dir = r.Dir
	var err error
	if r.Fleet, err = fleet.Start(ctx, config); err != nil {
		r.Tell()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			r.Tell()
		}
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if r.API, err = r.Client(r.Servers...); err != nil {
		t.Fatal(err)
	}
	return r
}

// Tell shows the end of every process's log.
func (r *Rig) Tell() {
	logs, _ := filepath.Glob(filepath.Join(r.Dir, "*.log"))
	keepers, _ := filepath.Glob(filepath.Join(r.Dir, "*", "keeper", "keeper.log"))
	for _, path := range append(logs, keepers...) {
		text, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		r.T.Logf("%s:\n%s", path, strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

// Must ends the test on an error.
func (r *Rig) Must(err error) {
	r.T.Helper()
	if err != nil {
		r.T.Fatal(err)
	}
}

// Until waits for a condition.
func (r *Rig) Until(what string, holds func() bool) {
	r.T.Helper()
	r.Must(fleet.Until(r.Ctx, what, func(context.Context) (bool, error) { return holds(), nil }))
}

// Node is a node whose code begins with Trace. Fields are further lines of its
// file.
type Node struct {
	ID, Code string
	Fields   []string
}

// Apply makes nodes known.
func (r *Rig) Apply(nodes ...Node) {
	r.T.Helper()
	dir := r.T.TempDir()
	for _, n := range nodes {
		text := "id: " + n.ID + "\nparams: {dt: \"${yyyymmdd}\", day: \"${yyyy-mm-dd}\", days: \"${yyyymmdd-2} ${yyyymmdd-1} ${yyyymmdd}\"}\nenvironment: {OUT: {fromApply: OUT}}\n" +
			strings.Join(n.Fields, "\n") + "\ncodeFile: " + n.ID + ".sh\n"
		r.Must(os.WriteFile(filepath.Join(dir, n.ID+".yaml"), []byte(text), 0o600))
		r.Must(os.WriteFile(filepath.Join(dir, n.ID+".sh"), []byte(Trace+n.Code), 0o600))
	}
	if out, err := r.CLI("node", "apply", "-f", dir, "--env", "OUT="+r.Out); err != nil {
		r.T.Fatal(err, out)
	}
}

// CLI runs a command against the fleet and gives what it printed.
func (r *Rig) CLI(args ...string) (string, error) {
	cmd := r.Command(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("backfleet %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out), err
}

// Command is a command against the fleet.
func (r *Rig) Command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(r.Ctx, r.binary, args...)
	cmd.Env = append(append(os.Environ(), "BACKFLEET_SERVER="+strings.Join(r.Servers, ",")), r.environ...)
	return cmd
}

// Submit asks for a backfill and gives its id.
func (r *Rig) Submit(q v1.BackfillRequest) string {
	r.T.Helper()
	got, err := r.API.Submit(r.Ctx, q, "")
	r.Must(err)
	return got.ID
}

// Quiet waits for a backfill's end.
func (r *Rig) Quiet(id string) *v1.Backfill {
	r.T.Helper()
	var b *v1.Backfill
	r.Must(fleet.Until(r.Ctx, id+" is quiet", func(ctx context.Context) (bool, error) {
		var err error
		b, err = r.API.Backfill(ctx, id)
		return err == nil && b.Summary.Quiet, err
	}))
	return b
}

// Succeeded asserts that a backfill's receipt has so many instances, every one
// of them succeeded and in one place only (RULES R13.6).
func (r *Rig) Succeeded(id string, instances int64) {
	r.T.Helper()
	b := r.Quiet(id)
	want := v1.ReceiptTotals{Generated: instances, Succeeded: instances, Asked: b.Receipt.Asked, Bridges: b.Receipt.Bridges}
	if b.Receipt != want {
		r.T.Errorf("receipt of %s: got %+v, want %d generated, all of them succeeded", id, b.Receipt, instances)
	}
}

// Instances lists all instances of a backfill.
func (r *Rig) Instances(id string) []v1.Instance {
	r.T.Helper()
	var list []v1.Instance
	for cursor := ""; ; {
		page, err := r.API.Instances(r.Ctx, id, &v1.ListInstancesParams{Cursor: cursor, Limit: 1000})
		r.Must(err)
		list = append(list, page.Items...)
		if cursor = page.Next; cursor == "" {
			return list
		}
	}
}

// Traced checks the attempts' own notes: no two attempts of an instance
// overlapped and fences only grew (RULES R13.2, R13.3).
func (r *Rig) Traced() weather.Trace {
	r.T.Helper()
	f, err := os.Open(filepath.Join(r.Out, "attempts.log"))
	r.Must(err)
	defer f.Close()
	got, err := weather.ReadTrace(f)
	r.Must(err)
	for _, wrong := range got.Wrong {
		r.T.Error(wrong)
	}
	return got
}

// Noted counts the notes of a kind, "start " or "end ", and of what follows.
func (r *Rig) Noted(prefix string) int {
	text, err := os.ReadFile(filepath.Join(r.Out, "attempts.log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.T.Error(err)
	}
	return bytes.Count(append([]byte("\n"), text...), []byte("\n"+prefix))
}

// Open makes the file that waiting attempts look for.
func (r *Rig) Open(name string) {
	r.T.Helper()
	r.Must(os.WriteFile(filepath.Join(r.Out, name), nil, 0o600))
}
