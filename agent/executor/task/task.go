// Package task runs nodes that are no script: a program of ours, started as a
// process like any other, is given the node with its texts expanded and the data
// sources with their secrets. The agent itself knows no database.
package task

import (
	"slices"
	"strings"

	"backfleet/agent/attempt"
	"backfleet/agent/executor"
	"backfleet/agent/task/secret"
	"backfleet/agent/task/taskfile"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Types are those of the nodes that the program runs.
var Types = []string{node.SQL, node.HTTP, node.Check, node.Integration, node.LogicalDimension, node.LogicalFact, node.LogicalAggregate}

// Executor implements executor.Executor.
type Executor struct {
	common  *executor.Common
	secrets executor.Secrets
	command []string
}

// New makes the executor. Common is what it shares with those of other types,
// command starts the program, with the file of the task behind it.
func New(common *executor.Common, secrets executor.Secrets, command []string) *Executor {
	return &Executor{common, secrets, command}
}

// Prepare implements executor.Executor.
func (e *Executor) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	spec, err := e.common.Node(d, w)
	if err != nil {
		return nil, err
	}
	sources, err := e.open(d)
	if err != nil {
		return nil, err
	}
	script, err := taskfile.Text(&wire.Task{
		Node: spec, Units: d.Units, Sources: sources, DataTimestamp: w.DataTimestamp, ScheduledDate: w.ScheduledDate, ScheduledClock: w.ScheduledClock,
		Fence: w.Ref.GetFence(), Instance: executor.InstanceName(attempt.KeyOf(w.Ref)),
	})
	if err != nil {
		return nil, err
	}
	start := &wire.StartAttempt{Command: slices.Clone(e.command), Script: script, Arguments: executor.Arguments(w)}
	if err := e.common.Complete(start, d, w); err != nil {
		return nil, err
	}
	e.common.Mask(start, spec, hidden(start, spec, sources)...)
	return start, nil
}

// hidden are the secrets that the attempt has beside those that its node lists.
func hidden(start *wire.StartAttempt, spec *wire.Node, sources []*wire.OpenSource) (list []*wire.Assignment) {
	for _, s := range sources {
		list = append(list, &wire.Assignment{Name: "password of data source " + s.Source.Name, Value: s.Password})
	}
	for _, h := range spec.GetHttp().GetHeaders() {
		for _, name := range secret.Names(h.Value) {
			if v := executor.Variable(start, name); v != nil {
				list = append(list, v)
			}
		}
	}
	return list
}

// open gives the data sources that a node names, with their secrets.
func (e *Executor) open(d *wire.Definition) (list []*wire.OpenSource, err error) {
	for _, name := range node.Sources(d.Node) {
		i := slices.IndexFunc(d.Sources, func(s *wire.DataSource) bool { return s.Name == name })
		if i < 0 {
			return nil, fault.New(fault.NotFound, "node %q: there is no data source %q; make it (backfleet source apply -f FILE) or name another", d.Node.Id, name)
		}
		s := d.Sources[i]
		if len(s.ResourceGroups) > 0 && !slices.Contains(s.ResourceGroups, d.ResourceGroup) {
			return nil, fault.New(fault.Denied, "node %q: data source %q is for resource groups %s and not for %q; run the node in one of those, or have the data source's resourceGroups name this one",
				d.Node.Id, name, strings.Join(s.ResourceGroups, ", "), d.ResourceGroup)
		}
		open := &wire.OpenSource{Source: s}
		if open.Password, err = e.read(d, s, "password", s.Password); err != nil {
			return nil, err
		}
		ca, err := e.read(d, s, "ca", s.Ca)
		if err != nil {
			return nil, err
		}
		open.Ca = []byte(ca)
		list = append(list, open)
	}
	return list, nil
}

// read gives one secret of a data source, which may have none.
func (e *Executor) read(d *wire.Definition, s *wire.DataSource, field string, where *wire.Secret) (string, error) {
	if where == nil {
		return "", nil
	}
	text, err := e.secrets.Read(where)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "node %q: %s of data source %q", d.Node.Id, field, s.Name)
	}
	return text, nil
}
