package session

import "backfleet/agent/attempt"

// remembered is how many attempts are recognised after they were let go.
const remembered = 8192

// recent remembers the attempts let go last, so that a late word about one is
// not taken for a new one.
type recent struct {
	ring []attempt.Key
	next int
	set  map[attempt.Key]struct{}
}

func (r *recent) add(key attempt.Key) {
	if r.set == nil {
		r.set = map[attempt.Key]struct{}{}
	}
	r.set[key] = struct{}{}
	if len(r.ring) < remembered {
		r.ring = append(r.ring, key)
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = key
	r.next = (r.next + 1) % remembered
}

func (r *recent) has(key attempt.Key) bool {
	_, ok := r.set[key]
	return ok
}
