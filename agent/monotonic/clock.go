// Package monotonic reads the host's CLOCK_MONOTONIC. Unlike the reading
// inside time.Time it is one number for all processes of the host, so a lease's
// end can be handed from the session to the keeper without a delay on the way
// making it later.
package monotonic

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since an arbitrary moment, the same one for every process
// until the host restarts. It stands still while the host sleeps.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("CLOCK_MONOTONIC cannot be read: " + err.Error()) // Linux always has it
	}
	return time.Duration(t.Nano())
}
