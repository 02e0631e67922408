// Package stage gives a process limits of its own before its program begins: a
// child is started as this binary, sets them on itself and becomes the program.
// Only the child can: after the fork nothing of Go may run, and for others than
// its own user even root needs a capability to do it from outside.
package stage

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"backfleet/pkg/fault"
)

// Limits of a single process, inherited by what it starts. 0: as they are.
type Limits struct {
	OpenFiles int32
	Core      int64 // bytes of a core dump
	Processes int32 // and threads, of the process's user on the whole host; nothing to root
	Data      int64 // bytes that it allocates for itself
	Nice      int32 // at least this
}

// resources are the limits that the kernel knows by a number, in the order in
// which they are set: with little Data left, nothing more should be needed.
func (l *Limits) resources() []resource {
	return []resource{
		{"core", unix.RLIMIT_CORE, uint64(l.Core)},
		{"openFiles", syscall.RLIMIT_NOFILE, uint64(l.OpenFiles)},
		{"processes", unix.RLIMIT_NPROC, uint64(l.Processes)},
		{"memory", unix.RLIMIT_DATA, uint64(l.Data)},
	}
}

type resource struct {
	name  string
	kind  int
	value uint64
}

// mark begins the name under which a process of this binary knows that it is a
// stage. What follows are the limits.
const mark = "backfleet-stage "

const form = "%d %d %d %d %d"

// Check says whether a child could have the limits: no process may raise what
// this one was given.
func (l Limits) Check() error {
	for _, r := range l.resources()[:2] {
		var own syscall.Rlimit
		if err := syscall.Getrlimit(r.kind, &own); err != nil || r.value <= own.Max {
			continue
		}
		return fault.Field("limits."+r.name, "%d is more than the agent itself may have, %d: raise it where the agent is started "+
			"(systemd: LimitNOFILE, LimitCORE), or lower it in the node", r.value, own.Max)
	}
	return nil
}

// Command gives the program and its arguments, the first being its name, by way
// of a stage that sets the limits.
func (l Limits) Command(path string, args []string) (string, []string) {
	name := mark + fmt.Sprintf(form, l.OpenFiles, l.Core, l.Processes, l.Data, l.Nice)
	return "/proc/self/exe", append([]string{name, path}, args...)
}

// A stage is one before anything else of the binary begins: that would cost
// more than the program.
func init() {
	if len(os.Args) < 3 || !strings.HasPrefix(os.Args[0], mark) {
		return
	}
	text := strings.TrimPrefix(os.Args[0], mark)
	_, _ = os.Stderr.WriteString("backfleet: " + enter(text, os.Args[1], os.Args[2:]).Error() + "\n")
	os.Exit(failed)
}

// failed is the exit code of a stage that cannot become its program, as shells
// have it.
const failed = 126

// enter sets the limits on this process and becomes the program.
func enter(text, path string, args []string) error {
	var l Limits
	if _, err := fmt.Sscanf(text, form, &l.OpenFiles, &l.Core, &l.Processes, &l.Data, &l.Nice); err != nil {
		return fmt.Errorf("limits %q: %w", text, err)
	}
	environment := os.Environ()
	if own, err := unix.Getpriority(unix.PRIO_PROCESS, 0); l.Nice > 0 && (err != nil || 20-own < int(l.Nice)) { // the system call gives 20 less it
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, int(l.Nice)); err != nil {
			return fmt.Errorf("nice %d: %w", l.Nice, err)
		}
	}
	for _, r := range l.resources() {
		var own syscall.Rlimit
		if r.value == 0 {
			continue
		}
		err := syscall.Getrlimit(r.kind, &own)
		if err == nil {
			value := min(r.value, own.Max)
			err = syscall.Setrlimit(r.kind, &syscall.Rlimit{Cur: value, Max: value})
		}
		if err != nil {
			return fmt.Errorf("limit %s of %d: %w", r.name, r.value, err)
		}
	}
	return fmt.Errorf("%s: %w", path, syscall.Exec(path, args, environment))
}

// NoCore has this process and its children leave no core dump, unless a child
// asks for one.
func NoCore() {
	var own syscall.Rlimit
	if syscall.Getrlimit(unix.RLIMIT_CORE, &own) == nil {
		own.Cur = 0
		_ = syscall.Setrlimit(unix.RLIMIT_CORE, &own)
	}
}
