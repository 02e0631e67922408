package python_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backfleet/agent/executor"
	"backfleet/agent/executor/python"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// venv makes a folder that looks like a virtual environment.
func venv(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "python"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func variable(start *wire.StartAttempt, name string) string {
	return executor.Variable(start, name).GetValue()
}

func prepare(s python.Settings, node *wire.Node) (*wire.StartAttempt, error) {
	node.Id, node.Type = "n", python.Type
	common := executor.New(executor.Settings{Environ: []string{"PATH=/usr/bin:/bin"}})
	w := &wire.Work{Ref: &wire.AttemptRef{Plan: 1, Instance: 2, Attempt: 1, Fence: 3}, DataTimestamp: 20_000, Values: []*wire.Assignment{{Name: "day", Value: "20241004"}}}
	return python.New(common, s).Prepare(&wire.Definition{Node: node, ResourceGroup: "g"}, w)
}

func TestWhichInterpreterRuns(t *testing.T) {
	all, group, own := venv(t), venv(t), venv(t)
	for name, c := range map[string]struct {
		settings python.Settings
		node     *wire.Python
		want     string
		venv     string
	}{
		"by default":                    {python.Settings{}, nil, "python3", ""},
		"the agent's":                   {python.Settings{Interpreter: "/opt/python3.13"}, nil, "/opt/python3.13", ""},
		"the agent's environment":       {python.Settings{Venv: all}, nil, all + "/bin/python", all},
		"the group's":                   {python.Settings{Venv: all, Venvs: map[string]string{"g": group, "h": "/gone"}}, nil, group + "/bin/python", group},
		"another group's is not":        {python.Settings{Interpreter: "pypy3", Venvs: map[string]string{"h": group}}, nil, "pypy3", ""},
		"the node's":                    {python.Settings{Venv: all}, &wire.Python{Interpreter: "python3.12"}, "python3.12", ""},
		"the node's environment":        {python.Settings{Interpreter: "x", Venvs: map[string]string{"g": group}}, &wire.Python{Venv: own}, own + "/bin/python", own},
		"the node's interpreter within": {python.Settings{}, &wire.Python{Venv: own, Interpreter: "python3.12"}, "python3.12", own},
		"arguments say nothing of it":   {python.Settings{Venv: all}, &wire.Python{Arguments: []string{"x"}}, all + "/bin/python", all},
	} {
		t.Run(name, func(t *testing.T) {
			start, err := prepare(c.settings, &wire.Node{Code: "pass", Python: c.node})
			if err != nil {
				t.Fatal(err)
			}
			path := "/usr/bin:/bin"
			if c.venv != "" {
				path = c.venv + "/bin:" + path
			}
			if !slices.Equal(start.Command, []string{c.want}) || variable(start, "VIRTUAL_ENV") != c.venv || variable(start, "PATH") != path {
				t.Errorf("%v, in %q, PATH %s; want %s in %q", start.Command, variable(start, "VIRTUAL_ENV"), variable(start, "PATH"), c.want, c.venv)
			}
		})
	}
	_, err := prepare(python.Settings{}, &wire.Node{Python: &wire.Python{Venv: "/gone"}})
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "/gone/bin/python") || !strings.Contains(err.Error(), "python3 -m venv") {
		t.Errorf("%v, want what is missing and what to do", err)
	}
}

func TestWhatTheCodeIsGiven(t *testing.T) {
	start, err := prepare(python.Settings{}, &wire.Node{Code: "print('${day}', f'{x}', '${HOME}')", TimeoutMs: 7, Python: &wire.Python{Arguments: []string{"--day", "${yyyy-mm-dd}"}}})
	if err != nil {
		t.Fatal(err)
	}
	if start.Script != "print('20241004', f'{x}', '${HOME}')" || !slices.Equal(start.Arguments, []string{"20241004", "--day", "2024-10-04"}) || start.TimeoutMs != 7 {
		t.Errorf("%q with %q", start.Script, start.Arguments)
	}
	if variable(start, "day") != "20241004" || variable(start, "PYTHONUNBUFFERED") != "1" || variable(start, "BACKFLEET_FENCE") != "3" {
		t.Errorf("the environment is %v", start.Environment)
	}
	start, err = prepare(python.Settings{}, &wire.Node{Environment: []*wire.Assignment{{Name: "PYTHONUNBUFFERED", Value: ""}}})
	if err != nil || executor.Variable(start, "PYTHONUNBUFFERED").Value != "" || start.Script != "\n" {
		t.Errorf("%v (%v): what the node sets is changed", start, err)
	}
}

func TestWhetherThereIsAnInterpreter(t *testing.T) {
	folder, there := t.TempDir(), venv(t)
	found := func(path string, s python.Settings) bool {
		return python.New(executor.New(executor.Settings{Set: map[string]string{"PATH": path}}), s).Found()
	}
	if found(folder, python.Settings{}) || found(folder, python.Settings{Interpreter: "/gone/python"}) || found(folder, python.Settings{Venv: "/gone", Venvs: map[string]string{"g": "/gone"}}) {
		t.Error("Python is found where there is none")
	}
	if !found(folder, python.Settings{Venv: there}) || !found(folder, python.Settings{Venvs: map[string]string{"g": there}}) || !found(folder, python.Settings{Interpreter: there + "/bin/python"}) {
		t.Error("an environment is not found")
	}
	if err := os.WriteFile(filepath.Join(folder, "python3"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if !found("/gone:"+folder, python.Settings{}) {
		t.Error("python3 along the PATH of attempts is not found")
	}
}
