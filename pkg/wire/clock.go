package wire

import (
	"strconv"
	"time"

	"google.golang.org/grpc/metadata"
)

// headerClock tells an agent, at the begin of its session, how late it is by the
// coordinator's clock. Nothing is decided by it: it is for figures.
const headerClock = "backfleet-time-ms"

// Clock is the header that tells a moment.
func Clock(now time.Time) metadata.MD {
	return metadata.Pairs(headerClock, strconv.FormatInt(now.UnixMilli(), 10))
}

// ClockOf reads it; false: there is none.
func ClockOf(header metadata.MD) (time.Time, bool) {
	for _, text := range header.Get(headerClock) {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
			return time.UnixMilli(ms), true
		}
	}
	return time.Time{}, false
}
