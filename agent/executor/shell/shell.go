// Package shell runs nodes of type `shell`: their code, with its parameters
// expanded, is a script for sh, and the assigned values are $1, $2, ….
package shell

import (
	"cmp"
	"sync"

	"backfleet/agent/attempt"
	"backfleet/agent/executor"
	"backfleet/pkg/calendar"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// Type is the node type that this executor is for.
const Type = "shell"

// Executor implements executor.Executor.
type Executor struct {
	common *executor.Common

	mu       sync.Mutex
	compiled map[source]*params.Code
}

// source is all that compiling depends on.
type source struct {
	dialect, code, names string
}

// mostCompiled bounds the compiled codes kept. When it is reached all go:
// compiling is cheap, keeping books on use is not.
const mostCompiled = 1024

// New makes the executor. Common is what it shares with those of other types.
func New(common *executor.Common) *Executor {
	return &Executor{common: common, compiled: map[source]*params.Code{}}
}

// Prepare implements executor.Executor.
func (e *Executor) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	code, err := e.compile(d.Node, w.Values)
	if err != nil {
		return nil, err
	}
	key := attempt.KeyOf(w.Ref)
	values := make([]params.Assignment, len(w.Values))
	arguments := make([]string, len(w.Values))
	for i, v := range w.Values {
		values[i] = params.Assignment{Name: v.Name, Value: v.Value}
		arguments[i] = v.Value
	}
	script, err := code.Expand(params.Context{
		Data:       calendar.Date(w.DataTimestamp),
		Scheduled:  calendar.Wall{Date: calendar.Date(w.ScheduledDate), Clock: calendar.Clock(w.ScheduledClock)},
		Generated:  calendar.Date(d.Generated),
		PlanID:     executor.PlanName(key),
		NodeID:     d.Node.Id,
		InstanceID: executor.InstanceName(key),
	}, values)
	if err != nil {
		return nil, err
	}
	if script == "" {
		script = "\n" // no code is code that does nothing
	}
	start := &wire.StartAttempt{Ref: w.Ref, Command: []string{"sh"}, Script: script, Arguments: arguments, TimeoutMs: d.Node.TimeoutMs}
	if err := e.common.Complete(start, d, w); err != nil {
		return nil, err
	}
	return start, nil
}

func (e *Executor) compile(node *wire.Node, values []*wire.Assignment) (*params.Code, error) {
	names := make([]string, len(values))
	from := source{dialect: node.Dialect, code: node.Code}
	for i, v := range values {
		names[i] = v.Name
		from.names += v.Name + "\x00"
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if code := e.compiled[from]; code != nil {
		return code, nil
	}
	code, _, err := params.CompileCode(cmp.Or(params.Dialect(node.Dialect), params.DataWorks), node.Type, node.Code, names)
	if err != nil {
		return nil, err
	}
	if len(e.compiled) >= mostCompiled {
		clear(e.compiled)
	}
	e.compiled[from] = code
	return code, nil
}
