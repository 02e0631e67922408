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

// Of is the reading at a moment that time.Now gave to this process; 0 for the
// zero time.
func Of(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return Now() - time.Since(t)
}

// Moment is the reverse, for a reading of any process of this host; the zero
// time for 0.
func Moment(at time.Duration) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Now().Add(at - Now())
}
