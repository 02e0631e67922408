package schedule

// Waiting is what waits for nothing but a slot, at one rank of a resource group.
type Waiting struct {
	Group    string
	Priority int32
	Auto     bool // of the schedule
	Count    int
	// OldestMs is for how long the first in line of any plan has been ready, in
	// milliseconds by this leader's count (a new one begins anew); of backfills,
	// whoever has been for the longest.
	OldestMs int64
}

// Waiting lists what waits for a slot, by resource group, then rank.
func (s *Scheduler) Waiting() (out []Waiting) {
	for _, g := range s.groups {
		for _, l := range s.pools[g].levels {
			w := Waiting{Group: g, Priority: l.rank.priority, Auto: l.rank.auto}
			for _, n := range l.turns {
				w.Count += n.size()
				w.OldestMs = max(w.OldestMs, n.oldest(s.nowMs))
			}
			if w.Count > 0 {
				out = append(out, w)
			}
		}
	}
	return out
}

// oldest is for how long the line's longest waiter has been ready, as Waiting
// has it.
func (n *line) oldest(nowMs int64) (ms int64) {
	for _, p := range n.parts {
		if len(p.items) == 0 {
			continue
		}
		since := n.t.queued[p.items[0].instance]
		if w, ok := p.longest(n.t); ok {
			since = min(since, w.sinceMs)
		}
		ms = max(ms, nowMs-since)
	}
	return ms
}

// Waited is for how long each instance that the last Fill granted had been
// ready, in milliseconds, in the order of the grants.
func (s *Scheduler) Waited() []int64 { return s.waited }
