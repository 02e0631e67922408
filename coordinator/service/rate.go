package service

import (
	"sync"
	"time"

	"backfleet/coordinator/state"
)

// rates counts how many instances of each plan finished in each of the last
// seconds, as this coordinator saw them.
type rates struct {
	mu    sync.Mutex
	plans map[uint64]*ring
}

// ringSeconds is how far back a rate may look; ringShort how far it does when
// that is enough to go by.
const (
	ringSeconds = 60
	ringShort   = 10
	enough      = 20 // instances
)

type ring struct {
	first   int64 // second of the first finish
	newest  int64
	buckets [ringSeconds]uint32
}

func newRates() *rates { return &rates{plans: map[uint64]*ring{}} }

func (r *rates) observe(changes []state.Change, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	second := now.Unix()
	for _, c := range changes {
		if c.Kind != state.InstanceChanged || !c.To.Success() && !c.To.Failure() {
			continue
		}
		g := r.plans[c.Plan]
		if g == nil {
			r.forget(second)
			g = &ring{first: second, newest: second}
			r.plans[c.Plan] = g
		}
		g.advance(second)
		g.buckets[g.newest%ringSeconds]++
	}
}

// forget drops the plans in which nothing finished for a whole ring.
func (r *rates) forget(second int64) {
	for id, g := range r.plans {
		if second-g.newest >= ringSeconds {
			delete(r.plans, id)
		}
	}
}

// advance clears the seconds in which nothing finished.
func (g *ring) advance(second int64) {
	if second-g.newest >= ringSeconds {
		g.buckets, g.first, g.newest = [ringSeconds]uint32{}, second, second
	}
	for g.newest < second {
		g.newest++
		g.buckets[g.newest%ringSeconds] = 0
	}
}

// perSecond is the rate over the last ten seconds, or over the last minute
// when little finished in ten. Before a whole span has passed it is over what
// has.
func (r *rates) perSecond(planID uint64, now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.plans[planID]
	if g == nil {
		return 0
	}
	second := now.Unix()
	n := g.since(second - ringShort + 1)
	span := int64(ringShort)
	if n < enough {
		n, span = g.since(second-ringSeconds+1), ringSeconds
	}
	return float64(n) / float64(max(1, min(span, second-g.first+1)))
}

func (g *ring) since(from int64) (n uint64) {
	for s := max(from, g.newest-ringSeconds+1); s <= g.newest; s++ {
		n += uint64(g.buckets[((s%ringSeconds)+ringSeconds)%ringSeconds])
	}
	return n
}
