// Package shell runs nodes of type `shell`: their code, with its parameters
// expanded, is a script for sh, and the assigned values are $1, $2, ….
package shell

import (
	"cmp"

	"backfleet/agent/executor"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Type is the node type that this executor is for.
const Type = node.Shell

// Executor implements executor.Executor.
type Executor struct{ common *executor.Common }

// New makes the executor. Common is what it shares with those of other types.
func New(common *executor.Common) *Executor { return &Executor{common} }

// Prepare implements executor.Executor.
func (e *Executor) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	code, err := e.common.Code(d, w)
	if err != nil {
		return nil, err
	}
	start := &wire.StartAttempt{Command: []string{"sh"}, Script: cmp.Or(code, "\n"), Arguments: executor.Arguments(w)} // no code is code that does nothing
	return start, e.common.Complete(start, d, w)
}
