// Package python runs nodes of type `python`: their code, with its parameters
// expanded, is a script for an interpreter. The assigned values are sys.argv[1],
// sys.argv[2], … and variables of the environment, as shell code has them; the
// node's own arguments follow.
package python

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"backfleet/agent/executor"
	"backfleet/agent/program"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Settings say with what Python code runs whose node says nothing else.
type Settings struct {
	// Interpreter is a program along the PATH of attempts, or a path. Default:
	// python3.
	Interpreter string
	// Venv is the folder of a virtual environment, whose interpreter is taken
	// instead. Empty: none.
	Venv string
	// Venvs are those of single resource groups, in place of Venv.
	Venvs map[string]string
}

// interpreter is the default.
const interpreter = "python3"

// Executor implements executor.Executor.
type Executor struct {
	common   *executor.Common
	settings Settings
}

// New makes the executor. Common is what it shares with those of other types.
func New(common *executor.Common, s Settings) *Executor { return &Executor{common, s} }

// Found says whether this host has anything to run Python with.
func (e *Executor) Found() bool {
	file, err := program.Find(cmp.Or(e.settings.Interpreter, interpreter), e.common.Path())
	if err == nil && program.Executable(file) {
		return true
	}
	for _, venv := range e.settings.Venvs {
		if program.Executable(inside(venv)) {
			return true
		}
	}
	return e.settings.Venv != "" && program.Executable(inside(e.settings.Venv))
}

// inside is the interpreter of a virtual environment.
func inside(venv string) string { return filepath.Join(venv, "bin", "python") }

// there says whether a file may be there: that this user cannot see it says
// nothing of the one who runs the code.
func there(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// choose gives the interpreter of a node and the virtual environment, which may
// be none. What the node says goes before all that the settings say.
func (s *Settings) choose(p *wire.Python, group string) (program, venv string) {
	program, venv = p.GetInterpreter(), p.GetVenv()
	if program == "" && venv == "" {
		if venv = cmp.Or(s.Venvs[group], s.Venv); venv == "" {
			program = cmp.Or(s.Interpreter, interpreter)
		}
	}
	if program == "" {
		program = inside(venv)
	}
	return program, venv
}

// Prepare implements executor.Executor.
func (e *Executor) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	spec, err := e.common.Node(d, w)
	if err != nil {
		return nil, err
	}
	file, venv := e.settings.choose(spec.Python, d.ResourceGroup)
	if venv != "" && !there(inside(venv)) {
		return nil, fault.Field("python.venv", "node %q: this agent has no %s; make the environment there (python3 -m venv %s) or name another", spec.Id, inside(venv), venv)
	}
	start := &wire.StartAttempt{Command: []string{file}, Script: cmp.Or(spec.Code, "\n"), Arguments: append(executor.Arguments(w), spec.Python.GetArguments()...)}
	if err := e.common.Complete(start, d, w); err != nil {
		return nil, err
	}
	if executor.Variable(start, "PYTHONUNBUFFERED") == nil {
		executor.SetVariable(start, "PYTHONUNBUFFERED", "1") // so that the log shows lines as they come
	}
	if venv != "" {
		executor.SetVariable(start, "VIRTUAL_ENV", venv)
		executor.SetVariable(start, "PATH", filepath.Join(venv, "bin")+":"+executor.Variable(start, "PATH").GetValue())
	}
	return start, nil
}

// Type is the node type that this executor is for.
const Type = node.Python
