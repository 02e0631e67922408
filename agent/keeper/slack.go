package keeper

import (
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how late the kernel may wake a keeper's threads. The Go runtime has
// one that sleeps 20 µs at a time whenever others work; with the usual slack of
// 50 µs that was a third of all that a keeper costs.
const slack = time.Millisecond

// startSlack starts a process whose threads all have the slack: a thread
// inherits it, and the runtime's own begin before any code could set it.
func startSlack(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if usual, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err == nil {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
		defer unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usual), 0, 0, 0)
	}
	return cmd.Start()
}
