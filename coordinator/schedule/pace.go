package schedule

import "backfleet/coordinator/state"

// Pace is how long attempts of a node have taken lately. It is begun with what
// the facts remember and kept up with what ends; it decides nothing but what
// may be granted ahead, so leaders may differ in it.
type Pace struct {
	node   string
	seeded bool
	count  int     // of attempts that it is the mean of, 8 at most
	meanMs float64 // newer ones count for more
}

// ShortMs is how long attempts of a node may take, by recent durations, for one
// to be granted ahead.
const ShortMs = 40

// recent is how many attempts a pace is the mean of, as many as the facts keep.
const recent = 8

// seeds is how many paces may be begun between two Ticks: it costs a look at
// all that has ended lately.
const seeds = 64

// Add takes in an attempt that ran for so many milliseconds.
func (p *Pace) Add(ms int64) {
	p.count = min(recent, p.count+1)
	p.meanMs += (float64(max(0, ms)) - p.meanMs) / float64(p.count)
}

// Short gives what the next attempt is expected to take, in whole milliseconds
// from 1; false when that is not known, or is long.
func (p *Pace) Short() (ms int, ok bool) {
	return max(1, int(p.meanMs+0.999)), p.count > 0 && p.meanMs <= ShortMs
}

// Pace gives the pace of a plan's node. It is the same for every plan that has
// the node.
func (s *Scheduler) Pace(p *state.Plan, node int) *Pace {
	t := s.plans[p.ID]
	if t == nil {
		return s.pace(p.Nodes[node].Spec.Id)
	}
	if t.paces == nil {
		t.paces = make([]*Pace, len(p.Nodes))
	}
	if node >= len(t.paces) {
		return s.pace(p.Nodes[node].Spec.Id)
	}
	if t.paces[node] == nil {
		t.paces[node] = s.pace(p.Nodes[node].Spec.Id)
	}
	s.seed(t.paces[node])
	return t.paces[node]
}

func (s *Scheduler) pace(nodeID string) *Pace {
	p := s.paces[nodeID]
	if p == nil {
		p = &Pace{node: nodeID}
		s.paces[nodeID] = p
	}
	s.seed(p)
	return p
}

func (s *Scheduler) seed(p *Pace) {
	if p.seeded || s.seeds == 0 {
		return
	}
	s.seeds--
	p.seeded = true
	if p.count > 0 {
		return // what it knows is newer
	}
	for _, ms := range s.st.Durations(p.node) {
		p.Add(int64(ms))
	}
}
