package worker

import (
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"backfleet/agent/executor"
	"backfleet/agent/executor/python"
	"backfleet/agent/executor/shell"
	"backfleet/agent/executor/task"
	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/trace"
	"backfleet/pkg/wire"
)

// checkTypes refuses what nodes of the types beyond shell cannot be run with, and
// labels that would say what the agent says by itself.
func (c *Config) checkTypes(add func(field, message string)) {
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		if strings.HasPrefix(name, node.LabelPrefix) {
			add("labels."+name, "expected a name that does not begin with "+node.LabelPrefix+": the agent says by itself which types of nodes it can run")
		}
	}
	for _, group := range slices.Sorted(maps.Keys(c.Python.Venvs)) {
		if !slices.ContainsFunc(c.Groups, func(g GroupSlots) bool { return g.Group == group }) {
			add("python.venvs."+group, "expected one of the agent's resource groups, found "+strconv.Quote(group))
		}
	}
	if c.Python.Interpreter != "" && c.Python.Venv != "" {
		add("python.interpreter", "expected no interpreter beside python.venv, which has its own")
	}
}

// common is what the settings say of all attempts.
func (c *Config) common(logger *slog.Logger) *executor.Common {
	return executor.New(executor.Settings{Environ: os.Environ(), Inherit: c.Inherit, Set: c.Environment, User: c.Run.User,
		AllowUsers: c.Run.AllowUsers, Limits: c.Run.Limits, Parent: c.traced.parent, Logger: logger})
}

// traced is how the cluster traces, as its leader said last.
type traced struct{ atomic.Pointer[trace.Cluster] }

func (t *traced) told(c trace.Cluster) { t.Store(&c) }

// parent gives the span of an attempt's process, as the leader will tell of it; empty:
// nothing is traced.
func (t *traced) parent(w *wire.Work) string {
	if t == nil {
		return ""
	}
	c := t.Load()
	if c == nil || !c.On() {
		return ""
	}
	id := c.Date(w.Ref.Plan, calendar.Date(w.DataTimestamp))
	return c.Parent(id, id.Span(trace.Process, w.Ref.Instance, w.Ref.Fence))
}

// executors are those of the types of nodes that this host can run.
func (c *Config) executors(logger *slog.Logger) executor.ByType {
	common := c.common(logger)
	all := executor.ByType{shell.Type: shell.New(common)}
	if p := python.New(common, c.Python); p.Found() {
		all[python.Type] = p
	}
	if len(c.TaskCommand) > 0 {
		program := task.New(common, executor.Secrets{Folder: c.Secrets, Environ: os.Environ()}, c.TaskCommand)
		for _, kind := range task.Types {
			all[kind] = program
		}
	}
	return all
}

// Types are the types of nodes that this host can run, sorted.
func (c *Config) Types() []string {
	return slices.Sorted(maps.Keys(c.executors(slog.New(slog.DiscardHandler))))
}

// labels are those of the settings, and one for each type beyond shell.
func (c *Config) labels() (list []*wire.Assignment) {
	all := maps.Clone(c.Labels)
	if all == nil {
		all = map[string]string{}
	}
	for _, kind := range c.Types() {
		if kind != shell.Type {
			all[node.LabelPrefix+kind] = "true"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, &wire.Assignment{Name: name, Value: all[name]})
	}
	return list
}

// bounded sets the bound of the logs of what it prepares.
type bounded struct {
	executor.Executor
	logMaxBytes int64
}

// Prepare implements session.Preparer.
func (b bounded) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	start, err := b.Executor.Prepare(d, w)
	if err == nil {
		start.LogMaxBytes = b.logMaxBytes
	}
	return start, err
}
