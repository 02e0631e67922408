// Package task is the program that runs nodes which are no script: it reads its
// task from a file, runs it, and ends with 0, or with 1 and the cause in its last
// line. SIGTERM stops it: what a server is doing is cancelled and undone. SIGKILL
// at any moment leaves nothing half done; that is for each kind of task to see to.
package task

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"backfleet/agent/task/check"
	"backfleet/agent/task/logical"
	"backfleet/agent/task/metrics"
	"backfleet/agent/task/output"
	"backfleet/agent/task/request"
	"backfleet/agent/task/sqltask"
	"backfleet/agent/task/taskfile"
	"backfleet/agent/task/transfer"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// kinds runs tasks by the type of their node.
var kinds = map[string]func(context.Context, *wire.Task, *output.Output) error{
	node.SQL:              sqltask.Run,
	node.Check:            check.Run,
	node.Integration:      transfer.Run,
	node.LogicalDimension: logical.Run,
	node.LogicalFact:      logical.Run,
	node.LogicalAggregate: logical.Run,
	node.HTTP:             request.Run,
}

// Main is the program: its arguments are the task's file and the values of the
// node's parameters. It gives the exit status.
func Main(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "expected the file of a task: this program is started by agents, not by people")
		return 1
	}
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // other code of the same user shall not find the secrets in its memory
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends it at once
	return run(ctx, args, os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &output.Output{Arguments: args[1:], Log: stdout, Metrics: &metrics.Report{}}
	err := do(ctx, args[0], out)
	if failed := out.Metrics.Write(); failed != nil {
		fmt.Fprintln(stderr, line(failed))
	}
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		err = fault.Wrap(err, fault.Unavailable, "stopped on request")
	}
	fmt.Fprintln(stderr, line(err))
	return 1
}

func do(ctx context.Context, path string, out *output.Output) error {
	t, err := taskfile.Read(path)
	if err != nil {
		return err
	}
	kind := kinds[t.Node.Type]
	if kind == nil {
		return fault.New(fault.Invalid, "node %q: this program cannot run type %q, only %s; have it be of the agent's version",
			t.Node.Id, t.Node.Type, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	return kind(ctx, t, out)
}

// line is an error on one line.
func line(err error) string {
	var parts []string
	for text := range strings.Lines(err.Error()) {
		parts = append(parts, strings.TrimSpace(text))
	}
	return strings.Join(parts, " ")
}
