package spool

// Backlog is what the coordinators do not have yet.
type Backlog struct {
	Logs  int    `json:"logs"`  // of attempts, those included that still grow
	Bytes uint64 `json:"bytes"` // that are written and not acknowledged
}

// Backlog tells how much waits or is on its way.
func (s *Spool) Backlog() (b Backlog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Logs = len(s.logs)
	for _, l := range s.logs {
		b.Bytes += max(l.size, l.acked) - l.acked
	}
	return b
}
