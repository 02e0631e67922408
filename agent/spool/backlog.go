package spool

import "time"

// Backlog is what the coordinators do not have yet.
type Backlog struct {
	Logs  int    `json:"logs"`  // of attempts, those included that still grow
	Bytes uint64 `json:"bytes"` // that are written and not acknowledged
	// OldestMs is for how long a log with such bytes has made no progress, of all
	// logs the longest time.
	OldestMs int64 `json:"oldestMs"`
}

// Backlog tells how much waits or is on its way.
func (s *Spool) Backlog() (b Backlog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Logs = len(s.logs)
	for _, l := range s.logs {
		if l.size > l.acked {
			b.Bytes += l.size - l.acked
			b.OldestMs = max(b.OldestMs, time.Since(l.moved).Milliseconds())
		}
	}
	return b
}
