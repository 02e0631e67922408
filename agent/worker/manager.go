package worker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"backfleet/agent/notify"
	"backfleet/agent/session"
)

const (
	// tellEvery is how often the service manager hears how the agent is, and
	// soonEvery how often until it is ready.
	tellEvery = 5 * time.Second
	soonEvery = 100 * time.Millisecond
)

// tell keeps the service manager informed until gone ends: ready when the agent
// has its keeper (coordinators may be away for long), alive as long as the
// session's loop answers. Stopping ends when the agent begins to end.
func tell(gone, stopping context.Context, m *notify.Manager, s *session.Session) {
	if m == nil {
		return
	}
	every := tellEvery
	if w := m.Watchdog(); w > 0 {
		every = min(every, w/3)
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for ready, stopped := false, stopping.Done(); ; {
		select {
		case <-next.C:
		case <-stopped:
			stopped = nil
			m.Say("STOPPING=1")
		case <-gone.Done():
			return
		}
		ctx, cancel := context.WithTimeout(gone, every)
		status, err := s.Status(ctx)
		cancel()
		if err != nil {
			next.Reset(soonEvery)
			continue
		}
		states := []string{"WATCHDOG=1", "STATUS=" + inWords(status)}
		if status.Keeper != nil && !ready {
			ready = true
			states = append(states, "READY=1")
		}
		if stopped == nil { // as long as it gets on, it may go on
			states = append(states, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", 3*every.Microseconds()))
		}
		m.Say(strings.Join(states, "\n"))
		if next.Reset(every); !ready {
			next.Reset(soonEvery)
		}
	}
}

// inWords is the status in a line.
func inWords(s session.Status) string {
	running := 0
	for _, a := range s.Attempts {
		if a.Outcome == "" {
			running++
		}
	}
	text := fmt.Sprintf("%d attempts", running)
	switch {
	case s.Draining:
		text += ", draining"
	case s.Keeper == nil:
		text += ", no keeper yet"
	case !s.Connected:
		text += ", looking for the leader"
	default:
		text += ", in session with " + s.Coordinator
	}
	return text
}
