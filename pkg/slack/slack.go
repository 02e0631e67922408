// Package slack lets the kernel wake the threads of agents and coordinators a
// little late. The Go runtime has one that sleeps 20 µs at a time whenever others
// work; with the usual slack of 50 µs that is a third of all that a keeper
// costs, a fifth of a session, and nearly half of a busy coordinator's switches
// between threads.
package slack

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how late a thread may be woken.
const slack = time.Millisecond

// Usual is what processes are born with, in nanoseconds. Attempts get it back:
// they inherit theirs, and their timers are none of our business.
const Usual = 50_000

// Set gives the calling thread the slack in nanoseconds.
func Set(ns uintptr) { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, ns, 0, 0, 0) }

// Start starts a process whose threads all have the slack: a thread inherits
// it, and the runtime's own begin before any code could set it.
func Start(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if usual, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err == nil {
		Set(uintptr(slack))
		defer Set(uintptr(usual))
	}
	return cmd.Start()
}

// Restart begins this program again, as the same process, with the slack for
// all its threads. It returns when they have it, or cannot get it.
func Restart() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || now >= int(slack) {
		return
	}
	path, err := os.Executable()
	if err != nil {
		return
	}
	Set(uintptr(slack))
	_ = syscall.Exec(path, os.Args, os.Environ())
	Set(uintptr(now))
}
