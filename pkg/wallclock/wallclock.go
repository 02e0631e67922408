// Package wallclock moves a process's wall clock for drills, as an operator or
// a broken time server does: the wall clock jumps, the monotonic clock goes on.
package wallclock

import (
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Variable names the file that holds by how much the clock is off, such as 1h or
// -1h; it is read again five times a second. While there is none the clock is right.
// It is for drills alone (backfleet drill clock-jump).
const Variable = "BACKFLEET_DRILL_CLOCK"

// Drilled is the clock that the environment asks for; nil: that of the host.
func Drilled() func() time.Time {
	file := os.Getenv(Variable)
	if file == "" {
		return nil
	}
	c := &clock{file: file}
	return c.now
}

type clock struct {
	file string

	mu   sync.Mutex
	read time.Time
	off  time.Duration
}

const readEvery = 200 * time.Millisecond

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Now()
	if t.Sub(c.read) > readEvery {
		c.read = t
		c.off = 0
		if text, err := os.ReadFile(c.file); err == nil {
			c.off, _ = time.ParseDuration(strings.TrimSpace(string(text))) // what is not one is none
		}
	}
	return shifted(t, c.off)
}

// shifted is a time whose wall clock is off by whole seconds and whose monotonic
// reading is as it was: differences to other times of this process stay right.
// Time.Add would move both. TestShifted holds the layout of time.Time: a bit that
// says that there is a monotonic reading, 33 bits of seconds, 30 of nanoseconds.
func shifted(t time.Time, by time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(by/time.Second)) << 30
	return t
}
