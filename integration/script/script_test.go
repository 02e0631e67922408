package script

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"backfleet/ops/demo/fleet"
)

var binaries string // a folder with backfleet in it

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "backfleet-script-")
		if err == nil {
			defer os.RemoveAll(dir)
			binaries = dir
			err = fleet.Build(context.Background(), "../..", filepath.Join(dir, "backfleet"))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			addresses, err := fleet.FreePorts(3)
			if err != nil {
				return err
			}
			e.Setenv("PATH", binaries+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("ROOT", root)
			e.Setenv("ADDRESS", addresses[0])
			e.Setenv("RPC", addresses[1])
			e.Setenv("RAFT", addresses[2])
			e.Setenv("BACKFLEET_SERVER", "http://"+addresses[0])
			e.Setenv("USER", "tester")
			return nil
		},
	})
}

// TestTourIsTheReadme: every command of the README's tour is run by the script
// of that name, as it stands there.
func TestTourIsTheReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/tour.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for line := range strings.Lines(string(script)) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "! ")
		if command, found := strings.CutPrefix(line, "exec "); found {
			run = append(run, command)
		}
	}
	_, tour, found := strings.Cut(string(readme), "\n## Five minutes\n")
	if !found {
		t.Fatal("the README has no section \"Five minutes\"")
	}
	tour, _, _ = strings.Cut(tour, "\n## ")
	commands := 0
	for line := range strings.Lines(strings.ReplaceAll(tour, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, "  #")
		line = strings.Join(strings.Fields(line), " ")
		if !strings.HasPrefix(line, "backfleet ") || line == "backfleet dev" {
			continue
		}
		commands++
		if !slices.Contains(run, line) {
			t.Errorf("the README says %q, which tour.txtar does not run", line)
		}
	}
	if commands < 8 {
		t.Errorf("the README's tour has %d commands: expected at least 8", commands)
	}
}
