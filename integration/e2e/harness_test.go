package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	v1 "backfleet/api/v1"
	"backfleet/integration/rig"
	"backfleet/ops/demo/fleet"
)

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		built, done, err := rig.Build("../..")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer done()
		binary = built
		return m.Run()
	}())
}

// site is a fleet with a folder that the attempts write to.
type site struct{ *rig.Rig }

func start(t *testing.T, config fleet.Config) *site {
	t.Helper()
	config.Binary = binary
	return &site{rig.Start(t, config)}
}

// submit backfills a root, with its descendants, and gives the id.
func (s *site) submit(r v1.BackfillRequest) string {
	s.T.Helper()
	if r.Mode == "" {
		r.Mode = v1.ModeDescendants
	}
	return s.Submit(r)
}

// lines collects what a command prints while it runs.
type lines struct {
	cmd  *exec.Cmd
	done chan error

	mu  sync.Mutex
	got []string
}

func (s *site) follow(args ...string) *lines {
	s.T.Helper()
	l := &lines{cmd: s.Command(args...), done: make(chan error, 1)}
	out, err := l.cmd.StdoutPipe()
	s.Must(err)
	var errs bytes.Buffer
	l.cmd.Stderr = &errs
	s.Must(l.cmd.Start())
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
