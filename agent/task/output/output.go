// Package output is what a task tells while it runs.
package output

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"backfleet/agent/task/metrics"
)

// Output is where a task writes, and what it is started with beside its file.
type Output struct {
	// Arguments are the values of the node's parameters, which scripts see as $1,
	// $2, ….
	Arguments []string
	// Log is the attempt's log: the process's standard output.
	Log io.Writer
	// Metrics are reported with the result, however the task ends. nil: none are.
	Metrics *metrics.Report

	mu sync.Mutex
}

// Line writes a line into the log. It may be called by several goroutines; that
// the log cannot be written is no reason for a task to end.
func (o *Output) Line(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = io.WriteString(o.Log, strings.TrimRight(fmt.Sprintf(format, args...), "\n")+"\n")
}
